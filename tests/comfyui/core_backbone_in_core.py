"""Core's video models as training backbones, against core's own sampler and loader; run by ComfyUI's Python.

    python tests/comfyui/core_backbone_in_core.py COMFYUI

Prints JSON. The networks are those of `core_backbone_parts`.
"""

from __future__ import annotations

import gc
import json
import tempfile
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from unittest.mock import patch

from rom_in_core import IVGApplyRoM, square  # finds ComfyUI and loads the pack

# isort: split
import comfy.model_management as mm
import comfy.sample
import comfy.sd
import comfy.utils
import torch
from core_backbone_limits import check_refusals, check_schedule
from core_backbone_measures import (
    CPU,
    SIGMA,
    SPATIAL_ONLY,
    apart,
    check_parity,
    gradient_of,
    inputs_of,
    kept_by,
    lora_of,
    slope,
    tensors_in,
)
from core_backbone_parts import FAMILIES, FRAMES, SIDE, by_nodes, conditioning, draw, model, pictures, vae

from ivg_pack.ivg_core.training.config import LoRASettings, TrainConfig
from ivg_pack.nodes import _core_backbone
from ivg_pack.nodes._core_backbone import CoreBackbone
from ivg_pack.nodes._core_memory import estimate


def sample(patcher, positive, latent):
    """Two steps of core's KSampler."""
    return comfy.sample.sample(
        patcher, draw(*latent["samples"].shape, seed=5), 2, 1.0, "euler", "simple", positive, positive,
        latent["samples"], noise_mask=latent.get("noise_mask"), disable_pbar=True,
    )  # fmt: skip


def check_file(backbone, told, noisy, before, sampled):
    """The trained network against the base with the file loaded by core, and the base afterwards."""
    level, lora = torch.tensor([SIGMA]), lora_of(backbone)
    with backbone.training(CPU), torch.no_grad():
        bare = backbone(noisy, level, told)
        with lora.attached(backbone.network):
            trained = backbone(noisy, level, told)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lora.safetensors"
        learned = lora.to_lora()
        learned.scales = dict.fromkeys(learned.layers, 0.5)  # what a LoRA with an alpha has
        learned.layers = {name: (2 * up, down) for name, (up, down) in learned.layers.items()}
        backbone.save_lora(learned, path)
        tensors = comfy.utils.load_torch_file(str(path))
    with torch.inference_mode():
        patched, _ = comfy.sd.load_lora_for_models(backbone.patcher, None, tensors, 1.0, 0)
    loaded = CoreBackbone(patched, backbone.vae)
    with loaded.training(CPU), torch.no_grad():
        again = loaded(noisy, level, told)
    return {
        "off": apart(again, trained),
        "changed": apart(bare, trained),
        "loaded": len(patched.patches),
        "on_top": loaded.about()["on_top_of_loras"],
        "base_after": torch.equal(before, sampled()),
    }


def check_family(family):
    began = time.process_time()
    with torch.inference_mode():  # as ComfyUI's loaders and nodes run
        patcher, photo = model(family), pictures(1)[0]
        backbone = CoreBackbone(patcher, vae(family))
        positive, latent = by_nodes(family, photo)
        told = backbone.told(conditioning(family), photo, FRAMES)

    def sampled():
        with torch.inference_mode():
            return sample(patcher, positive, latent)

    before, noisy = sampled(), draw(*latent["samples"].shape, seed=2)
    found = {"name": backbone.name, "parity": check_parity(backbone, positive, latent, told)}
    with backbone.training(CPU):
        found["slope"] = slope(backbone, told, noisy)
        found["slope_one_role"] = slope(backbone, told, noisy, voices=SPATIAL_ONLY)
    found["file"] = check_file(backbone, told, noisy, before, sampled)
    found["seconds"] = time.process_time() - began
    return found


def check_told_mask() -> dict:
    """A region of motion, told as our nodes tell core's sampler; Wan's image-to-video has no node for it."""
    found: dict = {}
    with torch.inference_mode():
        photo = pictures(1)[0]
        backbone, (positive, latent) = CoreBackbone(model("ltxv"), vae("ltxv")), by_nodes("ltxv", photo)
        rom, cells = IVGApplyRoM.execute(photo[None], square(SIDE, SIDE), vae("ltxv"), latent, 0).args
        told = backbone.told(conditioning("ltxv"), photo, FRAMES, cells)
    found["ltxv"] = check_parity(backbone, positive, rom, told)
    found["cells"] = cells.sum().item()
    mm.unload_all_models()
    backbone = CoreBackbone(model("wan22-i2v"), vae("wan22-i2v"))
    cells = (draw(3, 8, 8, seed=8) > 0).float()
    told = backbone.told(conditioning("wan22-i2v"), photo, FRAMES, cells)
    with backbone.training(CPU), inputs_of(backbone.network) as seen, torch.no_grad():
        backbone(draw(1, 16, 3, 8, 8), torch.tensor([SIGMA]), told)
    cells[0] = 0
    still = backbone.codec.encode(photo.expand(FRAMES, -1, -1, -1))
    found["wan"] = [apart(seen[0][0][0, 16:20], (1 - cells).expand(4, -1, -1, -1)), apart(seen[0][0][0, 20:], still)]
    return found


def check_batch() -> float:
    """Two clips in one batch, of different noise, against each by itself."""
    backbone = CoreBackbone(model("wan22-5b"), vae("wan22-5b"))
    tolds = [backbone.told(conditioning("wan22-5b"), pictures(1, seed)[0], FRAMES) for seed in (0, 1)]
    noisy, levels = draw(2, 48, 3, 4, 4), torch.tensor([SIGMA, 0.3])
    with backbone.training(CPU), torch.no_grad():
        both = backbone(noisy, levels, type(tolds[0]).cat(tolds))
        alone = [backbone(noisy[i : i + 1], levels[i : i + 1], told) for i, told in enumerate(tolds)]
    return apart(both, torch.cat(alone))


def check_decode(family: str) -> dict:
    """Some frames against the whole, core's own decoding, gradient and what autograd keeps."""
    backbone, found = CoreBackbone(model(family), vae(family)), {"off": 0.0, "leaks": 0.0, "kept": []}
    codec = backbone.codec
    side, moments = (2, (0, 3)) if family == "ltxv" else (4, range(6))
    latents = draw(1, vae(family).latent_channels, 6, side, side, seed=6).requires_grad_()
    with backbone.training(CPU):
        whole = codec.decode(latents)
        raw = backbone.patcher.model.process_latent_out(latents.detach())
        found["core"] = apart(whole, vae(family).decode(raw))
        stride, network = codec.stride, codec.vae.first_stage_model
        for t in moments:
            frames = [0] if t == 0 else list(range(1 + (t - 1) * stride, 1 + t * stride))
            shown, kept = kept_by(network, lambda frames=frames: codec.decode(latents, frames))
            (gradient,) = torch.autograd.grad(shown.square().sum(), latents)
            found["off"] = max(found["off"], apart(shown, whole[:, frames]))
            found["kept"].append(kept)
            others = [k for k in range(6) if k not in (t, t + 1 - t % 2, t - 1 + t % 2)]  # newer ones take two at once
            found["leaks"] = max(found["leaks"], gradient[:, :, others].abs().max().item())
            found.setdefault("learned", []).append(bool(gradient[:, :, t].any()))
        two = codec.decode(latents, [3 * stride, 2 * stride - 1])
        found["chosen"] = apart(two, whole[:, [3 * stride, 2 * stride - 1]])
    found["learns_after"] = all(parameter.requires_grad for parameter in network.parameters())
    return found


def check_float8() -> dict:
    """Weights in float8: the gradient, and what autograd keeps, plain and with either part of `training`."""
    patcher = model("wan22-5b", options={"dtype": torch.float8_e4m3fn})
    backbone = CoreBackbone(patcher, vae("wan22-5b"))
    told, noisy = backbone.told(conditioning("wan22-5b"), pictures(1)[0], FRAMES), draw(1, 48, 3, 4, 4, seed=2)
    found: dict = {"dtype": str(backbone.network.blocks[0].self_attn.q.weight.dtype)}
    lora, gradients = lora_of(backbone), {}
    for way, without in (
        ("plain", ("weightless", "recomputed")),
        ("weightless", ("recomputed",)),
        ("both", ()),
    ):
        with ExitStack() as stack:
            for name in without:
                stack.enter_context(patch.object(_core_backbone, name, lambda network: nullcontext()))
            stack.enter_context(backbone.training(CPU))
            stack.enter_context(lora.attached(backbone.network))
            (_, gradient), kept = kept_by(backbone.network, lambda: gradient_of(backbone, lora, told, noisy))
            gradients[way] = torch.cat([g.flatten() for g in gradient])
            found[way] = kept
    off = {
        way: (gradient - gradients["plain"]).norm() / gradients["plain"].norm() for way, gradient in gradients.items()
    }
    found["off"] = {way: value.item() for way, value in off.items()}
    with backbone.training(CPU):
        found["slope"] = slope(backbone, told, noisy)
    optimizer = torch.optim.AdamW(lora.parameters(), lr=1e-2)
    with backbone.training(CPU), lora.attached(backbone.network):
        losses = []
        for _ in range(5):
            loss, _ = gradient_of(backbone, lora, told, noisy)
            optimizer.step()
            losses.append(loss().item())
    found["losses"] = losses
    return found


def check_memory(family: str) -> dict:
    """What is estimated of a step's activations in 16 bits, and what autograd keeps, at widths like real ones."""
    patcher = model(family, dim=768, ffn_dim=3584, num_heads=6, options={"dtype": torch.bfloat16})
    patcher.set_model_compute_dtype(torch.bfloat16)
    backbone, side, kept = CoreBackbone(patcher, vae(family)), 128, {}
    config = TrainConfig(
        stage=1, losses={"noise": 1}, lora={role: LoRASettings(rank=4) for role in ("spatial", "text")}
    )
    grid = backbone.codec.grid(FRAMES, (side, side))
    told = backbone.told(conditioning(family), torch.rand(side, side, 3), FRAMES)
    noisy = draw(1, backbone.codec.vae.latent_channels, grid.frames, grid.height, grid.width)
    lora = lora_of(backbone)
    for what, without in (("inputs", ()), ("blocks", ("recomputed",))):
        with ExitStack() as stack:
            for name in without:
                stack.enter_context(patch.object(_core_backbone, name, lambda network: nullcontext()))
            stack.enter_context(backbone.training(CPU))
            stack.enter_context(lora.attached(backbone.network))
            _, kept[what] = kept_by(backbone.network, lambda: backbone(noisy, torch.tensor([SIGMA]), told))
    said = estimate(backbone, config, grid)
    learned = 16 * sum(parameter.numel() for parameter in lora.parameters())
    return {"ratio": said.activations / (kept["inputs"] + kept["blocks"] / 2), "learned": said.learned / learned}


def check_life(family: str, on_top: bool = False) -> dict:
    """A training as a node lives it, inside inference mode: cancelled on the way, failed, and finished."""
    found: dict = {}
    with torch.inference_mode():
        patcher, photo = model(family), pictures(1)[0]
        if on_top:
            name = "diffusion_model.blocks.0.self_attn.q.weight"
            patcher.add_patches({name: ("diff", (draw(128, 128, seed=7) / 11,))})
        positive, latent = by_nodes(family, photo)

        def sampled():
            return sample(patcher, positive, latent)

        def train(steps, cancel_at=None, fail=False):
            backbone = CoreBackbone(patcher, vae(family))
            told = backbone.told(positive, photo, FRAMES)
            found["ordinary"] = not any(x.is_inference() for x in tensors_in(told))
            x0 = backbone.codec.encode(pictures(FRAMES))[None]
            with backbone.training(CPU):
                backbone.network.train()  # as the trainer does where the network's dropout is asked for
                lora = lora_of(backbone)
                optimizer = torch.optim.AdamW(lora.parameters(), lr=1e-2)
                began = torch.cat([p.detach().flatten() for p in lora.parameters()])
                found["in_training"] = getattr(mm, "in_training", True)
                with lora.attached(backbone.network):
                    for step in range(steps):
                        if step == cancel_at:
                            mm.interrupt_current_processing()
                        mm.throw_exception_if_processing_interrupted()
                        gradient_of(backbone, lora, told, draw(*latent["samples"].shape, seed=step))
                        backbone.codec.decode(x0.requires_grad_(), [1]).sum().backward()
                        optimizer.step()
                        if fail:
                            raise MemoryError
                found["moved"] = apart(began, torch.cat([p.detach().flatten() for p in lora.parameters()]))

        def state():
            learn, modes = [p.requires_grad for net in nets for p in net.parameters()], [m.training for m in modules]
            return learn + modes

        nets = (patcher.model, vae(family).first_stage_model)
        modules = [module for net in nets for module in net.modules()]
        before, began = sampled(), state()
        found["same"], current = [], False
        for arguments in ({"steps": 5, "cancel_at": 2}, {"steps": 1, "fail": True}, {"steps": 2}):
            try:
                train(**arguments)
            except (mm.InterruptProcessingException, MemoryError) as error:
                found.setdefault("stopped_by", []).append(type(error).__name__)
            current |= patcher.model.current_patcher is not None  # core's sampling takes it away
            found["same"].append(torch.equal(before, sampled()))
        mm.unload_all_models()
        found["same"].append(torch.equal(before, sampled()))
        found["left"] = {
            "in_training": bool(getattr(mm, "in_training", False)),
            "hooks": sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules),
            "forwards": sum("forward" in vars(m) for m in modules),
            "patcher": current,
            "state": state() != began,
            "inference_mode": not torch.is_inference_mode_enabled(),
        }
    return found


def main() -> dict:
    found: dict = {"families": {}}
    for family in FAMILIES:
        found["families"][family] = check_family(family)
        mm.unload_all_models()
        gc.collect()
    found["told_mask"] = check_told_mask()
    found["batch"] = check_batch()
    found["decode"] = {family: check_decode(family) for family in ("wan22-5b", "wan22-i2v", "ltxv")}
    found["float8"] = check_float8()
    found["memory"] = {family: check_memory(family) for family in ("wan22-5b", "wan22-i2v")}
    found["life"] = {"wan22-5b": check_life("wan22-5b"), "wan21-i2v": check_life("wan21-i2v", on_top=True)}
    found["life"]["hunyuan"] = check_life("hunyuan")
    found |= {"schedule": check_schedule(), "refused": check_refusals()}
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
