"""A clip wherever it comes from (video file, GIF, folder of pictures, memory), read frame by frame.

Only one frame at full size is in memory at a time, so a 4K clip costs no more than a small one.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from ..errors import IVGError
from .images import load_image, to_pil

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FOLDER_FPS = 8.0  # a folder of pictures does not say


@dataclass(frozen=True)
class Facts:
    """What a clip says about itself: size in pixels, number of frames, frames a second."""

    width: int
    height: int
    frames: int
    fps: float


class Media(Protocol):
    """A clip."""

    def facts(self) -> Facts:
        """Raises IVGError where it cannot be read."""
        ...

    def read(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """The frames (H, W, 3) uint8 of rising indices, which may come more than once."""
        ...

    def identity(self) -> str:
        """A text that differs when the content does."""
        ...


def open_media(path: Path) -> Media:
    """The clip at a path.

    Raises:
        IVGError: nothing is there, or nothing that is a clip.
    """
    if path.is_dir():
        return PictureFolder(path)
    if not path.is_file():
        raise IVGError(f"There is no video at {path}: check the path.")
    if path.suffix.lower() == ".gif":
        return Gif(path)
    if path.suffix.lower() in VIDEOS:
        return Video(path)
    raise IVGError(f"{path} is no clip: give {', '.join(VIDEOS)}, .gif or a folder of pictures.")


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES and not path.name.startswith(".")]
    return sorted(found, key=lambda path: [int(part) if part.isdigit() else part for part in _parts(path.name)])


def _parts(name: str) -> list[str]:
    return re.split(r"(\d+)", name.lower())  # text and numbers in turn, so that like meets like


@dataclass(frozen=True)
class Video:
    """A file that ffmpeg reads."""

    path: Path

    def facts(self) -> Facts:
        info, frames = self._decode("null")
        first = next(frames, None)
        frames.close()
        if first is None:
            raise IVGError(f"{self.path} holds no frames: give another video.")
        width, height = info["size"]
        return Facts(width, height, self._count(), float(info["fps"]) or FOLDER_FPS)

    def read(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        wanted = sorted(set(indices))
        info, frames = self._decode("select='" + "+".join(f"eq(n,{i})" for i in wanted) + "'")
        width, height = info["size"]
        for index, frame in zip(wanted, frames, strict=True):
            picture = np.frombuffer(frame, np.uint8).reshape(height, width, 3)
            for _ in range(list(indices).count(index)):
                yield picture

    def identity(self) -> str:
        return file_identity(self.path)

    def _decode(self, video_filter: str) -> tuple[dict, Generator[bytes, None, None]]:
        import imageio_ffmpeg

        try:
            options = _every_frame_once(video_filter)
            reader = imageio_ffmpeg.read_frames(str(self.path), pix_fmt="rgb24", output_params=options)
            return next(reader), self._named(reader)
        except (OSError, RuntimeError, ValueError, KeyError, StopIteration) as error:
            raise self._unreadable() from error

    def _count(self) -> int:
        # Headers are often wrong about it, and a file that ends early has fewer than it says.
        import imageio_ffmpeg

        words = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(self.path), *_every_frame_once("null"), "-f", "null", "-"]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True)
        counts = re.findall(rb"frame=\s*(\d+)", done.stderr)
        if not counts:
            raise self._unreadable()
        return int(counts[-1])

    def _named(self, frames: Iterator[bytes]) -> Generator[bytes, None, None]:
        try:
            yield from frames
        except (OSError, RuntimeError) as error:
            raise self._unreadable() from error

    def _unreadable(self) -> IVGError:
        return IVGError(f"{self.path} cannot be read as a video: it is damaged or of another kind; give another file.")


def _every_frame_once(video_filter: str) -> list[str]:
    # ffmpeg repeats and drops frames to keep a steady rate; so far apart it finds nothing to repeat or drop.
    return ["-map", "0:v:0", "-vf", f"{video_filter},setpts=N*100/TB", "-r", "0.01"]


@dataclass(frozen=True)
class Gif:
    """A GIF; ffmpeg would repeat its frames."""

    path: Path

    def facts(self) -> Facts:
        with self._open() as picture:
            count, milliseconds = getattr(picture, "n_frames", 1), 0.0
            for i in range(count):
                picture.seek(i)
                milliseconds += picture.info.get("duration") or 100
            return Facts(picture.width, picture.height, count, 1000 * count / milliseconds)

    def read(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        with self._open() as picture:
            for index in indices:
                picture.seek(index)
                yield np.array(picture.convert("RGB"))

    def identity(self) -> str:
        return file_identity(self.path)

    def _open(self) -> Image.Image:
        try:
            return Image.open(self.path)
        except (OSError, SyntaxError) as error:
            raise IVGError(f"{self.path} cannot be read as a GIF ({error}): give another file.") from error


@dataclass(frozen=True)
class PictureFolder:
    """The frames of a clip as pictures, in the order of their numbers."""

    path: Path

    def facts(self) -> Facts:
        pictures = pictures_in(self.path)
        if not pictures:
            raise IVGError(f"{self.path} holds no pictures: put the frames of a clip there, or remove the folder.")
        height, width = load_image(pictures[0]).shape[:2]
        return Facts(width, height, len(pictures), FOLDER_FPS)

    def read(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        pictures = pictures_in(self.path)
        size = None
        for index in indices:
            frame = np.asarray(to_pil(load_image(pictures[index])))
            if frame.shape[:2] != (size or frame.shape[:2]):
                raise IVGError(
                    f"{pictures[index]} has another size than the frames before it: resize it, or remove it."
                )
            size = frame.shape[:2]
            yield frame

    def identity(self) -> str:
        return "\n".join(file_identity(path) for path in pictures_in(self.path))


@dataclass(frozen=True)
class MemoryClip:
    """Frames (F, H, W, 3), 0..1, that a program holds."""

    frames: Tensor
    fps: float = FOLDER_FPS

    def facts(self) -> Facts:
        return Facts(self.frames.shape[2], self.frames.shape[1], self.frames.shape[0], self.fps)

    def read(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        for index in indices:
            yield np.asarray(to_pil(self.frames[index]))

    def identity(self) -> str:
        digest = hashlib.sha256()
        for frame in self.read(range(len(self.frames))):
            digest.update(frame.tobytes())
        return f"{digest.hexdigest()} {self.fps}"


def file_identity(path: Path) -> str:
    """A text that differs as soon as the file was changed."""
    state = path.stat()
    return f"{path.resolve()} {state.st_size} {state.st_mtime_ns}"
