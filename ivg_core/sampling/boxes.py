"""Box tracks as a network is told them, and as a window of the picture sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import IVGError
from ..media.tracks import MOST_THINGS, Track, filled_up, seen_in
from ..models.grounding import sees_photo
from ..models.text import encode_phrases
from .crop import Windows
from .settings import Sampling

if TYPE_CHECKING:
    from ..models.bundle import IVGModel


@dataclass(frozen=True)
class ToldBoxes:
    """The boxes of B clips; what a thing that is not there is called does not matter."""

    boxes: Tensor  # (B, F, 8, 5) float32, see `Told`
    phrases: Tensor  # (B, 1, 8, D)

    @property
    def absent(self) -> Tensor:
        """The boxes where nothing is there."""
        return torch.zeros_like(self.boxes)


def check_boxes(model: IVGModel, tracks: Sequence[Track | None], how: Sampling) -> None:
    """Let pass box tracks where the model follows boxes, and scales that its training knows.

    Raises:
        IVGError: the model follows none, or a scale asks for what it has never learned.
    """
    given = [track for track in tracks if track is not None]
    if given and not model.takes_boxes:
        raise IVGError(
            f'The model "{model.name}" follows no boxes: load it with gates for boxes (boxes_model), '
            "load a model of SMCD, or leave the box track out."
        )
    if how.boxes_scale != 1 and not given:
        raise IVGError(f"boxes_scale is {how.boxes_scale:g}, and there is no box track: give one, or leave it at 1.")
    if how.photo_scale != 1 and not (model.unet is not None and sees_photo(model.unet.config)):
        raise IVGError(
            f'photo_scale is {how.photo_scale:g}, and the model "{model.name}" has never been without its photo: leave '
            "it at 1."
        )


def told_boxes(
    model: IVGModel, tracks: Sequence[Track | None], num_frames: int, windows: Windows | None
) -> ToldBoxes | None:
    """What the network is told of box tracks; None: nothing, its gates are passed by.

    A network that saw boxes in every step of its training is told that there is none.

    Args:
        model: encodes the phrases.
        tracks: of each clip.
        num_frames: F.
        windows: the part of each picture that is sampled; None: the whole.
    """
    unet = model.unet
    if unet is None or not unet.takes_boxes:
        return None
    if not any(tracks) and not sees_photo(unet.config):
        return None
    boxes = torch.zeros(len(tracks), num_frames, MOST_THINGS, 5)
    phrases = torch.zeros(len(tracks), 1, MOST_THINGS, unet.config["cross_attention_dim"])
    for row, track in enumerate(tracks):
        if track is not None:
            boxes[row] = filled_up(track.boxes(num_frames))
            phrases[row, 0] = filled_up(encode_phrases(model, track.phrases))
    if windows is not None:
        boxes = torch.stack([seen_in(b, w.part) for b, w in zip(boxes, windows.each, strict=True)])
    return ToldBoxes(boxes, phrases)
