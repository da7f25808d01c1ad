"""Which generated clip belongs to which true one, sentence and mask; and their frames, made comparable."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..batch.table import read_table
from ..errors import IVGError
from ..media.clips import Facts, Media, MemoryClip, even_indices, in_pieces, open_media
from ..media.files import PICTURES, VIDEOS
from ..media.images import load_mask, resize_mask

log = logging.getLogger("ivg")

OF_A_BATCH = re.compile(r"(.+)_s\d+_[0-9a-f]{10}")  # scene, seed and key in the names that `batch` gives
ASPECT_SLACK = 0.02
#: Of a clip; a longer one, a film, is looked at in so many moments.
MOST_FRAMES = 512


@dataclass(frozen=True)
class ClipFiles:
    """The files of one generated clip.

    Attributes:
        name: of the scene, with a number behind it if a folder holds several clips of it.
        video: the generated clip.
        truth: the true clip.
        mask: the true Region of Motion.
        own_mask: the Region of Motion that the clip was made with.
        prompt: what was asked for.
    """

    name: str
    video: Path
    truth: Path | None = None
    mask: Path | None = None
    own_mask: Path | None = None
    prompt: str | None = None


@dataclass(frozen=True)
class MeasuredClip:
    """What the metrics look at.

    Attributes:
        name: of the scene.
        frames: (F, H, W, 3) 0..1, the whole generated clip.
        latter: (L, H, W, 3), its latter L = F - 1 frames, without the one that shows the photo.
        truth: (L, H, W, 3), the true clip's latter L frames at the same size and moments.
        mask: (H, W) of 0 and 1, the true Region of Motion, or the clip's own where there is no true one.
        true_mask: (H, W), the true one alone.
        own_mask: (H, W), the one that the clip was made with.
        prompt: what was asked for.
    """

    name: str
    frames: Tensor
    latter: Tensor
    truth: Tensor | None = None
    mask: Tensor | None = None
    true_mask: Tensor | None = None
    own_mask: Tensor | None = None
    prompt: str | None = None


def pair_clips(
    generated: Path, truth: Path | None = None, prompts: Path | None = None, masks: Path | None = None
) -> list[ClipFiles]:
    """List the clips of a folder and what belongs to them, by the name of the scene.

    Args:
        generated: videos named after their scenes; the result of `batch`; or the released code's output, a folder a
            scene with `0..mp4` in it. A mask beside a clip, `<name>_mask.png`, is the one it was made with.
        truth: videos named after the scenes, or a folder of the released test layout, whose `target` holds them.
        prompts: a table as `batch` reads it, such as the released prompt.json; scenes are named after the photos.
        masks: pictures named after the scenes.

    Returns:
        The files of each clip, sorted by scene.

    Raises:
        IVGError: a folder or table is missing or empty, or no clip belongs to any true one, sentence or mask given.
    """
    found = _scenes(generated)
    if not found:
        raise IVGError(f"There are no videos in {generated}: give a folder of {', '.join(VIDEOS)} files.")
    if truth and (truth / "target").is_dir():
        truth = truth / "target"
    true = dict(_scenes(truth)) if truth else {}
    sentences = {item.image.stem: item.prompt for item in read_table(prompts)} if prompts else {}
    if masks and not masks.is_dir():
        raise IVGError(f"There is no folder of masks at {masks}: check the path.")
    areas = {path.stem: path for path in sorted(masks.iterdir()) if path.suffix.lower() in PICTURES} if masks else {}
    for given, known in ((truth, true), (prompts, sentences), (masks, areas)):
        missing = sorted({scene for scene, _ in found} - known.keys())
        if given and len(missing) == len({scene for scene, _ in found}):
            raise IVGError(f"{given} has none of the scenes in {generated}, such as {missing[0]}: names must be equal.")
        if given and missing:
            log.warning("%s lacks %d scenes of %s: %s", given, len(missing), generated, ", ".join(missing[:5]))
    several, number = Counter(scene for scene, _ in found), Counter[str]()
    clips = []
    for scene, video in found:
        number[scene] += 1
        name = f"{scene} ({number[scene]})" if several[scene] > 1 else scene
        parts = (true.get(scene), areas.get(scene), _own_mask(video), sentences.get(scene))
        clips.append(ClipFiles(name, video, *parts))
    return clips


def load_clip(files: ClipFiles) -> MeasuredClip:
    """Read a clip and what belongs to it; see `comparable`. Only the frames that are compared come into memory.

    Raises:
        IVGError: a file cannot be read, or a clip has a single frame.
    """
    video, true = open_media(files.video), open_media(files.truth) if files.truth else None
    facts, true_facts = video.facts(), true.facts() if true else None
    count = _compared(files.name, facts, true_facts)
    if count > MOST_FRAMES:
        log.warning("%s has %d frames to compare: %d of them are.", files.name, count, MOST_FRAMES)
        count = MOST_FRAMES
    truth = None
    if true and true_facts:
        truth = read_frames(true, even_indices(true_facts.frames, count), (facts.width, facts.height))
    return comparable(
        read_frames(video, even_indices(facts.frames, count)),
        truth=truth,
        true_mask=load_mask(files.mask) if files.mask else None,
        own_mask=load_mask(files.own_mask) if files.own_mask else None,
        prompt=files.prompt,
        name=files.name,
    )


def read_frames(media: Media, indices: Sequence[int], size: tuple[int, int] | None = None) -> Tensor:
    """Some frames of a clip, (F, H, W, 3) 0..1, at a size (width, height) if one is given."""
    one_by_one = in_pieces(media.read(indices), 1)  # (1, H, W, 3): only one is in memory at full size
    return torch.cat([_resized(frame, size) if size else frame for frame in one_by_one])


def comparable(
    frames: Tensor,
    truth: Tensor | None = None,
    true_mask: Tensor | None = None,
    own_mask: Tensor | None = None,
    prompt: str | None = None,
    name: str = "the clip",
) -> MeasuredClip:
    """Bring a clip, the true one and the masks to one size and one number of frames.

    Args:
        frames: (F, H, W, 3) 0..1, F >= 2.
        truth: (F', H', W', 3) 0..1, F' >= 2. The longer of the two clips gives as many frames as the shorter has,
            evenly spaced from the first to the last.
        true_mask, own_mask: of any size, 0..1.
        prompt, name: for the metrics and the notes.

    Returns:
        All at the size of `frames`.

    Raises:
        IVGError: a clip has a single frame.
    """
    count = _compared(name, MemoryClip(frames).facts(), None if truth is None else MemoryClip(truth).facts())
    size = (frames.shape[2], frames.shape[1])
    frames = frames[even_indices(len(frames), count)]
    if truth is not None:
        truth = _resized(truth[even_indices(len(truth), count)], size)
    true_mask, own_mask = _black_and_white(true_mask, size), _black_and_white(own_mask, size)
    return MeasuredClip(
        name=name,
        frames=frames,
        latter=frames[1:],
        truth=None if truth is None else truth[1:],
        mask=own_mask if true_mask is None else true_mask,
        true_mask=true_mask,
        own_mask=own_mask,
        prompt=prompt,
    )


def mask_area(files: ClipFiles) -> float | None:
    """Share of the picture that the true Region of Motion covers; None without a mask."""
    return float((load_mask(files.mask) >= 0.5).float().mean()) if files.mask else None


def _compared(name: str, clip: Facts, truth: Facts | None) -> int:
    """How many frames are compared; says what does not fit."""
    count = min(clip.frames, truth.frames) if truth else clip.frames
    if count < 2:
        raise IVGError(f"{name} or its true clip has a single frame: the first shows the photo and is not compared.")
    if truth and clip.frames != truth.frames:
        log.warning("%s has %d frames, its true clip %d: %d compared.", name, clip.frames, truth.frames, count)
    if truth and abs(truth.width / truth.height / (clip.width / clip.height) - 1) > ASPECT_SLACK:
        log.warning("%s and its true clip differ in shape: the true one is squeezed.", name)
    return count


def _scenes(folder: Path) -> list[tuple[str, Path]]:
    """Scene and video of every clip in a folder, sorted."""
    if not folder.is_dir():
        raise IVGError(f"There is no folder of clips at {folder}: check the path.")
    found = [(_scene_of(path.stem), path) for path in _videos(folder)]
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        # "0.gif" beside "0..mp4": the released code's names
        found += [(inner.name, path) for path in _videos(inner) if path.stem.rstrip(".").isdecimal()]
    return sorted(found)


def _videos(folder: Path) -> list[Path]:
    best: dict[str, Path] = {}
    for suffix in VIDEOS:  # the earlier ones are taken where a clip is there twice
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() == suffix and not path.name.startswith("."):
                best.setdefault(path.stem.rstrip("."), path)
    return list(best.values())


def _scene_of(stem: str) -> str:
    batch = OF_A_BATCH.fullmatch(stem)
    return batch[1] if batch else stem


def _own_mask(video: Path) -> Path | None:
    stem = video.stem.rstrip(".")
    return next((p for suffix in PICTURES if (p := video.with_name(f"{stem}_mask{suffix}")).is_file()), None)


def _black_and_white(mask: Tensor | None, size: tuple[int, int]) -> Tensor | None:
    return None if mask is None else (resize_mask(mask, size) >= 0.5).float()


def _resized(frames: Tensor, size: tuple[int, int]) -> Tensor:
    width, height = size
    if frames.shape[1:3] == (height, width):
        return frames
    x = F.interpolate(frames.permute(0, 3, 1, 2), (height, width), mode="bicubic", antialias=True, align_corners=False)
    return x.clamp(0, 1).permute(0, 2, 3, 1)
