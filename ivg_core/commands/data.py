"""`data-report`: a dry run over training data."""

from __future__ import annotations

import argparse
import json
import sys

from .kinds import a_model, count, new_file, new_folder, not_negative, size
from .shared import command, load, model_options, say


def add(commands) -> None:
    """Add the command to the parser."""
    report = command(
        commands,
        "data-report",
        _report,
        "look at training clips without training: captions, frames, masks, motion, what is rejected and why",
        model_options(),
    )
    report.add_argument(
        "source",
        type=a_model,
        help="folder of clips or pictures with captions in .txt files, one of these, or a .json list",
    )
    report.add_argument("--stage", type=int, choices=(1, 2), default=2, help="which the clips are for")
    report.add_argument("--videos", help="for a .json list: the folder of its videos (default: the list's)")
    report.add_argument("--caption", help="for clips that have none of their own")
    report.add_argument("--masks", default="hands", help="hands, arms, stage1, white, or a folder of masks")
    report.add_argument("--frames", type=count(), default=16, help="of a training clip")
    report.add_argument("--size", type=size, metavar="WxH", help="of training clips (default: the model's)")
    report.add_argument("--no-buckets", action="store_true", help="cut every clip to that size, whatever its shape")
    report.add_argument("--min-motion", type=not_negative, default=0, help="reject clips with a lower motion score")
    report.add_argument("--camera", choices=("keep", "stabilise", "reject"), default="keep", help="if the camera moves")
    report.add_argument("--max-camera-motion", type=not_negative, default=0.03, help="share of the diagonal, 0..1")
    report.add_argument("--heldout", type=count(0), default=0, help="clips to measure with")
    report.add_argument(
        "--sheets", type=new_folder, help="folder for a picture of each clip: its frames, and what moves"
    )
    report.add_argument("--json", type=new_file(".json"), help="also write the report as JSON")


def _report(options: argparse.Namespace) -> None:
    import torch

    from ..media.files import atomic_write, short_name
    from ..training.data.dataset import survey
    from ..training.data.settings import DataSettings

    width, height = options.size or (0, 0)
    settings = DataSettings(
        source=options.source,
        videos=options.videos,
        caption=options.caption,
        masks=options.masks,
        frames=options.frames,
        width=width,
        height=height,
        buckets=not options.no_buckets,
        min_motion=options.min_motion,
        camera=options.camera,
        max_camera_motion=options.max_camera_motion,
        heldout=options.heldout,
    )

    def sheet(prepared) -> None:
        from ..media.contact_sheet import contact_sheet
        from ..media.images import save_png

        frames, mask = (torch.from_numpy(values).float() / 255 for values in (prepared.frames, prepared.masks.rom))
        picture = contact_sheet(frames, mask, frames[0], prepared.about.caption)
        save_png(picture, options.sheets / f"{short_name(prepared.about.name, 0)}.png")

    def progress(done: int, total: int, name: str) -> None:
        print(f"clip {done + 1}/{total}: {name}", file=sys.stderr)

    report = survey(
        settings, load(options), options.stage, on_clip=progress, on_prepared=sheet if options.sheets else None
    )
    print(report)
    if options.json:
        with atomic_write(options.json) as path:
            path.write_text(json.dumps(report.to_dict(), indent=1))
        say(options.json)
