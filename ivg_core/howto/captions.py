"""Captions: as a file of subtitles, and drawn into the picture."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..errors import IVGError
from ..media.fonts import font_for
from ..media.lines import columns, wrapped
from ..media.text import plain

COLUMNS = 42  # of a line of subtitles, as broadcasters have it; a Chinese or Japanese letter takes two
#: What players take for a sign to turn letters bold, or to move them.
MARKUP = re.compile(r"<(?=[/!?A-Za-z])|\{(?=\\)")
JOINER = "\u2060"  # shows nothing
SMALLEST = 10  # pixels of a letter
MOST_OF_HEIGHT = 0.4  # that a caption may cover
BACK, INK = (0, 0, 0, 170), (255, 255, 255, 255)


@dataclass(frozen=True)
class Span:
    """A text and when it stands: from `start` to `end`, seconds."""

    text: str
    start: float
    end: float


def one_line(text: object, what: str) -> str:
    """A text without line breaks, and with single spaces.

    Raises:
        IVGError: it is no text, holds control characters or halves of characters, or there is nothing in it.
    """
    if line := " ".join(plain(text, what).split()):
        return line
    raise IVGError(f"{what} is empty: write what is done.")


def milliseconds(seconds: float) -> int:
    """Whole ones: the one rule by which subtitles and chapters are rounded, so that they begin together."""
    return round(1000 * seconds)


def clock(seconds: float) -> str:
    """Minutes and seconds, as players show them."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def srt(spans: Iterable[Span]) -> str:
    """Texts as the content of an .srt file, in lines of at most 42 columns.

    Args:
        spans: in the order of their times; each text in one line.
    """
    blocks = []
    for number, span in enumerate(spans, 1):
        lines = wrapped(MARKUP.sub(rf"\g<0>{JOINER}", span.text), columns, COLUMNS)
        blocks.append(f"{number}\n{_stamp(span.start)} --> {_stamp(span.end)}\n" + "\n".join(lines) + "\n")
    return "\n".join(blocks)


def draw_caption(text: str, size: tuple[int, int], what: str, font: str | os.PathLike | None = None) -> Tensor:
    """A caption as it lies on the lower edge of a picture.

    Letters are a 22nd of the picture's width, and smaller, down to 60 %, where a long text would cover more than
    two fifths of its height.

    Args:
        text: in one line.
        size: (width, height) of the picture, pixels.
        what: the text is, for errors, e.g. "the caption of step 2".
        font: see `font_for`.

    Returns:
        (H, W, 4), 0..1: colours and opacity; `lay_on` puts it on a picture.

    Raises:
        IVGError: no font has its letters, or it is too long.
    """
    width, height = size
    largest = max(SMALLEST, round(min(width / 22, height / 10)))
    letters, lines, tall = _fitted(text, largest, (width * 0.94, height * MOST_OF_HEIGHT), what, size, font)
    picture = Image.new("RGBA", size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    top = height - tall * len(lines) - tall // 2
    draw.rectangle((0, top - tall // 4, width, height), fill=BACK)
    for number, line in enumerate(lines):
        draw.text((width / 2, top + tall * (number + 0.5)), line, fill=INK, font=letters, anchor="mm")
    return _floats(picture)


def draw_title(text: str, behind: Tensor, what: str, font: str | os.PathLike | None = None) -> Tensor:
    """A title in large letters, in the middle of a darkened picture.

    Args:
        text: in one line.
        behind: (H, W, 3), 0..1.
        what, font: see `draw_caption`.

    Returns:
        (H, W, 3), 0..1.

    Raises:
        IVGError: no font has its letters, or it is too long.
    """
    height, width = behind.shape[:2]
    size = (width, height)
    largest = max(SMALLEST, round(min(width / 12, height / 6)))
    letters, lines, tall = _fitted(text, largest, (width * 0.86, height * 0.8), what, size, font)
    picture = Image.new("RGBA", size, BACK)
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        y = height / 2 + tall * (number - (len(lines) - 1) / 2)
        draw.text((width / 2, y), line, fill=INK, font=letters, anchor="mm")
    return lay_on(behind, _floats(picture))


def lay_on(picture: Tensor, drawing: Tensor) -> Tensor:
    """A picture (H, W, 3) 0..1 with a drawing (H, W, 4) 0..1 on it."""
    colours, opacity = drawing[..., :3], drawing[..., 3:]
    return picture * (1 - opacity) + colours * opacity


def _fitted(
    text: str, largest: int, room: tuple[float, float], what: str, size: tuple[int, int], font: str | os.PathLike | None
) -> tuple[ImageFont.FreeTypeFont, list[str], int]:
    """The largest letters in which a text fits: the font, the lines, and the height of one."""
    found = font_for(text, largest, what, font)
    for pixels in range(largest, max(SMALLEST, round(0.6 * largest)) - 1, -1):
        letters = found.font_variant(size=pixels)
        lines, tall = wrapped(text, letters.getlength, room[0]), round(1.3 * pixels)
        if tall * (len(lines) + 0.75) <= room[1]:
            return letters, lines, tall
    raise IVGError(
        f"{what[0].upper()}{what[1:]} does not fit into {size[0]} x {size[1]} pixels in letters that can be read: "
        "shorten it, or do without drawn text."
    )


def _floats(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)


def _stamp(seconds: float) -> str:
    rest, thousandths = divmod(milliseconds(seconds), 1000)
    return f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02},{thousandths:03}"
