"""LoRAs of every program, spoilt ones, and files that are none."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ivg_core.checkpoints.lora_files import read_lora, save_lora
from ivg_core.models.lora import LoRA, layer_of, merge_lora, unmerge_lora

from . import odd
from .case import TINY, Case, kind
from .checkpoints import tiny
from .pictures import DAMAGE

RANK = 3


@lru_cache(1)
def _linears() -> list[str]:
    names = [name for name, module in tiny().for_stage(2).named_modules() if isinstance(module, nn.Linear)]
    return [name for name in names if name.endswith(("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"))]


Pair = tuple[Tensor, Tensor]


def lora_pairs(rng: random.Random) -> dict[str, Pair]:
    """Layer -> (up, down) for a few layers of the tiny network."""
    chance = torch.Generator().manual_seed(rng.randrange(2**31))
    pairs = {}
    for name in rng.sample(_linears(), 6):
        wide, high = tiny().for_stage(2).get_submodule(name).weight.shape
        up, down = torch.randn(wide, RANK, generator=chance), torch.randn(RANK, high, generator=chance)
        pairs[name] = (0.1 * up, 0.1 * down)
    return pairs


def _keys(pairs: dict[str, Pair], before: str, up: str, down: str, dots: str = ".") -> dict[str, Tensor]:
    found = {}
    for name, (one, other) in pairs.items():
        stem = before + name.replace(".", dots)
        found |= {f"{stem}{up}": one.clone(), f"{stem}{down}": other.clone()}
    return found


def _mixed(pairs: dict[str, Pair]) -> dict[str, Tensor]:
    """As diffusers' training scripts write it: attention in the old way, all else in the new."""
    attention = {name: pair for name, pair in pairs.items() if ".ff." not in name}
    rest = {name: pair for name, pair in pairs.items() if ".ff." in name}
    return _keys(attention, "unet.", ".lora.up.weight", ".lora.down.weight") | _keys(
        rest, "unet.", ".lora_B.weight", ".lora_A.weight"
    )


def _processors(pairs: dict[str, Pair]) -> dict[str, Tensor]:
    """diffusers of early 2023: `…attn1.processor.to_q_lora.up.weight`."""
    found: dict[str, Tensor] = {}
    for name, pair in pairs.items():
        stem, _, part = name.removesuffix(".0").rpartition(".")
        if part.startswith("to_"):
            found |= _keys({f"{stem}.processor.{part}_lora": pair}, "unet.", ".up.weight", ".down.weight")
        else:
            found |= _keys({name: pair}, "unet.", ".lora_B.weight", ".lora_A.weight")
    return found


def _kohya(pairs: dict[str, Pair], alpha: float | None = None) -> dict[str, Tensor]:
    found = _keys(pairs, "lora_unet_", ".lora_up.weight", ".lora_down.weight", "_")
    alphas = {"lora_unet_" + name.replace(".", "_") + ".alpha": torch.tensor(alpha) for name in pairs if alpha}
    return found | alphas


def _about(**values: Any) -> dict[str, str]:
    return {"lora_adapter_metadata": json.dumps({f"unet.{key}": value for key, value in values.items()})}


#: Good files of other programs: name -> (tensors, header, how much stronger than up @ down).
FORMATS: dict[str, Callable[[dict[str, Pair]], tuple[dict[str, Tensor], dict[str, str], float]]] = {
    "ours": lambda p: (_keys(p, "diffusion_model.", ".lora_up.weight", ".lora_down.weight"), {}, 1),
    "peft": lambda p: (_keys(p, "base_model.model.", ".lora_B.weight", ".lora_A.weight"), {}, 1),
    "peft, default": lambda p: (
        _keys(p, "base_model.model.", ".lora_B.default.weight", ".lora_A.default.weight"), {}, 1,
    ),
    "diffusers": lambda p: (_keys(p, "unet.", ".lora_B.weight", ".lora_A.weight"), {}, 1),
    "diffusers' scripts": lambda p: (_mixed(p), {}, 1),
    "diffusers' old processors": lambda p: (_processors(p), {}, 1),
    "diffusers, alpha in the header": lambda p: (
        _keys(p, "unet.", ".lora_B.weight", ".lora_A.weight"), _about(r=RANK, lora_alpha=2 * RANK), 2,
    ),
    "diffusers, rslora in the header": lambda p: (
        _keys(p, "unet.", ".lora_B.weight", ".lora_A.weight"), _about(r=RANK, lora_alpha=RANK, use_rslora=True),
        RANK**0.5,
    ),
    "kohya": lambda p: (_kohya(p), {}, 1),
    "kohya with alpha": lambda p: (_kohya(p, 2.0 * RANK), {}, 2),
    "loralib": lambda p: (_keys(p, "", ".lora_B", ".lora_A"), {}, 1),
    "lycoris' name": lambda p: (_keys(p, "lycoris_", ".lora_up.weight", ".lora_down.weight", "_"), {}, 1),
    "ours, once without core's prefix": lambda p: (_keys(p, "", ".lora_up.weight", ".lora_down.weight"), {}, 1),
    "with a text encoder's": lambda p: (
        _keys(p, "unet.", ".lora_B.weight", ".lora_A.weight")
        | {f"text_encoder.layers.0.q_proj.lora_{half}.weight": torch.ones(RANK, RANK) for half in "AB"}, {}, 1,
    ),
}  # fmt: skip


def _as_meant(pairs: dict[str, Pair], strength: float) -> Callable[[LoRA], str]:
    def wrong(lora: LoRA) -> str:
        missing = pairs.keys() - lora.layers.keys()
        if missing:
            return f"{len(missing)} of {len(pairs)} layers are left out"
        for name, (up, down) in pairs.items():
            change = lora.change(name, layer_of(tiny().for_stage(2), name).weight)
            ratio = float((change * (up @ down)).sum() / (up @ down).square().sum())
            if abs(ratio - strength) > 0.02 * strength:
                return f"it is {ratio:.3f} as strong as up @ down, not {strength:.3f}"
        return ""

    return wrong


@kind("library", 110)
def lora_files(rng: random.Random, folder: Path) -> Case:
    """LoRAs of other programs: every layer, as strong as trained, or refused; never a part of it."""
    name, pairs = rng.choice(list(FORMATS)), lora_pairs(rng)
    tensors, header, strength = FORMATS[name](pairs)
    dtype = rng.choice((torch.float32, torch.float16, torch.bfloat16))
    path = folder / f"lora{rng.choice(('.safetensors', '.safetensors', '.SAFETENSORS', '.Safetensors'))}"
    save_file({key: tensor.to(dtype).contiguous() for key, tensor in tensors.items()}, path, {"format": "pt", **header})
    good = name in (
        "ours",
        "ours, once without core's prefix",
        "peft",
        "diffusers",
        "kohya",
        "kohya with alpha",
        "loralib",
    )
    said = f"read_lora of {name}, {dtype}, {path.suffix}"
    return Case(said, lambda: read_lora(path, tiny().for_stage(2)), _as_meant(pairs, strength), good=good)


@kind("library", 50)
def lora_with_peft_config(rng: random.Random, folder: Path) -> Case:
    """peft's folder, with patterns as peft matches them, or with nonsense in its config."""
    pairs = lora_pairs(rng)
    first = next(iter(pairs))
    config: dict[str, Any] = {"r": RANK, "lora_alpha": 2 * RANK, "target_modules": ["to_q"]}
    strength: float | None = 2.0
    what = rng.choice(("plain", "pattern", "use_dora", "odd", "odd", "odd", "text"))
    if what == "pattern":
        pairs = {first: pairs[first]}
        config["alpha_pattern"] = {
            rng.choice((first, first.rpartition(".")[2], r".*\." + first.rpartition(".")[2])): RANK
        }
        strength = 1.0
    elif what == "use_dora":
        config["use_dora"], strength = True, None
    elif what == "odd":
        config[rng.choice(("lora_alpha", "alpha_pattern", "use_rslora", "r", "rank_pattern"))] = odd.value(rng)
        strength = None
    try:
        text = json.dumps(config)
    except TypeError:
        text = "{"
    if what == "text":
        text, strength = rng.choice(("", "null", "[]", "5", "[" * 100_000, "\0", '"a"')), None
    save_file(
        _keys(pairs, "base_model.model.", ".lora_B.weight", ".lora_A.weight"), folder / "adapter_model.safetensors"
    )
    (folder / "adapter_config.json").write_bytes(text.encode("utf-8", "surrogatepass"))

    def wrong(lora: LoRA) -> str:
        if what == "use_dora":
            return "a DoRA is taken as a plain LoRA"
        if not all(math.isfinite(scale) for scale in lora.scales.values()):
            return f"a strength of {next(iter(lora.scales.values()))}"
        return _as_meant(pairs, strength)(lora) if strength is not None else ""

    said = f"read_lora of a folder with {text[:110]}"
    return Case(said, lambda: read_lora(folder, tiny().for_stage(2)), wrong, good=what in ("plain", "pattern"))


#: What may be wrong with one tensor of a LoRA; None takes it away.
SPOILT: dict[str, Callable[[Tensor], Tensor | None]] = {
    "NaN": lambda x: x * float("nan"),
    "infinity": lambda x: x + float("inf"),
    "half of a pair": lambda x: None,
    "rank 0": lambda x: x[:0],
    "complex": lambda x: x.to(torch.complex64),
    "integers": lambda x: (x * 100).to(torch.int8),
    "bool": lambda x: x > 0,
    "float8": lambda x: x.to(torch.float8_e4m3fn),
    "another shape": lambda x: torch.ones(5, 7),
    "one dimension": lambda x: x.flatten(),
    "a scalar": lambda x: torch.tensor(1.0),
    "swapped sides": lambda x: x.T,
    "five dimensions": lambda x: x[..., None, None, None],
    "another rank": lambda x: torch.cat([x, x]),
}
#: What may stand beside the pair of a layer that a plain LoRA has not: endings -> tensors.
FOREIGN: dict[str, dict[str, Tensor]] = {
    "a DoRA of kohya": {".dora_scale": torch.ones(32, 1)},
    "a DoRA of peft": {".lora_magnitude_vector": torch.ones(32)},
    "a LoHa": {f".hada_{part}": torch.ones(4, 4) for part in ("w1_a", "w1_b", "w2_a", "w2_b")},
    "a LoKr": {".lokr_w1": torch.ones(4, 4)},
    "a middle (tucker)": {".lora_mid.weight": torch.ones(RANK, RANK, 1, 1)},
    "a layer of another network": {".double_blocks.0.lora_B.weight": torch.ones(4, 2)},
    "an alpha that is NaN": {".alpha": torch.tensor(float("nan"))},
    "an alpha that is a list": {".alpha": torch.ones(3)},
    "an alpha that is empty": {".alpha": torch.ones(0)},
}
HARMLESS = ("integers", "bool", "float8", "five dimensions")


@kind("library", 120)
def lora_files_that_are_spoilt(rng: random.Random, folder: Path) -> Case:
    """Refused by name; never merged as something else, never NaN in the model."""
    name = rng.choice([*SPOILT, *FOREIGN])
    tensors = rng.choice((FORMATS["ours"], FORMATS["kohya"], FORMATS["diffusers"]))(lora_pairs(rng))[0]
    key = rng.choice(list(tensors))
    if name in FOREIGN:
        tensors |= {key.partition(".lora")[0] + ending: tensor for ending, tensor in FOREIGN[name].items()}
    elif (spoilt := SPOILT[name](tensors.pop(key))) is not None:
        tensors[key] = spoilt
    path = folder / "lora.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)

    def call():
        lora = read_lora(path, tiny().for_stage(2))
        save_lora(lora, folder / "again.safetensors")
        unet = tiny().for_stage(2)
        before = merge_lora(unet, lora)
        merged = {layer: layer_of(unet, layer).weight.clone() for layer in before}
        unmerge_lora(unet, before)
        return merged

    def wrong(_: Any) -> str:
        return "" if name in HARMLESS else f"a LoRA with {name} is merged without an error"

    return Case(f"read_lora and merge of one with {name}", call, wrong)


ENDINGS = (".safetensors", ".pt", ".bin", ".ckpt", ".pth", ".SAFETENSORS", ".PT", "", ".txt", ".zip")


@kind("library", 90)
def files_that_are_no_lora(rng: random.Random, folder: Path) -> Case:
    """Texts, pictures, pickles of other things, cut files, under every ending."""
    path = folder / f"lora{rng.choice(ENDINGS)}"
    whole = folder / "whole"
    name = rng.choice((*DAMAGE, "a text", "a dict of another thing", "a list of texts", "an odd list", "NaN list",
        "nothing",
                       "a module's name", "a huge header", "no tensors", "a state dict of a whole network",
                       "tensors in tensors"))  # fmt: skip
    save_file(FORMATS["ours"](lora_pairs(rng))[0], whole)
    things: dict[str, Any] = {
        "a dict of another thing": {"a": 1}, "a list of texts": ["a"] * 4, "an odd list": [torch.ones(2, 2)] * 3,
        "NaN list": [torch.full((2, 2), float("nan"))] * 4, "a module's name": {"state_dict": "model"},
        "tensors in tensors": {"state_dict": {"a": {"b": torch.ones(2)}}},
    }  # fmt: skip
    if name in things:
        torch.save(things[name], path, _use_new_zipfile_serialization=rng.random() < 0.5)
    elif name == "a state dict of a whole network":
        shutil.copy(TINY / "unet" / "diffusion_pytorch_model.safetensors", path)
    elif name == "no tensors":
        save_file({}, path)
    elif name == "a huge header":
        path.write_bytes((2**40).to_bytes(8, "little") + b"{}")
    elif name in DAMAGE:
        path.write_bytes(DAMAGE[name](rng, whole.read_bytes()))
    else:
        path.write_bytes(b"" if name == "nothing" else b"stir the pan\n")
    return Case(f"read_lora of {name}, {path.suffix}", lambda: read_lora(path, tiny().for_stage(2)))
