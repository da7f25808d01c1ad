"""CLIP similarities of frames: with the true frames, with each other, and with the sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import IVGError, shortly
from ...finite import check_read

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
            model: Any = CLIPModel.from_pretrained(folder, local_files_only=True)  # nosec B615 # a folder
            self.model = model.eval().to(device)
            self.tokenizer: Any = CLIPTokenizer.from_pretrained(folder, local_files_only=True)  # nosec B615 # a folder
        except Exception as error:  # a pickle that holds code is refused by an error of its own
            raise IVGError(
                f"{folder} is no CLIP model as transformers saves it ({shortly(error)}): download it again."
            ) from error
        check_read(model.state_dict(), folder)

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


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def prepared(
    frames: Tensor,
    side: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    mode: str = "bicubic",
    crop: bool = True,
) -> Tensor:
    """Square, normalised frames.

    Args:
        frames: (F, H, W, 3) 0..1.
        side: of the square, in pixels.
        mean, std: of each channel.
        mode: of the resizing, which averages where it shrinks.
        crop: resize the shorter side and cut out the middle; False squeezes the whole frame.

    Returns:
        (F, 3, side, side), where the frames are.
    """
    x = frames.permute(0, 3, 1, 2).float()
    height, width = x.shape[-2:]
    scale = side / min(height, width)
    # rounded down, as torchvision and transformers do
    size = (max(side, int(height * scale)), max(side, int(width * scale))) if crop else (side, side)
    x = F.interpolate(x, size, mode=mode, antialias=True, align_corners=False).clamp(0, 1)
    if crop:
        top, left = (size[0] - side) // 2, (size[1] - side) // 2
        x = x[..., top : top + side, left : left + side]
    shape = (1, 3, 1, 1)
    return (x - torch.tensor(mean).to(x).view(shape)) / torch.tensor(std).to(x).view(shape)
