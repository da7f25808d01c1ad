"""`invert`: a clip -> the noise that it comes from, whose motion `generate --noise-prior` takes up."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .kinds import a_path, a_share, count, new_file, number, size
from .shared import command, load_for_sampling, model_options, network_options, progress, say

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.bundle import IVGModel
    from ..sampling.noise import NoisePrior

STRENGTH = 0.3


def add(commands) -> None:
    """Add the command to the parser."""
    said = "a clip -> the noise that the model would make it of, for generate --noise-prior"
    invert = command(commands, "invert", _invert, said, model_options(), network_options())
    invert.add_argument("clip", type=a_path, help="video, GIF or folder of pictures")
    invert.add_argument("--out", type=new_file(".safetensors"), required=True, help="file to write: .safetensors")
    invert.add_argument("--prompt", default="", help="what is done in it; usually not told")
    invert.add_argument("--steps", type=count(), default=50, help="more of them come closer to the clip")
    invert.add_argument("--frames", type=count(2), help="of the clip (default: the model's)")
    said = "take the first frames, at so many a second (default: frames spread evenly over the clip)"
    invert.add_argument("--fps", type=number(1e-3, 240), help=said)
    invert.add_argument("--size", type=size, metavar="WxH", help="multiples of 8 (default: the model's area)")


def prior_options() -> argparse.ArgumentParser:
    """How much of a video's start noise is a clip's; `prior_of` reads it."""
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("noise prior")
    group.add_argument(
        "--noise-prior",
        type=a_path,
        help="clip whose motion is taken up, or the .safetensors that invert made of it; a clip is inverted here, "
        "once: it is kept in the user's cache folder",
    )
    group.add_argument(
        "--noise-prior-strength", type=a_share, default=STRENGTH, help="0 is off, 0.1 to 0.5 for one clip, 1 all of it"
    )
    return options


def prior_of(options: argparse.Namespace, model: IVGModel) -> NoisePrior | None:
    """What `prior_options` were given."""
    from ..sampling.invert import invert_once, load_inverted
    from ..sampling.noise import NoisePrior

    path: Path | None = options.noise_prior
    if path is None or options.noise_prior_strength == 0:
        return None
    if path.suffix.lower() == ".safetensors":
        inverted = load_inverted(path)
    else:
        frames = _frames(path, options.frames or model.defaults.num_frames)
        inverted = invert_once(model, frames, size=options.size, on_step=progress("inversion"))
    return NoisePrior(inverted, options.noise_prior_strength)


def _invert(options: argparse.Namespace) -> None:
    from ..sampling.invert import invert, save_inverted

    model = load_for_sampling(options, [2])
    inverted = invert(
        model,
        _frames(options.clip, options.frames or model.defaults.num_frames, options.fps),
        steps=options.steps,
        prompt=options.prompt,
        size=options.size,
        on_step=progress("inversion"),
    )
    save_inverted(inverted, options.out)
    say(options.out)


def _frames(path: Path, frames: int, fps: float | None = None) -> Tensor:
    from ..media.clips import open_media, some_frames

    return some_frames(open_media(path), frames, fps)
