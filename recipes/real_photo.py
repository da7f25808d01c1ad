"""Draws docs/real/region.jpg, the README's real photo: what its sentence names, and the region that is found from it.

python -m recipes.real_photo

The segmenter's part (core's SAM3, or any other) is played by two masks that are drawn here; all else is what
`find-rom` and IVG RoM from Things do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ivg_core.enrich.things import named_things
from ivg_core.media.images import load_image, to_pil
from ivg_core.rom.find import find_rom
from ivg_core.rom.preview import draw_rom

SENTENCE = "Stir the coffee with the spoon."
#: Outlines in the photo's pixels: an ellipse (left, top, right, bottom), and ellipse and handle of the spoon.
COFFEE = (204, 94, 370, 193)
SPOON, HANDLE = (326, 238, 407, 326), ((398, 70), (412, 65), (424, 75), (412, 122), (385, 232), (370, 240))
GAP, HEADING, PAPER, INK = 12, 26, (255, 255, 255), (40, 42, 46)
WIDTH = 420


def drawn_things(size: tuple[int, int]) -> dict[str, Tensor]:
    """Masks (H, W) of 0 and 1 of what the sentence names, as a segmenter would give them."""
    masks = {name: Image.new("L", size) for name in ("coffee", "spoon")}
    ImageDraw.Draw(masks["coffee"]).ellipse(COFFEE, 255)
    pen = ImageDraw.Draw(masks["spoon"])
    pen.ellipse(SPOON, 255)
    pen.polygon(HANDLE, 255)
    return {name: torch.from_numpy(np.asarray(mask) > 0).float() for name, mask in masks.items()}


def draw(photo: Tensor) -> Image.Image:
    """The photo, the things in it, and the region, beside each other."""
    size = (photo.shape[1], photo.shape[0])
    things = drawn_things(size)
    if named_things(SENTENCE) != list(things):
        raise ValueError(f"{SENTENCE} names {named_things(SENTENCE)}: draw these.")
    region = find_rom(photo, things=list(things.values()))
    shown = {
        f'the photo: "{SENTENCE}"': photo,
        f"what the sentence names: {' and '.join(things)}": draw_rom(photo, torch.stack([*things.values()]).amax(0)),
        "where it may move": draw_rom(photo, region.mask),
    }
    height = round(WIDTH * size[1] / size[0])
    sheet = Image.new("RGB", (len(shown) * (WIDTH + GAP) - GAP, HEADING + height), PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, (heading, picture) in enumerate(shown.items()):
        left = column * (WIDTH + GAP)
        pen.text((left, 4), heading, INK, ImageFont.load_default(14))
        sheet.paste(to_pil(picture).resize((WIDTH, height), Image.Resampling.LANCZOS), (left, HEADING))
    return sheet


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=Path("docs/real/photo.jpg"))
    parser.add_argument("--out", type=Path, default=Path("docs/real/region.jpg"))
    args = parser.parse_args()
    draw(load_image(args.photo)).save(args.out, quality=88)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
