"""Units in which lengths are told, so that one setting means the same on a photo of any size."""

from __future__ import annotations

from typing import Literal, get_args

Unit = Literal["pixels", "thousandths"]
UNITS = get_args(Unit)


def in_pixels(value: float, unit: Unit, width: int, *, area: bool = False) -> float:
    """A length or an area in pixels.

    Args:
        value: in "pixels", or in "thousandths" of the picture's width: as if the picture were 1000 pixels wide. Then an
            area counts squares of such a length.
        unit: one of `UNITS`.
        width: of the picture, in pixels.
        area: whether it is an area.

    Returns:
        Pixels, or squares of them; the value itself where it is told in pixels.
    """
    if unit == "pixels":
        return value
    return value * (width / 1000) ** (2 if area else 1)
