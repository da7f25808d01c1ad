"""Every command of the command line, with one or two options that are odd."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file

from ivg_core.cli import build_parser, main
from ivg_core.errors import IVGError
from ivg_core.media.images import save_png
from ivg_core.media.track_files import write_track
from ivg_core.media.tracks import Keyframe, Thing, Track
from ivg_core.media.video import read_video, write_video

from . import odd
from .case import SD, TINY, Case, kind
from .files import clip_frames
from .loras import FORMATS, lora_pairs

SHORT = ("--frames", "2", "--steps", "1", "--size", "64x48")
#: Command -> words that work, in the folder that `kit` fills.
GOOD: dict[str, tuple[str, ...]] = {
    "generate": ("--image", "photo.png", "--prompt", "stir the pan", "--model", str(TINY), "--mask", "mask.png",
        *SHORT, "--out", "out.mp4"),
    "predict-mask": ("--image", "photo.png", "--prompt", "stir", "--model", str(TINY), "--rom-model", str(TINY),
        *SHORT, "--out", "out.png"),
    "invert": ("clip.mp4", "--model", str(TINY), *SHORT, "--out", "out.safetensors"),
    "find-rom": ("--image", "photo.png", "--things", "mask.png", "--out", "out.png"),
    "refine-mask": ("mask.png", "--out", "out.png"),
    "crop-rom": ("--image", "photo.png", "--mask", "mask.png", "--size", "64x48", "--multiple", "8", "--out",
        "out.png"),
    "stitch-rom": ("clip.mp4", "--image", "photo.png", "--mask", "mask.png", "--out", "out.mp4"),
    "annotate": ("--video-dir", "clips", "--save-dir", "out"),
    "hand-score": ("clip.mp4",),
    "track": ("--boxes", "bbox.txt", "--phrase", "cup", "--photo", "photo.png", "--out", "out.json"),
    "draw-boxes": ("clip.mp4", "--track", "track.json", "--out", "out.mp4"),
    "score-boxes": ("clip.mp4", "--track", "track.json", "--photo", "photo.png"),
    "batch": ("--table", "table.csv", "--model", str(TINY), "--fallback", "white", *SHORT, "--out", "out"),
    "how-to": ("--photo", "photo.png", "--steps", "steps.txt", "--model", str(TINY), "--fallback", "white", "--frames",
        "2", "--denoising-steps", "1", "--size", "64x48", "--out", "out"),
    "enrich": ("stir the pan",),
    "init-model": (str(TINY), "--out", "out"),
    "train": ("--config", "train.yaml", "--data", "clips", "--model", str(TINY), "--out", "out"),
    "merge-lora": ("lora.safetensors", "--model", str(TINY), "--out", "out"),
    "combine-loras": ("lora.safetensors", "--model", str(TINY), "--out", "out.safetensors"),
    "convert-lora": ("lora.safetensors", "--model", str(TINY), "--out", "out.safetensors"),
    "info": (str(TINY),),
    "data-report": ("clips", "--model", str(TINY), "--masks", "white", "--frames", "2", "--size", "64x48"),
    "prepare-data": ("--config", "train.yaml", "--data", "clips", "--model", str(TINY), "--out", "out"),
    "evaluate": ("--generated", "clips", "--truth", "clips", "--out", "out"),
    "synth": ("--out", "out", "--scenes", "1", "--frames", "2", "--size", "64x48"),
    "download": (),
}  # fmt: skip
#: `generate` again, by an image model that makes a video of a video.
VIDEO_TO_VIDEO = ("--video", "clip.mp4", "--strength", "1", "--mask", "mask.png", "--canny", "--control-net",
    str(SD / "controlnet"), "--prompt", "stir", "--model", str(SD), *SHORT, "--out", "out.mp4")  # fmt: skip
#: What writes; anything else that is a path is read.
WRITTEN = (
    "out",
    "sheet",
    "frames_out",
    "out_mask",
    "preview",
    "save_dir",
    "models",
    "sheets",
    "json",
    "cache",
    "region",
    "released",
)
OUT_PATHS = (
    "", ".", "noext", "a.xyz", "out.txt", "photo.png/x.mp4", "photo.png/x.png", "clips", "no/such/folder/out.mp4",
    "n" * 300 + ".mp4",
    "n" * 251 + ".png", "a\0.mp4", "\ud800.mp4", "~nobody_at_all/x.mp4", "loop/x.mp4", "out.MP4", "out.Gif",
    "out.png", "out.webm", "/dev/full",
    "/proc/x/out.mp4", "a:b.mp4", "out.", ".mp4", "%d.png", "a\nb.mp4", "-out.mp4", "out.safetensors",
    "d/" * 2000 + "x.mp4", "ä" * 130 + ".mp4",
)  # fmt: skip
IN_PATHS = (
    "", ".", "no_such_file.png", "photo.png", "mask.png", "clip.mp4", "clips", "table.csv", "lora.safetensors",
    "train.yaml", "bbox.txt", "track.json", "empty.png",
    "noise.png", "file.txt", "loop", "/dev/null", "a\0.png", "\ud800.png", "n" * 300 + ".png",
    "~nobody_at_all/x.png", "photo.png/x", str(TINY), "black.png",
    "white.png", "small.png", "1x1.png", "embedded",
)  # fmt: skip
DEVICES = (
    "cuda",
    "gpu",
    "mps",
    "cuda:99",
    "cpu:9",
    "",
    "meta",
    "xla",
    "GPU",
    "cpu ",
    "cuda:-1",
    "vulkan",
    "\0",
    "0",
    "auto",
    "hpu",
    "xpu",
)
SIZES = (
    "0x0",
    "7x9",
    "-8x8",
    "64",
    "64x",
    "x",
    "64x48x3",
    "1e3x8",
    "nanxnan",
    "100000x100000",
    "8x8",
    "1000000000x8",
    "65x49",
    "６４x４８",
    "64X48",
    "8x100000",
)
#: `--set` and other lists are sentences of their own kind.
WORDS = {
    "set": ("steps=nan", "steps", "=", "steps=", "lora.spatial.rank=10000000000", "batch_size=100000000",
        "losses.noise=.inf", "name=../../x", "name=a/b",
            "data.frames=1000000000", "data.masks=hands", "device=gpu", "learning_rate=1e30", "learning_rate=.nan",
            "precision=fp16", "ema=.nan", "ema=0.9",
            "warmup=-1", "save_every=1", "data.width=1000000", "name=", "name=" + "n" * 300, "seed=-1",
            "seed=99999999999999999999", "betas=[1, 1]", "betas=[.nan, 2]",
            "clip=.nan", "weight_decay=.inf", "validation.every=1", "data.heldout=5", "text_dropout=.nan",
            "accumulation=100000", "noise_offset=.inf", "min_snr=-5"),
    "seeds": ("0-99999999999", "a", "", "-1", "1.5", "0-2", "18446744073709551616", "3-1"),
    "seed": ("-1", "1e3", "nan", "99999999999999999999999", "18446744073709551615", "18446744073709551616", "0.5"),
    "prompts": ("0: stir the pan", "0: chop | 1: stir", "0: chop | 5: stir", "0: chop | 1", "3: stir", "0:",
        "1: a | 0: b", "said.txt", "file.txt", "photo.png", "no_such.txt", "", "|", "0: \0",
        "9" * 5000 + ": stir", "0: \ud800"),
    "resume": ("auto", "no/such", "out", "photo.png", "\0"),
    "name": ("IVG.1.0 ", "no such model", "../../x", "", "\0"),
    "masks": ("hands", "arms", "stage1", "white", "clips", "no/such", "photo.png", "", "\0"),
    "server": ("http://127.0.0.1:1/v1", "ftp://x", "", "http://8.8.8.8/", "http://[", "\0", "http://a b/"),
    "preset": ("stage2-lora-hands", "no-such", "", "../x", "\0"),
    "generated": ("clips", "=", "a=", "=clips", "a=no/such", "a=photo.png", "\0=clips", "a/b=clips", "../x=clips",
        "=" * 50, "n" * 300 + "=clips"),
}  # fmt: skip


@lru_cache(1)
def _kit() -> Path:
    """Good inputs, made once; `kit` copies them."""
    folder, rng = Path(tempfile.mkdtemp(prefix="ivg-malformed-kit-")), random.Random(0)
    save_png(odd.photo(rng), folder / "photo.png")
    save_png(torch.from_numpy(odd.region()).float(), folder / "mask.png")
    for name, size, colour in (
        ("black", (64, 48), 0),
        ("white", (64, 48), 255),
        ("small", (7, 5), 99),
        ("1x1", (1, 1), 9),
    ):
        Image.new("L", size, colour).save(folder / f"{name}.png")
    write_video(clip_frames(rng, 3), folder / "clip.mp4", 8)
    (folder / "clips").mkdir()
    shutil.copy(folder / "clip.mp4", folder / "clips" / "a.mp4")
    (folder / "clips" / "a.txt").write_text("stir the pan")
    (folder / "bbox.txt").write_text("8,8,24,24\n16,8,32,24\n")
    track = Track((Thing("cup", (Keyframe(0, (0.1, 0.1, 0.4, 0.4)), Keyframe(1, (0.3, 0.1, 0.6, 0.4)))),))
    write_track(track, folder / "track.json")
    (folder / "said.txt").write_text("0: chop\n1: stir\n")
    (folder / "steps.txt").write_text("Stir the pan\nPush the cup\n")
    (folder / "table.csv").write_text("image,prompt\nphoto.png,stir the pan\n")
    few = {"steps": 1, "warmup": 0, "device": "cpu", "data": {"frames": 2, "width": 64, "height": 48, "masks": "white"}}
    (folder / "train.yaml").write_text(json.dumps({**few, "lora": {"spatial": {"rank": 2}}}))
    save_file(FORMATS["ours"](lora_pairs(rng))[0], folder / "lora.safetensors")
    odd.prepare(folder)
    return folder


def kit(folder: Path) -> None:
    shutil.copytree(_kit(), folder, dirs_exist_ok=True, symlinks=True)


@lru_cache(1)
def _options() -> dict[str, list[argparse.Action]]:
    """Command -> its options, as its own parser has them."""
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    left_out = ("compile", "only_plan")  # slow; writes nothing
    wanted = lambda action: not isinstance(action, argparse._HelpAction) and action.dest not in left_out  # noqa: E731
    return {name: [action for action in parser._actions if wanted(action)] for name, parser in commands.choices.items()}


@dataclass
class Ran:
    """What a command left: its status and what it said."""

    status: int
    out: str
    err: str


def run(words: list[str]) -> Ran:
    """One command in this process.

    Raises:
        IVGError: it ended with a sentence.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(words)
        except SystemExit as end:  # argparse
            status = 2 if isinstance(end.code, str) else int(end.code or 0)
    ran = Ran(status, out.getvalue(), err.getvalue())
    if status == 2:
        lines = [line for line in ran.err.replace("\r", "\n").splitlines() if "error: " in line]
        late = (
            " (only after the work)"
            if "step 1/" in ran.err and words[0] in ("generate", "predict-mask", "invert")
            else ""
        )
        raise IVGError(("\n".join(lines) or ran.err) + late)
    return ran


def odd_words(rng: random.Random, action: argparse.Action) -> list[str]:
    """An option with an odd value, as a shell would hand it over."""
    flag = max(action.option_strings, key=len) if action.option_strings else ""
    if isinstance(action, (argparse._StoreTrueAction, argparse._StoreFalseAction)):
        return [flag]
    count = action.nargs if isinstance(action.nargs, int) else 1
    values = [_odd_value(rng, action) for _ in range(count)]
    if not flag:
        return values
    return [f"{flag}={values[0]}"] if count == 1 else [flag, *values]


def _odd_value(rng: random.Random, action: argparse.Action) -> str:
    if action.dest in WORDS:
        return rng.choice(WORDS[action.dest])
    if action.choices:
        return rng.choice((*map(str, action.choices), odd.text(rng)))
    if action.dest == "device":
        return rng.choice(DEVICES)
    if getattr(action.type, "__name__", "") == "size":
        return rng.choice(SIZES)
    if action.type in (int, float):
        number = odd.number(rng)
        if action.type is int and rng.random() < 0.8 and number == number and abs(number) != float("inf"):
            number = int(number)
        return str(number)
    if action.dest in WRITTEN:
        return rng.choice(OUT_PATHS)
    if action.type is Path or action.dest in (
        "model",
        "rom_model",
        "checkpoint",
        "source",
        "videos",
        "data",
        "clip",
        "clips",
        "boxes",
        "track",
        "found",
        "also",
        "truth",
        "photo",
        "noise_prior",
        "plugin",
        "video",
        "control",
        "control_net",
        "depth",
        "mask",
    ):
        return rng.choice(IN_PATHS)
    return odd.text(rng)


def _replaced(words: list[str], action: argparse.Action, new: list[str]) -> list[str]:
    """The words with an option's value in the place of a good one."""
    if not action.option_strings:  # the first word
        return [*new, *words[1:]]
    for flag in (*action.option_strings, *(["--prompt"] if action.dest == "prompts" else [])):  # one of the two
        if flag in words:
            at = words.index(flag)
            return [*words[:at], *new, *words[at + 2 :]]
    return [*words, *new]


def _command(rng: random.Random, folder: Path, names: list[str], good: tuple[str, ...] = ()) -> Case:
    kit(folder)
    name = rng.choice(names)
    words, changed = list(good or GOOD[name]), []
    for action in rng.sample(_options()[name], rng.choice((1, 1, 1, 2))):
        new = odd_words(rng, action)
        changed += [(action, new)]
        words = _replaced(words, action, new)

    def wrong(ran: Ran) -> str:
        if ran.status != 0:
            return f"status {ran.status}: {ran.err[-200:]}"
        if "Traceback" in ran.err:
            return f"a traceback on the way: {ran.err[-200:]}"
        nan = [
            action.dest
            for action, new in changed
            if action.type is float and any(word.rpartition("=")[2] == "nan" for word in new)
        ]
        if nan:
            return f"{nan[0]} = nan is taken"
        return _results(name, words)

    return Case(
        f"{name} "
        + " ".join(repr(word) if word != word.strip() or not word.isprintable() else word[:160] for word in words),
        lambda: run([name, *words]),
        wrong,
    )


def _results(name: str, words: list[str]) -> str:
    """What is wrong with the files that a command should have written."""
    out = next((words[k + 1] for k, word in enumerate(words[:-1]) if word == "--out"), None)
    if out is None or name in ("enrich", "download", "prepare-data") or "--dry-run" in words:
        return ""
    if not Path(out).expanduser().exists() and Path(out).suffix != ".png":
        return f"{out} was not written"
    if name == "generate" and "--frames" in words and words[words.index("--frames") + 1] == "2":
        frames = read_video(out)[0]
        return f"{len(frames)} frames for 2" if len(frames) != 2 else ""
    return ""


@kind("commands", 170)
def commands_of_masks(rng: random.Random, folder: Path) -> Case:
    """`refine-mask`, `find-rom`, `crop-rom`, `stitch-rom`."""
    return _command(rng, folder, ["refine-mask", "find-rom", "crop-rom", "stitch-rom"])


@kind("commands", 100)
def commands_that_sample(rng: random.Random, folder: Path) -> Case:
    """`generate`, `predict-mask` and `invert`: what cannot be is said before the work."""
    return _before_the_work(_command(rng, folder, ["generate", "generate", "predict-mask", "invert"]))


@kind("commands", 40)
def commands_of_video_to_video(rng: random.Random, folder: Path) -> Case:
    """`generate --video`: what cannot be is said before the work."""
    return _before_the_work(_command(rng, folder, ["generate"], VIDEO_TO_VIDEO))


def _before_the_work(case: Case) -> Case:
    def call() -> Ran:
        try:
            return case.call()
        except IVGError as error:
            if "(only after the work)" in str(error):
                return Ran(2, "", str(error))
            raise

    return Case(case.said, call, case.wrong)


@kind("commands", 60)
def commands_for_batches(rng: random.Random, folder: Path) -> Case:
    """`batch`, `synth`."""
    return _command(rng, folder, ["batch", "batch", "synth"])


@kind("commands", 60)
def commands_for_how_to(rng: random.Random, folder: Path) -> Case:
    """`how-to`, in half of the cases with an odd plan."""
    case = _command(rng, folder, ["how-to"])
    if rng.random() < 0.5:
        (folder / "steps.txt").write_text(odd.text(rng), encoding="utf-8", errors="surrogatepass")
    return case


@kind("commands", 120)
def commands_for_hands(rng: random.Random, folder: Path) -> Case:
    """`annotate`, `hand-score`, `evaluate`."""
    return _command(rng, folder, ["annotate", "hand-score", "evaluate"])


@kind("commands", 90)
def commands_for_boxes(rng: random.Random, folder: Path) -> Case:
    """`track`, `draw-boxes`, `score-boxes`."""
    return _command(rng, folder, ["track", "draw-boxes", "score-boxes"])


@kind("commands", 110)
def commands_for_weights(rng: random.Random, folder: Path) -> Case:
    """`merge-lora`, `combine-loras`, `convert-lora`, `info`, `init-model`, `download` without a network."""
    return _command(rng, folder, ["merge-lora", "combine-loras", "convert-lora", "info", "init-model", "download"])


@kind("commands", 90)
def commands_for_training(rng: random.Random, folder: Path) -> Case:
    """`train` and `data-report`."""
    return _command(rng, folder, ["train", "data-report"])


@kind("commands", 50)
def commands_for_words(rng: random.Random, folder: Path) -> Case:
    """`enrich`, and no command at all."""
    if rng.random() < 0.3:
        words = [odd.text(rng) for _ in range(rng.randrange(3))]
        return Case(f"ivg {words!r:.150}", lambda: run(words))
    return _command(rng, folder, ["enrich"])
