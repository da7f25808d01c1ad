"""How a core backbone is measured: what its network is asked, its gradient, what autograd keeps.

Only for scripts that ComfyUI's Python runs, after `rom_in_core` has found ComfyUI.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager

import comfy.sample
import comfy.samplers
import torch
from core_backbone_parts import draw
from torch.autograd.graph import saved_tensors_hooks

from ivg_pack.ivg_core.models.voices import Voices
from ivg_pack.ivg_core.training.config import LoRASettings
from ivg_pack.ivg_core.training.learner import Learner, LoRALayers

CPU = torch.device("cpu")
SIGMA, STEP = 0.7, 3e-2  # the noise level that is looked at; how far the LoRA is moved to measure a slope
SPATIAL_ONLY = Voices(frozenset({"spatial"}), frozenset())


def lora_of(backbone, dropout=0.0):
    """A LoRA that changes the network."""
    torch.manual_seed(0)
    lora = LoRALayers(backbone, {role: LoRASettings(rank=4, dropout=dropout) for role in ("spatial", "text")})
    for name, parameter in lora.named_parameters():
        if ".up." in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return lora


@contextmanager
def inputs_of(network):
    """The tensors that a network is given, call by call."""
    seen: list[list[torch.Tensor]] = []

    def note(_module, args, named):
        given = [*args, *(named[key] for key in sorted(named))]
        seen.append([x.detach().clone() for x in given if isinstance(x, torch.Tensor)])

    handle = network.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def by_core(patcher, positive, latent, noisy, sigma):
    """x0 as core's own sampler gets it where its latents are `noisy`."""
    found = []

    def once(asked, x, sigmas, extra_args, **_):
        found.append(asked(noisy, sigmas[:1].expand(len(x)), **extra_args))
        return x

    comfy.sample.sample_custom(
        patcher, torch.zeros_like(noisy), 1.0, comfy.samplers.KSAMPLER(once), torch.tensor([sigma, 0.0]), positive,
        positive, latent["samples"], noise_mask=latent.get("noise_mask"), disable_pbar=True,
    )  # fmt: skip
    return found[0]


def apart(ours, theirs):
    """The largest difference; infinite where the shapes differ."""
    same = ours.shape == theirs.shape
    return (ours.float() - theirs.float()).abs().max().item() if same else float("inf")


def check_parity(backbone, positive, latent, told):
    """What the network is asked, and its x0, in training and by core's sampler."""
    noisy, worst = draw(*latent["samples"].shape, seed=2), {"inputs": 0.0, "x0": 0.0}
    for sigma in (1.0, SIGMA):
        with inputs_of(backbone.network) as theirs, torch.inference_mode():
            x0 = by_core(backbone.patcher, positive, latent, noisy, sigma)
        with backbone.training(CPU), inputs_of(backbone.network) as ours, torch.no_grad():
            level = torch.tensor([sigma])
            mine = backbone.schedule.to_x0(backbone(noisy, level, told), noisy, level)
        pairs = list(zip(ours[0], theirs[0], strict=True))
        worst["inputs"] = max(worst["inputs"], *(apart(*pair) for pair in pairs))
        worst["x0"] = max(worst["x0"], apart(mine, x0))
        worst["tensors"] = len(pairs)
    return worst


def gradient_of(backbone, lora, told, noisy, voices=None):
    """A loss as a function, and its gradient by the parameters of the LoRA; chance is the same in each call."""
    target, learner = draw(*noisy.shape, seed=3), Learner(backbone, lora)

    def loss():
        torch.manual_seed(1)
        return (learner(noisy, torch.tensor([SIGMA]), told, voices) - target).square().mean()

    lora.zero_grad()
    loss().backward()
    return loss, [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in lora.parameters()]


def slope(backbone, told, noisy, **also):
    """The slope that the gradient says against the one that is measured, along the gradient; and what got none."""
    lora = lora_of(backbone, dropout=0.2)
    with lora.attached(backbone.network):
        loss, gradient = gradient_of(backbone, lora, told, noisy, **also)
        norm = torch.cat([g.flatten() for g in gradient]).norm()
        ends = []
        with torch.no_grad():
            for step in (STEP, -2 * STEP):
                for parameter, g in zip(lora.parameters(), gradient, strict=True):
                    parameter += step * g / norm
                ends.append(loss().double().item())
    measured = (ends[0] - ends[1]) / (2 * STEP)
    unmoved = sum(not g.any() for g in gradient)
    return {"said": norm.item(), "measured": measured, "unmoved": unmoved, "sites": len(lora.roles)}


def tensors_in(value):
    """All tensors in what a network is told."""
    if isinstance(value, torch.Tensor):
        return [value]
    inside = value.values() if isinstance(value, Mapping) else getattr(value, "__dict__", {}).values()
    return [x for one in inside for x in tensors_in(one)]


def kept_by(network, run):
    """What `run` gives, and the bytes that autograd keeps for its backward pass, weights not counted."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(x):
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage  # held, so that no other takes its place
        return x

    with saved_tensors_hooks(pack, lambda x: x):
        made = run()
    return made, sum(storage.nbytes() for storage in kept.values())
