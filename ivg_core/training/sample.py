"""What a clip is in training: a dict of latents, text states and masks; checked, as it may come from a user's data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import torch
from torch import Tensor

from ..errors import IVGError
from ..models.told import Told


class Always(TypedDict):
    """What every clip has; see `Sample`."""

    latents: Tensor
    caption: str
    name: str


class Sample(Always, total=False):
    """One clip of F frames, as training reads it: a dict; all tensors on the CPU. `ModelEncoder.sample` makes one.

    Latents are scaled as the network has them: C channels, T latent frames of h x w cells, where F frames of H x W
    pixels are T = F frames of 1/8 of the size in an IVG model. Stage 1 needs `mask_latents` and `frame_masks`, stage 2
    `rom_mask`. A loss may need more, and says so when it is missing. An IVG network is told `text` or `empty_text` with
    what stands in the other fields; a network of another program is told `told` or `untold`, in which everything is.

    Attributes:
        latents: (C, T, h, w) of the clip; frame 0 is the context frame, which the network is given.
        caption: what is done.
        name: for messages: which file this is.
        text: (tokens, D) text state of the caption; 77 tokens in published models.
        empty_text: (tokens, D) text state of "".
        told: for one clip: what the network's own sampler would tell it.
        untold: the same with the sentence "".
        open: (1, T, h, w) 1 where it generates, 0 where its sampler holds what is known; absent: everywhere.
        photo: (C, 1, h, w) latent of the context frame, where it is not the first of `latents`.
        mask_latents: (C, T, h, w) of the F mask frames, each tripled to RGB; frame k masks frame k. For a network of
            another program frame 0 is the photo.
        rom_mask: (H, W) 0..1, pixels: the Region of Motion that stage 2 is conditioned on.
        frame_masks: (F, H, W) 0..1, pixels: what moves in each frame.
        frames: (F, H, W, 3) uint8, the pixels behind `latents`: for the hand loss.
        boxes: (F, N, 5) float32, where the N things are: x1, y1, x2, y2 in 0..1 of the picture, and 1; 0 where one is
            not there.
        photo_boxes: (1, N, 5), where they are in the photo, where this is not the first of `latents`.
        phrases: (N, D) text states of what they are called, 0 for those beyond the last; or (F, N, D).
        things: what they are called.
        control: (F, H, W, 3) uint8, pixels of the control video.
        begins: the frame of its video at which it begins, where a video is cut into clips.
    """

    text: Tensor
    empty_text: Tensor
    told: Told
    untold: Told
    open: Tensor
    photo: Tensor
    mask_latents: Tensor
    rom_mask: Tensor
    frame_masks: Tensor
    frames: Tensor
    boxes: Tensor
    photo_boxes: Tensor
    phrases: Tensor
    things: list[str]
    control: Tensor
    begins: int


#: The axes of what a sample may hold, of one kind only.
AXES = {
    "latents": "(C, T, h, w)",
    "mask_latents": "(C, T, h, w)",
    "photo": "(C, 1, h, w)",
    "open": "(1, T, h, w)",
    "text": "(tokens, D)",
    "empty_text": "(tokens, D)",
    "rom_mask": "(H, W)",
    "frame_masks": "(F, H, W)",
    "frames": "(F, H, W, 3)",
    "control": "(F, H, W, 3)",
    "boxes": "(F, N, 5)",
    "photo_boxes": "(1, N, 5)",
}


def check_sample(sample: Any, index: int | None = None) -> Sample:
    """Let pass a `Sample`.

    Args:
        sample: an item of a data set.
        index: its number, for the message where it has no name.

    Raises:
        IVGError: it lacks something that every clip has, or one of its tensors is of another shape or kind.
    """
    if not isinstance(sample, Mapping):
        raise IVGError(f"{_item(index)} is a {type(sample).__name__}: give a dict as ivg_core.Sample describes it.")
    who = f"The clip {sample['name']}" if isinstance(sample.get("name"), str) else _item(index)
    for key in ("name", "caption"):
        if not isinstance(sample.get(key), str):
            found = f"a {type(sample[key]).__name__} as {key}" if key in sample else f"no {key}"
            raise IVGError(f"{who} has {found}: give a text.")
    for key, axes in AXES.items():
        if key not in sample and key != "latents":
            continue
        value = sample.get(key)
        sides = axes.strip("()").split(", ")
        if not isinstance(value, Tensor):
            found = "is missing" if value is None else f"came as {type(value).__name__}"
            raise IVGError(f"{who}: {key} {found}, but a tensor {axes} belongs there.")
        fixed = all(not side.isdigit() or int(side) == n for side, n in zip(sides, value.shape, strict=False))
        if value.ndim != len(sides) or not fixed:
            raise IVGError(f"{who}: {key} has shape {tuple(value.shape)}, but a tensor {axes} belongs there.")
        if key in ("frames", "control") and value.dtype != torch.uint8:
            raise IVGError(f"{who}: {key} came as {value.dtype}: give bytes, torch.uint8 in 0..255.")
        if key not in ("frames", "control") and not value.is_floating_point():
            raise IVGError(f"{who}: {key} came as {value.dtype}: give floats.")
    if not any(first in sample and other in sample for first, other in (("text", "empty_text"), ("told", "untold"))):
        raise IVGError(f'{who} has no text states: give text, of its caption, and empty_text, of "", both (tokens, D).')
    return sample  # type: ignore[return-value]


def check_made_for(sample: Sample, channels: int, width: int, name: str) -> None:
    """Let pass a sample that was encoded by the model that is trained, or by one of its kind.

    Args:
        sample: the first of a data set.
        channels: C of the network's latents.
        width: D of the text states that it is told.
        name: of the model.

    Raises:
        IVGError: latents or text states are of another width.
    """
    text = sample.get("text")
    widths = {"latents": (sample["latents"].shape[0], channels, "channels")}
    if text is not None:
        widths["text"] = (text.shape[-1], width, "values a token")
    for key, (has, wanted, of) in widths.items():
        if has != wanted:
            raise IVGError(
                f"The clip {sample['name']}: {key} has {has} {of}, and the network of {name or 'the model'} takes "
                f"{wanted}: encode the clips with the model that is trained."
            )


def _item(index: int | None) -> str:
    return "An item of the data" if index is None else f"Item {index} of the data"
