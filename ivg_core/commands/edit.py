"""The options of `generate` for a video made of another one: source, control, depth, masks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import IVGError
from ..media.files import PICTURES
from .kinds import a_path, a_share, number

if TYPE_CHECKING:
    from torch import Tensor

    from ..models.bundle import IVGModel
    from ..sampling.edit import ControlVideo

STRENGTH = 0.5


def edit_options() -> argparse.ArgumentParser:
    """`edit_of` reads them."""
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group(
        "video to video, for a model that takes no photo",
        "Videos may be GIFs or folders of frames as well; of each the first --frames are taken, or all.",
    )
    group.add_argument(
        "--video", type=a_path, help="video to start from; with --mask it changes inside, and a video of masks may move"
    )
    group.add_argument(
        "--strength", type=a_share, help=f"how much it changes: 0 is the video itself, 1 anew (default: {STRENGTH})"
    )
    group.add_argument(
        "--control-net",
        type=a_path,
        help="folder of a ControlNet, or folder or file of a T2I-Adapter, for this version of Stable Diffusion",
    )
    shown = group.add_mutually_exclusive_group()
    shown.add_argument(
        "--control",
        type=a_path,
        help="video, or picture for all frames, that it follows; Follow-Your-Pose follows skeletons without it",
    )
    shown.add_argument("--canny", action="store_true", help="it follows the edges of --video")
    group.add_argument("--control-scale", type=number(), help="how strongly it is followed (default: 1)")
    group.add_argument(
        "--depth", type=a_path, help="video, or picture for all frames, of depth, near is white: for a model with depth"
    )
    return options


def check_edit(options: argparse.Namespace) -> float | None:
    """Let pass options that fit each other.

    Returns:
        Frames a second of the source video, if there is one.

    Raises:
        IVGError: one lacks another, or excludes it, or there is no such video.
    """
    from ..media.clips import open_media

    shown = options.control or options.canny
    needs = [
        ("--strength", options.strength is not None, "--video", options.video),
        ("--canny", options.canny, "--video", options.video),
        ("--canny", options.canny, "--control-net", options.control_net),
        ("--control-scale", options.control_scale is not None, "--control or --canny", shown),
        ("--control-net", options.control_net, "--control or --canny", shown),
    ]
    for name, asked, other, given in needs:
        if asked and not given:
            raise IVGError(f"{name} is of no use without {other}: give both, or leave it out.")
    if not (options.video or options.control or options.depth):
        return None
    photos = {
        "--image": options.image,
        "--fallback": options.fallback,
        "--chain": options.chain,
        "--noise-prior": options.video and options.noise_prior,
    }
    if wrong := [name for name, value in photos.items() if value]:
        raise IVGError(f"Video to video, control and depth go without {' and '.join(wrong)}: leave one out.")
    given = {path: open_media(path) for path in (options.video, options.control, options.depth) if path}
    return given[options.video].fps if options.video else None


def edit_of(options: argparse.Namespace, model: IVGModel) -> dict[str, Any]:
    """The arguments of `generate`, as far as these options decide them."""
    from ..sampling.beside import depth_beside
    from ..sampling.edit import SourceVideo, source_size

    video, control, depth = (_clip(path, options.frames) for path in (options.video, options.control, options.depth))
    if options.canny and video is not None:
        from ..media.canny import canny_edges

        control = canny_edges(video)
    clips = [clip for clip in (video, control, depth) if clip is not None]
    if not clips:
        return {}
    size = source_size(model, clips[0], options.size)
    found: dict[str, Any] = {"size": size}
    count = max(map(len, clips)) if video is None else len(video)
    if options.frames is None and (count > 1 or video is not None):  # a picture is for all frames
        found["num_frames"] = count
    if video is not None:
        found["source"] = SourceVideo(video, STRENGTH if options.strength is None else options.strength)
        found["mask"] = _masks(options.mask, options.frames)
    if control is not None:
        found["control"] = _controlled(options, control)
    if depth is not None:
        cell = model.vae_scale_factor
        found["beside"] = depth_beside(depth.mean(-1), size[1] // cell, size[0] // cell)
    return found


def _clip(path: Path | None, frames: int | None) -> Tensor | None:
    """The first so many frames (F, H, W, 3) of a clip, or all."""
    from ..media.clips import open_media, some_frames

    if path is None:
        return None
    media = open_media(path)
    return some_frames(media, frames or media.facts().frames, media.fps)


def _controlled(options: argparse.Namespace, frames: Tensor) -> ControlVideo:
    import torch

    from ..checkpoints.control_nets import load_control_net
    from ..sampling.edit import ControlVideo

    net = None  # what came with the model
    if options.control_net:
        device = "cpu" if options.offload else options.device
        net = load_control_net(options.control_net, dtype=getattr(torch, options.dtype), device=device)
    return ControlVideo(net, frames, 1.0 if options.control_scale is None else options.control_scale)


def _masks(path: Path | None, frames: int | None) -> Any:
    """A mask (H, W), or one for each frame (F, H, W)."""
    from ..media.files import pictures_in
    from ..media.images import load_mask

    if path is None or path.suffix.lower() in PICTURES:
        return path and load_mask(path)
    if path.is_dir():
        return [load_mask(picture) for picture in pictures_in(path)[:frames]]
    clip = _clip(path, frames)
    return clip if clip is None else (clip.mean(-1) >= 0.5).float()  # without the codec's noise
