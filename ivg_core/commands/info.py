"""`info`: explain a checkpoint."""

from __future__ import annotations

import argparse

from .kinds import count, size
from .shared import command


def add(commands) -> None:
    """Add the command to the parser."""
    info = command(commands, "info", _info, "explain a checkpoint: what it is, what is missing, licence, memory")
    info.add_argument("checkpoint", help='folder, file, or "embedded"')
    info.add_argument(
        "--size", type=size, metavar="WxH", help="of the clip whose memory is counted (default: the model's)"
    )
    info.add_argument("--frames", type=count(), help="of that clip (default: the model's)")


def _info(options: argparse.Namespace) -> None:
    from ..checkpoints.info import inspect_checkpoint

    print(inspect_checkpoint(options.checkpoint, options.size, options.frames))
