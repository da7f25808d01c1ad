"""`info`: explain a checkpoint."""

from __future__ import annotations

import argparse

from .shared import command


def add(commands) -> None:
    """Add the command to the parser."""
    info = command(commands, "info", _info, "explain a checkpoint: what it is, what is missing, licence, memory")
    info.add_argument("checkpoint", help='folder, file, or "embedded"')


def _info(options: argparse.Namespace) -> None:
    from ..models.inspect import inspect_checkpoint

    print(inspect_checkpoint(options.checkpoint))
