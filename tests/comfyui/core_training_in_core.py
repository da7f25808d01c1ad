"""What the training on core's models holds to, where a server would not show it; run by ComfyUI's Python, prints JSON.

python tests/comfyui/core_training_in_core.py COMFYUI
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from unittest.mock import patch

from rom_in_core import ROOT  # noqa: F401  finds ComfyUI and loads the pack

# isort: split
import comfy.model_management as mm
import comfy.sd
import torch
from core_backbone_measures import CPU, apart
from core_backbone_parts import draw, model, pictures, vae
from tiny_core import wan_clip

from ivg_pack.ivg_core.media.clips import MemoryClip
from ivg_pack.ivg_core.models.codec import LatentGrid
from ivg_pack.ivg_core.training import trainer
from ivg_pack.ivg_core.training.crops import crop_around
from ivg_pack.ivg_core.training.data.sources import TrainingClip
from ivg_pack.nodes._core_backbone import CoreBackbone
from ivg_pack.nodes._core_fingerprint import fingerprint_of
from ivg_pack.nodes._core_training import core_config, data_settings, run_core_training


def out_of_memory(hand_loss: float, frames: int, error: Exception | None = None) -> str:
    """The sentence of a training that does not fit."""
    error = error or mm.OOM_EXCEPTION("CUDA out of memory")
    backbone = CoreBackbone(model("wan22-5b"), vae("wan22-5b"))
    clips = [TrainingClip("a clip", MemoryClip(pictures(frames)), "A sentence.", torch.ones(frames, 64, 64))]
    settings = data_settings(backbone, source="", caption=None, masks="white", frames=frames, width=64, height=64)

    def train(*_args, **_named):
        raise error

    with tempfile.TemporaryDirectory() as folder, torch.inference_mode(), patch.object(trainer, "train", train):
        config = core_config(Path(folder) / "run", backbone, 2, 1, 4, 1e-3, 2.0, hand_loss, 0)
        try:
            run_core_training("1", backbone, wan_clip(), config, settings, clips, False)
        except Exception as said:
            return str(said)
    return "nothing was said"


def of_the_driver() -> dict:
    """The same where the driver says so and not torch, which a newer core tells apart."""
    if not hasattr(mm, "is_oom"):
        return {}
    return {"driver": out_of_memory(0.0, 9, torch.AcceleratorError("CUDA error: out of memory"))}


def fingerprints() -> dict:
    """Whether they stay and change as they should."""
    name = "diffusion_model.blocks.0.self_attn.q.weight"
    halves = {f"{name.removesuffix('.weight')}.lora_{end}.weight": draw(128, 4, seed=3) for end in ("up", "down")}
    halves = {key: value if "up" in key else value.T.contiguous() for key, value in halves.items()}
    with torch.inference_mode():
        base = model("wan22-5b")
        patched, _ = comfy.sd.load_lora_for_models(base, None, halves, 1.0, 0)
        weaker, _ = comfy.sd.load_lora_for_models(base, None, halves, 0.5, 0)
        halves[next(iter(halves))] = halves[next(iter(halves))] + 1
        other, _ = comfy.sd.load_lora_for_models(base, None, halves, 1.0, 0)
        kinds = {"base": base, "patched": patched, "weaker": weaker, "other": other}
        before = {kind: fingerprint_of(one) for kind, one in kinds.items()}
        stay = []
        for kind in ("patched", "base"):
            weight = kinds[kind].model.diffusion_model.blocks[0].self_attn.q.weight.clone()
            mm.load_models_gpu([kinds[kind]], force_full_load=True)
            moved = apart(weight, kinds[kind].model.diffusion_model.blocks[0].self_attn.q.weight)
            stay.append([kind, moved > 0.01, fingerprint_of(kinds[kind]) == before[kind]])
            mm.unload_all_models()
            stay.append([kind, False, fingerprint_of(kinds[kind]) == before[kind]])
        base.model.diffusion_model.head.modulation.view(-1)[0] += 1
        changed = fingerprint_of(base) != before["base"]
    return {"differ": len(set(before.values())), "stay": stay, "changed": changed}


def crops() -> dict:
    """A part of a picture decoded alone against the same part of the whole: how far apart, by distance to its edge."""
    backbone, grid = CoreBackbone(model("wan22-5b"), vae("wan22-5b")), LatentGrid(3, 8, 8, 16, 4)
    latents = draw(1, 48, 3, 8, 8, seed=6)
    crop = crop_around((64, 64), 64, grid)
    with backbone.training(CPU), torch.no_grad():
        whole = backbone.codec.decode(latents, [1]).movedim(-1, 2)
        part = backbone.codec.decode(crop.latents(latents), [1]).movedim(-1, 2)
    off = (part - crop.pixels(whole)).abs().mean((0, 1, 2))
    return {
        "corner": list(crop.corner),
        "shape": list(part.shape),
        "whole": off.mean().item(),
        "inner": off[16:-16, 16:-16].mean().item(),
        "spread": whole.std().item(),
    }


def main() -> dict:
    return {
        "memory": {
            "all": out_of_memory(1.0, 33),
            "no_hands": out_of_memory(0.0, 33),
            "few_frames": out_of_memory(1.0, 9),
            **of_the_driver(),
        },
        "fingerprints": fingerprints(),
        "crops": crops(),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
