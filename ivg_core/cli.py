"""The command line: ``python -m ivg_core <command> --help``, or ``ivg``, explains each command."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from .commands.words import in_words_of
from .errors import IVGError, out_of_memory

#: Files of `commands/`, in the order in which `--help` lists them.
SUBJECTS = (
    "scenes",
    "generate",
    "invert",
    "find",
    "refine",
    "window",
    "annotate",
    "hands",
    "boxes",
    "batch",
    "how_to",
    "enrich",
    "init",
    "train",
    "lora",
    "info",
    "download",
    "data",
    "evaluate",
)

EXAMPLES = """\
examples:
  python -m ivg_core demo
      one drawn scene through both stages with the embedded model; the results lie in out/demo
  python -m ivg_core generate --image kitchen.png --prompt "julienne the carrot" --model models/IVG.1.0 --out carrot.mp4
      predict where it happens, then make the video
  python -m ivg_core predict-mask --image kitchen.png --prompt "julienne the carrot" --out mask.png
      only the mask, to be edited by hand; then: generate … --mask mask.png
  python -m ivg_core find-rom --image kitchen.png --out mask.png
      the same for a real photo, without a model: from its hands, and from things and a draft video if you give them
  python -m ivg_core info models/IVG.1.0
      what this checkpoint is, what is missing, its licence, the memory it takes
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 when it worked, 2 with one sentence on stderr when the user can mend something."""
    try:
        options = build_parser().parse_args(argv)
    except IVGError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return run_command(options, lambda sentence: _worded(options, sentence))


def run_command(options: argparse.Namespace, worded: Callable[[str], str] = str) -> int:
    """Run what was parsed; see `main`.

    Args:
        options: its `run` is called with all of them.
        worded: gives the library's sentences in the words of the command.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may hold what a terminal cannot show
    logging.basicConfig(format="note: %(message)s", level=logging.WARNING)
    try:
        options.run(options)
    except IVGError as error:
        print(f"error: {worded(str(error))}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        print(f"error: There is not enough memory for this: make it smaller or shorter. ({error})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; nothing was written that is not whole", file=sys.stderr)
        return 130
    return 0


def _worded(options: argparse.Namespace, sentence: str) -> str:
    """An error of the library in the words of the command that was run."""
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return in_words_of(commands.choices[options.command], sentence)


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one sentence, without the list of all options before it."""

    def error(self, message: str) -> NoReturn:
        """Raises an IVGError; argparse would end the process."""
        sentence = message.removeprefix("argument ")
        raise IVGError(f"{sentence}{'' if sentence.endswith('.') else '.'} ({self.prog} --help explains the options)")


def build_parser() -> argparse.ArgumentParser:
    """All commands; `parse_args` gives options whose `run` does the work, or raises an IVGError."""
    parser = Parser(
        prog="ivg" if Path(sys.argv[0]).stem == "ivg" else "python -m ivg_core",
        description="Instructional video generation: a photo and a sentence become a motion mask and a video.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command", dest="command")
    for subject in SUBJECTS:
        import_module(f".commands.{subject}", __package__).add(commands)
    return parser
