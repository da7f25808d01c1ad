"""`find-rom`: the Region of Motion of a real photo, without stage-1 weights."""

from __future__ import annotations

import argparse

from .kinds import a_device, a_path, a_share, new_picture, number
from .shared import command, hand_options, say

TEXT = """\
Find where a real photo will move, without a model: from its hands; from the things that the sentence names, whose masks
you give (of any segmenter); and from a draft, a small quick video of the photo by any image-to-video model. Each works
alone, and each adds to the ones before it. With --image alone it is the outline of the hands.
"""


def add(commands) -> None:
    """Add the command to the parser."""
    text = "real photo -> mask: from hands, things and a draft video"
    find = command(commands, "find-rom", _find_rom, text, hand_options())
    find.description = TEXT
    find.add_argument("--image", type=a_path, required=True, help="the photo")
    find.add_argument("--things", type=a_path, nargs="+", default=[], help="masks of the things, one image each")
    find.add_argument("--hands", type=a_path, help="mask of the hands (default: they are looked for)")
    find.add_argument("--video", type=a_path, help="a draft: a video, GIF or folder of frames that begins as the photo")
    find.add_argument("--prompt", help="what is done: the things it names are told, so that you can give their masks")
    find.add_argument("--reach", type=a_share, default=0.15, help="motion counts this near, as a share of the width")
    find.add_argument("--big", type=a_share, default=0.2, help="things beyond this share count only near the hands")
    find.add_argument("--shape", choices=("one", "each", "none"), default="one", help="outlines: around all, each part")
    find.add_argument(
        "--grow",
        type=number(),
        help="share of the width (default: 0.02 with a draft, 0.05 with things, 0.1 with hands)",
    )
    find.add_argument("--arms", action="store_true", help="take the forearms too, where they are found")
    find.add_argument("--device", type=a_device, default="cpu", help="cpu, cuda, mps …, where hands are looked for")
    find.add_argument("--out", type=new_picture, required=True, help="PNG to write, white where things will move")
    find.add_argument("--preview", type=new_picture, help="also write the photo with the region in orange, a PNG")


def _find_rom(options: argparse.Namespace) -> None:
    from ..enrich.things import named_things
    from ..media.images import load_image, load_mask, save_png
    from ..rom.draft import read_draft
    from ..rom.find import find_rom, hands_in
    from ..rom.preview import draw_rom

    photo = load_image(options.image)
    if options.hands:
        hands = load_mask(options.hands)
    else:
        hands = hands_in(photo, options.arms, options.device, options.hand_backend)
    region = find_rom(
        photo,
        hands,
        [load_mask(path) for path in options.things],
        read_draft(options.video) if options.video else None,
        big=options.big,
        reach=options.reach,
        shape=options.shape,
        grow=options.grow,
    )
    print(region.report)
    if options.prompt is not None:
        names = named_things(options.prompt)
        named = f"names {', '.join(names)}" if names else 'names no thing (it needs articles: "cut the carrot")'
        print(f"The sentence {named}; {len(options.things)} masks of things were given.")
    save_png(region.mask, options.out)
    say(options.out)
    if options.preview:
        save_png(draw_rom(photo, region.mask), options.preview)
        say(options.preview)
