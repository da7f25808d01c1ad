"""`evaluate`: the metrics of the paper, for the clips of several methods."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from ..errors import IVGError
from ..media.targets import user_path
from .kinds import a_path, a_text, new_folder
from .machines import machine_options, shard_of
from .shared import command, plugin_option, say

TEXT = """\
Measure generated clips against true ones: Table 1 of the paper (HS-Err, FID, CLIP to truth, FVD, EgoVLP, CLIP
consecutive, CLIP to text, BLIP), motion precision, RoM IoU, background stillness, PSNR and SSIM. As in the paper the
first frame, which shows the photo, does not count, and a second table is over the tenth of the scenes with the largest
Regions of Motion. Every figure has a 95 % confidence interval (bootstrap over clips).

Clips, true clips and masks belong together by the name of the scene. A folder of generated clips may be the result of
`batch`, or of the released code.

What is measured is kept in the folder measured of --out, clip by clip. Run the same command again at any time, even
after a crash: only clips are measured that are new, or whose files, sentence or networks have changed. Several machines
that see all folders under the same names share the work (--shard, --ray); the one that ends last writes the report.

Some metrics look through published networks, which are read from --weights; `download --metrics` fetches them by name:

"""


def add(commands) -> None:
    """Add the command to the parser."""
    said = "measure generated clips: the paper's metrics, in one table; goes on where it was stopped"
    evaluate = command(commands, "evaluate", _evaluate, said, machine_options())
    evaluate.description = TEXT + _networks()
    evaluate.formatter_class = argparse.RawDescriptionHelpFormatter
    evaluate.add_argument(
        "--generated",
        action="append",
        required=True,
        metavar="NAME=FOLDER",
        help="clips of one method; may be given repeatedly. Without NAME= the method is called as its folder",
    )
    evaluate.add_argument("--truth", type=a_path, metavar="FOLDER", help="the true clips")
    evaluate.add_argument("--prompts", type=a_path, metavar="FILE", help="a table as `batch` reads it, or prompt.json")
    evaluate.add_argument("--masks", type=a_path, metavar="FOLDER", help="the true Regions of Motion")
    evaluate.add_argument("--weights", type=a_path, metavar="FOLDER", help="the networks of the metrics")
    evaluate.add_argument("--out", type=new_folder, required=True, metavar="FOLDER", help="for the report")
    plugin_option(evaluate)
    evaluate.add_argument("--device", type=a_text, default="cpu", help="cpu, cuda, mps … (default: cpu)")


def _networks() -> str:
    from ..evaluate.metrics.weights import NETWORKS

    return "\n".join(
        f"  {network.places[0]:38} {network.about}\n{'':41}{network.source} ({network.licence})"
        for network in NETWORKS.values()
    )


def _evaluate(options: argparse.Namespace) -> None:
    from ..cluster.spread import over_ray
    from ..evaluate.clips import pair_clips
    from ..evaluate.page import write_page
    from ..evaluate.report import write_report
    from ..evaluate.run import MEASURED, evaluate_methods
    from ..evaluate.tasks import Measurer
    from ..plugins import load_plugins

    shard = shard_of(options)
    load_plugins(options.plugin)
    if options.weights and not options.weights.is_dir():
        raise IVGError(f"There is no folder of weights at {options.weights}: check the path, or leave out --weights.")
    methods = {}
    for given in options.generated:
        name, folder = _method(given)
        if name in methods:
            raise IVGError(f"Two methods are called {name}: write --generated NAME=FOLDER with a name for each.")
        methods[name] = pair_clips(folder, options.truth, options.prompts, options.masks)

    def show(number: int, total: int, what: str) -> None:
        print(f"\r{number}/{total} {what:60.60}", end="\n" if number == total else "", file=sys.stderr, flush=True)

    spread = None
    if options.ray:
        load = partial(Measurer, options.weights, options.device, [path.resolve() for path in options.plugin])
        spread = over_ray(load, str, options.ray, options.device)
    device = "cpu" if options.ray else options.device
    kept = options.out / MEASURED
    result = evaluate_methods(methods, options.weights, device, show, folder=kept, shard=shard, spread=spread)
    if result.left:
        left = ", ".join(f"{title} of {count} clips" for title, count in result.left.items())
        print(f"Other processes have still to measure {left}: who ends last writes the report.")
        return
    written = write_report(result, options.out)
    print((options.out / "results.md").read_text(encoding="utf-8"))
    for path in [*written, write_page(result, options.out)]:
        say(path)


def _method(given: str) -> tuple[str, Path]:
    name, equals, folder = given.partition("=")
    if equals and name and not user_path(given).is_dir():
        return name, user_path(folder)
    path = user_path(given)
    return path.resolve().name, path
