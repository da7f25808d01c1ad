"""One clip from its file to the pixels and masks that are trained on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ...errors import IVGError
from ...media.clips import Video
from .boxes import boxes_of
from .masks import MaskMaker, Masks, View
from .motion import background_motion, camera_motion, motion_score, stabilise
from .overlapping import Part
from .settings import DataSettings
from .sources import TrainingClip, UnfitError, check_control
from .transform import choose_frames, cover, nearest_bucket

#: A clip is scaled before it is cut; one that would grow beyond this is a strip.
MOST_PIXELS = 1 << 24


@dataclass
class About:
    """What the report says of a clip that is trained on."""

    name: str
    caption: str
    width: int  # of the file, pixels
    height: int
    native_frames: int
    fps: float
    indices: list[int]  # the frames that are trained on; of the whole video, where that is cut into clips
    size: tuple[int, int]  # (width, height) of the training clip
    motion: int  # see `motion_score`
    camera: float | None  # see `camera_motion`; None: not looked at, or not to be told
    coverage: float  # share of the picture that moves, 0..1
    frame_masks: bool  # whether there is a mask of each frame
    notes: list[str] = field(default_factory=list)
    things: list[str] = field(default_factory=list)  # what the boxes are around
    begins: int | None = None  # the frame of its video at which it begins, where that is cut into clips
    sha256: str = ""  # see `content_hash`; of the whole video, where that is cut into clips. "": not looked at

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Prepared:
    """A clip, ready to be encoded."""

    frames: np.ndarray  # (F, H, W, 3) uint8
    masks: Masks
    about: About
    boxes: np.ndarray | None = None  # (F, N, 5) float32, see `boxes_of`; None where none were asked for
    control: np.ndarray | None = None  # (F, H, W, 3) uint8, frames of the control video; None where there is none


def prepare(
    clip: TrainingClip,
    settings: DataSettings,
    sizes: list[tuple[int, int]],
    make_masks: MaskMaker,
    stride: int = 1,
) -> Prepared:
    """Reads a clip, cuts it, holds it still if asked to, and finds out what moves.

    Args:
        clip: which.
        settings: see `DataSettings`.
        sizes: (width, height) that training clips may have.
        make_masks: says what moves.
        stride: video frames in every latent frame but the first, which holds one; see `choose_frames`.

    Raises:
        IVGError: the clip cannot be trained on; the message says why. `UnfitError`: and this took work to find out.
    """
    facts = clip.media.facts()
    if facts.frames < 2 <= settings.frames and isinstance(clip.media, Video):
        raise IVGError("it has one frame, in which nothing can move: give a video")
    check_control(clip, facts)
    notes = []
    indices = choose_frames(facts.frames, facts.fps, settings, stride)
    if 1 in (facts.frames, len(indices)):
        what = "it is one picture" if facts.frames == 1 else "one picture of it is taken"
        notes.append(f"{what}: it teaches how things look, and not how they move")
    elif facts.frames < settings.frames:
        taken = f", so {len(indices)} are taken" if stride > 1 else ""
        notes.append(f"it has {facts.frames} frames, fewer than {settings.frames}{taken}")
    shape = (facts.width, facts.height)
    cut = cover(shape, nearest_bucket(shape, sizes))
    if cut.scaled[0] * cut.scaled[1] > MOST_PIXELS:
        raise IVGError(f"it is {facts.width} x {facts.height}, far from any shape that can be trained on: crop it")
    if cut.size[0] > 1.5 * facts.width or cut.size[1] > 1.5 * facts.height:
        notes.append(f"it is enlarged from {facts.width} x {facts.height}, so it stays blurred")
    frames = np.stack([cut(frame) for frame in clip.media.read(indices)])  # (F, H, W, 3)
    control = None if clip.control is None else np.stack([cut(frame) for frame in clip.control.read(indices)])

    homographies, camera = None, None
    if settings.camera != "keep":
        homographies, camera = _camera(frames, settings, notes)
        if homographies is not None:
            frames = stabilise(frames, homographies)
            control = control if control is None else stabilise(control, homographies)
    motion = motion_score(frames)
    check_motion(motion, settings)

    masks = make_masks(clip, View(indices, facts.frames, shape, cut, frames, homographies))
    notes += filter(None, (masks.note, clip.note))
    boxes, things = boxes_of(clip, facts, indices, cut, homographies) if settings.boxes else (None, [])
    first = clip.media.begins if isinstance(clip.media, Part) else 0
    about = About(
        clip.name,
        clip.caption,
        facts.width,
        facts.height,
        facts.frames,
        facts.fps,
        [first + i for i in indices],
        cut.size,
        motion,
        camera,
        float((masks.rom >= 128).mean()),
        masks.frames is not None,
        notes,
        things,
        first if isinstance(clip.media, Part) else None,
    )
    return Prepared(frames, masks, about, boxes, control)


def check_motion(motion: int, settings: DataSettings) -> None:
    """The motion filter; it looks at each clip once, and takes no other in its place.

    Raises:
        UnfitError: too little or too much of it.
    """
    if motion < settings.min_motion:
        raise UnfitError(f"it hardly moves: motion score {motion}, wanted at least {settings.min_motion:g}")
    if settings.max_motion and motion > settings.max_motion:
        most = f"{settings.max_motion:g}"
        raise UnfitError(f"it moves too much: motion score {motion}, wanted at most {most}; is it cut?")


def _camera(frames: np.ndarray, settings: DataSettings, notes: list[str]) -> tuple[np.ndarray | None, float | None]:
    homographies = background_motion(frames)
    if homographies is None:
        why = "its background has too few marks to tell whether the camera moves"
        if settings.camera == "reject":
            raise UnfitError(why)
        notes.append(why)
        return None, None
    moved, limit = camera_motion(homographies, (frames.shape[2], frames.shape[1])), settings.max_camera_motion
    if moved <= limit:
        return None, moved
    if settings.camera == "reject":
        raise UnfitError(f"the camera moves by {moved:.1%} of the picture's diagonal, more than {limit:.1%}")
    notes.append(f"the camera moved by {moved:.1%} of the diagonal and was stilled")
    return homographies, moved
