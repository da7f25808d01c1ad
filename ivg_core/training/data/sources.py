"""Finds the clips of a source, with the caption and the mask that belong to each; says what does not fit and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import IVGError
from ...media.clips import Media, open_media, pictures_in
from ...media.files import VIDEOS
from .settings import DataSettings

#: Values of `masks` that are no folder.
MADE_MASKS = ("hands", "arms", "stage1", "white")


@dataclass(frozen=True)
class TrainingClip:
    """A clip that could be trained on.

    Args:
        name: for people; no two are alike.
        media: its frames.
        caption: what happens in it.
        mask: a file or folder of masks, or a mask (H, W) or (F, H, W), 0..1; None: one is made.
    """

    name: str
    media: Media
    caption: str
    mask: Path | Tensor | None = None


@dataclass(frozen=True)
class Rejected:
    """A clip that is not trained on, and why."""

    name: str
    why: str


@dataclass
class Found:
    """What a source holds."""

    clips: list[TrainingClip] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def find_training_clips(settings: DataSettings) -> Found:
    """Looks through a source. No clip is opened yet.

    Raises:
        IVGError: the source, the folder of its videos or of its masks is not there, or the list is none.
    """
    source = Path(settings.source).expanduser()
    if not source.exists():
        raise IVGError(f"data: there is nothing at {source}: give a folder of clips, a clip, or a .json list of clips.")
    if settings.masks not in MADE_MASKS and not Path(settings.masks).expanduser().is_dir():
        raise IVGError(
            f"data: there is no folder of masks at {settings.masks}: give one, or one of {', '.join(MADE_MASKS)}."
        )
    if source.suffix.lower() == ".json":
        pairs = _listed(source, settings)
    elif source.is_dir() and not _is_one_clip(source):
        pairs = _in_folder(source, settings)
    else:
        pairs = iter([(source, _sidecar(source))])
    found = Found()
    taken: dict[str, Path] = {}
    for path, caption in pairs:
        name = path.stem if path.suffix.lower() in VIDEOS else path.name
        if isinstance(caption, Rejected):
            found.rejected.append(caption)
        elif taken.setdefault(name, path) != path:
            why = f"its name is also that of {taken[name]}, and masks go by name: rename one of them"
            found.rejected.append(Rejected(str(path), why))
        else:
            _add(found, name, path, caption or settings.caption, settings)
    return found


def _add(found: Found, name: str, path: Path, caption: str | None, settings: DataSettings) -> None:
    try:
        if not caption:
            raise IVGError(f"it has no caption: write one into {name}.txt beside it, or give one for all as caption")
        media, mask = open_media(path), _mask_of(name, settings)
        said = [clip.caption for clip in found.clips if clip.media == media]  # a list may say several things of a clip
        if caption in said:
            raise IVGError("it is listed twice with the same caption: remove one of the entries")
        found.clips.append(TrainingClip(f"{name} #{len(said) + 1}" if said else name, media, caption, mask))
    except IVGError as error:
        found.rejected.append(Rejected(path.name, str(error)))


def _mask_of(name: str, settings: DataSettings) -> Path | None:
    if settings.masks in MADE_MASKS:
        return None
    folder = Path(settings.masks).expanduser()
    if (folder / name).is_dir() and pictures_in(folder / name):
        return folder / name
    if (folder / f"{name}.png").is_file():
        return folder / f"{name}.png"
    raise IVGError(f"it has no mask: there is neither {folder / name}.png nor a folder {folder / name} of masks")


def _is_one_clip(folder: Path) -> bool:
    entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if any(path.is_dir() or path.suffix.lower() in VIDEOS for path in entries):
        return False
    return bool(pictures_in(folder))


def _sidecar(path: Path) -> str | None:
    places = [path.with_suffix(".txt"), path / "caption.txt"]
    texts = [place.read_text(encoding="utf-8", errors="replace").strip() for place in places if place.is_file()]
    return next((" ".join(text.split()) for text in texts if text), None)


def _in_folder(folder: Path, settings: DataSettings) -> Iterator[tuple[Path, Any]]:
    masks = Path(settings.masks).expanduser().resolve()
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.resolve() != masks)
    clips = [path for path in entries if path.suffix.lower() in VIDEOS or (path.is_dir() and pictures_in(path))]
    for path in clips:
        yield path, _sidecar(path)
    for text in entries:
        if text.suffix == ".txt" and text.stem not in {path.stem for path in clips}:
            yield text, Rejected(text.name, f"this caption has no video: put {text.stem}.mp4 beside it, or remove it")


def _listed(source: Path, settings: DataSettings) -> Iterator[tuple[Path, Any]]:
    """The released `video_json`: a list of {"caption": …, "video": …}."""
    try:
        entries = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IVGError(f"data: {source} is no JSON ({error}): give a list of captions and videos.") from error
    if not isinstance(entries, list):
        raise IVGError(f'data: {source} holds no list: write [{{"caption": "…", "video": "….mp4"}}, …].')
    videos = Path(settings.videos).expanduser() if settings.videos else source.parent
    if not videos.is_dir():
        raise IVGError(f"data: there is no folder of videos at {videos}: set videos to that of {source.name}.")
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not entry.get("video"):
            name = f"entry {number} of {source.name}"
            yield Path(name), Rejected(name, "this caption has no video: add a video, or remove it")
        else:
            yield videos / str(entry["video"]), str(entry.get("caption") or "").strip() or None
