"""`python -m benchmarks NAME`: measure the embedded model and what is made from hands, and record the figures."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from benchmarks.record import record_options, recorded, report, write_table
from ivg_core.cli import run_command
from ivg_core.commands.kinds import count
from ivg_core.commands.shared import command, flush_denormals, load, model_options, say
from ivg_core.errors import IVGError


def main(argv: list[str] | None = None) -> int:
    """Run one measurement; 0 when it worked, 2 with one sentence when the user can mend something."""
    return run_command(build_parser().parse_args(argv))


def build_parser() -> argparse.ArgumentParser:
    """All measurements that need no script of their own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="measurement")
    bench = command(
        commands,
        "rom",
        _bench_rom,
        "measure predicted masks on held-out drawn scenes beside baselines",
        model_options(),
        record_options(),
    )
    bench.add_argument("--scenes", type=int, default=200, help="how many held-out scenes")

    text = "make the paper's Table 2 on exact ground truth: masks, and the hand loss, against each other"
    table2 = command(commands, "table2", _table2, text, record_options())
    table2.add_argument(
        "--model", help="weights that every training begins with (default: those of the recorded table)"
    )
    table2.add_argument("--work", type=Path, default=Path("out/table2"), help="folder of scenes, checkpoints and clips")
    table2.add_argument("--scenes", type=count(), default=16, help="how many held-out scenes")
    table2.add_argument("--seeds", type=count(), default=3, help="how many repetitions")
    table2.add_argument("--steps", type=count(), default=240, help="of each training")
    table2.add_argument("--clips", type=count(), default=100, help="drawn scenes to train on")
    table2.add_argument(
        "--hands", type=json.loads, default="{}", metavar="JSON", help='options of the hand loss: {"weight": 3}'
    )

    text = "measure the fast modes of sampling on held-out drawn scenes, beside full sampling"
    fast = command(commands, "fast", _bench_fast, text, model_options(), record_options())
    fast.add_argument("--scenes", type=int, default=12, help="how many held-out scenes")

    text = "measure solvers, steps and reuse of deep layers by the exact clip and by their time"
    equal = command(commands, "equal_time", _bench_equal_time, text, model_options(), record_options())
    equal.add_argument("--scenes", type=int, default=12, help="how many held-out scenes")
    equal.add_argument("--seeds", type=int, default=3, help="how many videos of each")
    equal.add_argument("--choose", action="store_true", help="try more, on the scenes that settings are chosen on")

    text = "measure what sampling a window around the region saves, and its seam in the photo"
    crop = command(commands, "crop", _bench_crop, text, model_options(), record_options())
    crop.add_argument("--scenes", type=int, default=6, help="how many held-out scenes")

    text = "measure whether the hand score notices made-up faults"
    score = command(commands, "handscore", _handscore, text, record_options())
    score.add_argument("--clips", type=int, default=24, help="how many drawn clips")
    score.add_argument("--media", type=Path, help="folder of real clips to measure too: every second one, by name")
    score.add_argument("--photos", type=Path, help="folder of real photos to measure too")
    text = "measure pseudo masks against exact ones of drawn clips"
    annotate = command(commands, "annotate", _annotate, text, record_options())
    annotate.add_argument("--clips", type=int, default=100, help="how many drawn clips")

    text = "measure regions found in real photos, by hands and by drafts, on the folder of the paper's public page"
    real = command(commands, "rom_real", _rom_real, text, record_options())
    real.add_argument("--page", type=Path, required=True, help="folder with index.html, input, mask, pia, ours …")
    real.add_argument("--drawn", type=int, default=70, help="how many drawn clips")

    text = "learn a drawn motion as MotionDirector does and otherwise, and measure how other scenes follow it"
    motion = command(commands, "motion", _bench_motion, text, model_options(), record_options())
    motion.add_argument("--work", type=Path, default=Path("out/motion"), help="folder of the trainings")
    motion.add_argument("--scenes", type=int, default=12, help="how many scenes it is used on")
    motion.add_argument("--steps", type=int, default=300, help="of each training")
    motion.add_argument("--clips", type=int, default=3, help="drawn clips that it is learned from")
    motion.add_argument("--choose", action="store_true", help="measure on the scenes that settings are chosen on")

    text = "measure whether things of drawn scenes go where their boxes say"
    boxes = command(commands, "boxes", _bench_boxes, text, model_options(), record_options())
    boxes.add_argument("--scenes", type=int, default=40, help="how many held-out scenes of each kind")
    boxes.add_argument("--boxes-scale", type=float, default=1.0, help="how strongly the boxes are followed")
    boxes.add_argument("--choose", action="store_true", help="measure on the scenes that settings are chosen on")
    boxes.add_argument("--out", type=Path, help="folder for the clips, with the boxes drawn over them")
    boxes.add_argument("--picture", type=Path, help="only write a picture of what each scale does, to this file")
    boxes.add_argument("--which", type=int, default=0, help="of the held-out scenes, for the picture")

    text = "measure long videos in windows of time: seams, drift, two actions in one video, memory and time"
    long = command(commands, "long_video", _bench_long_video, text, model_options(), record_options())
    long.add_argument("--scenes", type=int, default=12, help="how many held-out scenes")
    long.add_argument(
        "--part",
        choices=("actions", "seams", "drift", "embedded", "published"),
        action="append",
        help="measure only this, and keep what was recorded of the others; may be given repeatedly",
    )
    long.add_argument("--choose", action="store_true", help="measure on the scenes that settings are chosen on")

    text = "measure the steps of drawn plans: where they happen, what stays, how colours drift, what kills cost"
    how_to = command(commands, "how_to", _bench_how_to, text, model_options(), record_options())
    how_to.add_argument("--scenes", type=int, default=40, help="how many held-out plans of 5 steps")
    how_to.add_argument(
        "--part",
        choices=("pinned", "unpinned", "kills"),
        action="append",
        help="measure only this, and keep what was recorded of the others; may be given repeatedly",
    )
    how_to.add_argument("--choose", action="store_true", help="measure on the plans that settings are chosen on")
    how_to.add_argument("--out", type=Path, help="folder for a picture of each plan")

    text = "measure whether the model tells drawn scenes from other pictures"
    domain = command(commands, "domain", _bench_domain, text, model_options(), record_options())
    domain.add_argument("--pictures", type=Path, required=True, help="folder of real pictures")
    domain.add_argument("--chosen", type=Path, help="folder of those that the measure was chosen on")
    domain.add_argument("--drawings", type=Path, help="folder of other drawings, diagrams and screenshots")
    domain.add_argument("--scenes", type=int, default=200, help="how many held-out scenes")

    text = "measure every mask and hand node on a photo of 24 megapixels: seconds each"
    large = command(commands, "large_photo", _large_photo, text, record_options())
    large.add_argument("--photo", type=Path, help="a photo, enlarged to 6000 x 4000 (default: a drawn scene)")

    text = "give made-up, damaged and hostile inputs to library, commands and nodes, and count what becomes of them"
    malformed = command(commands, "malformed", _malformed, text, record_options())
    malformed.add_argument(
        "--kind", action="append", default=[], help="of input; may be given repeatedly (default: all)"
    )
    malformed.add_argument("--case", type=int, help="only this input of the kind, with what was said")
    malformed.add_argument("--seed", type=int, default=0, help="of everything that is made up")
    malformed.add_argument("--share", type=float, default=1.0, help="of each kind's inputs, 0..1")
    malformed.add_argument(
        "--prompts", type=int, default=0, help="queue so many odd prompts in the ComfyUI of COMFYUI_PATH"
    )
    malformed.add_argument("--out", type=Path, help="file for the table by kind, with an example of each failure")

    text = "measure everything that needs a GPU, step by step, into files of figures; gpu.sh says what it needs"
    gpu = command(commands, "gpu", _gpu, text)
    gpu.add_argument("--out", type=Path, required=True, help="folder for the files, each written anew after each step")
    gpu.add_argument("--tiny", action="store_true", help="only try the steps, at the smallest size, on a CPU too")
    gpu.add_argument("--minutes", type=float, default=8, help="after which no step begins")

    text = "make the table of README.md anew from the files in results"
    table = command(commands, "table", _table, text)
    table.add_argument("--record", type=Path, required=True, help="benchmarks folder")
    return parser


def _bench_rom(options: argparse.Namespace) -> None:
    from benchmarks.rom import bench_rom

    report(options, "rom", bench_rom(load(options), options.scenes))


def _table2(options: argparse.Namespace) -> None:
    from benchmarks.ablation import AblationSettings, bench_ablation
    from benchmarks.table2 import base_weights, write_table
    from ivg_core.checkpoints.load import load_model

    flush_denormals()
    settings = AblationSettings(steps=options.steps, clips=options.clips)
    settings = replace(settings, hands={**settings.hands, **options.hands})
    model = load_model(options.model or base_weights(options.work))
    print(f"base: {model.name}; {settings}", flush=True)
    figures = bench_ablation(model, options.work, options.scenes, options.seeds, settings)
    report(options, "ablation", figures)
    say(write_table(figures, options.work))


def _bench_motion(options: argparse.Namespace) -> None:
    from benchmarks.motion import MotionSettings, bench_motion

    settings = MotionSettings(options.clips, options.steps)
    figures = bench_motion(load(options), options.work, options.scenes, not options.choose, settings)
    report(options, "motion", figures)


def _bench_boxes(options: argparse.Namespace) -> None:
    from benchmarks.boxes import bench_boxes
    from benchmarks.boxes_picture import scales_picture

    if options.picture:
        scales_picture(load(options), options.which).save(options.picture)
        return
    figures = bench_boxes(load(options), options.scenes, options.boxes_scale, options.choose, options.out)
    report(options, "boxes", figures)


def _bench_long_video(options: argparse.Namespace) -> None:
    from benchmarks.long_video import PARTS, bench_long_video

    figures = bench_long_video(load(options), options.scenes, options.part or PARTS, options.choose)
    before = recorded(options.record, "long_video") if options.record and options.part else {}
    report(options, "long_video", before | figures)


def _bench_how_to(options: argparse.Namespace) -> None:
    from benchmarks.how_to import PARTS, bench_how_to

    flush_denormals()
    figures = bench_how_to(load(options), options.scenes, options.part or PARTS, options.choose, options.out)
    before = recorded(options.record, "how_to") if options.record and options.part else {}
    report(options, "how_to", before | figures)


def _bench_fast(options: argparse.Namespace) -> None:
    from benchmarks.fast import bench_fast

    report(options, "fast", bench_fast(load(options), options.scenes))


def _bench_equal_time(options: argparse.Namespace) -> None:
    from benchmarks.equal_time import bench_equal_time

    figures = bench_equal_time(load(options), options.scenes, options.seeds, options.choose)
    report(options, "equal_time", figures)


def _bench_crop(options: argparse.Namespace) -> None:
    from benchmarks.crop import bench_crop

    report(options, "crop", bench_crop(load(options), options.scenes))


def _handscore(options: argparse.Namespace) -> None:
    from benchmarks.handscore import bench_handscore

    report(options, "handscore", bench_handscore(options.clips, options.media, options.photos))


def _annotate(options: argparse.Namespace) -> None:
    from benchmarks.annotate import bench_annotate

    report(options, "annotate", bench_annotate(options.clips))


def _rom_real(options: argparse.Namespace) -> None:
    from benchmarks.rom_real import bench_rom_real

    report(options, "rom_real", bench_rom_real(options.page, options.drawn))


def _large_photo(options: argparse.Namespace) -> None:
    from benchmarks.large_photo import bench_large_photo

    report(options, "large_photo", bench_large_photo(options.photo))


def _malformed(options: argparse.Namespace) -> None:
    from benchmarks.malformed import bench_malformed, bench_prompts, show_case

    if options.case is not None:
        for kind in options.kind:
            print(show_case(kind, options.case, options.seed))
        return
    figures = bench_malformed(options.kind, options.seed, options.share, options.out)
    if options.prompts:
        figures |= bench_prompts(options.prompts, options.seed, options.out)
    report(options, "malformed", figures)


def _bench_domain(options: argparse.Namespace) -> None:
    from benchmarks.domain import bench_domain

    figures = bench_domain(load(options), options.pictures, options.chosen, options.drawings, options.scenes)
    report(options, "domain", figures)


def _gpu(options: argparse.Namespace) -> None:
    from benchmarks.gpu import make_setting, run_steps
    from benchmarks.gpu_steps import STEPS

    failed = run_steps(STEPS, make_setting(options.out, options.tiny, options.minutes))
    if failed:
        raise IVGError("Not everything was measured. " + " ".join(failed))


def _table(options: argparse.Namespace) -> None:
    write_table(options.record)


if __name__ == "__main__":
    raise SystemExit(main())
