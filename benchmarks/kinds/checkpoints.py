"""Checkpoints that do not fit, are damaged, or say odd things of themselves."""

from __future__ import annotations

import json
import random
import shutil
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ivg_core.checkpoints.info import inspect_checkpoint
from ivg_core.checkpoints.layout import EMBEDDED, has_stage1
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.tokenizer import load_tokenizer
from ivg_core.models.bundle import IVGModel

from .case import TINY, Case, kind


@lru_cache(1)
def tiny() -> IVGModel:
    """The checkpoint of random weights; leave it as it is."""
    return load_model(TINY)


def tiny_copy(folder: Path) -> Path:
    """The tiny checkpoint, whose small files may be changed; weights are links."""
    copy = folder / "checkpoint"
    for path in TINY.rglob("*"):
        target = copy / path.relative_to(TINY)
        if path.is_dir():
            target.mkdir(parents=True)
        elif path.suffix == ".safetensors":
            target.symlink_to(path)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return copy


CONFIG_VALUES = (
    None, True, "", "text", 0, -1, 0.5, 1e30, float("nan"), float("inf"), 10**9, 2**64, [], {}, [0, 0, 0, 0],
    ["a", "b", "c", "d"], [32, 64, 32], [10**9] * 4, {"a": 1}, "../../x", [[32]], [None] * 4,
)  # fmt: skip


@kind("library", 120)
def configs_of_checkpoints(rng: random.Random, folder: Path) -> Case:
    """A config with a value that cannot be: one sentence that names the file, or a model that works."""
    copy = tiny_copy(folder)
    part = rng.choice(("unet", "vae", "text_encoder", "scheduler", "tokenizer"))
    names = {"scheduler": "scheduler_config.json", "tokenizer": "tokenizer_config.json"}
    path = copy / part / names.get(part, "config.json")
    config = json.loads(path.read_text())
    whole = rng.random() < 0.25
    key = rng.choice([*config, "_class_name"])
    if whole:
        text = rng.choice((
            '"stabilityai/stable-diffusion"', "5", "null", "[]", "[" * 100_000, "{" * 5000, "", "{}", '{"a": NaN}',
            "\0",
            '"' + "a" * 100 + '/b"', '["a"]', json.dumps(config) + "x", json.dumps({"a": config}),
        ))  # fmt: skip
    else:
        config[key] = rng.choice(CONFIG_VALUES)
        text = json.dumps(config)
    path.write_text(text)
    said = (
        f"load_model with {part}/{path.name} = {text[:60]!r}"
        if whole
        else f"load_model with {part}: {key} = {config[key]!r:.60}"
    )

    def call():
        model = load_model(copy)
        if rng.random() < 0.2:
            inspect_checkpoint(copy)
        return model.scheduler_config and model.tokenizer("stir the pan")["input_ids"]

    return Case(said, call)


@kind("library", 90)
def weights_of_checkpoints(rng: random.Random, folder: Path) -> Case:
    """Weights with NaN, of another shape, missing, cut: refused when they are loaded."""
    copy = tiny_copy(folder)
    part = rng.choice(("unet", "vae", "text_encoder"))
    (path,) = (copy / part).glob("*.safetensors")
    tensors = load_file(path)
    key = rng.choice(list(tensors))
    name = rng.choice(("NaN", "infinity", "another shape", "missing", "one more", "cut", "integers", "complex",
        "a text", "empty",
                       "a .bin in its place", "float8", "a huge number"))  # fmt: skip
    content = path.read_bytes()
    path.unlink()
    if name == "missing":
        del tensors[key]
    elif name == "one more":
        tensors["strange.weight"] = torch.ones(3)
    elif name == "cut":
        path.write_bytes(content[: rng.randrange(len(content))])
    elif name == "a text":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    elif name == "a .bin in its place":
        torch.save({key: "text"}, path.with_name(path.stem.replace("model", "pytorch_model") + ".bin"))
    else:
        changes = {
            "NaN": lambda x: x.float() * float("nan"), "infinity": lambda x: x.float() + float("inf"),
            "another shape": lambda x: torch.ones(3, 5), "integers": lambda x: x.to(torch.int32),
            "complex": lambda x: x.to(torch.complex64), "empty": lambda x: x.flatten()[:0],
            "float8": lambda x: x.to(torch.float8_e4m3fn), "a huge number": lambda x: torch.full_like(x.float(), 3e38),
        }  # fmt: skip
        tensors[key] = changes[name](tensors[key]).contiguous()
    if name not in ("cut", "a text", "a .bin in its place"):
        save_file(tensors, path)
    dtype = rng.choice((torch.float32, torch.float16))

    def wrong(model: IVGModel) -> str:
        for network in (model.unet, model.vae, model.text_encoder):
            if network is not None and not all(bool(p.isfinite().all()) for p in network.parameters()):
                return "a model with NaN or infinity in it is loaded"
        return "" if name in ("integers", "float8", "one more", "a huge number") else f"{name} is loaded without a word"

    return Case(f"load_model with {name} in {part}: {key}", lambda: load_model(copy, dtype=dtype), wrong)


@kind("library", 40)
def one_file_models(rng: random.Random, folder: Path) -> Case:
    """The header of a one-file model: cut, changed, of another program."""
    import struct

    with open(EMBEDDED, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(size))
    about = header["__metadata__"]
    key = rng.choice(list(about))
    about[key] = rng.choice(('"hub/name"', "", "null", "{}", "[]", "5", "[" * 100_000, "x" * 10**6, '{"a": "b"}',
        "NaN", '{"width": -8}',
                             '{"kind": "x", "error": NaN, "detail": Infinity}', '{"_class_name": "a"}'))  # fmt: skip
    raw = json.dumps(header).encode()
    path = folder / "model.safetensors"
    with open(EMBEDDED, "rb") as file:
        file.seek(8 + size)
        path.write_bytes(struct.pack("<Q", len(raw)) + raw + file.read())

    def call():
        report = str(inspect_checkpoint(path)) if rng.random() < 0.2 else ""
        return report, has_stage1(path), load_model(path).defaults

    said = f"load_model of one file with {key} = {about[key][:50]!r}"
    return Case(said, call, lambda found: "" if min(found[2].width, found[2].num_frames) > 0 else f"{found[2]}")


@kind("library", 40)
def tokenizers(rng: random.Random, folder: Path) -> Case:
    """The small text files of a tokenizer."""
    files = {path.name: path.read_text() for path in (TINY / "tokenizer").iterdir()}
    name = rng.choice(list(files))
    files[name] = rng.choice(("", "{}", "null", "[" * 100_000, files[name][: len(files[name]) // 2], "\0",
        "#version: 0.2\na", '{"a": -1}',
                              '{"a": "b"}', files[name] + "\nx y z"))  # fmt: skip
    said = f"load_tokenizer with {name} = {files[name][:40]!r}"
    return Case(said, lambda: load_tokenizer(files, "here")("stir the pan")["input_ids"])


@kind("library", 40)
def sizes_to_plan_for(rng: random.Random, folder: Path) -> Case:
    """`info` at sizes and frames that cannot be: refused, and no memory taken."""
    size = (rng.choice((0, -8, 7, 8, 64, 10**5, 10**9, 2**40)), rng.choice((0, -8, 8, 64, 10**5, 10**9)))
    frames = rng.choice((None, 0, -1, 1, 10**9, 2**63, 10**30))
    below = size[0] <= 0 or size[1] <= 0 or (frames is not None and frames < 1)
    wrong = lambda _: f"memory for {size}, {frames} frames" if below else ""  # noqa: E731
    return Case(f"inspect_checkpoint at {size}, {frames} frames", lambda: inspect_checkpoint(TINY, size, frames), wrong)
