"""`how-to`: a photo and a text of several steps become an instruction video."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..errors import IVGError
from .items import item_options, item_settings
from .kinds import a_path, a_text, count, new_folder, number
from .shared import (
    asked_of,
    asking_options,
    command,
    load_for_sampling,
    model_options,
    network_options,
    sampling_options,
    say,
)

if TYPE_CHECKING:
    from ..howto.film import FilmSettings
    from ..howto.finish import FinishedFrames
    from ..howto.plan import Plan
    from ..howto.work import HowTo, Later, StepState

TEXT = """\
Make an instruction video of a photo and a text of several steps. Each step begins with the last frame of the step
before; outside the region of a step its picture stays as it is, to the bit. Every step is written when it is ready: run
the same command again at any time, even after a crash, and it goes on. At the end film.mp4 with chapters and subtitles,
captions, loops, a contact sheet and a page (index.html) lie in the folder; made/index.html shows every step.

A plan is a numbered list, lines, Markdown, JSON, or free text, whose sentences become steps (or what a language model
makes of them). Behind a step may stand how long it lasts, its seed, what gives its mask (predict, find, white, or a
picture), a photo of its own, and what viewers read: Peel the carrot (4 s) [seed 7] [mask white] [title Peeling]

A step that is not good: the same command with  --redo 2  makes it again with another seed, and those after it anew, as
they begin with another picture; with --keep-later they stay. Change a step's words in the plan, and it is made again
with those after it.
"""


def add(commands) -> None:
    """Add the command to the parser."""
    said = "a photo and a text of several steps become an instruction video"
    parents = [model_options(), network_options(), sampling_options("--denoising-steps"), item_options(2)]
    how_to = command(commands, "how-to", _how_to, said, *parents, asking_options("whom to ask about free text"))
    how_to.description, how_to.formatter_class = TEXT, argparse.RawDescriptionHelpFormatter
    plan = how_to.add_argument_group("what is made; without --steps what was begun in --out goes on")
    plan.add_argument("--photo", type=a_path, help="what the first step begins with")
    plan.add_argument("--steps", type=a_path, dest="plan", metavar="FILE", help="the plan")
    plan.add_argument("--out", type=new_folder, required=True, help="folder for the steps and the film")
    plan.add_argument("--only-plan", action="store_true", help="print the plan as a list to edit, and make nothing")
    plan.add_argument("--redo", type=count(), action="append", metavar="STEP", help="make this step again")
    plan.add_argument("--keep-later", action="store_true", help="keep steps though one before them was made again")
    plan.add_argument(
        "--best-of", type=count(1, 16), default=1, help="try each step so often, keep the soundest hands (default: 1)"
    )
    plan.add_argument("--keep-drift", action="store_true", help="do not put drifted colours right")
    film = how_to.add_argument_group("the film")
    film.add_argument("--title", type=a_text, help="(default: the plan's)")
    film.add_argument("--film-fps", type=number(1, 240), default=24.0, help="frames a second (default: 24)")
    film.add_argument("--title-seconds", type=number(0, 60), default=2.0, help="how long the title stands (default: 2)")
    film.add_argument("--hold", type=number(0, 60), default=1.0, help="seconds a last frame stays (default: 1)")
    film.add_argument("--fade", type=number(0, 60), default=0.5, help="seconds from a step to the next (default: 0.5)")
    film.add_argument(
        "--speed", type=number(0.05, 20), nargs="+", default=[1.0], help="once for all steps, or once for each"
    )
    film.add_argument("--burn", action="store_true", help="draw the captions into the picture")
    film.add_argument("--font", type=a_path, help="file of the font for what is drawn")


def _how_to(options: argparse.Namespace) -> None:
    from ..batch.run import keep_settings
    from ..howto.film import FilmSettings, paced
    from ..howto.make import StepSettings, make_steps, size_of
    from ..howto.package import write_package
    from ..howto.plan import plan_text
    from ..howto.work import PHOTO
    from ..media.images import load_image

    if options.parity or options.no_composite:
        raise IVGError("Each step is laid over the picture that it begins with: leave out --parity and --no-composite.")
    if options.only_plan:
        print(plan_text(_plan(options)), end="")
        return
    how_to = _begun(options)
    settings = StepSettings(**item_settings(options), best_of=options.best_of, pin_colour=not options.keep_drift)
    film = FilmSettings(
        title=options.title if options.title is not None else how_to.plan.title,
        fps=options.film_fps,
        title_seconds=options.title_seconds,
        hold_seconds=options.hold,
        fade_seconds=options.fade,
        burn=options.burn,
        font=options.font,
    )
    keep_settings(how_to.made, settings)  # also where nothing is left to make: other settings would change nothing
    if any(state.take is None for state in how_to.states()):
        model = load_for_sampling(options)
        _check_film(how_to, size_of(model, load_image(how_to.folder / PHOTO), settings), options.speed, film)
        count = len(how_to.plan.steps)

        def begun(state: StepState) -> None:
            print(f"{state.number}/{count} {state.step.action}", file=sys.stderr, flush=True)

        def done(state: StepState, made: FinishedFrames) -> None:
            print(f"{state.number}/{count} {made.drift.report()}", flush=True)

        make_steps(model, how_to, settings, on_state=begun, on_made=done)
    for state in how_to.states():
        if state.status == "kept":
            print(f"Step {state.number} is kept, though it began with a picture that was made again since.")
    package = write_package(paced(how_to.finished(), options.speed), options.out, film)
    for path in (package.film, package.subtitles, package.sheet, package.page):
        say(path)


def _check_film(how_to: HowTo, size: tuple[int, int], speeds: list[float], film: FilmSettings) -> None:
    """Whatever the film cannot be is told before the steps are made, which may take a night.

    Raises:
        IVGError: a text cannot be drawn, or there are too many speeds.
    """
    import torch

    from ..howto.film import Film, FinishedStep, paced

    blank = torch.zeros(2, size[1], size[0], 3)
    Film(paced([FinishedStep(step.caption, blank) for step in how_to.plan.steps], speeds), film)


def _begun(options: argparse.Namespace) -> HowTo:
    """The how-to in the folder, begun or gone on with, with the steps that are to be made again."""
    from ..howto.work import PHOTO, begin, make_again, resume
    from ..media.images import load_image

    later: Later = "keep" if options.keep_later else "make"
    if options.plan is None:
        if options.photo:
            raise IVGError("There is a photo and no plan: give it with --steps.")
        how_to = resume(options.out, later)
    else:
        photo = options.photo or options.out / PHOTO
        if not photo.exists():
            raise IVGError(f"There is no photo at {photo}: give the one that the first step begins with as --photo.")
        how_to = begin(_plan(options), load_image(photo), options.out, later)
    return make_again(how_to, sorted(set(options.redo))) if options.redo else how_to


def _plan(options: argparse.Namespace) -> Plan:
    from ..howto.plan import read_plan
    from ..howto.work import resume
    from ..media.images import load_image
    from ..media.text import read_text

    if options.plan is None:
        return resume(options.out).plan
    photo = load_image(options.photo) if options.photo and (options.vlm or options.server) else None
    return read_plan(read_text(options.plan), folder=options.plan.parent, by=asked_of(options), photo=photo)
