"""What the trainer asks of data: clips by number, and the order of the batches. Any object that fits will do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from ..models.codec import Codec, LatentGrid
from ..models.one_shot import VideoClips
from .sample import Sample, check_sample


@runtime_checkable
class ClipDataset(Protocol):
    """Clips to train on: any map-style data set of PyTorch, or a list, whose items are `Sample`.

    The same index must give the same item, whenever and in whatever process it is asked, so that a training that was
    stopped goes on exactly: draw nothing at random in it. A method `batches(batch_size, seed, epoch)`, as
    `OrderedClips` has it, says which clips make a batch; without one, clips of one size are put together.
    """

    def __len__(self) -> int:
        """How many clips there are."""
        ...

    def __getitem__(self, index: int, /) -> Sample:
        """The clip of an index from 0 on."""
        ...


@runtime_checkable
class OrderedClips(ClipDataset, Protocol):
    """Clips that say themselves which of them make a batch."""

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        """The indices of each batch of an epoch: clips of one size together, every clip once.

        A pure function of its arguments: a training that was stopped takes up the order where it was. An incomplete
        batch at the end of a bucket may be shorter.
        """
        ...


class InBuckets:
    """The clips of a data set that says nothing of batches, in batches of one size.

    Args:
        clips: at least one. For batches of more than one clip every clip is looked at once, for its size.
    """

    def __init__(self, clips: ClipDataset):
        self.clips = clips
        self._sizes: list[tuple[int, ...]] | None = None

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int, /) -> Sample:
        return self.clips[index]

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        if batch_size == 1:
            return bucketed_batches([()] * len(self), 1, seed, epoch)
        if self._sizes is None:
            clips = (check_sample(self[index], index) for index in range(len(self)))
            self._sizes = [tuple(clip["latents"].shape) for clip in clips]
        return bucketed_batches(self._sizes, batch_size, seed, epoch)


def as_clips(data: ClipDataset, to: str = "train on") -> OrderedClips:
    """A user's data set as the trainer asks it; its first item is looked at.

    Args:
        data: any object; it may be none.
        to: what it is for, for the message where it is empty.

    Raises:
        IVGError: it is none, is empty, or its first item is no `Sample`.
    """
    if not isinstance(data, ClipDataset):
        raise IVGError(
            f"The data is a {type(data).__name__}, which has no length or no items by number: give a map-style data "
            "set of samples, such as a torch.utils.data.Dataset with __len__ and __getitem__, or a list."
        )
    if not len(data):
        raise IVGError(f"There is no clip to {to}: look at what the data report rejected and why (--dry-run).")
    check_sample(data[0], 0)
    return data if isinstance(data, OrderedClips) else InBuckets(data)


class ListDataset:
    """Samples in memory, all of one size or not; the simplest `OrderedClips`.

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
        IVGError: one is no `Sample`, or they differ in size or in what they have; names the clips.
    """
    for sample in samples:
        check_sample(sample)
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
