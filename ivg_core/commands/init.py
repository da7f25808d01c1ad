"""`init-model`: an untrained IVG checkpoint from a text-to-video one."""

from __future__ import annotations

import argparse

from .kinds import a_path, a_seed, new_folder
from .shared import command, say


def add(commands) -> None:
    """Add the command to the parser."""
    init = command(
        commands,
        "init-model",
        _init,
        "write an untrained IVG checkpoint that begins as a text-to-video model (zeroscope, ModelScope); then train it",
    )
    init.add_argument(
        "base",
        type=a_path,
        help="its folder, of diffusers' or of ModelScope's own files: download zeroscope_v2_576w fetches one",
    )
    init.add_argument("--out", type=new_folder, required=True, help="a new folder in the published layout")
    init.add_argument("--seed", type=a_seed, default=0, help="of the weights that begin random")


def _init(options: argparse.Namespace) -> None:
    from ..checkpoints.init import init_model
    from ..checkpoints.save import save_folder
    from ..errors import IVGError

    if options.out.is_dir() and any(options.out.iterdir()):
        raise IVGError(f"{options.out} is not empty: give a new folder.")
    say(save_folder(init_model(options.base, seed=options.seed), options.out))
