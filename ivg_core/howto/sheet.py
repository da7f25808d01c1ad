"""One picture of all steps, to look at or to print."""

from __future__ import annotations

import logging

from PIL import Image, ImageFont

from ..errors import IVGError
from ..media.clips import even_indices
from ..media.contact_sheet import COLUMNS, GAP, SMALL, TILE, tile_sheet, tile_size
from ..media.fonts import font_for
from ..media.lines import wrapped
from .captions import clock
from .film import Film, Part

log = logging.getLogger("ivg")


def draw_sheet(film: Film) -> Image.Image:
    """Draw the title, and a row for each step: its number, when it is shown and its caption above four of its frames.

    Where no font has the letters of the title and the captions, they are left out, and a warning says so.

    Returns:
        An RGB picture, about 980 pixels wide.
    """
    labels = [f"{number} · {clock(span.start)}" for number, span in enumerate(film.captions, 1)]
    heading, font = film.title, None
    captioned = [f"{label} · {span.text}" for label, span in zip(labels, film.captions, strict=True)]
    try:
        font = font_for("…".join([film.title, *captioned]), SMALL, "the contact sheet", film.settings.font)
        labels = [_shortened(label, font) for label in captioned]
    except IVGError as error:
        log.warning("The contact sheet has no captions: %s", error)
        heading = ""
    rows = [_row(label, part, film.size) for label, part in zip(labels, film.parts, strict=True)]
    return tile_sheet(rows, heading, font)


def _row(label: str, part: Part, size: tuple[int, int]) -> list[tuple[str, Image.Image]]:
    chosen = [part.indices[i] for i in even_indices(len(part.indices), COLUMNS)]
    small = tile_size(*size)
    pictures = [Image.fromarray(raw).resize(small, Image.Resampling.LANCZOS) for raw in part.media.read(chosen)]
    return [(label if i == 0 else "", picture) for i, picture in enumerate(pictures)]


def _shortened(label: str, font: ImageFont.FreeTypeFont) -> str:
    """A label that fits into a row."""
    first, *rest = wrapped(label, font.getlength, COLUMNS * (TILE + GAP) - 2 * GAP)
    return f"{first} …" if rest else first
