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
from core_backbone_measures import CPU, apart, lora_of
from core_backbone_parts import FRAMES, conditioning, draw, model, pictures, vae
from core_coarse_parts import coarse_vae, make_legible
from tiny_core import wan_clip

from ivg_pack.ivg_core.media.clips import MemoryClip
from ivg_pack.ivg_core.models.codec import LatentGrid
from ivg_pack.ivg_core.synthetic.clips import Scene
from ivg_pack.ivg_core.training import trainer
from ivg_pack.ivg_core.training.batches import Batch
from ivg_pack.ivg_core.training.crops import crop_around
from ivg_pack.ivg_core.training.data.sources import TrainingClip
from ivg_pack.ivg_core.training.pixel_losses import Hands
from ivg_pack.ivg_core.training.prediction import Prediction
from ivg_pack.nodes._core_backbone import CoreBackbone
from ivg_pack.nodes._core_fingerprint import fingerprint_of
from ivg_pack.nodes._core_sample import BOUNDARY, Sampled, first_below, sample_frames
from ivg_pack.nodes._core_training import core_config, data_settings, run_core_training, sample_of


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


def without_a_sample() -> list[bool]:
    """Whether a training that is whole ends without one, where there is no memory for it, and of one expert."""
    backbone = CoreBackbone(model("wan22-5b"), vae("wan22-5b"))
    with patch.object(CoreBackbone, "sample", side_effect=mm.OOM_EXCEPTION("CUDA out of memory")):
        no_room = sample_of(backbone.patcher, backbone, {}, 0) is None
    expert = CoreBackbone(model("wan22-i2v"), vae("wan22-i2v"), 0.9, 1.0)
    return [no_room, sample_of(expert.patcher, expert, {}, 0) is None]


def experts() -> dict:
    """Two experts that are one model against the model alone, and where another model takes over."""
    one, other = model("wan22-i2v"), model("wan22-i2v", num_layers=1)
    codec, how, photo = vae("wan22-i2v"), Sampled(6, 1.0), pictures(1)[0]
    backbone = CoreBackbone(one, codec)
    told = backbone.told(conditioning("wan22-i2v"), photo, FRAMES)
    shape = told.also["concat_latent_image"].shape
    steps: list[int] = []

    def made(low=None):
        return sample_frames(one, codec, told, told, shape, 1, how, lambda *_others: steps.append(1), low)

    alone = made()
    return {
        "split": first_below(BOUNDARY, one, how),
        "same": apart(made(one), alone),
        "other": apart(made(other), alone),
        "steps": len(steps),
    }


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


def hand_loss() -> dict:
    """The hand loss of a drawn clip through the network, decoded on a crop: its gradient, and ten steps on it alone.

    The autoencoder loses nothing, so that what is near the truth has hands.
    """
    scene = Scene(13, 128, 128)
    frames = torch.from_numpy(scene.clip(scene.tasks[1], FRAMES).frames)  # (F, H, W, 3) uint8
    patcher = model("wan22-5b", dim=256, num_heads=2)  # so wide that 4 cells get through
    make_legible(patcher)
    backbone = CoreBackbone(patcher, coarse_vae("wan22-5b", 2))
    backbone.codec.cell = 2
    video = frames.float() / 255
    told, x0 = backbone.told(conditioning("wan22-5b"), video[0], FRAMES), backbone.codec.encode(video)[None]
    exact = apart(backbone.codec.decode(x0)[0], video)
    level, noise, term = torch.tensor([0.3]), draw(*x0.shape, seed=1), Hands(frames=1, views=1, crop=64)
    noisy, lora = backbone.schedule.add_noise(x0, noise, level), lora_of(backbone)
    target = backbone.schedule.target(x0, noise, level)
    batch = Batch(name=["drawn"], frames=frames[None], latents=x0)
    optimizer, losses = torch.optim.Adam(lora.parameters(), lr=2e-3), []
    with backbone.training(CPU), lora.attached(backbone.network):
        for _ in range(11):
            output = backbone(noisy, level, told)
            p = Prediction(
                output, target, noisy, x0, level, None, None, batch, backbone, torch.Generator().manual_seed(2)
            )
            loss = term(p)
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            norm = torch.cat([one.grad.flatten() for one in lora.parameters()]).norm().item()
            optimizer.step()
    return {"losses": losses, "exact": exact, "norm": norm}


def main() -> dict:
    return {
        "hands": hand_loss(),
        "memory": {
            "all": out_of_memory(1.0, 33),
            "no_hands": out_of_memory(0.0, 33),
            "few_frames": out_of_memory(1.0, 9),
            **of_the_driver(),
        },
        "experts": experts(),
        "without_a_sample": without_a_sample(),
        "fingerprints": fingerprints(),
        "crops": crops(),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
