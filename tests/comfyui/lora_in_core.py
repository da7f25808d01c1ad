"""The library's LoRA files as core's own loader reads and adds them; run by ComfyUI's Python, prints JSON.

    python tests/comfyui/lora_in_core.py COMFYUI

The embedded model's network stands in a plain module as `diffusion_model`: of a model, core's loader asks no more.
"""

from __future__ import annotations

import copy
import json
import logging
import tempfile
from pathlib import Path
from types import SimpleNamespace

import rom_in_core  # noqa: F401  finds ComfyUI and loads the pack

# isort: split
import comfy.lora
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from safetensors.torch import save_file
from torch import nn

from ivg_pack.ivg_core.checkpoints.embedded import EMBEDDED_LORAS
from ivg_pack.ivg_core.checkpoints.load import load_model
from ivg_pack.ivg_core.checkpoints.lora_files import read_lora, save_lora
from ivg_pack.ivg_core.models.lora import ROLES, LoRA, lora_sites, merge_lora

STRENGTH, RANK = 0.7, 4
OVER_TIME = "mid_block.temp_convs.0.conv1.2"
#: layers of core's own video models, as their LoRAs name them
OTHERS = {
    "wan": "blocks.0.self_attn.q",
    "ltxv": "transformer_blocks.0.attn1.to_q",
    "hunyuan": "double_blocks.0.img_attn.qkv",
}


class Holder(nn.Module):
    """A network where core looks for one."""

    model_config = SimpleNamespace(unet_config={})

    def __init__(self, network: nn.Module):
        super().__init__()
        self.diffusion_model = network


class Heard(logging.Handler):
    """What is logged as a warning or worse."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def loaded(network, path: Path) -> tuple[dict, list[str], dict]:
    """The patches that core makes of a file, what it logs of them, and the weights once it has put them on."""
    heard = Heard()
    logging.getLogger().addHandler(heard)
    with torch.inference_mode():
        holder = Holder(copy.deepcopy(network))
        names = comfy.lora.model_lora_keys_unet(holder, {})
        patches = comfy.lora.load_lora(comfy.utils.load_torch_file(str(path), safe_load=True), names)
        patcher = ModelPatcher(holder, torch.device("cpu"), torch.device("cpu"))
        known = patcher.add_patches(patches, STRENGTH)
        assert len(known) == len(patches)
        patcher.patch_model()
        weights = {name: tensor.clone() for name, tensor in holder.diffusion_model.state_dict().items()}
    logging.getLogger().removeHandler(heard)
    return patches, heard.lines, weights


def compared(network, path: Path) -> dict:
    """Core's loader against `merge_lora` on the same file."""
    lora, merged = read_lora(path, network), copy.deepcopy(network)
    patches, lines, weights = loaded(network, path)
    merge_lora(merged, lora, STRENGTH)
    plain, wanted = network.state_dict(), merged.state_dict()
    moved = [name for name in wanted if not torch.equal(wanted[name], plain[name])]
    return {
        "layers": len(lora.layers),
        "patched": len(patches),
        "moved": len(moved),
        "lines": lines,
        "off": max((weights[name] - wanted[name]).abs().max().item() for name in wanted),
        "change": min((wanted[name] - plain[name]).abs().max().item() for name in moved),
    }


def random_lora(network, roles=ROLES, **metadata) -> LoRA:
    rng, layers = torch.Generator().manual_seed(0), {}
    for name, layer in lora_sites(network, roles).items():
        rows, columns, *kernel = layer.weight.shape
        up = torch.randn(rows, RANK, *[1] * len(kernel), generator=rng)
        layers[name] = (up / 10, torch.randn(RANK, columns, *kernel, generator=rng) / 10)
    scales = {name: (number % 5) / 2 or 0.25 for number, name in enumerate(layers) if number % 2}
    return LoRA(layers, scales, metadata)


def main() -> dict:
    model = load_model("embedded")
    found: dict = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        for stage, network in ((1, model.rom_unet), (2, model.unet)):
            save_lora(random_lora(network, ivg_stage=str(stage)), path)
            found[f"stage {stage}"] = compared(network, path)
        for role in ROLES:
            save_lora(random_lora(model.unet, [role]), path)
            found[role] = compared(model.unet, path)
        rows, columns = model.unet.get_submodule(OVER_TIME).weight.shape[:2]
        halves = {"lora_B": torch.randn(rows * 3, 2) / 10, "lora_A": torch.randn(2, columns * 3) / 10}
        save_file({f"{OVER_TIME}.{half}": tensor for half, tensor in halves.items()}, path)
        save_lora(read_lora(path, model.unet), path)
        found["stable_lora"] = compared(model.unet, path)
        save_lora(read_lora(EMBEDDED_LORAS["embedded-back"], model.unet), path)
        found["embedded-back"] = compared(model.unet, path)
        for family, layer in OTHERS.items():
            save_lora(LoRA({layer: (torch.ones(8, 2), torch.ones(2, 8))}), path)
            patches, lines, _ = loaded(model.unet, path)
            found[family] = {"patched": len(patches), "lines": lines}
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
