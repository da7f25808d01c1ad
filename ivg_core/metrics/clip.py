"""CLIP similarities of frames: with the true frames, with each other, and with the sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import IVGError
from .frames import CLIP_MEAN, CLIP_STD, prepared

BATCH = 16  # frames at once


class ClipSimilarity:
    """A CLIP model that turns frames and sentences into directions; how close two are is their scalar product.

    Args:
        folder: of a CLIP model in transformers' layout, with its tokenizer.
        device: where it runs.

    Raises:
        IVGError: the folder holds no CLIP model.
    """

    def __init__(self, folder: Path, device: torch.device | str = "cpu"):
        from transformers import CLIPModel, CLIPTokenizer

        try:
            self.model: Any = CLIPModel.from_pretrained(folder, local_files_only=True).eval().to(device)
            self.tokenizer: Any = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IVGError(
                f"{folder} is no CLIP model as transformers saves it ({error}): download it again."
            ) from error

    @torch.no_grad()
    def frames(self, frames: Tensor) -> Tensor:
        """Frames (F, H, W, 3) 0..1 -> (F, D), each of length 1, on the CPU."""
        vision = self.model.vision_model
        found = []
        for part in frames.split(BATCH):
            pixels = prepared(part.to(self.model.device), vision.config.image_size, CLIP_MEAN, CLIP_STD)
            found.append(self.model.visual_projection(vision(pixels).pooler_output))
        return F.normalize(torch.cat(found).float().cpu(), dim=-1)

    @torch.no_grad()
    def text(self, sentence: str) -> Tensor:
        """A sentence -> (D), of length 1, on the CPU; what is longer than the model reads falls off."""
        length = self.model.text_model.config.max_position_embeddings
        tokens = self.tokenizer(sentence, truncation=True, max_length=length, return_tensors="pt").to(self.model.device)
        state = self.model.text_model(**tokens).pooler_output
        return F.normalize(self.model.text_projection(state).float().cpu(), dim=-1)[0]


def clip_to_truth(frames: Tensor, truth: Tensor) -> float:
    """100 times the mean similarity of each frame with the true one; (F, D) both, each of length 1.

    Source: the paper's CLIP_toGT.
    """
    return 100 * float((frames * truth).sum(-1).mean())


def clip_consecutive(frames: Tensor) -> float:
    """Mean similarity of each frame with the next; (F, D), each of length 1. NaN for a single frame.

    Source: the paper's CLIP_toConsec.
    """
    return float((frames[1:] * frames[:-1]).sum(-1).mean())


def clip_to_text(frames: Tensor, text: Tensor) -> float:
    """100 times the mean similarity of the frames (F, D) with a sentence (D), all of length 1.

    Source: the paper's CLIP_toText.
    """
    return 100 * float((frames @ text).mean())
