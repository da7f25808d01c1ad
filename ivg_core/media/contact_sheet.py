"""One picture that shows at a glance what a run did."""

from __future__ import annotations

import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .clips import even_indices
from .frames import to_frames
from .images import resize_image, resize_mask, to_image, to_mask, to_pil

INK, PAPER, GREY, OUTLINE = (32, 33, 36), (255, 255, 255), (110, 112, 118), (255, 48, 64)
TILE = 224  # longer side of one picture, pixels
GAP = 14
LABEL = 22
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
    scale = TILE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    change = (frames - frames[:1]).abs().amax(dim=(0, 3)).cpu()  # (H, W)

    tiles = [("largest change since frame 1", to_pil(resize_mask(change, size)).convert("RGB"))]
    if image is not None:
        photo, region = resize_image(to_image(image), size), resize_mask(to_mask(mask).float().cpu(), size)
        tiles = [
            ("photo, region of motion outlined", _outlined(photo, region)),
            ("region of motion", to_pil(region).convert("RGB")),
            *tiles,
        ]
    top = len(tiles)
    for i in even_indices(len(frames), 16):
        tiles.append((f"frame {i + 1} of {len(frames)}", to_pil(frames[i]).resize(size, Image.Resampling.LANCZOS)))

    title = ImageFont.load_default(18)
    small = ImageFont.load_default(12)
    row_width = COLUMNS * max(size[0], TILE) + (COLUMNS + 1) * GAP
    heading = textwrap.wrap(action, width=max(20, row_width // 10)) or ["(no action given)"]
    head = 2 * GAP + 24 * len(heading)
    rows = 1 + -(-(len(tiles) - top) // COLUMNS)
    sheet = Image.new("RGB", (row_width, head + rows * (size[1] + LABEL + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, line in enumerate(heading):
        draw.text((GAP, GAP + 24 * i), line, fill=INK, font=title)
    for i, (label, tile) in enumerate(tiles):
        row, column = (0, i) if i < top else (1 + (i - top) // COLUMNS, (i - top) % COLUMNS)
        x = GAP + column * (max(size[0], TILE) + GAP)
        y = head + row * (size[1] + LABEL + GAP)
        draw.text((x, y), label, fill=GREY, font=small)
        sheet.paste(tile, (x, y + LABEL - 4))
    return sheet


def _outlined(photo: Tensor, mask: Tensor) -> Image.Image:
    import cv2

    picture = np.array(to_pil(photo))
    core = (mask >= 0.5).byte().numpy()
    contours = cv2.findContours(core, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(picture, contours, -1, OUTLINE, 2, cv2.LINE_AA)
    return Image.fromarray(picture)
