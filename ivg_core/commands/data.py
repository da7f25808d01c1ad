"""`data-report` and `prepare-data`: a dry run over training data, and all that is made of it before a training."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import IVGError
from .kinds import a_model, a_text, count, new_file, new_folder, not_negative, size
from .machines import machine_options, shard_of
from .shared import command, load, model_options, say
from .train import load_to_train, look, read_settings, settings_options

if TYPE_CHECKING:
    from ..training.data.prepare import About
    from ..training.data.report import Report
    from ..training.data.sources import Rejected, TrainingClip

PREPARE_EPILOG = """\
examples:
  python -m ivg_core prepare-data --preset full-stage2 --data list.json --model models/IVG.1.0 --cache kept
      everything that this training does with clips before its first step; then: train with the same words, and --cache
  python -m ivg_core prepare-data … --cache kept --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT
      a share of it, one of a Slurm array's; accelerate launch and torchrun share it out by themselves
"""


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

    prepare = commands.add_parser(
        "prepare-data",
        help="make what a training needs of its clips beforehand, on as many machines as you like",
        description="Do what `train` with the same settings does before its first step: read clips, find masks, encode "
        "frames and sentences. All of it is kept in --cache, where `train` finds it. Run it again, and it goes on; a "
        "clip that cannot be used is named, and holds up nothing.",
        epilog=PREPARE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[machine_options()],
    )
    prepare.set_defaults(run=_prepare)
    settings_options(prepare)
    prepare.add_argument("--device", type=a_text, default="cpu", help="cpu, cuda, mps … (default: cpu)")
    prepare.add_argument("--json", type=new_file(".json"), help="also write what became of each clip as JSON")


def _prepare(options: argparse.Namespace) -> None:
    from ..cluster.shard import WHOLE
    from ..media.targets import user_path
    from ..training.data.beforehand import prepare_share, report_of
    from ..training.data.dataset import nothing_left

    shard = shard_of(options)
    config, settings = read_settings(options)
    cache, pixels = Path(config.out) / "cache", config.needs_pixels
    if options.ray:
        outcomes = _on_ray(options)
    else:
        model = load_to_train(config, options.device)
        share = prepare_share(settings, model, config.stage, cache, pixels=pixels, shard=shard, on_clip=look)
        outcomes = list(share)
    report = report_of(outcomes)
    if not report.clips and shard == WHOLE:
        raise IVGError(nothing_left(report.rejected, settings.source))
    for rejected in report.rejected:
        print(f"rejected {rejected.name}: {rejected.why}")
    share_of = "" if shard == WHOLE else f" of share {shard.number}/{shard.count}"
    place = user_path(settings.cache or cache)
    print(f"{len(report.clips)} clips{share_of} lie ready in {place}; {len(report.rejected)} rejected")
    if options.json:
        _write_json(report, options.json)


def _on_ray(options: argparse.Namespace) -> list[About | Rejected]:
    """What workers make of every clip."""
    from ..cluster.spread import over_ray
    from ..training.data.beforehand import clip_preparer
    from ..training.data.overlapping import find_clips

    config, settings = read_settings(options)
    model = partial(load_to_train, config, options.device)
    cache = Path(config.out) / "cache"
    worker = partial(clip_preparer, model, settings, config.stage, cache, config.needs_pixels)
    found = find_clips(settings)
    outcomes: list[About | Rejected] = [*found.rejected]

    def done(clip: TrainingClip, outcome: About | Rejected) -> None:
        outcomes.append(outcome)
        look(len(outcomes) - len(found.rejected) - 1, len(found.clips), clip.name)

    over_ray(worker, attrgetter("name"), options.ray, options.device)(found.clips, done)
    return outcomes


def _report(options: argparse.Namespace) -> None:
    import torch

    from ..media.files import short_name
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
        _write_json(report, options.json)
    report.check_usable()


def _write_json(report: Report, target: Path) -> None:
    from ..media.files import atomic_write

    with atomic_write(target) as path:
        path.write_text(json.dumps(report.to_dict(), indent=1))
    say(target)
