"""The end of a run: latents become frames, all at once or a few at a time, and are laid into photo or source video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ..models.codec import ImageCodec
from ..rom.composite import composite_over, keep_first
from .crop import Windows
from .decode import decode_chunks, decode_frames
from .edit import Edit
from .inputs import Pictures
from .settings import Sampling

if TYPE_CHECKING:
    from ..models.bundle import IVGModel


@dataclass(frozen=True, eq=False)
class Frames:
    """The frames of a run, decoded whenever they are asked for; the model has to be as it was then.

    To iterate gives those of a single video in order, (n, H, W, 3) 0..1 on the CPU, and as often as it is done. Only
    what has been given and not dropped is in memory.

    Args:
        model: of the run.
        latents: (B, 4, F, h, w), of what was sampled.
        pictures: of the run.
        windows: that were sampled; None: the whole pictures.
        how: of the run.
        edit: the source video that they are laid over; None: the photos.
    """

    model: IVGModel
    latents: Tensor
    pictures: Pictures
    windows: Windows | None
    how: Sampling
    edit: Edit | None = None

    def __len__(self) -> int:
        """F of each video."""
        return self.latents.shape[2]

    def all(self) -> Tensor:
        """(B, F, H, W, 3) 0..1, on the CPU.

        Raises:
            IVGError: see `decode_frames`.
        """
        with self.model.at_work(self.model.vae):
            frames = decode_frames(ImageCodec(self.model.vae), self.latents, self.how.decode_chunk)
        return self._finished(frames, 0)

    def __iter__(self) -> Iterator[Tensor]:
        done = 0
        with self.model.at_work(self.model.vae):
            for chunk in decode_chunks(ImageCodec(self.model.vae), self.latents, self.how.decode_chunk):
                done += len(chunk)
                chunk = self._finished(chunk[None], done - len(chunk))[0]
                yield chunk
                del chunk  # before the next is decoded

    def _finished(self, frames: Tensor, first: int) -> Tensor:
        """What is done with decoded frames (B, n, h, w, 3), of which the first is frame `first` of the video."""
        pictures, how = self.pictures, self.how
        if self.windows:
            frames = self.windows.stitch(frames, pictures.photos)
        if how.composite and self.edit:
            under, masks = self.edit.shown(first, frames.shape[1])
            frames = composite_over(frames, under[None], masks[None], how.feather or 0)
        elif how.composite:
            seam_width = min(pictures.size) / 32 if how.feather is None else how.feather
            frames = composite_over(frames, pictures.photos[:, None], pictures.masks[:, None], seam_width)
        if how.keep_first_frame and first == 0:
            frames = keep_first(frames, pictures.photos)
        return (frames * 255).byte().float() / 255 if how.parity else frames
