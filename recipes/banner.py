"""Draws docs/banner.png, the registry's picture of this pack, from what `make demo` wrote: 21 to 9.

python -m ivg_core demo --scene 3 --out out/banner && python -m recipes.banner --demo out/banner --out docs/banner.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ivg_core.media.images import load_image, load_mask, save_png, to_pil
from ivg_core.media.video import read_video
from ivg_core.rom.preview import draw_rom

WIDTH, HEIGHT = 1260, 540
PAPER, INK, GREY = (24, 26, 30), (240, 240, 236), (150, 152, 158)
COLUMNS = 4
GAP = 24


def draw_banner(demo: Path, sentence: str) -> Image.Image:
    """The photo, the region of motion in it, and two frames of the video, below name and sentence.

    Args:
        demo: folder with photo.png, mask.png and video.mp4.
        sentence: the action in it.
    """
    photo, mask = load_image(demo / "photo.png"), load_mask(demo / "mask.png")
    frames, _ = read_video(demo / "video.mp4")
    shown = {
        "photo": photo,
        "where it will move": draw_rom(photo, mask),
        "video": frames[len(frames) // 3],
        "": frames[-1],
    }
    banner = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    pen = ImageDraw.Draw(banner)
    pen.text((GAP, 26), "Comfy-IVG", INK, ImageFont.load_default(76))
    pen.text((GAP, 128), "One photo and a sentence become a video of hands doing it.", GREY, ImageFont.load_default(30))
    width = (WIDTH - GAP * (COLUMNS + 1)) // COLUMNS
    for column, (title, picture) in enumerate(shown.items()):
        small = to_pil(picture)
        small = small.resize((width, width * small.height // small.width), Image.Resampling.LANCZOS)
        left, top = GAP + column * (width + GAP), 204
        banner.paste(small, (left, top))
        pen.text((left, top + small.height + 10), title, GREY, ImageFont.load_default(24))
    pen.text((GAP, HEIGHT - 84), f"“{sentence}”", INK, ImageFont.load_default(32))
    return banner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, required=True, help="folder that the demo wrote")
    parser.add_argument("--sentence", default="push the cup to the left", help="the demo's action")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    options = parser.parse_args()
    save_png(draw_banner(options.demo, options.sentence), options.out)


if __name__ == "__main__":
    main()
