"""`refine-mask`."""

from __future__ import annotations

import argparse

from .kinds import a_path, a_share, new_picture, not_negative, number
from .shared import command, say, unit_option


def add(commands) -> None:
    """Add the command to the parser."""
    refine = command(
        commands, "refine-mask", _refine_mask, "make a mask better; the steps run in the order of the options"
    )
    refine.add_argument("mask", type=a_path, help="image to read")
    refine.add_argument("--out", type=new_picture, required=True, help="PNG to write")
    refine.add_argument("--threshold", type=a_share, help="values from here up become white, 0..1")
    unit_option(refine, "--min-area, --close, --grow and --feather")
    refine.add_argument("--min-area", type=not_negative, default=0, help="remove parts smaller than this many pixels")
    refine.add_argument(
        "--close", type=not_negative, default=0, help="close gaps up to about twice this many pixels wide"
    )
    refine.add_argument("--fill-holes", action="store_true", help="fill what the mask encloses")
    refine.add_argument("--convex-hull", action="store_true", help="replace the mask by its convex hull")
    refine.add_argument("--box", action="store_true", help="replace the mask by its bounding box")
    refine.add_argument("--grow", type=number(), default=0, help="pixels to grow by; negative shrinks")
    refine.add_argument("--other", type=a_path, help="a second mask to join")
    refine.add_argument("--combine", choices=("union", "intersect", "subtract"), default="union", help="how to join it")
    refine.add_argument("--feather", type=not_negative, default=0.0, help="width of the soft edge in pixels")


def _refine_mask(options: argparse.Namespace) -> None:
    from ..media.images import load_mask, save_png
    from ..rom.refine import refine_mask

    refined = refine_mask(
        load_mask(options.mask),
        threshold=options.threshold,
        min_area=options.min_area,
        close=options.close,
        fill_holes=options.fill_holes,
        convex_hull=options.convex_hull,
        box=options.box,
        grow=options.grow,
        other=load_mask(options.other) if options.other else None,
        combine=options.combine,
        feather=options.feather,
        unit=options.unit,
    )
    save_png(refined, options.out)
    say(options.out)
