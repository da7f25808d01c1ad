"""Text-to-video models in ModelScope's own files, of which no config says what they should be."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ivg_core.checkpoints.info import inspect_checkpoint
from ivg_core.checkpoints.layout import read_layout
from ivg_core.checkpoints.load import load_component
from ivg_core.checkpoints.original import PUBLISHED

from .case import ROOT, Case, kind
from .hostile import trapped

UNET, VAE, TEXT = (Path(name).stem for name in PUBLISHED.values())


@lru_cache(1)
def _unet() -> dict[str, Tensor]:
    return load_file(ROOT / "tests" / "golden" / "modelscope" / f"{UNET}.safetensors")


@kind("library", 90)
def original_files(rng: random.Random, folder: Path) -> Case:
    """Weights that tell an odd shape of network, none, or two; files of the other parts that are none."""
    tensors = dict(_unet())
    key = rng.choice(
        [*tensors, "input_blocks.0.0.weight", "input_blocks.0.1.proj_in.weight", "input_blocks.2.op.weight"]
    )
    change = rng.choice(
        ("nothing", "missing", "another shape", "no number", "NaN", "many blocks", "wide", "cut", "code")
    )
    if change == "missing":
        del tensors[key]
    elif change in ("another shape", "no number", "wide"):
        odd = {
            "another shape": torch.ones(3, 5),
            "no number": torch.tensor(1.0),
            "wide": torch.ones(1).expand(2**20, 1),
        }
        tensors[key] = odd[change].contiguous()
    elif change == "NaN":
        tensors[key] = tensors[key] * float("nan")
    elif change == "many blocks":
        names = (f"input_blocks.{rng.choice((10**3, 10**9, -1, 'x'))}.{i}.in_layers.2.weight" for i in range(20))
        tensors |= {name: torch.ones(1, 1) for name in names}
    path = folder / (UNET + rng.choice((".safetensors", ".pth", ".fp16.safetensors")))
    if change == "code":
        path = path.with_suffix(".pth")
        torch.save(trapped(rng, folder), path)
    elif path.suffix == ".pth":
        torch.save(rng.choice((tensors, {"state_dict": tensors})), path)
    else:
        save_file(tensors, path)
    if change == "cut":
        content = path.read_bytes()
        path.write_bytes(content[: rng.randrange(len(content))])
    for part in rng.sample((VAE, TEXT), rng.choice((0, 0, 0, 1, 2))):
        odd_part = {rng.choice(("encoder.down.0.block.0.conv1.weight", "ln_final.weight", "a")): torch.ones(2, 2)}
        save_file(odd_part, folder / f"{part}.safetensors")
    source = rng.choice((folder, path))

    def call():
        report = inspect_checkpoint(source, (16, 16), 1)
        return str(report), load_component(read_layout(source), "unet", torch.float32, "cpu")

    def wrong(found) -> str:
        if not all(bool(weight.isfinite().all()) for weight in found[1].parameters()):
            return "a network with NaN or infinity in it is loaded"
        return "" if change == "nothing" else f"{change} is loaded without a word"

    return Case(f"{path.name} with {change}: {key}", call, wrong)
