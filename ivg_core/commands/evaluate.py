"""`evaluate`: the metrics of the paper, for the clips of several methods."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import IVGError
from .kinds import a_device, a_path, new_folder
from .shared import command, say

TEXT = """\
Measure generated clips against true ones: Table 1 of the paper (HS-Err, FID, CLIP to truth, FVD, EgoVLP, CLIP
consecutive, CLIP to text, BLIP), motion precision, RoM IoU, background stillness, PSNR and SSIM. As in the paper the
first frame, which shows the photo, does not count, and a second table is over the tenth of the scenes with the largest
Regions of Motion. Every figure has a 95 % confidence interval (bootstrap over clips).

Clips, true clips and masks belong together by the name of the scene. A folder of generated clips may be the result of
`batch`, or of the released code.

Some metrics look through published networks, which are read from --weights and never downloaded:

"""


def add(commands) -> None:
    """Add the command to the parser."""
    evaluate = command(commands, "evaluate", _evaluate, "measure generated clips: the paper's metrics, in one table")
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
    evaluate.add_argument("--device", type=a_device, default="cpu", help="cpu, cuda, mps … (default: cpu)")


def _networks() -> str:
    from ..evaluate.metrics.weights import BLIP, CLIP, EGOVLP, I3D, INCEPTION

    return "\n".join(
        f"  {network.places[0]:38} {network.about}\n{'':41}{network.source} ({network.licence})"
        for network in (INCEPTION, I3D, CLIP, EGOVLP, BLIP)
    )


def _evaluate(options: argparse.Namespace) -> None:
    from ..evaluate.clips import pair_clips
    from ..evaluate.page import write_page
    from ..evaluate.report import write_report
    from ..evaluate.run import evaluate

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

    result = evaluate(methods, options.weights, options.device, show)
    written = write_report(result, options.out)
    print((options.out / "results.md").read_text(encoding="utf-8"))
    for path in [*written, write_page(result, options.out)]:
        say(path)


def _method(given: str) -> tuple[str, Path]:
    name, equals, folder = given.partition("=")
    if equals and name and not Path(given).is_dir():
        return name, Path(folder).expanduser()
    path = Path(given).expanduser()
    return path.resolve().name, path
