"""Box tracks drawn over pictures, for people to look at."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .frames import to_frames
from .images import to_bytes
from .tracks import Track

#: A colour for each thing, distinct to colour-blind eyes too (Okabe, Ito).
COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
    (204, 121, 167), (213, 94, 0), (120, 160, 255), (230, 230, 230),
)  # fmt: skip
DARK = (16, 16, 16)


def draw_boxes(frames: Tensor, track: Track) -> Tensor:
    """Frames with the things' boxes and names drawn over them, each in its own colour with a dark rim.

    Args:
        frames: (F, H, W, 3), 0..1; the track is spread over all of them.
        track: of up to 8 things.

    Returns:
        (F, H, W, 3), 0..1, float32 on the CPU.

    Raises:
        IVGError: they are no frames.
    """
    pictures = to_bytes(to_frames(frames))  # (F, H, W, 3)
    drawn = [
        _draw(picture, rows, track.phrases) for picture, rows in zip(pictures, track.boxes(len(pictures)), strict=True)
    ]
    return torch.from_numpy(np.stack(drawn)).float() / 255


def _draw(pixels: np.ndarray, rows: Tensor, phrases: list[str]) -> np.ndarray:
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    side = min(picture.size)
    line, font = max(1, round(side / 150)), ImageFont.load_default(min(max(side / 18, 9), 36))
    for (x1, y1, x2, y2, there), phrase, colour in zip(rows.tolist(), phrases, COLOURS, strict=False):
        if not there:
            continue
        left, right = (round(share * (picture.width - 1)) for share in (x1, x2))
        top, bottom = (round(share * (picture.height - 1)) for share in (y1, y2))
        draw.rectangle((left, top, right, bottom), outline=DARK, width=line + 2)
        if right - left > 2 and bottom - top > 2:
            draw.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=colour, width=line)
        _label(draw, phrase, left, top, picture.width, font, colour)
    return np.asarray(picture)


def _label(
    draw: ImageDraw.ImageDraw,
    phrase: str,
    left: int,
    top: int,
    room: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    colour: tuple[int, int, int],
) -> None:
    """A name on the upper edge of its box, or within the box where there is no room above; inside of the picture."""
    _, _, width, height = (round(edge) for edge in draw.textbbox((0, 0), phrase, font=font))
    x = max(0, min(left, room - width - 4))
    y = top - height - 3 if top > height + 3 else top
    draw.rectangle((x, y, x + width + 3, y + height + 3), fill=colour, outline=DARK)
    draw.text((x + 2, y + 1), phrase, fill=DARK, font=font)
