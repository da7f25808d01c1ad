"""`demo` and `synth`: drawn scenes."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from .kinds import a_seed, count, new_folder, size
from .shared import command, say


def add(commands) -> None:
    """Add the commands to the parser."""
    demo = command(commands, "demo", _demo, "one drawn scene through both stages with the embedded model")
    demo.add_argument(
        "--out", type=new_folder, default=Path("out/demo"), help="folder for the photo, mask, video and sheet"
    )
    demo.add_argument("--scene", type=count(0), default=0, help="which of the drawn scenes, 0 and up")
    demo.add_argument("--seed", type=a_seed, default=0, help="of the noise")

    synth = command(commands, "synth", _synth, "write drawn scenes: clips, masks, photos and the released prompt.json")
    synth.add_argument("--out", type=new_folder, required=True, help="folder to write")
    synth.add_argument("--scenes", type=count(), default=8, help="how many")
    synth.add_argument(
        "--first", type=count(0), default=0, help="seed of the first; 1000000 and up are never trained on"
    )
    synth.add_argument("--size", type=size, default=(192, 128), metavar="WxH")
    synth.add_argument("--frames", type=count(), default=8)


def _demo(options: argparse.Namespace) -> None:
    from ..cli import build_parser
    from ..media.images import save_png
    from ..synthetic import example

    began = time.monotonic()
    photo, action = example(options.scene)
    save_png(photo, options.out / "photo.png")
    print(f'photo: {options.out / "photo.png"}\naction: "{action}"')
    common = ["--image", str(options.out / "photo.png"), "--prompt", action, "--seed", str(options.seed)]
    mask = str(options.out / "mask.png")
    video, sheet = str(options.out / "video.mp4"), str(options.out / "sheet.png")
    for words in (
        ["predict-mask", *common, "--out", mask],
        ["refine-mask", mask, "--grow", "4", "--out", mask],
        ["generate", *common, "--mask", mask, "--out", video, "--sheet", sheet],
    ):
        print("\n$ python -m ivg_core " + " ".join(f'"{word}"' if " " in word else word for word in words))
        chosen = build_parser().parse_args(words)
        chosen.run(chosen)
    print(f"\ndone in {time.monotonic() - began:.0f} s; look at {options.out / 'sheet.png'}")


def _synth(options: argparse.Namespace) -> None:
    from ..synthetic.export import export_scenes

    say(export_scenes(options.out, range(options.first, options.first + options.scenes), options.size, options.frames))
