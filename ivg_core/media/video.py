"""Videos: frames as a tensor to mp4, webm, gif or numbered PNGs, and back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from .clips import open_media
from .ffmpeg import ffmpeg_options, write_with_ffmpeg
from .files import atomic_write
from .frames import as_tensor, to_frames
from .images import save_png, to_bytes
from .targets import VIDEO_ENDINGS, check_file, check_fps, check_memory, user_path

NO_FRAMES = "There are no frames to write: look at the step that should have made them."
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
# Without these each file gets a random number and the encoder's version.
SAME_BYTES = ("-fflags", "+bitexact", "-flags:v", "+bitexact")
ENCODERS = {
    ".mp4": YUV | {"c:v": "libx264", "crf": "17", "preset": "medium", "movflags": "+faststart"},
    ".webm": YUV | {"c:v": "libvpx-vp9", "crf": "24", "b:v": "0", "row-mt": "1"},
    ".gif": {"filter_complex": PALETTE, "loop": "0"},
}


def write_video(
    frames: Tensor | Iterable[Tensor],
    path: str | os.PathLike,
    fps: float,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write a clip, whole or not at all; the path's ending chooses the format.

    `.mp4` is H.264 and `.webm` VP9, both yuv420p so that every browser plays them: this format needs even sides, so an
    odd one grows by one pixel that repeats the edge. `.gif` loops for ever. `.png` writes `name_0001.png`,
    `name_0002.png`, …

    Args:
        frames: (F, H, W, 3), 0..1, F >= 1; see `to_frames`. Or such clips, one after the other and of one size: each
            is written when it comes, and none is kept (but ffmpeg keeps those of a GIF, whose palette is of them all).
        path: where to; missing folders are made.
        fps: frames a second, above 0, at most 240; a GIF holds at most 50. Numbered PNGs do not keep it.
        metadata: kept as JSON in the `comment` tag of mp4 and webm, in the text entry `comment` of PNGs, and in the
            comment of a GIF.

    Returns:
        The file written; for `.png` the first of them.

    Raises:
        IVGError: wrong shape, values (NaN), fps or ending, or the place cannot be written to.
    """
    target = user_path(path)
    suffix = target.suffix.lower()
    if isinstance(frames, (Tensor, np.ndarray)):
        frames = [to_frames(as_tensor(frames, "frames"))]
    chunks = map(to_frames, frames)
    check_file(target, VIDEO_ENDINGS)
    check_fps(target, fps)
    texts = as_comment(metadata)
    if suffix == ".png":
        return _write_pngs(chunks, target, texts)
    pictures = map(to_bytes, chunks if suffix == ".gif" else map(_even, chunks))  # `map` holds no chunk, a loop would
    first = next(pictures, None)
    if first is None:
        raise IVGError(NO_FRAMES)
    height, width = first.shape[1:3]
    source = {"f": "rawvideo", "pix_fmt": "rgb24", "s": f"{width}x{height}", "r": f"{fps:g}", "i": "-"}
    encoder = ENCODERS[suffix] | ({"metadata": f"comment={texts['comment']}"} if texts else {})
    with atomic_write(target) as temporary:
        words = [*ffmpeg_options(source), *SAME_BYTES, *ffmpeg_options(encoder), str(temporary)]
        write_with_ffmpeg(words, _pieces(first, pictures), target)
        if suffix == ".gif" and texts:
            _add_gif_comment(temporary, json.dumps(metadata, default=str))
    return target


def as_comment(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    """The text entry, or tag, in which a file keeps its metadata, as JSON; none where there is none."""
    return {"comment": json.dumps(metadata, ensure_ascii=False, default=str)} if metadata else {}


def read_video(path: str | os.PathLike) -> tuple[Tensor, float]:
    """Read a whole clip into memory; `open_media` reads one frame by frame.

    Args:
        path: a video, a GIF, or a folder of pictures in the order of their numbers.

    Returns:
        frames (F, H, W, 3) 0..1, and frames a second.

    Raises:
        IVGError: no such file, not a video, or more than the memory holds.
    """
    frames, fps = read_clip(path)
    return frames.float().div_(255), fps


def read_clip(path: str | os.PathLike) -> tuple[Tensor, float]:
    """As `read_video`, in a quarter of the memory.

    Returns:
        frames (F, H, W, 3) uint8, and frames a second.
    """
    media = open_media(user_path(path))
    facts = media.facts()
    check_memory(facts.frames, (facts.width, facts.height), "give a shorter clip, or a smaller one", bytes_a_value=2)
    return torch.from_numpy(np.stack(list(media.read()))), media.fps


def _add_gif_comment(path: Path, text: str) -> None:
    """Adds a comment, ASCII as the format wants it, before everything but the global palette: ffmpeg writes none."""
    whole = path.read_bytes()
    start = 13 + (3 << (whole[10] & 7) + 1 if whole[10] & 0x80 else 0)
    said = text.encode("ascii")
    blocks = b"".join(bytes([len(part)]) + part for part in (said[i : i + 255] for i in range(0, len(said), 255)))
    path.write_bytes(whole[:start] + b"\x21\xfe" + blocks + b"\0" + whole[start:])


def _write_pngs(chunks: Iterator[Tensor], target: Path, texts: Mapping[str, str]) -> Path:
    written: list[Path] = []

    def write(chunk: Tensor) -> None:
        for frame in chunk:
            name = target.with_name(f"{target.stem}_{len(written) + 1:04d}.png")
            save_png(frame, name, texts)
            written.append(name)

    try:
        for _ in map(write, chunks):
            pass
    except BaseException:
        for name in written:
            name.unlink(missing_ok=True)
        raise
    if not written:
        raise IVGError(NO_FRAMES)
    return written[0]


def _pieces(first: np.ndarray, others: Iterator[np.ndarray]) -> Iterator[bytes]:
    """The bytes of pictures (n, H, W, 3) that belong to one video."""
    yield first.tobytes()
    for pictures in others:
        if pictures.shape[1:] != first.shape[1:]:
            (height, width), (now_height, now_width) = first.shape[1:3], pictures.shape[1:3]
            raise IVGError(
                f"The frames change from {width} x {height} to {now_width} x {now_height}: bring them to one size."
            )
        yield pictures.tobytes()


def _even(frames: Tensor) -> Tensor:
    if frames.shape[1] % 2:
        frames = torch.cat([frames, frames[:, -1:]], dim=1)
    if frames.shape[2] % 2:
        frames = torch.cat([frames, frames[:, :, -1:]], dim=2)
    return frames
