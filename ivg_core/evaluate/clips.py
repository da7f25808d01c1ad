"""Which generated clip belongs to which true one, sentence and mask; and their frames, made comparable."""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..batch.table import PICTURES, read_table
from ..errors import IVGError
from ..media.images import load_mask, resize_mask
from ..media.video import read_video

log = logging.getLogger("ivg")

VIDEOS = (".mp4", ".webm", ".mov", ".avi", ".mkv", ".gif")  # the earlier ones are taken where a clip is there twice
OF_A_BATCH = re.compile(r"(.+)_s\d+_[0-9a-f]{10}")  # scene, seed and key in the names that `batch` gives
ASPECT_SLACK = 0.02


@dataclass(frozen=True)
class Source:
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
class Clip:
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


def find_clips(
    generated: Path, truth: Path | None = None, prompts: Path | None = None, masks: Path | None = None
) -> list[Source]:
    """List the clips of a folder and what belongs to them, by the name of the scene.

    Args:
        generated: videos named after their scenes; the result of `batch`; or the released code's output, a folder a
            scene with `0..mp4` in it. A mask beside a clip, `<name>_mask.png`, is the one it was made with.
        truth: videos named after the scenes, or a folder of the released test layout, whose `target` holds them.
        prompts: a table as `batch` reads it, such as the released prompt.json; scenes are named after the photos.
        masks: pictures named after the scenes.

    Returns:
        One source for each clip, sorted by scene.

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
    sources = []
    for scene, video in found:
        number[scene] += 1
        name = f"{scene} ({number[scene]})" if several[scene] > 1 else scene
        parts = (true.get(scene), areas.get(scene), _own_mask(video), sentences.get(scene))
        sources.append(Source(name, video, *parts))
    return sources


def load_clip(source: Source) -> Clip:
    """Read a clip and what belongs to it; see `comparable`.

    Raises:
        IVGError: a file cannot be read, or a clip has a single frame.
    """
    return comparable(
        read_video(source.video)[0],
        truth=read_video(source.truth)[0] if source.truth else None,
        true_mask=load_mask(source.mask) if source.mask else None,
        own_mask=load_mask(source.own_mask) if source.own_mask else None,
        prompt=source.prompt,
        name=source.name,
    )


def comparable(
    frames: Tensor,
    truth: Tensor | None = None,
    true_mask: Tensor | None = None,
    own_mask: Tensor | None = None,
    prompt: str | None = None,
    name: str = "the clip",
) -> Clip:
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
    if min(len(frames), len(frames if truth is None else truth)) < 2:
        raise IVGError(f"{name} or its true clip has a single frame: the first shows the photo and is not compared.")
    size = (frames.shape[2], frames.shape[1])
    if truth is not None:
        count = min(len(frames), len(truth))
        if len(frames) != len(truth):
            log.warning("%s has %d frames, its true clip %d: %d compared.", name, len(frames), len(truth), count)
        frames, truth = evenly(frames, count), _resized(evenly(truth, count), size, name)
    true_mask, own_mask = _black_and_white(true_mask, size), _black_and_white(own_mask, size)
    return Clip(
        name=name,
        frames=frames,
        latter=frames[1:],
        truth=None if truth is None else truth[1:],
        mask=own_mask if true_mask is None else true_mask,
        true_mask=true_mask,
        own_mask=own_mask,
        prompt=prompt,
    )


def mask_area(source: Source) -> float | None:
    """Share of the picture that the true Region of Motion covers; None without a mask."""
    return float((load_mask(source.mask) >= 0.5).float().mean()) if source.mask else None


def evenly(frames: Tensor, count: int) -> Tensor:
    """`count` of the frames, from the first to the last."""
    return frames[torch.linspace(0, len(frames) - 1, count).round().long()]


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
    for suffix in VIDEOS:
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


def _resized(frames: Tensor, size: tuple[int, int], name: str) -> Tensor:
    width, height = size
    if frames.shape[1:3] == (height, width):
        return frames
    if abs(frames.shape[2] / frames.shape[1] / (width / height) - 1) > ASPECT_SLACK:
        log.warning("%s and its true clip differ in shape: the true one is squeezed.", name)
    x = F.interpolate(frames.permute(0, 3, 1, 2), (height, width), mode="bicubic", antialias=True, align_corners=False)
    return x.clamp(0, 1).permute(0, 2, 3, 1)
