"""The released code's numbers, which the CPU reproduces, on this device in float32: how far off they are."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from benchmarks.gpu import GOLDEN, Figures, Setting
from ivg_core.checkpoints.load import load_model
from ivg_core.models.bundle import IVGModel
from ivg_core.sampling.generate import Sampling, generate


def golden(setting: Setting, _told: Figures) -> Figures:
    """Single calls of the network and a whole sampling; tests/golden/README.md says what a CPU is allowed.

    Returns:
        `golden_unet_worst`, the largest difference in any call; `golden_latents_worst`, of the final latents, as a
        share of the largest of them; `golden_levels_worst`, of the frames in levels of 255, and `golden_levels_share`,
        of how many values; all without TF32, which keeps ten bits.
    """
    model = load_model(GOLDEN / "tiny_ckpt", device=setting.device)
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False):
        return {"golden_unet_worst": worst_call(model), **sampling(model)}


def worst_call(model: IVGModel) -> float:
    """The largest difference of any output."""
    assert model.unet is not None
    calls: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(GOLDEN / "unet_io.safetensors", device=str(model.device)).items():
        case, name = key.split(".")
        calls.setdefault(case, {})[name] = tensor
    return max(float((call.pop("out") - model.unet(**call)).abs().max()) for call in calls.values())


def sampling(model: IVGModel) -> Figures:
    """`--eval` of the released code, end to end."""
    told = load_file(GOLDEN / "sampler_eval.safetensors")
    made = generate(
        model,
        GOLDEN / "input.png",
        "the person holds the carrot with the left hand",
        mask=GOLDEN / "input_mask.png",
        negative_prompt="the hand",
        num_frames=4,
        motion_strength=5,
        noise=told["noise"],
        how=Sampling(num_inference_steps=5, guidance_scale=9.0, parity=True),
    )
    levels = ((made.frames * 255).round().int() - told["frames"].int()).abs()
    return {
        "golden_latents_worst": float((made.latents - told["latents"]).abs().max() / told["latents"].abs().max()),
        "golden_levels_worst": int(levels.max()),
        "golden_levels_share": float((levels > 0).float().mean()),
    }
