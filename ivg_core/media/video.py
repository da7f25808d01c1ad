"""Videos: frames as a tensor to mp4, webm, gif or numbered PNGs, and back."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageSequence
from torch import Tensor

from ..errors import IVGError
from .files import atomic_write
from .images import save_png

# One palette for the whole clip, and an ordered dither: the usual one crawls over still parts.
PALETTE = "split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=bayer:bayer_scale=4:diff_mode=rectangle"
# Without these tags players guess the colour matrix from the picture's height.
YUV = {
    "vf": "scale=out_color_matrix=bt709:out_range=tv",
    "pix_fmt": "yuv420p",
    "colorspace": "bt709",
    "color_primaries": "bt709",
    "color_trc": "bt709",
    "color_range": "tv",
}
ENCODERS = {
    ".mp4": YUV | {"c:v": "libx264", "crf": "17", "preset": "medium", "movflags": "+faststart"},
    ".webm": YUV | {"c:v": "libvpx-vp9", "crf": "24", "b:v": "0", "row-mt": "1"},
    ".gif": {"filter_complex": PALETTE, "loop": "0"},
}


def write_video(frames: Tensor, path: str | os.PathLike, fps: float, metadata: Mapping[str, Any] | None = None) -> Path:
    """Write a clip, whole or not at all; the path's ending chooses the format.

    `.mp4` is H.264 and `.webm` VP9, both yuv420p so that every browser plays them: this format needs even sides, so an
    odd one grows by one pixel that repeats the edge. `.gif` loops for ever. `.png` writes `name_0001.png`,
    `name_0002.png`, …

    Args:
        frames: (F, H, W, 3), 0..1, F >= 1.
        path: where to; missing folders are made.
        fps: frames a second, above 0, at most 240; a GIF holds at most 50. Numbered PNGs do not keep it.
        metadata: kept as JSON in the `comment` tag of mp4 and webm, and in the text entry `comment` of PNGs.

    Returns:
        The file written; for `.png` the first of them.

    Raises:
        IVGError: wrong shape, fps or ending, or the place cannot be written to.
    """
    target = Path(path).expanduser()
    suffix = target.suffix.lower()
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.shape[0] < 1:
        raise IVGError(f"A video needs frames of shape (frames, height, width, 3), not {tuple(frames.shape)}.")
    most = 50 if suffix == ".gif" else 240
    if not (math.isfinite(fps) and 0 < fps <= most):
        raise IVGError(f"{target.name} cannot play {fps} frames a second: choose more than 0 and at most {most}.")
    comment = json.dumps(metadata, ensure_ascii=False) if metadata else ""
    if suffix == ".png":
        return _write_pngs(frames, target, comment)
    if suffix not in ENCODERS:
        raise IVGError(f"{target.name} names no format to write: end it in {', '.join(ENCODERS)} or .png.")
    if suffix != ".gif":
        frames = _even(frames)
    height, width = frames.shape[1:3]
    source = {"f": "rawvideo", "pix_fmt": "rgb24", "s": f"{width}x{height}", "r": f"{fps:g}", "i": "-"}
    encoder = ENCODERS[suffix] | ({"metadata": f"comment={comment}"} if comment else {})
    with atomic_write(target) as temporary:
        _ffmpeg([*_options(source), *_options(encoder), str(temporary)], _bytes(frames), target)
    return target


def read_video(path: str | os.PathLike) -> tuple[Tensor, float]:
    """Read a whole clip.

    Returns:
        frames (F, H, W, 3) 0..1, and frames a second.

    Raises:
        IVGError: no such file, or not a video.
    """
    if not Path(path).is_file():
        raise IVGError(f"There is no video at {path}: check the path.")
    try:
        # ffmpeg would repeat a GIF's frames, whose durations are whole hundredths of a second, up to 100 a second
        frames, fps = _read_gif(path) if Path(path).suffix.lower() == ".gif" else _read_ffmpeg(path)
    except (OSError, RuntimeError, ValueError, KeyError, StopIteration) as error:
        raise IVGError(f"{path} cannot be read as a video: give an mp4, webm, gif, mov or avi file.") from error
    if not frames:
        raise IVGError(f"{path} holds no frames: give another video.")
    return torch.from_numpy(np.stack(frames)).float() / 255, fps


def _read_gif(path: str | os.PathLike) -> tuple[list[np.ndarray], float]:
    with Image.open(path) as picture:
        frames, milliseconds = [], 0.0
        for frame in ImageSequence.Iterator(picture):
            frames.append(np.array(frame.convert("RGB")))
            milliseconds += frame.info.get("duration") or 100
    return frames, round(1000 * len(frames) / milliseconds, 2)


def _read_ffmpeg(path: str | os.PathLike) -> tuple[list[np.ndarray], float]:
    import imageio_ffmpeg

    reader: Iterator[Any] = imageio_ffmpeg.read_frames(str(path), pix_fmt="rgb24")
    info = next(reader)
    width, height = info["size"]
    return [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader], float(info["fps"])


def _write_pngs(frames: Tensor, target: Path, comment: str) -> Path:
    names = [target.with_name(f"{target.stem}_{i:04d}.png") for i in range(1, len(frames) + 1)]
    for frame, name in zip(frames, names, strict=True):
        save_png(frame, name, {"comment": comment} if comment else None)
    return names[0]


def _even(frames: Tensor) -> Tensor:
    if frames.shape[1] % 2:
        frames = torch.cat([frames, frames[:, -1:]], dim=1)
    if frames.shape[2] % 2:
        frames = torch.cat([frames, frames[:, :, -1:]], dim=2)
    return frames


def _bytes(frames: Tensor) -> bytes:
    return (frames.detach().float().clamp(0, 1) * 255).round().byte().cpu().numpy().tobytes()


def _options(options: Mapping[str, str]) -> list[str]:
    return [word for name, value in options.items() for word in (f"-{name}", value)]


def _ffmpeg(arguments: list[str], stdin: bytes, target: Path) -> None:
    import imageio_ffmpeg

    try:
        ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise IVGError("There is no ffmpeg on this machine: install it, or reinstall imageio-ffmpeg.") from error
    done = subprocess.run([ffmpeg, "-loglevel", "error", "-y", *arguments], input=stdin, capture_output=True)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise IVGError(
            f"{target} could not be written ({said[-1] if said else 'ffmpeg failed'}): choose a folder that may be "
            "written to and has free space, or another format."
        )
