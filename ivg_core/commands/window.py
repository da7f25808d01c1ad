"""`crop-rom` and `stitch-rom`: the region at full detail, with any video model."""

from __future__ import annotations

import argparse

from .kinds import a_path, a_share, count, new_picture, new_video, not_negative, size
from .shared import command, say

CROP = """\
Cut a window around the region out of a photo, at a size that a video model likes. The picture that is written knows
where it was cut out; make a video of it with any model, then lay the video back with `stitch-rom`.
"""
STITCH = """\
Lay a video over its photo, in the photo's own resolution and colours: the video inside the mask, the photo's own pixels
outside. --window is the picture that `crop-rom` wrote; without it the video shows the whole photo.
"""


def add(commands) -> None:
    """Add the commands to the parser."""
    crop = command(commands, "crop-rom", _crop, "photo + mask -> a window around the region, for any video model")
    crop.description = CROP
    crop.add_argument("--image", type=a_path, required=True, help="the photo")
    crop.add_argument("--mask", type=a_path, required=True, help="the region of motion, white where things move")
    crop.add_argument(
        "--region",
        choices=("zoom", "crop"),
        default="zoom",
        help="zoom: the window has about --size; crop: the detail of a whole photo of --size",
    )
    crop.add_argument("--size", type=size, metavar="WxH", default=(832, 480), help="that the model likes (832x480)")
    crop.add_argument("--multiple", type=count(), default=32, help="sides are multiples of so many pixels")
    crop.add_argument("--context", type=a_share, default=0.05, help="shown around the region, as a share of the width")
    crop.add_argument("--out", type=new_picture, required=True, help="PNG to write")
    crop.add_argument("--out-mask", type=new_picture, help="also write the window's mask, a PNG")
    stitch = command(
        commands, "stitch-rom", _stitch, "a video of a window, or of the whole photo -> in the photo's size"
    )
    stitch.description = STITCH
    stitch.add_argument("video", type=a_path, help="a video, GIF or folder of frames")
    stitch.add_argument("--image", type=a_path, required=True, help="the photo")
    stitch.add_argument("--mask", type=a_path, required=True, help="the region of motion in the photo")
    stitch.add_argument("--window", type=a_path, help="the picture that crop-rom wrote")
    stitch.add_argument(
        "--feather", type=not_negative, help="of the seam, as a share of the photo's width (default: by size)"
    )
    stitch.add_argument("--keep-colours", action="store_true", help="do not bring colours back to the photo's")
    stitch.add_argument("--out", type=new_video, required=True, help=".mp4, .webm, .gif or .png (numbered) to write")


def _crop(options: argparse.Namespace) -> None:
    from ..media.images import load_image, load_mask, mask_of_photo, resize_mask, save_png
    from ..rom.window import KEY, as_text, report, resized, window_for

    photo = load_image(options.image)
    mask = mask_of_photo(load_mask(options.mask), (photo.shape[1], photo.shape[0]))
    window = window_for(mask, options.region, options.size, options.multiple, options.context)
    print(report(window))
    save_png(resized(window.cut_photo(photo), window.sampled), options.out, {KEY: as_text(window)})
    say(options.out)
    if options.out_mask:
        save_png(resize_mask(window.cut(mask), window.sampled), options.out_mask)
        say(options.out_mask)


def _stitch(options: argparse.Namespace) -> None:
    from ..media.images import load_image, load_mask
    from ..media.video import read_video, write_video
    from ..rom.overlay import stitch_clip
    from ..rom.window import read_window

    photo = load_image(options.image)
    window = read_window(options.window) if options.window else None
    frames, fps = read_video(options.video)
    stitched, report = stitch_clip(
        frames,
        photo,
        load_mask(options.mask),
        window,
        feather=None if options.feather is None else options.feather * photo.shape[1],
        correct_colour=not options.keep_colours,
    )
    print(report)
    say(write_video(stitched, options.out, fps))
