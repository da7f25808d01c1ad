"""What moves in a clip: read from files, found by its hands, or imagined by stage 1; cut as the clip is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...errors import IVGError
from ...media.clips import file_identity, in_pieces
from ...media.files import pictures_in
from ...media.images import load_mask, to_bytes
from ...models.codec import check_cells, mask_cells
from ...models.fingerprint import fingerprint
from ...sampling.inputs import check_mask
from .motion import stabilise
from .settings import DataSettings
from .sources import MADE_MASKS, TrainingClip, UnfitError
from .transform import Cut

if TYPE_CHECKING:
    from .encoder import ClipEncoder

#: How hands are looked for; masks that an earlier version kept were found in another way.
LOOK = "every frame"


@dataclass(frozen=True)
class Masks:
    """What moves, as bytes 0..255."""

    rom: np.ndarray  # (H, W)
    frames: np.ndarray | None  # (F, H, W); None where only their union is known
    note: str = ""  # what the user should know


@dataclass(frozen=True)
class View:
    """How a clip is looked at: which frames, which part of them, held still or not."""

    indices: Sequence[int]
    count: int  # frames of the whole clip
    shape: tuple[int, int]  # (width, height) of the clip
    cut: Cut
    frames: np.ndarray  # (F, H, W, 3) uint8, cut and held still
    homographies: np.ndarray | None  # (F, 3, 3), where the clip was held still


class MaskMaker:
    """Masks for clips, in the way the settings say.

    Args:
        settings: see `DataSettings`.
        stage: 1 needs a mask of each frame, 2 only their union.
        encoder: of the model that is trained, whose stage 1 imagines masks where `masks` is "stage1".

    Raises:
        IVGError: stage 1 is to imagine masks, and the model has none.
    """

    def __init__(self, settings: DataSettings, stage: int, encoder: ClipEncoder):
        self.settings, self.stage, self.encoder = settings, stage, encoder
        if settings.masks == "stage1" and encoder.model is None:
            raise IVGError("data: masks is 'stage1', which this model has not: let masks be hands, or give masks.")

    @cached_property
    def tracker(self) -> Any:
        from ...hands.tracker import HandTracker

        return HandTracker(device=self.encoder.device)

    def shaped_by(self, clip: TrainingClip) -> list[str]:
        """Everything but the frames that the masks of a clip follow from."""
        if isinstance(clip.mask, Tensor):
            return [hashlib.sha256(to_bytes(clip.mask).tobytes()).hexdigest(), str(tuple(clip.mask.shape))]
        if clip.mask is not None:
            return [file_identity(path) for path in (pictures_in(clip.mask) if clip.mask.is_dir() else [clip.mask])]
        if self.settings.masks == "stage1":
            return ["stage1", clip.caption, *self._stage1_weights]
        return [self.settings.masks, *([LOOK] if self.settings.masks in ("hands", "arms") else [])]

    @cached_property
    def _stage1_weights(self) -> list[str]:
        model = self.encoder.model
        assert model is not None  # see `__init__`
        return [fingerprint(part) for part in (model.for_stage(1), model.text_encoder)]

    def __call__(self, clip: TrainingClip, view: View) -> Masks:
        """The masks of a clip.

        Raises:
            IVGError: there are none, or they do not fit.
        """
        masks = self._given(clip.mask, view) if clip.mask is not None else self._made(clip, view)
        cell = self.encoder.codec.cell
        rom = check_mask(torch.from_numpy(masks.rom).float() / 255)
        if self.encoder.model is not None:  # others take a cell's brightest pixel, so that nothing vanishes
            check_cells(mask_cells(rom[None], view.cut.size[1] // cell, view.cut.size[0] // cell, binarize=True))
        if self.stage == 1 and masks.frames is None:
            raise IVGError("stage 1 needs a mask of each frame, and it has one for all: give a folder of them")
        return masks

    def _made(self, clip: TrainingClip, view: View) -> Masks:
        if self.settings.masks not in MADE_MASKS:
            raise IVGError("it comes without a mask, and none is to be made: give one, or let masks be hands")
        if self.stage == 1 and self.settings.masks in ("white", "stage1"):
            made = "everything (white)" if self.settings.masks == "white" else "predicted (stage1)"
            raise IVGError(f"stage 1 learns to make masks, so masks cannot be {made}: take hands, or give masks")
        if self.settings.masks == "white":
            return _white(view, "")
        if self.settings.masks == "stage1":
            return self._imagined(clip, view)
        return self._hands(clip, view)

    def _hands(self, clip: TrainingClip, view: View) -> Masks:
        """As `annotate` finds them: in every frame of the time that is trained on, at the clip's own resolution."""
        from ...rom.annotate import PieceByPiece
        from ...rom.annotate_video import PIECE

        look = PieceByPiece(self.tracker, arms=self.settings.masks == "arms")
        taken, frames = range(view.indices[0], view.indices[-1] + 1), {}
        for piece in in_pieces(clip.media.read(taken), PIECE):
            first = taken[look.count]
            for index, mask in enumerate(look.look(piece).frame_masks, first):
                if index in view.indices:
                    frames[index] = view.cut(to_bytes(mask))
        rom = view.cut(to_bytes(look.union))
        if not (look.enough and rom.any()):
            if self.stage == 1:
                raise UnfitError("no hand was found in it, and masks are made from hands: give masks of your own")
            return _white(view, "no hand was found in it, so all of it may move; give a mask to say what does")
        return Masks(rom, np.stack([frames[index] for index in view.indices]))

    def _imagined(self, clip: TrainingClip, view: View) -> Masks:
        from ...sampling.predict import predict_rom

        photo = torch.from_numpy(view.frames[0]).float() / 255
        model = self.encoder.model
        assert model is not None  # see `__init__`
        rom = predict_rom(model, photo, clip.caption, num_frames=len(view.frames), size=view.cut.size)
        return _of_frames(np.stack([to_bytes(mask) for mask in rom.frame_masks]))

    def _given(self, mask: Path | Tensor, view: View) -> Masks:
        pictures: Sequence[Path | Tensor]
        if isinstance(mask, Path):
            pictures = pictures_in(mask) if mask.is_dir() else [mask]
        else:
            pictures = [mask] if mask.ndim == 2 else list(mask)
        if len(pictures) == 1 and not (self.stage == 1 and view.count == 1):  # there it is a mask of each frame
            rom = to_bytes(_read(pictures[0]))
            # A mask of all of a clip says where the first frame's things go, and that frame is never moved.
            return Masks(view.cut(rom), None, _stretched(rom, view))
        if len(pictures) == view.count:
            pictures = [pictures[i] for i in view.indices]
        if len(pictures) != len(view.indices):
            raise IVGError(
                f"it has {len(pictures)} masks for {view.count} frames: give one a frame, one for each of the "
                f"{len(view.indices)} frames that are trained on, or a single one"
            )
        read = [to_bytes(_read(picture)) for picture in pictures]
        frames = np.stack([view.cut(frame) for frame in read])
        if view.homographies is not None:
            frames = stabilise(frames, view.homographies)
        return _of_frames(frames, _stretched(read[0], view))


def _of_frames(frames: np.ndarray, note: str = "") -> Masks:
    return Masks(frames.max(0), frames, note)


def _white(view: View, note: str) -> Masks:
    return Masks(np.full(view.frames.shape[1:3], 255, np.uint8), None, note)


def _read(mask: Path | Tensor) -> Tensor:
    return load_mask(mask) if isinstance(mask, Path) else mask


def _stretched(mask: np.ndarray, view: View) -> str:
    (height, width), (clip_width, clip_height) = mask.shape, view.shape
    if abs(width * clip_height - height * clip_width) <= 0.02 * height * clip_width:
        return ""
    return f"its mask is {width} x {height}, of another shape than the clip ({clip_width} x {clip_height}): stretched"
