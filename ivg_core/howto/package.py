"""The files of a film that users share: video with chapters and subtitles, loops, contact sheet and page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

from ..batch.page import MOST_FRAMES, save_thumbnail
from ..errors import IVGError
from ..media.clips import even_indices, in_pieces
from ..media.contact_sheet import TILE
from ..media.ffmpeg import ffmpeg_options, notes_text, write_with_ffmpeg
from ..media.files import atomic_folder, atomic_write
from ..media.images import save_png, shrink_to
from ..media.sound import Sound, write_wav
from ..media.targets import check_folder, user_path
from ..media.video import write_video
from .captions import milliseconds, srt
from .film import Film, FilmSettings, FinishedStep, Part
from .page import page_text
from .sheet import draw_sheet

FILM, SHEET, PAGE = "film.mp4", "sheet.png", "index.html"
#: Players load subtitles of the film's own name, which would show a caption twice that is drawn into the picture.
SUBTITLES, UNLOADED = "film.srt", "captions.srt"
UNTITLED = "How-to"  # the page's heading, where the film has no title
LoopFormat = Literal["webp", "gif"]
LOOP_FORMATS = get_args(LoopFormat)
MOST_GIF_FPS = 50


@dataclass(frozen=True)
class Package:
    """The files of a film.

    Attributes:
        film: mp4 with chapters, and with subtitles that can be switched if the captions are not drawn into it.
        subtitles: .srt; of the film's name, by which players find it, if the captions are not drawn into it.
        loops: a small looping picture of each step.
        sheet: a picture of all steps, a row each.
        page: HTML that shows all of it; it needs the other files beside it.
    """

    film: Path
    subtitles: Path
    loops: tuple[Path, ...]
    sheet: Path
    page: Path


def write_package(
    steps: Sequence[FinishedStep],
    folder: str | os.PathLike,
    settings: FilmSettings | None = None,
    *,
    loops: LoopFormat = "webp",
    sound: Sound | None = None,
) -> Package:
    """Put steps together and write what is shared. The files take their places only once all of them are whole.

    Args:
        steps: at least one, whose frames have one size.
        folder: where to; made if missing. Files of the same names are replaced, others stay.
        settings: how they are put together.
        loops: the format of the loops.
        sound: of the film, see `write_film`.

    Raises:
        IVGError: as `Film`; or there is no such format, or the folder cannot be written to.
    """
    if loops not in LOOP_FORMATS:
        raise IVGError(f'Loops cannot be written as "{loops}": choose {" or ".join(LOOP_FORMATS)}.')
    place = check_folder(user_path(folder))
    film = Film(steps, settings)
    pictures = tuple(f"steps/{number:02}.{loops}" for number in range(1, len(film.parts) + 1))
    subtitles, others = (UNLOADED, SUBTITLES) if film.settings.burn else (SUBTITLES, UNLOADED)
    with atomic_folder(place) as partial:
        write_film(film, partial / FILM, sound)
        _write_text(partial / subtitles, srt(film.captions))
        for name, part in zip(pictures, film.parts, strict=True):
            _write_loop(part, partial / name)
        save_png(draw_sheet(film), partial / SHEET)
        text = page_text(film.title or UNTITLED, film.captions, pictures, FILM, (subtitles, SHEET))
        _write_text(partial / PAGE, text)
    (place / others).unlink(missing_ok=True)  # of an older film, whose times are not this one's
    shown = tuple(place / name for name in pictures)
    return Package(place / FILM, place / subtitles, shown, place / SHEET, place / PAGE)


def write_film(film: Film, path: str | os.PathLike, sound: Sound | None = None) -> Path:
    """Write a film as mp4, whole or not at all, with its chapters.

    Its captions are subtitles that players show at first and can switch off, unless they are drawn into the picture.

    Args:
        film: what is written.
        path: where to.
        sound: what is heard from its begin on, as AAC. A shorter one ends early, a longer one is cut at the film's
            end; a warning says so.

    Raises:
        IVGError: the place cannot be written to.
    """
    target = user_path(path)
    with atomic_write(target) as temporary:
        pictures = temporary.with_stem(temporary.stem + ".plain")
        subtitles, notes, heard = (temporary.with_suffix(suffix) for suffix in (".srt", ".txt", ".wav"))
        try:
            write_video(film.frames(), pictures, film.settings.fps)
            chapters = [(milliseconds(span.start), milliseconds(span.end), span.text) for span in film.chapters]
            notes.write_text(notes_text({"title": film.title} if film.title else {}, chapters), encoding="utf-8")
            inputs, maps = ["-i", str(pictures), "-f", "ffmetadata", "-i", str(notes)], ["-map", "0"]
            joined = {"map_metadata": "1", "map_chapters": "1", "c": "copy", "movflags": "+faststart"}
            if sound is not None:
                write_wav(sound.within(film.frame_count / film.settings.fps), heard)
                inputs += ["-i", str(heard)]
                maps += ["-map", "2"]
                joined |= {"c:a": "aac", "b:a": "192k"}
            if not film.settings.burn:
                subtitles.write_text(srt(film.captions), encoding="utf-8")
                inputs += ["-f", "srt", "-i", str(subtitles)]
                maps += ["-map", str(inputs.count("-i") - 1)]
                joined |= {"c:s": "mov_text", "disposition:s:0": "default"}
            exact = ["-flags:a", "+bitexact"]  # without it the encoder's version goes into each file
            write_with_ffmpeg([*inputs, *maps, *exact, *ffmpeg_options(joined), str(temporary)], (), target)
        finally:
            for file in (pictures, subtitles, notes, heard):
                file.unlink(missing_ok=True)
    return target


def _write_loop(part: Part, path: Path) -> None:
    chosen = even_indices(len(part.indices), MOST_FRAMES)
    pictures = in_pieces(part.media.read([part.indices[i] for i in chosen]), 1)
    frames = torch.cat([shrink_to(picture, 2 * TILE) for picture in pictures])  # before they are all in memory
    fps = len(chosen) / part.seconds
    if path.suffix == ".gif":
        write_video(frames, path, min(fps, MOST_GIF_FPS))
    else:
        save_thumbnail(frames, fps, path)


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
