"""What several commands share: their options, loading the model, progress, and what they say."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import IVGError
from ..sampling.context import WEIGHTS, WINDOW_NOISES, WINDOW_SCHEDULES, ContextWindows
from ..sampling.settings import MOTION_MODES, REGIONS, SOLVERS, Sampling
from .kinds import a_device, a_model, a_path, a_schedule, a_seed, a_share, count, not_negative, number, size
from .lora_options import check_loras, wearing_options, with_loras

if TYPE_CHECKING:
    from torch import Tensor

    from ..enrich.local import LocalModel
    from ..enrich.server import Server
    from ..models.bundle import IVGModel

T = TypeVar("T")


def model_options(device: Callable[[str], str] = a_device) -> argparse.ArgumentParser:
    """Which model, and on what; `device` is the kind of --device."""
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("model")
    group.add_argument(
        "--model", type=a_model, default="embedded", help='checkpoint folder, one-file .safetensors, or "embedded"'
    )
    group.add_argument("--rom-model", type=a_model, help="another checkpoint whose weights predict the mask")
    group.add_argument(
        "--boxes-model", type=a_model, help='gates for boxes, for a model without: a file, or "embedded" for its own'
    )
    group.add_argument(
        "--parts",
        type=a_path,
        action="append",
        help="folder of the autoencoder and text encoder of a model whose files lie apart (ModelScope, SMCD); may be "
        "given repeatedly",
    )
    group.add_argument("--device", type=device, default="cpu", help="cpu, cuda, mps …")
    group.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32", help="of the weights")
    return options


def network_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("network")
    wearing_options(group)
    group.add_argument(
        "--float8", action="store_true", help="keep the networks' weights in 8 bits: less memory, slower"
    )
    group.add_argument(
        "--offload", action="store_true", help="keep the networks in main memory, each on --device while it works"
    )
    group.add_argument("--compile", action="store_true", help="compile the layers first: pays for many videos")
    return options


def plugin_option(parser: argparse.ArgumentParser) -> None:
    """A file with losses or metrics of the user's own."""
    parser.add_argument(
        "--plugin",
        type=a_path,
        action="append",
        default=[],
        metavar="FILE",
        help="a file of Python to run first, which may call ivg_core.register_loss and register_metric; may be given "
        "repeatedly",
    )


def scene_options(photo_needed: bool = True) -> argparse.ArgumentParser:
    """What is made; without a photo it is a text-to-video model's."""
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("scene")
    said = "the photo" if photo_needed else "the photo; not given for a text-to-video model"
    group.add_argument("--image", type=a_path, required=photo_needed, help=said)
    said = 'what is done, e.g. "julienne the carrot"'
    if photo_needed:
        group.add_argument("--prompt", required=True, help=said)
    else:
        either = group.add_mutually_exclusive_group(required=True)
        either.add_argument("--prompt", help=said)
        either.add_argument(
            "--prompts",
            type=a_schedule,
            help='several sentences: a text file with a line such as "40: stir" for each, where 40 is the frame from '
            'which on it is done; or these lines, separated by "|"',
        )
    group.add_argument("--size", type=size, metavar="WxH", help="of the video, multiples of 8 (default: the photo's)")
    group.add_argument("--frames", type=count(), help="(default: the model's)")
    group.add_argument(
        "--seed",
        type=a_seed,
        default=0,
        help="same seed, same frames; on other devices up to rounding",
    )
    return options


def denoising_options(steps: str = "--steps") -> argparse.ArgumentParser:
    """What holds for both stages; `steps` is what the number of denoising steps is called."""
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("denoising")
    group.add_argument(steps, type=count(), dest="steps", help="denoising steps (default: the model's)")
    group.add_argument("--guidance", type=number(), help="how strongly the prompt is followed (default: the model's)")
    return options


def sampling_options(steps: str = "--steps") -> argparse.ArgumentParser:
    """The whole list of `Sampling`; `sampling_of` reads it."""
    options = argparse.ArgumentParser(add_help=False, parents=[denoising_options(steps)])
    group = options.add_argument_group("sampling of the video")
    group.add_argument(
        "--guidance-part", type=a_share, nargs=2, default=(0.0, 1.0), metavar=("FROM", "TO"), help="of the steps, 0..1"
    )
    group.add_argument(
        "--solver",
        choices=SOLVERS,
        default=SOLVERS[0],
        help="lcm is for few-step LoRAs, at 4 to 8 --steps and --guidance 1, and makes better hands with the embedded "
        "model, at 6 --steps",
    )
    group.add_argument(
        "--region",
        choices=REGIONS,
        default=REGIONS[0],
        help="what is sampled: the whole picture, a window around the mask (faster), or that window at the model's own "
        "size (more detail)",
    )
    group.add_argument(
        "--cache-every", type=count(), default=1, help="compute the deep layers at every so many steps only; 1 is exact"
    )
    group.add_argument(
        "--cache-tolerance",
        type=number(),
        default=0.0,
        help="compute the deep layers anew where a step has come further than this share, such as 0.3; 0 is exact",
    )
    group.add_argument("--boxes-scale", type=number(), default=1.0, help="how strongly the boxes are followed")
    group.add_argument(
        "--photo-scale", type=number(), default=1.0, help="how strongly the photo is followed, by a model of SMCD"
    )
    group.add_argument("--decode-chunk", type=count(), help="frames decoded at once; fewer take less memory")
    group.add_argument("--free-first-frame", action="store_true", help="do not hold frame 1 to the photo")
    group.add_argument(
        "--no-composite", action="store_true", help="do not paste the photo, or --video, back outside the mask"
    )
    group.add_argument("--feather", type=not_negative, help="width of the composite's seam in pixels")
    group.add_argument("--binarize-mask", action="store_true", help="round the latent mask to 0 and 1, as in training")
    group.add_argument(
        "--motion-mode",
        choices=MOTION_MODES,
        default=MOTION_MODES[0],
        help="scaled_by_area calms small masks: the motion strength times the share that the mask covers",
    )
    group.add_argument("--parity", action="store_true", help="follow the released code to the letter")
    group.add_argument("--t-last", type=count(0), help="start noise of the released web app, 0 at its first run")
    group = options.add_argument_group("windows of time, for long videos; any of these options turns them on")
    group.add_argument("--window", type=count(), help="frames of a window (default: what the model was made for)")
    group.add_argument(
        "--stride",
        type=count(),
        help="frames from a window to the next (default: half a window; a tuned model's own)",
    )
    group.add_argument("--window-schedule", choices=WINDOW_SCHEDULES, help="uniform windows shift from step to step")
    group.add_argument("--window-weights", choices=WEIGHTS, help="of a window's frames, where windows overlap")
    group.add_argument("--window-noise", choices=WINDOW_NOISES, help="freenoise: all windows begin alike")
    group.add_argument("--window-batch", type=count(), help="windows computed at once; more take more memory")
    group.add_argument(
        "--window-device", type=a_device, action="append", help="one more device, for its share of the windows"
    )
    return options


def sampling_of(options: argparse.Namespace, photo: bool = True, masked: bool = False) -> Sampling:
    """What `sampling_options` were given.

    Args:
        options: of the command line.
        photo: whether there is one to hold the video to.
        masked: whether there is a source video that is to stay outside masks.
    """
    how = Sampling(
        num_inference_steps=options.steps,
        guidance_scale=options.guidance,
        guidance_interval=tuple(options.guidance_part),
        solver=options.solver,
        region=options.region,
        cache_every=options.cache_every,
        cache_tolerance=options.cache_tolerance,
        decode_chunk=options.decode_chunk,
        keep_first_frame=False if options.free_first_frame else None,
        composite=False if options.no_composite else None,
        feather=options.feather,
        binarize_mask=options.binarize_mask,
        motion_mode=options.motion_mode,
        parity=options.parity,
        t_last=options.t_last,
        photo_scale=options.photo_scale,
        boxes_scale=options.boxes_scale,
        context=_context_of(options),
    )
    return how.for_scene(photo, masked)


def _context_of(options: argparse.Namespace) -> ContextWindows | None:
    asked = {
        "length": options.window,
        "stride": options.stride,
        "schedule": options.window_schedule,
        "weights": options.window_weights,
        "noise": options.window_noise,
        "batch": options.window_batch,
        "devices": options.window_device and tuple(options.window_device),
    }
    known = {name: value for name, value in asked.items() if value is not None}
    return ContextWindows(**known) if known else None


def hand_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--hand-backend",
        choices=("torch", "mediapipe"),
        default="torch",
        help="what finds hands: MediaPipe's networks in PyTorch, or mediapipe itself, which must be installed",
    )
    return options


def asking_options(title: str) -> argparse.ArgumentParser:
    """Whom to ask about words; `asked_of` reads it."""
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group(title)
    group.add_argument("--vlm", type=a_path, metavar="FOLDER", help="a vision-language model for transformers")
    group.add_argument("--server", metavar="URL", help="an OpenAI-compatible one of yours: http://localhost:11434/v1")
    group.add_argument("--server-model", default="", help="name of the model there")
    group.add_argument("--timeout", type=number(0.1, 86400), default=60.0, help="seconds for an answer of the server")
    return options


def asked_of(options: argparse.Namespace) -> LocalModel | Server | None:
    """Whom `asking_options` name; None: nobody."""
    from ..enrich.local import LocalModel
    from ..enrich.server import Server

    if options.vlm and options.server:
        raise IVGError("Give --vlm or --server, not both.")
    if options.vlm:
        return LocalModel(options.vlm, options.device)
    return Server(options.server, options.server_model, options.timeout) if options.server else None


def stage1_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--threshold", type=a_share, default=0.5, help="of the predicted mask, 0..1")
    return options


def flush_denormals() -> None:
    """For commands that train: vanishing gradients would slow a CPU down tenfold."""
    import torch

    torch.set_flush_denormal(True)


class TellsDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Tells the default of an option that has one, unless its text does."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False or "(default" in (action.help or ""):
            return action.help
        return super()._get_help_string(action)


def command(commands: Any, name: str, run, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add one command to the parser; `run` is called with the parsed options."""
    added = commands.add_parser(name, help=text, description=text, parents=parents, formatter_class=TellsDefaults)
    added.set_defaults(run=run)
    return added


def unit_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--unit`, in which the options `what` are told."""
    text = f"what {what} count; thousandths of the picture's width mean the same on a photo of any size"
    parser.add_argument("--unit", choices=("pixels", "thousandths"), default="pixels", help=text)


def load(options: argparse.Namespace, device: str | None = None) -> IVGModel:
    import torch

    from ..checkpoints.load import load_model

    dtype, device = getattr(torch, options.dtype), device or options.device
    return load_model(
        options.model,
        dtype=dtype,
        device=device,
        rom=options.rom_model,
        boxes=options.boxes_model,
        beside=options.parts or (),
    )


def load_for_sampling(options: argparse.Namespace, stages: Sequence[int] = (1, 2)) -> IVGModel:
    """The model as `network_options` want it.

    Args:
        options: of the command line.
        stages: that are sampled; a LoRA for another one is refused, for nothing would come of it.
    """
    import torch

    from ..models.compiled import check_compiler, compile_network
    from ..models.float8 import store_in_float8

    check_loras(options)
    model = load(options, "cpu" if options.offload else None)
    if options.offload:
        model.work_device = torch.device(options.device)
    if options.lora:
        model = with_loras(options, model, stages)
    if options.compile:
        check_compiler(torch.device(options.device))
    unets: tuple[Any, Any] = (model.unet, model.rom_unet)
    for unet in filter(None, unets):
        if options.float8:
            store_in_float8(unet)
        if options.compile:
            compile_network(unet, lambda said: print(f"\n{said}", file=sys.stderr))
    return model


def progress(what: str):
    def show(step: int, total: int, x0: Tensor) -> None:
        end = "\n" if step == total else ""
        print(f"\r{what}: step {step}/{total}", end=end, file=sys.stderr, flush=True)

    return show


def given(value, default):
    return default if value is None else value


def say(path: Path) -> None:
    print(f"wrote {path}")
