"""Finds the clips of a source, with the caption and the mask that belong to each; says what does not fit and why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from ...errors import IVGError
from ...media.clips import Facts, Media, Video, open_media
from ...media.files import (
    PICTURES,
    UNREADABLE,
    VIDEOS,
    entries_in,
    is_numbered,
    named_in,
    pictures_in,
)
from ...media.targets import user_path
from ...media.text import plain, read_text
from ...media.tracks import MOST_THINGS, Track
from .lists import read_list, span_of
from .settings import MADE_MASKS, DataSettings
from .tracked import Tracked, got10k, is_got10k, is_youtube_vis, youtube_vis


@dataclass(frozen=True)
class TrainingClip:
    """A clip that could be trained on.

    Args:
        name: for people; no two are alike.
        media: its frames.
        caption: what happens in it.
        mask: a file or folder of masks, or a mask (H, W) or (F, H, W), 0..1; None: one is made.
        track: where its things are, or the file that says so; None: not known.
        note: what the report says of it.
        control: its control video, frame for frame.
    """

    name: str
    media: Media
    caption: str
    mask: Path | Tensor | None = None
    track: Path | Track | None = None
    note: str = ""
    control: Media | None = None


@dataclass(frozen=True)
class Rejected:
    """A clip that is not trained on, and why."""

    name: str
    why: str


class UnfitError(IVGError):
    """A clip was looked through and cannot be trained on; looking again would find the same."""


#: Name and place of a clip, or the part of a film that it is; and its caption or all that a data set says of it.
Given: TypeAlias = "tuple[str, Path | Video, str | Tracked | Rejected | None]"


@dataclass
class Found:
    """What a source holds."""

    clips: list[TrainingClip] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def find_training_clips(settings: DataSettings) -> Found:
    """Looks through a source. No clip is opened yet.

    Raises:
        IVGError: the source, the folder of its videos or of its masks or its control video is not there, the list is
            none, or there is one control video and several clips.
    """
    source = user_path(settings.source)
    if not os.path.exists(source):
        raise IVGError(f"data: there is nothing at {source}: give a folder of clips, a clip, or a .json list of clips.")
    if settings.masks not in MADE_MASKS and not os.path.isdir(user_path(settings.masks)):
        raise IVGError(
            f"data: there is no folder of masks at {settings.masks}: give one, or one of {', '.join(MADE_MASKS)}."
        )
    if is_youtube_vis(source):
        given = _of_youtube_vis(source)
    elif source.is_dir():
        given = _in_folder(source, settings)
    elif source.suffix.lower() == ".json":
        given = _listed(source, settings)
    elif source.suffix.lower() in (*VIDEOS, *PICTURES, *UNREADABLE):
        given = iter([_with_caption(source)])
    else:
        raise IVGError(f"data: {source} is no clip: give a folder of clips, a clip, or a .json list of clips.")
    found = Found()
    taken: dict[str, Path | Video] = {}
    captions_of: dict[Media, dict[str, None]] = {}
    for name, path, said in given:
        if isinstance(said, Rejected):
            found.rejected.append(said)
        elif taken.setdefault(name, path) != path:
            why = f"its name is also that of {taken[name]}, and masks go by name: rename one of them"
            found.rejected.append(Rejected(str(path), why))
        else:
            _add(found, captions_of, name, path, said or settings.caption, settings)
    if settings.control:
        if len(found.clips) > 1:
            raise IVGError(f"data: control is of one clip, and {source} holds {len(found.clips)}: give one clip.")
        found.clips = [replace(clip, control=open_media(user_path(settings.control))) for clip in found.clips]
    return found


def _add(
    found: Found,
    captions_of: dict[Media, dict[str, None]],
    name: str,
    place: Path | Video,
    said: str | Tracked | None,
    settings: DataSettings,
) -> None:
    caption, track, note = (
        (said.caption, said.track, _left_out(said)) if isinstance(said, Tracked) else (said, None, "")
    )
    try:
        if not caption:
            ways = f"write one into {name}.txt beside it, or give one for all: caption, or prompt on a node"
            raise IVGError(f"it has no caption: {ways}")
        media = place if isinstance(place, Video) else open_media(place)
        mask = _mask_of(name, settings)
        captions = captions_of.setdefault(media, {})  # a list may say several things of a clip
        if caption in captions:
            raise IVGError("it is listed twice with the same caption: remove one of the entries")
        title = f"{name} #{len(captions) + 1}" if captions else name
        captions[caption] = None
        own = _file_of_part(name, place) if isinstance(place, Video) else place
        found.clips.append(TrainingClip(title, media, caption, mask, _track_of(own) or track, note))
    except IVGError as error:
        found.rejected.append(Rejected(name if isinstance(place, Video) else place.name, str(error)))


def check_control(clip: TrainingClip, facts: Facts) -> None:
    """Lets pass a clip, of which this is known, whose control video goes with it frame for frame.

    Raises:
        IVGError: it has more or fewer frames.
    """
    if clip.control is not None and (frames := clip.control.facts().frames) != facts.frames:
        raise IVGError(f"its control video has {frames} frames and it has {facts.frames}: give one of as many")


def _file_of_part(name: str, part: Video) -> Path:
    """What the file of a film's part would be called; a box track of the whole film is none of its part."""
    return part.path.with_name(f"{name}{part.path.suffix}")


def _left_out(tracked: Tracked) -> str:
    number = tracked.left_out
    return f"{number} smaller things have no boxes, since there is room for {MOST_THINGS}" if number else ""


def _track_of(path: Path) -> Path | None:
    """The file that holds the box track of a clip."""
    places = [path.parent / f"{path.stem}.track.json", path.parent / f"{path.stem}.boxes.txt"]
    found = [place for place in (*places, path / "track.json", path / "bbox.txt") if os.path.isfile(place)]
    if len(found) > 1:
        raise IVGError(f"it has two box tracks, {found[0].name} and {found[1].name}: remove one")
    return found[0] if found else None


def _mask_of(name: str, settings: DataSettings) -> Path | None:
    if settings.masks in MADE_MASKS:
        return None
    folder = user_path(settings.masks)
    if (folder / name).is_dir() and pictures_in(folder / name):
        return folder / name
    if (folder / f"{name}.png").is_file():
        return folder / f"{name}.png"
    raise IVGError(f"it has no mask: there is neither {folder / name}.png nor a folder {folder / name} of masks")


def _in_folder(folder: Path, settings: DataSettings) -> Iterator[Given]:
    masks = os.path.realpath(user_path(settings.masks))
    entries = [path for path in entries_in(folder) if os.path.realpath(path) != masks]
    clips = [path for path in entries if path.suffix.lower() in VIDEOS or (path.is_dir() and _pictures_of(path))]
    pictures = [path for path in _pictures_of(folder) if path not in clips]
    stems = {path.stem for path in clips}
    if pictures and not clips and _is_film(folder):
        clips, pictures = [folder], [path for path in pictures if path.suffix.lower() in UNREADABLE]
    elif clips:  # beside clips, a picture without a caption of its own may be anything
        pictures = [path for path in pictures if path.stem not in stems and _texts_of(path)]
    for path in sorted([*clips, *pictures]):
        yield from _within(path, settings) if path.is_dir() and not _is_film(path) else [_with_caption(path)]
    stems |= {path.stem for path in pictures}
    others = {f"{stem}.boxes" for stem in stems} | ({"list"} if any(map(is_got10k, clips)) else set())
    for text in entries:
        if text.suffix == ".txt" and text.stem not in stems | others and clips != [folder]:
            why = f"this caption has no video: put {text.stem}.mp4 beside it, or remove it"
            yield text.name, text, Rejected(text.name, why)


def _of_youtube_vis(folder: Path) -> Iterator[Given]:
    for said in youtube_vis(folder):
        if isinstance(said, Tracked):
            yield said.name, said.path, said
        else:
            yield said[0], folder, Rejected(*said)


def _within(folder: Path, settings: DataSettings) -> Iterator[Given]:
    """The pictures of a folder within a folder of clips that are no clip themselves."""
    pictures, why = _pictures_of(folder), ""
    if not pictures_in(folder):
        why = "its pictures are of a kind that cannot be read here: save them as .png or .jpg"
    elif not settings.caption and not any(map(_texts_of, pictures)):
        why = "its pictures are no clip, since their names are not numbered, and have no captions: add .txt files"
    if why:
        yield folder.name, folder, Rejected(folder.name, why)
        return
    for path in pictures:
        name, _, caption = _with_caption(path)
        yield f"{folder.name}/{name}", path, caption


def _pictures_of(folder: Path) -> list[Path]:
    """The pictures of a folder, those that cannot be read among them."""
    return [path for path in entries_in(folder) if path.suffix.lower() in (*PICTURES, *UNREADABLE)]


def _is_film(folder: Path) -> bool:
    """Whether the pictures of a folder are the frames of one clip, and not pictures each of which says something."""
    pictures = pictures_in(folder)
    if not pictures or any(map(_texts_of, pictures)):
        return False
    return bool(_texts_of(folder)) or is_numbered(pictures)


def _with_caption(path: Path) -> Given:
    """A clip, its name, and what the text beside it says."""
    name = _name_of(path)
    try:
        if path.suffix.lower() in UNREADABLE and path.is_file():
            raise IVGError("pictures of its kind cannot be read here: save it as .png or .jpg")
        texts = (" ".join(read_text(text).split()) for text in _texts_of(path))
        said = next((text for text in texts if text), None)
        if is_got10k(path):
            tracked = got10k(path)
            return name, path, replace(tracked, caption=said or tracked.caption)
        return name, path, said
    except IVGError as error:
        return name, path, Rejected(path.name, str(error))


def _name_of(path: Path) -> str:
    return path.stem if path.suffix.lower() in (*VIDEOS, *PICTURES, *UNREADABLE) else path.resolve().name


def _texts_of(path: Path) -> list[Path]:
    """The text files that may hold the caption of a clip."""
    return [text for text in (path.parent / f"{path.stem}.txt", path / "caption.txt") if os.path.isfile(text)]


def _listed(source: Path, settings: DataSettings) -> Iterator[Given]:
    """What a list names, see `read_list`."""
    entries = read_list(source)
    videos = user_path(settings.videos) if settings.videos else source.parent
    if not os.path.isdir(videos):
        raise IVGError(f"data: there is no folder of videos at {videos}: set videos to that of {source.name}.")
    for number, entry in enumerate(entries, 1):
        name = f"entry {number} of {source.name}"
        try:
            if not entry.file:
                raise IVGError("this caption has no video: add a video, or remove it")
            path = named_in(videos, plain(entry.file, "its file"))
            said = "" if entry.caption is None else plain(entry.caption, "its caption").strip()
            if (span := span_of(entry)) is None:
                yield _name_of(path), path, said or None
            else:
                yield *_part_of(path, *span), said or None
        except IVGError as error:
            yield name, Path(name), Rejected(name, str(error))


def _part_of(path: Path, start: float, end: float | None) -> tuple[str, Video]:
    """Name and frames of what a film shows between two times, in seconds."""
    media = open_media(path)
    if not isinstance(media, Video):
        raise IVGError(f"start and end cut a part out of a video, and {path.name} is none: leave them out")
    since, until = (f"{time:.3f}".rstrip("0").rstrip(".") for time in (start, end or 0))
    # Held out or not, the parts of a film belong together: what follows # does not count there.
    name = f"{_name_of(path)} #{since} to {until} s" if end is not None else f"{_name_of(path)} #{since} s to its end"
    return name, Video(path, start, end)
