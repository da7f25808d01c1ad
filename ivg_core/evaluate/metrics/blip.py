"""The BLIP score: what a captioner says of the frames, compared with the sentence that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import IVGError, shortly
from ...finite import check_read
from .clip import CLIP_MEAN, CLIP_STD, prepared
from .egovlp import EgoVLP

BATCH = 8  # frames at once
PROMPT = "a picture of"  # what a caption begins with, and which is not part of it


class Captioner:
    """BLIP, which says what a picture shows.

    Args:
        folder: of a BLIP captioning model in transformers' layout, with its tokenizer.
        device: where it runs.

    Raises:
        IVGError: the folder holds no BLIP model.
    """

    def __init__(self, folder: Path, device: torch.device | str = "cpu"):
        from transformers import BertTokenizer, BlipForConditionalGeneration

        try:
            model = BlipForConditionalGeneration.from_pretrained(folder, local_files_only=True)  # nosec B615 # a folder
            self.tokenizer: Any = BertTokenizer.from_pretrained(folder, local_files_only=True)  # nosec B615 # a folder
        except Exception as error:  # a pickle that holds code is refused by an error of its own
            raise IVGError(
                f"{folder} is no BLIP model as transformers saves it ({shortly(error)}): download it again."
            ) from error
        check_read(model.state_dict(), folder)
        self.model: Any = model.eval().to(device)

    @torch.no_grad()
    def captions(self, frames: Tensor) -> list[str]:
        """A caption for each of the frames (F, H, W, 3) 0..1: 3 beams, 5 to 20 tokens with the words it begins with."""
        prompt = self.tokenizer(PROMPT, return_tensors="pt").to(self.model.device)
        said: list[str] = []
        for part in frames.split(BATCH):
            side = self.model.config.vision_config.image_size
            pixels = prepared(part.to(self.model.device), side, CLIP_MEAN, CLIP_STD, crop=False)
            tokens = self.model.generate(
                pixel_values=pixels,
                input_ids=prompt.input_ids.expand(len(part), -1).clone(),
                attention_mask=prompt.attention_mask.expand(len(part), -1),
                num_beams=3,
                max_length=20,
                min_length=5,
            )
            texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
            said.extend(text.removeprefix(PROMPT).strip() for text in texts)
        return said

    def tokens(self, sentence: str) -> Tensor:
        """A sentence as ids of BERT's vocabulary, which EgoVLP's text model reads too; at most 512."""
        return self.tokenizer(sentence, truncation=True, max_length=512, return_tensors="pt").input_ids[0]


def blip_score(frames: Tensor, sentence: str, captioner: Captioner, egovlp: EgoVLP) -> float:
    """Mean similarity of the frames' captions with a sentence, as EgoVLP reads both; at most 1, higher is better.

    Args:
        frames: (F, H, W, 3) 0..1.
        sentence: what was asked for.
        captioner: says what each frame shows.
        egovlp: compares.

    Source: the BLIP score of LEGO (Lai et al. 2023), which the paper takes over; LEGO has one frame, a clip several.
    """
    wanted = egovlp.text(captioner.tokens(sentence))
    captions = captioner.captions(frames)
    likeness = {caption: float(egovlp.text(captioner.tokens(caption)) @ wanted) for caption in set(captions)}
    return sum(likeness[caption] for caption in captions) / len(captions)
