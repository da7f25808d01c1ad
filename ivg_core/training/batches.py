"""What the trainer asks of data: one dict a clip, and the order of the batches. Any object that fits will do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypedDict, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from ..models.codec import Codec, LatentGrid
from ..models.one_shot import VideoClips
from ..models.told import Told


class Always(TypedDict):
    """What every clip has."""

    latents: Tensor  # (C, T, h, w) scaled latents of the clip; frame 0 is the context frame, which the network is given
    caption: str
    name: str  # for messages: which file this is


class Sample(Always, total=False):
    """One clip of F frames, as training reads it; all tensors on the CPU.

    Stage 1 needs `mask_latents` and `frame_masks`, stage 2 `rom_mask`. A loss may need more, and says so when it is
    missing. An IVG network is told `text` or `empty_text` with what stands in the other fields; a network of another
    program is told `told` or `untold`, in which everything is.
    """

    text: Tensor  # (77, D) text state of the caption
    empty_text: Tensor  # (77, D) text state of ""
    told: Told  # for one clip: what the network's own sampler would tell it
    untold: Told  # the same with the sentence ""
    open: Tensor  # (1, T, h, w) 1 where it generates, 0 where its sampler holds what is known; absent: everywhere
    photo: Tensor  # (4, 1, h, w) scaled latent of the context frame, where it is not the first of `latents`
    # (C, T, h, w) scaled latents of the F mask frames, each tripled to RGB; frame k masks frame k. For a network of
    # another program frame 0 is the photo.
    mask_latents: Tensor
    rom_mask: Tensor  # (H, W) 0..1, pixels: the Region of Motion that stage 2 is conditioned on
    frame_masks: Tensor  # (F, H, W) 0..1, pixels: what moves in each frame
    frames: Tensor  # (F, H, W, 3) uint8, the pixels behind `latents`: for the hand loss
    # (F, N, 5) float32, where the N things are: x1, y1, x2, y2 in 0..1 of the picture, and 1; 0 where one is not there
    boxes: Tensor
    photo_boxes: Tensor  # (1, N, 5), where they are in the photo, where this is not the first of `latents`
    phrases: Tensor  # (N, D) text states of what they are called, 0 for those beyond the last; or (F, N, D)
    things: list[str]  # what they are called
    control: Tensor  # (F, H, W, 3) uint8, pixels of the control video
    begins: int  # the frame of its video at which it begins, where a video is cut into clips


@runtime_checkable
class ClipDataset(Protocol):
    """A map-style data set of clips. The same index must give the same sample, whenever and wherever it is asked."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        """The indices of each batch of an epoch: clips of one size together, every clip once.

        A pure function of its arguments: a training that was stopped takes up the order where it was. An incomplete
        batch at the end of a bucket may be shorter.
        """
        ...


class ListDataset:
    """Samples in memory, all of one size or not; the simplest `ClipDataset`.

    Args:
        samples: at least one.
    """

    def __init__(self, samples: Sequence[Sample]):
        self.samples = list(samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        return bucketed_batches([tuple(sample["latents"].shape) for sample in self.samples], batch_size, seed, epoch)


def bucketed_batches(sizes: Sequence[tuple[int, ...]], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Shuffled batches in which all clips have one size.

    Args:
        sizes: of each clip, anything hashable.
        batch_size: clips a batch; the rest of a bucket makes a shorter one.
        seed, epoch: what the order depends on, and nothing else.

    Returns:
        Batches of indices; every index is in exactly one.
    """
    rng = np.random.default_rng([seed, epoch])
    buckets: dict[tuple[int, ...], list[int]] = {}
    for index in rng.permutation(len(sizes)).tolist():
        buckets.setdefault(sizes[index], []).append(index)
    found = [bucket[i : i + batch_size] for bucket in buckets.values() for i in range(0, len(bucket), batch_size)]
    return [found[i] for i in rng.permutation(len(found)).tolist()]


class Batch(dict):
    """Samples of one size, stacked: tensors gain a first axis B, texts become lists.

    In training, `clips` holds their B indices in the data set.
    """

    def need(self, key: str, why: str) -> Tensor:
        """The tensor of that name.

        Raises:
            IVGError: the data does not have it.
        """
        if key not in self:
            raise IVGError(f"The clip {self['name'][0]} comes without {key}, which {why}: let the data set supply it.")
        return self[key]

    def to(self, device: torch.device) -> Batch:
        return Batch({key: value.to(device) if isinstance(value, Tensor) else value for key, value in self.items()})


def collate(samples: Sequence[Sample]) -> Batch:
    """Stacks samples.

    Raises:
        IVGError: they differ in size or in what they have; names both clips.
    """
    first = samples[0]
    for other in samples[1:]:
        for key in dict.fromkeys([*first, *other]):
            a, b = first.get(key), other.get(key)
            shapes = [tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__ for x in (a, b)]
            if shapes[0] != shapes[1]:
                raise IVGError(
                    f"{first['name']} and {other['name']} are in one batch, but differ in {key} ({shapes[0]}, "
                    f"{shapes[1]}): put clips of one size into one bucket, or set batch_size to 1."
                )
    values = {key: [sample[key] for sample in samples] for key in first}  # type: ignore[literal-required]
    return Batch({key: torch.stack(vs) if isinstance(vs[0], Tensor) else vs for key, vs in values.items()})


def clips_of_one_video(dataset: ClipDataset) -> VideoClips:
    """How the clips of a data set lie in the video that they were cut from.

    Raises:
        IVGError: they are not all the clips of one video.
    """
    samples = (dataset[i] for i in range(len(dataset)))
    found = sorted((sample.get("begins", -1), sample["latents"].shape[1]) for sample in samples)
    begins, frames = ([one[k] for one in found] for k in (0, 1))
    stride = begins[1] if len(begins) > 1 else frames[0]
    if len(set(frames)) > 1 or stride < 1 or begins != list(range(0, len(begins) * stride, stride)):
        raise IVGError(
            "One-shot tuning (clip_rank) learns all overlapping clips of one video, and these are others: give one "
            "video as data.source, set data.stride (4 is usual), and hold none of it out."
        )
    return VideoClips(len(begins), stride, frames[0])


def describe(dataset: ClipDataset, codec: Codec, most: int = 20) -> dict[str, object]:
    """What a trained file should say about its data: clips, frames, size in pixels and the first sentences."""
    captions = dict.fromkeys(dataset[i]["caption"] for i in range(min(most, len(dataset))))
    _, frames, height, width = dataset[0]["latents"].shape
    grid = LatentGrid(frames, height, width, codec.cell, codec.stride)
    return {
        "clips": len(dataset),
        "frames": grid.video_frames,
        "width": grid.size[0],
        "height": grid.size[1],
        "prompts": list(captions),
    }
