"""The noise levels of a core backbone, and what is refused.

Only for scripts that ComfyUI's Python runs, after `rom_in_core` has found ComfyUI.
"""

from __future__ import annotations

import inspect

import torch
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras.nodes_context_windows import WanContextWindowsManualNode
from comfy_extras.nodes_model_advanced import ModelSamplingSD3
from core_backbone_measures import apart
from core_backbone_parts import FRAMES, conditioning, draw, model, pictures, vae
from rom_in_core import IVGApplyRoMModel, ltx_2, wan

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.nodes._core_backbone import CoreBackbone


def check_schedule() -> dict:
    """Noise levels: what is drawn, how it is counted, and that a shift that is patched in is followed."""
    patcher = model("wan22-i2v", layers=1)
    backbone, rng = CoreBackbone(patcher, vae("wan22-i2v")), torch.Generator().manual_seed(0)
    schedule, sigmas = backbone.schedule, torch.tensor([0.2, 0.9])
    x0, noise = draw(2, 16, 3, 8, 8), draw(2, 16, 3, 8, 8, seed=1)
    noisy, target = schedule.add_noise(x0, noise, sigmas), schedule.target(x0, noise, sigmas)
    drawn = schedule.draw(20000, rng)
    found = {
        "target": apart(target, noise - x0),
        "x0": apart(schedule.to_x0(target, noisy, sigmas), x0),
        "noise": apart(schedule.noise_in(noisy, x0, sigmas), noise),
        "signal": apart(schedule.signal(sigmas), (1 - sigmas) ** 2 / ((1 - sigmas) ** 2 + sigmas**2)),
        "above_0.9": (drawn > 0.9).float().mean().item(),
        "below_0.5": (drawn < 0.5).float().mean().item(),
        "ends": [drawn.min().item(), drawn.max().item()],
        "start": schedule.draw(500, rng, 0.9).min().item(),
        "half": schedule.at(0.5),
    }
    low = CoreBackbone(patcher, vae("wan22-i2v"), 0.0, 0.875).schedule.draw(5000, rng)
    found["expert"] = [low.min().item(), low.max().item()]
    shifted = CoreBackbone(ModelSamplingSD3().patch(patcher, 1.0)[0], vae("wan22-i2v"))
    found["half_shifted"] = shifted.schedule.at(0.5)
    found["empty"] = refusal(lambda: CoreBackbone(patcher, vae("wan22-i2v"), 0.5, 0.4))
    return found


def refusal(call) -> str:
    """The sentence with which something is refused."""
    try:
        call()
    except IVGError as error:
        return str(error)
    return "nothing was refused"


def in_windows(patcher):
    make = WanContextWindowsManualNode.execute
    newer = {"freenoise": True, "retain_first_frame": True}
    known = {key: value for key, value in newer.items() if key in inspect.signature(make).parameters}
    return make(patcher, 9, 4, "standard_static", 1, False, "pyramid", **known)[0]


def compiled(patcher):
    made = patcher.clone()
    set_torch_compile_wrapper(made, backend="eager")
    return made


def check_refusals() -> dict:
    patcher, frames = model("wan22-i2v", layers=1), vae("wan22-i2v")
    five = CoreBackbone(model("wan22-5b", layers=1), vae("wan22-5b"))
    backbone, photo, said = CoreBackbone(patcher, frames), pictures(1)[0], conditioning("wan22-i2v")
    latent = {"samples": torch.zeros(1, 16, 3, 8, 8), "noise_mask": torch.ones(1, 1, 3, 8, 8)}
    held, (states, also) = IVGApplyRoMModel.execute(patcher, latent)[0], said[0]
    found = {
        "text_to_video": refusal(lambda: CoreBackbone(wan(), frames)),
        "vace": refusal(lambda: CoreBackbone(wan(vace=True), frames)),
        "windows": refusal(lambda: CoreBackbone(in_windows(patcher), frames)),
        "compile": refusal(lambda: CoreBackbone(compiled(patcher), frames)),
        "held": refusal(lambda: CoreBackbone(held, frames)),
        "vae": refusal(lambda: CoreBackbone(patcher, vae("wan22-5b"))),
        "control": refusal(lambda: backbone.told([[states, {**also, "control": object()}]], photo, FRAMES)),
        "parts": refusal(lambda: backbone.told(said + said, photo, FRAMES)),
        "frames": refusal(lambda: backbone.told(said, photo, 8)),
        "size": refusal(lambda: backbone.told(said, photo[:, :56], FRAMES)),
        "mask": refusal(lambda: five.told(said, photo, FRAMES, torch.ones(3, 4, 4))),
        "role": refusal(lambda: backbone.sites(["temporal"])),
        "device": refusal(lambda: backbone.training(torch.device("cuda")).__enter__()),
        "noise": refusal(lambda: backbone.codec.encode(photo[None], draw(16, 1, 8, 8))),
    }
    if (both := ltx_2()) is not None:
        found["ltx_2"] = refusal(lambda: CoreBackbone(both, frames))
    return found
