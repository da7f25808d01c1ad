"""A font that has every letter of a text: PIL's own, or a well-known one of the system."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache

from PIL import ImageFont

from ..errors import IVGError

KANA = re.compile("[\u3040-\u30ff]")
#: No font has this, so that it is drawn as whatever a font draws in place of a letter that it lacks.
NO_LETTER = "\U0010ffff"
#: File names, and the numbers of fonts in them; PIL looks for them where the system keeps its fonts. Chinese and
#: Japanese write some of the same letters differently, so each has its own.
WESTERN = (("DejaVuSans.ttf", 0), ("NotoSans-Regular.ttf", 0), ("arial.ttf", 0), ("Arial.ttf", 0))
JAPANESE = (
    *(("NotoSansCJK-Regular.ttc", 0), ("NotoSansCJKjp-Regular.otf", 0), ("NotoSansJP-Regular.ttf", 0)),
    *(("ipagp.ttf", 0), ("YuGothM.ttc", 0), ("meiryo.ttc", 0), ("msgothic.ttc", 0), ("ヒラギノ角ゴシック W3.ttc", 0)),
)
CHINESE = (
    *(("NotoSansCJK-Regular.ttc", 2), ("NotoSansCJKsc-Regular.otf", 0), ("NotoSansSC-Regular.ttf", 0)),
    *(("wqy-microhei.ttc", 0), ("wqy-zenhei.ttc", 0), ("msyh.ttc", 0), ("simsun.ttc", 0)),
    *(("Hiragino Sans GB.ttc", 0), ("STHeiti Medium.ttc", 0), ("PingFang.ttc", 0)),
)
OTHERS = (("malgun.ttf", 0), ("AppleSDGothicNeo.ttc", 0), ("Arial Unicode.ttf", 0))


def font_for(text: str, size: int, what: str, path: str | os.PathLike | None = None) -> ImageFont.FreeTypeFont:
    """A font that has every letter of a text.

    Args:
        text: to be drawn.
        size: pixels.
        what: the text is, for the error, e.g. "the caption of step 2".
        path: of a font file; None: the first that will do of PIL's own, which has Latin letters, and the well-known
            ones of Linux, Windows and macOS.

    Raises:
        IVGError: the first letter that is missing, or that the file is no font.
    """
    if path is not None:
        font = _given(path, size)
        if (known := _known(font, text)) < len(text):
            raise IVGError(f"{path} has no {_named(text[known])}, which is in {what}: give a font file that has it.")
        return font
    furthest = 0
    for font in _fonts(size, KANA.search(text) is not None):
        if (known := _known(font, text)) == len(text):
            return font
        furthest = max(furthest, known)
    raise IVGError(
        f"No font was found that has {_named(text[furthest])} and the other letters of {what}: give the path of a font "
        "file that has them, or do without drawn text."
    )


def _fonts(size: int, kana: bool) -> Iterator[ImageFont.FreeTypeFont]:
    own = ImageFont.load_default(size)
    if isinstance(own, ImageFont.FreeTypeFont):  # it is letters of fixed pixels where PIL has no FreeType
        yield own
    for name, number in (*WESTERN, *((*JAPANESE, *CHINESE) if kana else (*CHINESE, *JAPANESE)), *OTHERS):
        if place := _installed(name, number):
            yield ImageFont.truetype(place, size, number)


def _given(path: str | os.PathLike, size: int) -> ImageFont.FreeTypeFont:
    if not os.path.isfile(path):
        raise IVGError(f"There is no font at {path}: check the path.")  # PIL would look for the name elsewhere
    try:
        return ImageFont.truetype(path, size)
    except OSError as error:
        raise IVGError(f"{path} cannot be read as a font ({error}): give a .ttf, .otf or .ttc file.") from error


@lru_cache
def _installed(name: str, number: int) -> str:
    """Where a font lies, "" if nowhere; looking takes a walk through the system's folders."""
    try:
        return str(ImageFont.truetype(name, 10, number).path)
    except OSError:
        return ""


def _known(font: ImageFont.FreeTypeFont, text: str) -> int:
    """How many letters of a text come before the first that is drawn like one that no font has."""
    nothing = _drawn(font, NO_LETTER)
    missing = (i for i, letter in enumerate(text) if not letter.isspace() and _drawn(font, letter) == nothing)
    return next(missing, len(text))


def _drawn(font: ImageFont.FreeTypeFont, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def _named(letter: str) -> str:
    return f"{letter!r} (U+{ord(letter):04X})"
