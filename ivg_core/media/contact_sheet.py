"""One picture that shows at a glance what a run did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .clips import even_indices
from .frames import to_frames
from .images import resize_image, resize_mask, to_image, to_mask, to_pil
from .lines import wrapped

INK, PAPER, GREY, OUTLINE = (32, 33, 36), (255, 255, 255), (110, 112, 118), (255, 48, 64)
TILE = 224  # longer side of one picture, pixels
GAP = 14
LABEL = 22
SMALL = 12  # pixels of the labels' letters
COLUMNS = 4


def contact_sheet(frames: Tensor, mask: Tensor, image: Tensor | None, action: str) -> Image.Image:
    """Draw the photo with the Region of Motion outlined, the mask, what changed, and then the frames in order.

    Args:
        frames: (F, H, W, 3) 0..1; of more than 16, 16 evenly spaced ones are shown.
        mask: (H', W') 0..1.
        image: the photo, (H'', W'', 3) 0..1; None: the video was made of the sentence alone, and there is no mask.
        action: the sentence, for the heading.

    Returns:
        An RGB picture, about 980 pixels wide; `save_png` writes it.

    Raises:
        IVGError: they are no frames, no mask or no photo.
    """
    frames = to_frames(frames)
    height, width = frames.shape[1:3]
    size = tile_size(width, height)
    change = (frames - frames[:1]).abs().amax(dim=(0, 3)).cpu()  # (H, W)

    first = [("largest change since frame 1", to_pil(resize_mask(change, size)).convert("RGB"))]
    if image is not None:
        photo, region = resize_image(to_image(image), size), resize_mask(to_mask(mask).float().cpu(), size)
        first = [
            ("photo, region of motion outlined", _outlined(photo, region)),
            ("region of motion", to_pil(region).convert("RGB")),
            *first,
        ]
    others = [
        (f"frame {i + 1} of {len(frames)}", to_pil(frames[i]).resize(size, Image.Resampling.LANCZOS))
        for i in even_indices(len(frames), 16)
    ]
    rows = [first, *(others[i : i + COLUMNS] for i in range(0, len(others), COLUMNS))]
    return tile_sheet(rows, action.strip() or "(no action given)")


def tile_sheet(
    rows: Sequence[Sequence[tuple[str, Image.Image]]],
    heading: str,
    font: ImageFont.FreeTypeFont | None = None,
) -> Image.Image:
    """Lay pictures out in rows, each below its label.

    Args:
        rows: up to `COLUMNS` labels and pictures each. All pictures have one size, at most `TILE` a side. A label may
            be longer than its picture is wide where the next ones are empty.
        heading: above them; may be empty.
        font: for all of it, in any size; None: PIL's own.
    """
    title, small = (font.font_variant(size=size) if font else ImageFont.load_default(size) for size in (18, SMALL))
    size = rows[0][0][1].size
    row_width = COLUMNS * max(size[0], TILE) + (COLUMNS + 1) * GAP
    lines = wrapped(" ".join(heading.split()), title.getlength, row_width - 2 * GAP) if heading else []
    head = GAP + (GAP + 24 * len(lines) if lines else 0)
    sheet = Image.new("RGB", (row_width, head + len(rows) * (size[1] + LABEL + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, line in enumerate(lines):
        draw.text((GAP, GAP + 24 * i), line, fill=INK, font=title)
    for row, tiles in enumerate(rows):
        y = head + row * (size[1] + LABEL + GAP)
        for column, (label, tile) in enumerate(tiles):
            x = GAP + column * (max(size[0], TILE) + GAP)
            draw.text((x, y), label, fill=GREY, font=small)
            sheet.paste(tile, (x, y + LABEL - 4))
    return sheet


def tile_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of a picture that is `TILE` pixels long."""
    scale = TILE / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _outlined(photo: Tensor, mask: Tensor) -> Image.Image:
    import cv2

    picture = np.array(to_pil(photo))
    core = (mask >= 0.5).byte().numpy()
    contours = cv2.findContours(core, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(picture, contours, -1, OUTLINE, 2, cv2.LINE_AA)
    return Image.fromarray(picture)
