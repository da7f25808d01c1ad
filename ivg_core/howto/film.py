"""A film of steps that are done: title, the steps one after the other, their times; made frame by frame."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from ..media.clips import FOLDER_FPS, Media, MemoryClip, open_media
from ..media.frames import as_tensor, to_frames
from ..media.targets import check_fps, user_path
from .captions import Span, draw_caption, draw_title, lay_on, one_line

LONGEST_PAUSE = 60.0  # seconds of a title, hold or fade
SLOWEST, FASTEST = 0.05, 20.0  # speed of a step


@dataclass(frozen=True)
class FinishedStep:
    """A step that was made.

    Args:
        caption: what is done, in a sentence.
        clip: its frames, (F, H, W, 3) 0..1; or the path of a video, GIF or folder of pictures.
        fps: frames a second of frames in memory; None: 8. A file says its own.
        speed: 2 plays it twice as fast.
    """

    caption: str
    clip: Tensor | np.ndarray | str | os.PathLike
    fps: float | None = None
    speed: float = 1.0


@dataclass(frozen=True)
class FilmSettings:
    """How steps are put together.

    Args:
        title: of the film; may be empty.
        fps: frames a second. A step's frames are repeated, or some left out, so that it keeps its time.
        title_seconds: how long the title stands over the darkened first picture; 0: not at all.
        hold_seconds: how long a step's last frame stays.
        fade_seconds: how long it takes to turn into what follows.
        burn: draw the captions into the picture.
        font: file of the font for what is drawn; None: a known one, see `font_for`.
    """

    title: str = ""
    fps: float = 24.0
    title_seconds: float = 2.0
    hold_seconds: float = 1.0
    fade_seconds: float = 0.5
    burn: bool = False
    font: str | os.PathLike | None = None


@dataclass(frozen=True)
class Part:
    """A step in a film.

    Attributes:
        caption: in one line.
        media: its clip.
        indices: the clip's frames that are shown, in order, one for each frame of the film.
        seconds: that they take.
    """

    caption: str
    media: Media
    indices: tuple[int, ...]
    seconds: float


def pace_of_each(speeds: Sequence[float], count: int) -> list[float]:
    """The speed of each of so many steps.

    Args:
        speeds: one for all steps, or one for each.

    Raises:
        IVGError: there are more or fewer.
    """
    if len(speeds) not in (1, count):
        raise IVGError(f"There are {len(speeds)} speeds for {count} steps: give one for all, or one for each.")
    return list(speeds) if len(speeds) == count else [*speeds] * count


def paced(steps: Sequence[FinishedStep], speeds: Sequence[float]) -> list[FinishedStep]:
    """Steps at other speeds: one for all of them, or one for each.

    Raises:
        IVGError: there are more or fewer.
    """
    each = pace_of_each(speeds, len(steps))
    return [replace(step, speed=speed) for step, speed in zip(steps, each, strict=True)]


class Film:
    """Steps put together. Whatever cannot be done is found here, before any frame is made.

    Between the title card and the steps, what stands turns into the first frame of what follows, which then begins: so
    nothing of a step is lost in a fade.

    Args:
        steps: at least one, whose frames have one size.
        settings: how.

    Attributes:
        title: in one line; may be empty.
        size: (width, height), pixels.
        parts: the steps.
        chapters: what a player lists: the title card, if there is one, and each step from its own first frame until
            the next begins. They leave no gap.
        captions: each step's caption, from the chapter's begin until the hold ends.
        frame_count: of the film.

    Raises:
        IVGError: there are no steps, a clip cannot be read or has another size, a text cannot be written or drawn, or a
            number is out of range.
    """

    def __init__(self, steps: Sequence[FinishedStep], settings: FilmSettings | None = None) -> None:
        self.settings = settings or FilmSettings()
        _check(self.settings)
        if not steps:
            raise IVGError("There are no steps to put together: make at least one.")
        self.title = one_line(self.settings.title, "The title") if self.settings.title else ""
        self.size = (0, 0)
        self.parts = tuple(self._part(step, number) for number, step in enumerate(steps, 1))
        self._lay_out()
        self._check_drawings()

    def frames(self) -> Iterator[Tensor]:
        """The film, one frame (1, H, W, 3) 0..1 at a time."""
        standing: Tensor | None = None
        if self._card:
            standing = self._title_card()
            yield from self._repeated(standing, self._card)
        for number, part in enumerate(self.parts):
            caption = self._drawing(number)
            for raw in part.media.read(part.indices):
                picture = torch.from_numpy(np.array(raw)).float()[None] / 255  # a copy: what is read may be read-only
                frame = picture if caption is None else lay_on(picture, caption)
                if standing is not None:
                    yield from _faded(standing, frame, self._fade)
                    standing = None
                last = frame
                yield frame
            standing = last
            yield from self._repeated(standing, self._hold)

    def _part(self, step: FinishedStep, number: int) -> Part:
        caption = one_line(step.caption, f"The caption of step {number}")
        if not SLOWEST <= step.speed <= FASTEST:  # NaN fails as well
            raise IVGError(f"Step {number} has speed {step.speed}: choose {SLOWEST:g} to {FASTEST:g}.")
        media = _media(step, number)
        facts = media.facts()
        size = (facts.width, facts.height)
        if number == 1:
            self.size = size
        if size != self.size:
            raise IVGError(
                f"Step {number} has frames of {size[0]} x {size[1]} pixels and step 1 of {self.size[0]} x "
                f"{self.size[1]}: bring them to one size."
            )
        indices = _indices(facts.frames, facts.fps * step.speed / self.settings.fps)
        return Part(caption, media, indices, len(indices) / self.settings.fps)

    def _lay_out(self) -> None:
        fps = self.settings.fps
        card = self.settings.title_seconds if self.title else 0
        self._card, self._hold, self._fade = (
            round(seconds * fps) for seconds in (card, self.settings.hold_seconds, self.settings.fade_seconds)
        )
        chapters, captions = [], []
        begin, done = 0, self._card
        name = self.title
        for part in self.parts:
            done += self._fade if done else 0
            if done:
                chapters.append(Span(name, begin / fps, done / fps))
            name, begin = part.caption, done
            done += len(part.indices) + self._hold
            captions.append(Span(part.caption, begin / fps, done / fps))
        self.chapters = (*chapters, Span(name, begin / fps, done / fps))
        self.captions = tuple(captions)
        self.frame_count = done

    def _check_drawings(self) -> None:
        if self._card:
            self._title_card()
        for number in range(len(self.parts)):
            self._drawing(number)

    def _drawing(self, number: int) -> Tensor | None:
        if not self.settings.burn:
            return None
        what = f"the caption of step {number + 1}"
        return draw_caption(self.parts[number].caption, self.size, what, self.settings.font)

    def _title_card(self) -> Tensor:
        first = torch.from_numpy(np.array(next(iter(self.parts[0].media.read([0]))))).float() / 255
        return draw_title(self.title, first, "the title", self.settings.font)[None]

    @staticmethod
    def _repeated(frame: Tensor, count: int) -> Iterator[Tensor]:
        for _ in range(count):
            yield frame


def _indices(frames: int, pace: float) -> tuple[int, ...]:
    """A clip's frames as they are shown, `pace` of them to a frame of the film: the first and the last always are."""
    count = max(min(frames, 2), round(frames / pace))
    # From the middle of each frame's time, so that frames that are repeated are all repeated equally often.
    inner = [min(frames - 1, int((i + 0.5) * pace)) for i in range(1, count - 1)]
    return (0, *inner, frames - 1)[-count:]


def _faded(one: Tensor, other: Tensor, count: int) -> Iterator[Tensor]:
    """Frames between two, neither of which is among them."""
    for i in range(1, count + 1):
        yield torch.lerp(one, other, i / (count + 1))


def _media(step: FinishedStep, number: int) -> Media:
    if isinstance(step.clip, (str, os.PathLike)):
        return open_media(user_path(step.clip))
    what = f"frames of step {number}"
    fps = FOLDER_FPS if step.fps is None else step.fps
    check_fps(Path(f"Step {number}"), fps)
    return MemoryClip(to_frames(as_tensor(step.clip, what), what), fps)


def _check(settings: FilmSettings) -> None:
    check_fps(Path("The film"), settings.fps)
    for name in [field.name for field in fields(settings) if field.name.endswith("_seconds")]:
        seconds = getattr(settings, name)
        if not (math.isfinite(seconds) and 0 <= seconds <= LONGEST_PAUSE):
            raise IVGError(f"{name} is {seconds}: choose 0 to {LONGEST_PAUSE:g} seconds.")
