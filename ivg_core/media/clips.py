"""A clip wherever it comes from (video file, GIF, picture, folder of pictures, memory), read frame by frame.

Every frame is read once, whatever the clip's rate does; it comes as it is shown: turned the way the camera was held,
and in its display shape where pixels are not square. Only one frame at full size is in memory at a time, so a 4K clip
costs no more than a small one.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import IVGError
from .ffmpeg import ffmpeg_program
from .files import PICTURES, VIDEOS, pictures_in, sha256_of
from .images import check_pixels, load_image, to_pil
from .targets import check_memory

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

    @property
    def fps(self) -> float:
        """Frames a second; on average, where they do not come evenly."""
        ...

    def facts(self) -> Facts:
        """Looks through the whole clip, since headers are often wrong. Raises IVGError where it cannot be read."""
        ...

    def read(self, indices: Sequence[int] | None = None) -> Iterator[np.ndarray]:
        """The frames (H, W, 3) uint8 of rising indices, which may come more than once; None: every frame."""
        ...

    def identity(self) -> str:
        """A text that differs when the content does."""
        ...


def open_media(path: Path) -> Media:
    """The clip at a path.

    Raises:
        IVGError: nothing is there, or nothing that is a clip.
    """
    if os.path.isdir(path):
        return Pictures(path)
    if not os.path.isfile(path):
        raise IVGError(f"There is no video at {path}: check the path.")
    if path.suffix.lower() in PICTURES:
        return Pictures(path)
    if path.suffix.lower() == ".gif":
        return Gif(path)
    if path.suffix.lower() in VIDEOS:
        return Video(path)
    raise IVGError(f"{path} is no clip: give {', '.join(VIDEOS)}, a picture, or a folder of pictures.")


def in_pieces(frames: Iterable[np.ndarray], most: int) -> Iterator[Tensor]:
    """Frames (H, W, 3) uint8 as tensors (up to `most`, H, W, 3) 0..1, one after the other."""
    rest = iter(frames)
    while piece := list(islice(rest, most)):
        yield torch.from_numpy(np.stack(piece)).float() / 255


def even_indices(count: int, frames: int, *, stretch: bool = False) -> list[int]:
    """Frames spread evenly from the first to the last.

    Args:
        count: frames that there are.
        frames: wanted.
        stretch: where there are fewer, some come twice; otherwise each comes once.

    Source: paper, "16 frames evenly sampled".
    """
    wanted = frames if stretch else min(frames, count)
    return np.linspace(0, count - 1, wanted).round().astype(int).tolist()


def some_frames(media: Media, frames: int, fps: float | None = None) -> Tensor:
    """At most so many frames of a clip.

    Args:
        media: the clip.
        frames: wanted; a clip with fewer gives all it has.
        fps: take the first ones of those at about so many a second; None: spread evenly over the clip.

    Returns:
        (F, H, W, 3) 0..1.

    Raises:
        IVGError: the clip cannot be read, or its frames do not fit into the memory.
    """
    facts = media.facts()
    if fps is None:
        chosen = even_indices(facts.frames, frames)
    else:
        chosen = list(range(0, facts.frames, max(1, round(facts.fps / fps))))[:frames]
    check_memory(len(chosen), (facts.width, facts.height), "take fewer frames, or a smaller clip")
    return torch.from_numpy(np.stack(list(media.read(chosen)))).float() / 255


@dataclass(frozen=True)
class Video:
    """A file that ffmpeg reads, or the part of it between two times; the rest of a long film is not decoded for that.

    Args:
        path: of the file.
        start, end: seconds from its beginning. The clip's first frame is the first that begins at `start` or later, and
            the clip lasts `end - start` seconds from there. None: to the file's end.
    """

    path: Path
    start: float = 0.0
    end: float | None = None

    @property
    def fps(self) -> float:
        return self._fps(self._run([]))

    def facts(self) -> Facts:
        said = self._run([*_every_frame_once(), "-f", "null", "-"])
        sizes = re.findall(r"^ *Stream #.* Video: .*?, (\d+)x(\d+)", said, re.M)
        counts = re.findall(r"frame= *(\d+)", said)
        if not sizes or not counts or not int(counts[-1]):
            raise self._unreadable()
        width, height = sizes[-1]  # the last line tells of what ffmpeg gives, turned and scaled
        return Facts(int(width), int(height), int(counts[-1]), self._fps(said))

    def read(self, indices: Sequence[int] | None = None) -> Iterator[np.ndarray]:
        if indices is None:
            yield from self._decode(None)
            return
        wanted = sorted(set(indices))
        frames, times = self._decode(wanted), Counter(indices)
        for index in wanted:
            frame = next(frames, None)
            if frame is None:
                raise self._unreadable()
            for _ in range(times[index]):
                yield frame

    def identity(self) -> str:
        part = f" {self.start} to {self.end} s" if self._is_part else ""
        return f"{file_identity(self.path)}{part}"

    @property
    def _is_part(self) -> bool:
        return self.start > 0 or self.end is not None

    def _decode(self, wanted: Sequence[int] | None) -> Iterator[np.ndarray]:
        # A PPM picture says its own size.
        output = [*_every_frame_once(wanted), "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]
        words, pipe, nothing = self._words(output), subprocess.PIPE, subprocess.DEVNULL
        with subprocess.Popen(words, stdin=nothing, stdout=pipe, stderr=nothing) as ffmpeg:
            assert ffmpeg.stdout is not None
            try:
                empty = True
                while ffmpeg.stdout.readline():  # P6
                    width, height = map(int, ffmpeg.stdout.readline().split())
                    ffmpeg.stdout.readline()  # 255
                    frame = ffmpeg.stdout.read(width * height * 3)
                    yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)
                    empty = False
            except ValueError as error:  # it ended within a picture
                raise self._unreadable() from error
            finally:
                ffmpeg.kill()
        if empty:
            raise self._unreadable()

    def _run(self, output: list[str]) -> str:
        done = subprocess.run(self._words(output), stdin=subprocess.DEVNULL, capture_output=True)
        return done.stderr.decode(errors="replace")

    def _words(self, output: list[str]) -> list[str]:
        # Before the input they let ffmpeg jump to the key frame before, and stop reading after.
        part = ["-ss", f"{self.start:.6f}"] if self.start else []
        part += ["-t", f"{self.end - self.start:.6f}"] if self.end is not None else []
        return [ffmpeg_program(), *part, "-i", f"file:{self.path}", *output]

    @staticmethod
    def _fps(said: str) -> float:
        found = re.search(r"^ *Stream #.* Video: .*?([\d.]+) fps", said, re.M)
        return float(found[1]) if found and float(found[1]) else FOLDER_FPS

    def _unreadable(self) -> IVGError:
        if self._is_part:
            until = "its end" if self.end is None else f"{self.end:g} s"
            return IVGError(
                f"{self.path} shows nothing from {self.start:g} s to {until}: it is shorter, damaged, or no video; "
                "check the times."
            )
        return IVGError(f"{self.path} cannot be read as a video: it is damaged or of another kind; give another file.")


def _every_frame_once(wanted: Sequence[int] | None = None) -> list[str]:
    chosen = "null" if wanted is None else f"select='{_any_of(wanted)}'"
    # Pixels that are not square grow in the direction that loses nothing, as in browsers.
    square = "scale='round(iw*max(1,sar))':'round(ih/min(1,sar))',setsar=1"
    # ffmpeg repeats and drops frames to keep a steady rate; so far apart it finds nothing to repeat or drop.
    return ["-map", "0:V:0", "-vf", f"{chosen},{square},setpts=N*100/TB", "-r", "0.01"]


def _any_of(wanted: Sequence[int]) -> str:
    """ffmpeg's expression for frame numbers; a tree, since it takes no sum of more than a hundred."""
    if wanted[-1] - wanted[0] == len(wanted) - 1:
        return f"between(n,{wanted[0]},{wanted[-1]})"
    half = len(wanted) // 2
    return f"({_any_of(wanted[:half])}+{_any_of(wanted[half:])})"


@dataclass(frozen=True)
class Gif:
    """A GIF; its frames last whole hundredths of a second each."""

    path: Path

    @property
    def fps(self) -> float:
        return self.facts().fps

    def facts(self) -> Facts:
        with self._opened() as picture:
            count, milliseconds = getattr(picture, "n_frames", 1), 0.0
            for i in range(count):
                picture.seek(i)
                milliseconds += picture.info.get("duration") or 100
            return Facts(picture.width, picture.height, count, max(round(1000 * count / milliseconds, 2), 0.01))

    def read(self, indices: Sequence[int] | None = None) -> Iterator[np.ndarray]:
        with self._opened() as picture:
            for index in range(getattr(picture, "n_frames", 1)) if indices is None else indices:
                picture.seek(index)
                yield np.array(picture.convert("RGB"))

    def identity(self) -> str:
        return file_identity(self.path)

    @contextmanager
    def _opened(self) -> Iterator[Image.Image]:
        try:
            with Image.open(self.path) as picture:
                check_pixels(picture)
                yield picture
        except Exception as error:  # PIL has no one error for damaged files
            raise IVGError(f"{self.path} cannot be read as a GIF ({error}): give another file.") from error


@dataclass(frozen=True)
class Pictures:
    """The frames of a clip as pictures in a folder, in the order of their numbers; or one picture, a single frame."""

    path: Path
    fps: float = FOLDER_FPS

    def facts(self) -> Facts:
        pictures = self._pictures()
        height, width = load_image(pictures[0]).shape[:2]
        return Facts(width, height, len(pictures), self.fps)

    def read(self, indices: Sequence[int] | None = None) -> Iterator[np.ndarray]:
        pictures = self._pictures()
        size = None
        for index in range(len(pictures)) if indices is None else indices:
            frame = np.asarray(to_pil(load_image(pictures[index])))
            if frame.shape[:2] != (size or frame.shape[:2]):
                raise IVGError(
                    f"{pictures[index]} has another size than the frames before it: resize it, or remove it."
                )
            size = frame.shape[:2]
            yield frame

    def identity(self) -> str:
        return "\n".join(file_identity(path) for path in self._pictures())

    def _pictures(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        if pictures := pictures_in(self.path):
            return pictures
        raise IVGError(f"{self.path} holds no pictures: put the frames of a clip there, or remove the folder.")


@dataclass(frozen=True)
class MemoryClip:
    """Frames (F, H, W, 3), 0..1, that a program holds."""

    frames: Tensor
    fps: float = FOLDER_FPS

    def facts(self) -> Facts:
        return Facts(self.frames.shape[2], self.frames.shape[1], self.frames.shape[0], self.fps)

    def read(self, indices: Sequence[int] | None = None) -> Iterator[np.ndarray]:
        for index in range(len(self.frames)) if indices is None else indices:
            yield np.asarray(to_pil(self.frames[index]))

    def identity(self) -> str:
        digest = hashlib.sha256()
        for frame in self.read():
            digest.update(frame.tobytes())
        return f"{digest.hexdigest()} {self.fps}"


def content_hash(media: Media) -> str:
    """The SHA-256 of a clip's file, of its pictures one after the other, or of frames that a program holds."""
    if isinstance(media, MemoryClip):
        return media.identity().partition(" ")[0]
    if isinstance(media, Pictures):
        return sha256_of(*media._pictures())
    assert isinstance(media, (Video, Gif))
    return sha256_of(media.path)


def file_identity(path: Path) -> str:
    """A text that differs as soon as the file was changed."""
    state = path.stat()
    return f"{path.resolve()} {state.st_size} {state.st_mtime_ns}"
