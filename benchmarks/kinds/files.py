"""Clips as cameras and other programs write them, what is written, and where it is written to."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ivg_core.media.clips import open_media
from ivg_core.media.ffmpeg import ffmpeg_program
from ivg_core.media.files import atomic_write
from ivg_core.media.images import save_png
from ivg_core.media.video import read_video, write_video

from . import odd
from .case import Case, kind
from .pictures import DAMAGE, HOSTILE, as_pil


def clip_frames(rng: random.Random, count: int = 3, width: int = odd.WIDTH, height: int = odd.HEIGHT) -> torch.Tensor:
    """A photo in which something walks, (F, H, W, 3)."""
    frames = odd.photo(rng, width, height).repeat(count, 1, 1, 1)
    for k in range(count):
        frames[k, height // 2 : height // 2 + 8, 4 * k : 4 * k + 8] = 0.95
    return frames


def _encoded(rng: random.Random, path: Path, count: int, words: list[str]) -> None:
    """A clip by ffmpeg itself."""
    frames = (clip_frames(rng, count) * 255).byte().numpy().tobytes()
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{odd.WIDTH}x{odd.HEIGHT}", "-r", "10", "-i", "-"]
    command = [ffmpeg_program(), "-v", "error", "-y", *source, *words, str(path)]
    subprocess.run(command, input=frames, check=True, capture_output=True)


#: Clips of some frames that are all right: name -> (ending, ffmpeg's words).
CLIPS = {
    "H.264": (".mp4", ["-c:v", "libx264", "-pix_fmt", "yuv420p"]),
    "variable rate": (
        ".mp4",
        ["-vf", "setpts='if(lt(N,2),N,2+(N-2)*2)/10/TB'", "-fps_mode", "vfr", "-c:v", "libx264", "-pix_fmt", "yuv420p"],
    ),
    "half of the rate missing": (".mkv", ["-vf", "setpts='N*N/10/TB'", "-fps_mode", "vfr", "-c:v", "libx264"]),
    "begins late": (".mkv", ["-vf", "setpts='(N+40)/10/TB'", "-fps_mode", "vfr", "-c:v", "libx264"]),
    "VP9": (".webm", ["-c:v", "libvpx-vp9"]),
    "motion JPEG": (".avi", ["-c:v", "mjpeg"]),
    "MPEG-1": (".mpg", ["-r", "25", "-c:v", "mpeg1video"]),
    "turned": (".mp4", ["-c:v", "libx264", "-metadata:s:v", "rotate=90"]),
    "GIF": (".gif", []),
    "10 bits": (".mp4", ["-c:v", "libx264", "-pix_fmt", "yuv420p10le"]),
    "4:4:4": (".mkv", ["-c:v", "libx264", "-pix_fmt", "yuv444p"]),
    "grey": (".mkv", ["-c:v", "libx264", "-pix_fmt", "gray"]),
}


@kind("library", 60)
def clips_of_cameras(rng: random.Random, folder: Path) -> Case:
    """Each frame of a file is read once."""
    name, count = rng.choice(list(CLIPS)), rng.randrange(1, 9)
    ending, words = CLIPS[name]
    path = folder / f"clip{ending}"
    _encoded(rng, path, count, words)

    def wrong(found) -> str:
        frames, fps = found
        if name == "MPEG-1":  # its rates are fixed: frames are repeated by the encoder
            return ""
        if len(frames) != count:
            return f"{len(frames)} frames for {count} in the file"
        return "" if np.isfinite(fps) and fps > 0 else f"{fps} frames a second"

    return Case(f"read_video of {count} frames, {name}", lambda: read_video(path), wrong, good=True)


@kind("library", 110)
def damaged_clips(rng: random.Random, folder: Path) -> Case:
    """One sentence, or the frames that could be read."""
    name = rng.choice([*DAMAGE, *HOSTILE, "only sound", "a picture by another name", "another ending"])
    ending = rng.choice((".mp4", ".webm", ".avi", ".mkv", ".mov", ".gif"))
    path = folder / f"clip{ending}"
    if name == "only sound":
        sound = [ffmpeg_program(), "-v", "error", "-f", "lavfi", "-i", "anullsrc", "-t", "0.2", str(folder / "s.mkv")]
        subprocess.run(sound, check=True, capture_output=True)
        (folder / "s.mkv").rename(path)
    elif name == "a picture by another name":
        as_pil(rng).save(folder / "p.png")
        (folder / "p.png").rename(path)
    elif name in HOSTILE:
        path.write_bytes(HOSTILE[name](rng))
    else:
        whole = write_video(clip_frames(rng), folder / f"whole{ending if ending in ('.webm', '.gif') else '.mp4'}", 8)
        path.write_bytes(DAMAGE[name](rng, whole.read_bytes()) if name in DAMAGE else whole.read_bytes())
    return Case(f"read_video of {name}, {ending}", lambda: read_video(path))


@kind("library", 50)
def folders_of_frames(rng: random.Random, folder: Path) -> Case:
    """What may lie in a folder of numbered pictures."""
    for k in range(3):
        as_pil(rng).save(folder / f"{k:03d}.png")
    name = rng.choice(("nothing else", "a hidden file", "another size", "a broken picture", "no picture", "a text",
                       "a folder that ends in .png", "a link in a circle", "a 16-bit picture",
                       "no right to read"))  # fmt: skip
    extra = folder / "003.png"
    if name == "a hidden file":
        (folder / "._000.png").write_bytes(HOSTILE["AppleDouble"](rng))
    elif name == "another size":
        as_pil(rng).resize((40, 30)).save(extra)
    elif name == "a broken picture":
        extra.write_bytes((folder / "000.png").read_bytes()[:60])
    elif name == "no picture":
        [path.unlink() for path in folder.glob("*.png")]
    elif name == "a text":
        (folder / "notes.txt").write_text("stir")
    elif name == "a folder that ends in .png":
        extra.mkdir()
    elif name == "a link in a circle":
        extra.symlink_to(extra)
    elif name == "a 16-bit picture":
        Image.fromarray(np.full((odd.HEIGHT, odd.WIDTH), 30000, np.uint16)).save(extra)
    good = name in ("nothing else", "a hidden file", "a text")
    wrong = lambda found: "" if len(found[0]) >= 3 else f"{len(found[0])} frames"  # noqa: E731
    return Case(f"read_video of a folder of 3 pictures and {name}", lambda: read_video(folder), wrong, good=good)


@kind("library", 160)
def videos_written(rng: random.Random, folder: Path) -> Case:
    """Read back it has as many frames, which look alike; what is no colour is refused."""
    frames = clip_frames(rng, rng.choice((1, 2, 3)), rng.choice((64, 63, 16, 1)), rng.choice((48, 47, 16, 1)))
    name, given, clear = odd.changed(rng, frames)
    ending = rng.choice((".mp4", ".webm", ".gif", ".png"))
    fps = rng.choice((8.0, 8, 23.976, 0.5, odd.number(rng)))
    notes = rng.choice((None, {}, {"prompt": odd.text(rng)}, {"seed": odd.number(rng)}, {"a": odd.value(rng)}))
    path = folder / f"video{ending}"

    def call():
        written = write_video(given, path, fps, notes)
        return read_video(folder if ending == ".png" else written)[0]

    def wrong(found) -> str:
        if clear and len(found) != len(frames):
            return f"{len(found)} frames for {len(frames)}"
        if clear and abs(float(found.mean() - frames.mean())) > 0.08:
            return f"brightness {found.mean():.3f} for {frames.mean():.3f}"
        if name in ("0..255", "0..65535", "one NaN", "all NaN", "none", "1e38", "one infinity", "complex"):
            return "it was written without a word"
        return ""

    said = f"write_video of {name} {tuple(frames.shape)} as {ending}, fps {fps!r}, metadata {str(notes)[:60]!r}"
    return Case(said, call, wrong)


#: What writes a file, each into a path.
WRITERS = {
    "save_png": lambda rng, path: save_png(odd.photo(rng), path),
    "write_video": lambda rng, path: write_video(clip_frames(rng, 2), path, 8),
    "atomic_write": lambda rng, path: _write_text(path),
}


def _write_text(path: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("stir")


@kind("library", 120)
def odd_places_to_write_to(rng: random.Random, folder: Path) -> Case:
    """Written where it was asked for, or one sentence; and nothing half remains."""
    odd.prepare(folder)
    writer, name = rng.choice(list(WRITERS)), odd.path(rng, folder)
    stem = rng.choice(("", "", "ä" * 120, "\U0001f955" * 62, "a" * 251, "con", "a:b", "a\nb", "-x", "%d", "*.png"))
    ending = rng.choice((".png", ".mp4", ".gif", ".PNG", "", ".xyz", "."))
    path = f"{folder}/{stem}{ending}" if stem else name
    if path.startswith(("/dev", "/proc", "/.", "~", "..")) or path in ("/", ""):
        path = str(folder)

    def wrong(_) -> str:
        left = [found.name for found in folder.rglob(".*") if found.is_file()]
        return f"{left[0][:60]} is left behind" if left else ""

    return Case(f"{writer} to {path[:200]!r}", lambda: WRITERS[writer](rng, path), wrong)


@kind("library", 60)
def odd_places_to_read_from(rng: random.Random, folder: Path) -> Case:
    """Every reader of a file, given a path that cannot be."""
    from ivg_core.batch.table import read_table
    from ivg_core.checkpoints.info import inspect_checkpoint
    from ivg_core.checkpoints.load import load_model
    from ivg_core.media.images import load_image, load_mask
    from ivg_core.rom.window import read_window
    from ivg_core.training.config import read_config
    from ivg_core.training.data.settings import DataSettings
    from ivg_core.training.data.sources import find_training_clips

    odd.prepare(folder)
    path = odd.path(rng, folder).replace("/dev/full", "/dev/null")
    readers = {
        "load_image": load_image, "load_mask": load_mask, "read_video": read_video, "read_window": read_window,
        "read_table": lambda path: read_table(path, prompts=["stir"]), "load_model": load_model,
        "inspect_checkpoint": inspect_checkpoint, "read_config": read_config,
        "open_media": lambda path: open_media(Path(path)).facts(),
        "find_training_clips": lambda path: find_training_clips(DataSettings(path, caption="stir", masks="white")),
        "masks of a training": lambda path: find_training_clips(DataSettings(str(folder), caption="a", masks=path)),
        "masks of a table": lambda path: read_table(folder, prompts=["stir"], mask_folder=path),
    }  # fmt: skip
    name = rng.choice(list(readers))
    if name in ("read_table", "find_training_clips", "open_media", "read_video") and path in ("/", "~", ".."):
        path = "."
    return Case(f"{name} of {path[:200]!r}", lambda: readers[name](path))


@kind("library", 60)
def records_of_earlier_runs(rng: random.Random, folder: Path) -> Case:
    """Journals and reports that were cut, changed, or are something else: begun anew, or one sentence."""
    import json

    from ivg_core.batch.journal import Journal, pending, read_journal
    from ivg_core.batch.page import write_page
    from ivg_core.batch.table import Item
    from ivg_core.evaluate.clips import ClipFiles
    from ivg_core.evaluate.report import as_json
    from ivg_core.evaluate.run import evaluate_methods
    from ivg_core.hands.tracker import HandTracker
    from ivg_core.rom.annotate_folder import annotate_folder
    from ivg_core.rom.annotate_reports import REPORT
    from ivg_core.training.resume import PROGRESS, read_progress

    as_pil(rng).save(folder / "a.png")
    item = Item(folder / "a.png", "stir")
    lines = [json.dumps(line) for line in (
        {"name": item.name, "status": "done", "prompt": "stir", "file": "x.mp4"}, {"name": odd.text(rng),
            "status": odd.text(rng)},
        {"name": ["a"], "status": "done"}, {"name": item.name, "status": 3, "file": None}, [], 5, None, "text",
        {"name": item.name, "status": "failed", "error": odd.text(rng), "prompt": [1], "seed": "x", "file": "../../x"},
        {"run": rng.choice((3, -1, 2**70)), "settings": [odd.text(rng)]}, {"forgotten": [odd.text(rng), 3]},
        {"video": ["a.mp4"], "outcome": 7}, {"key": "a", "values": {"psnr": "x"}, "features": [3]},
    )]  # fmt: skip
    raw = rng.choice(
        ("\n".join(rng.sample(lines, 4)), "{" * 3000, "[" * 100000, "\0" * 50, "", '{"videos": 3}', '{"videos": [{}]}')
    )
    content = raw.encode("utf-8", "surrogatepass") + rng.choice((b"\n", b"", b"\xff\xfe\n", b'{"name": "to'))
    name = rng.choice(("journal", "page", "annotate", "annotate of a process", "evaluate", "progress"))
    if name == "evaluate":
        shutil.rmtree(folder / "measured", ignore_errors=True)
        (folder / "measured").mkdir()
        (folder / "measured" / "values-1.jsonl").write_bytes(content)
        write_video(clip_frames(rng, 2), folder / "a.mp4", 8)
        clips = {"a": [ClipFiles("a", folder / "a.mp4")]}
        call = lambda: as_json(evaluate_methods(clips, folder=folder / "measured"))  # noqa: E731
    elif name.startswith("annotate"):
        shutil.rmtree(folder / "masks", ignore_errors=True)
        (folder / "masks").mkdir()
        (folder / "masks" / (REPORT if name == "annotate" else ".annotate-1.jsonl")).write_bytes(content)
        write_video(clip_frames(rng, 1), folder / "a.mp4", 8)
        call = lambda: annotate_folder(folder, folder / "masks", HandTracker())  # noqa: E731
    elif name == "progress":
        (folder / PROGRESS).write_bytes(content)
        call = lambda: read_progress(folder)  # noqa: E731
    else:
        (folder / "results.jsonl").write_bytes(content)

        def call():
            with Journal(folder):
                left = pending([item], folder)
            if name == "page":
                write_page(folder)
            return left, read_journal(folder)

    return Case(f"{name} over {content[:120]!r}", call)


@kind("library", 30)
def gifs_and_pages(rng: random.Random, folder: Path) -> Case:
    """GIFs with odd times, sizes and ways to go on."""
    frames = [as_pil(rng).convert("P") for _ in range(3)]
    duration = rng.choice((0, 1, 10, 65535 * 10, [0, 0, 0], [10, 0, 500]))
    stream = io.BytesIO()
    frames[0].save(
        stream, "GIF", save_all=True, append_images=frames[1:], duration=duration, disposal=rng.choice((0, 1, 2, 3))
    )
    path = folder / "a.gif"
    path.write_bytes(stream.getvalue() if rng.random() < 0.6 else stream.getvalue()[: rng.randrange(20, stream.tell())])
    wrong = lambda found: "" if found[1] > 0 else f"{found[1]} frames a second"  # noqa: E731
    return Case(f"read_video of a GIF with times {duration}", lambda: read_video(path), wrong)
