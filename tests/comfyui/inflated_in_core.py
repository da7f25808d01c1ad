"""What core's own samplers make of Stable Diffusion made a video model; run by ComfyUI's Python, prints JSON.

    python tests/comfyui/inflated_in_core.py COMFYUI

Compared with the library, which gets the same weights: see `inflated_parts`.
"""

from __future__ import annotations

import inspect
import json

from rom_in_core import wan  # finds ComfyUI and loads the pack

# isort: split
import comfy.sample
import comfy.samplers
import torch
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from comfy_extras.nodes_mask import ImageCompositeMasked
from inflated_parts import clip, control_net, control_weights, library_control_net, library_unet, sd, sd_weights

import nodes as core
from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.models.control import Controlled
from ivg_pack.ivg_core.models.told import Told
from ivg_pack.ivg_core.sampling.beside import depth_beside
from ivg_pack.ivg_core.sampling.context import ContextWindows
from ivg_pack.ivg_core.sampling.guidance import Guided
from ivg_pack.ivg_core.sampling.loop import denoise
from ivg_pack.ivg_core.sampling.prompts import read_schedule
from ivg_pack.ivg_core.sampling.solver import make_solver
from ivg_pack.ivg_core.sampling.windowed import Windowed
from ivg_pack.nodes.inflate import IVGDepthConditioning, IVGEncodeSchedule, IVGInflateModel

FRAMES, SIDE, STEPS, SCALE, WINDOW, OVERLAP = 5, 4, 2, 4.0, 3, 1
STRENGTH, LATENT_SCALE = 0.7, 0.18215
SCHEDULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
SCHEDULER |= {"set_alpha_to_one": False, "steps_offset": 1, "clip_sample": False}


class Bare:
    """The library's network, as its sampler asks for one."""

    def __init__(self, network):
        self.network = network

    def __call__(self, noisy, level, told, features=None):
        return self.network(noisy, level, told.text, beside=told.beside)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def text(seed, two=False):
    return draw(1, 77, 1024 if two else 768, seed=seed)


def solver_of(two):
    return make_solver({**SCHEDULER, "prediction_type": "epsilon"}, STEPS, "ddim")


def told(states, **also):
    """A conditioning of core's."""
    return [[states, also]]


def sample(model, start, positive, negative, two=False, mask=None, scale=SCALE):
    """Core's euler over the library's timesteps: that is DDIM. Both are given and give what the library calls x."""
    sampling = model.get_model_object("model_sampling")
    sigmas = torch.cat([sampling.sigmas[solver_of(two).timesteps.long()], sampling.sigmas[:1]])
    first, last = (1 + sigmas[[0, -1]] ** 2).sqrt()
    noise = start * first / sigmas[0]
    latent, euler = torch.zeros_like(start), comfy.samplers.sampler_object("euler")
    found = comfy.sample.sample_custom(
        model, noise, scale, euler, sigmas, positive, negative, latent, noise_mask=mask, disable_pbar=True
    )
    return found * LATENT_SCALE / last


def by_library(network, start, positive, negative, two=False, windows=None, **also):
    """The same by the library: frames (F, 4, h, w) as core has them."""
    solver = solver_of(two)
    predict = Windowed(network, windows, FRAMES, solver.timesteps) if windows else network
    rungs = [(1.0, Told(negative, **also)), (SCALE, Told(positive, **also))]
    return denoise(Guided(predict, rungs), solver, start.transpose(0, 1)[None])[0].transpose(0, 1)


def apart(ours, theirs):
    """How far two videos are apart, as a share of the largest value."""
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def in_windows(model, dim=0):
    make = ContextWindowsManualNode.execute
    newer = {"freenoise": False} if "freenoise" in inspect.signature(make).parameters else {}
    return make(model, WINDOW, OVERLAP, "standard_static", 1, False, "flat", dim, **newer)[0]


def refusal(call, *args, **named):
    """The sentence with which something is refused."""
    try:
        call(*args, **named)
    except IVGError as error:
        return str(error)
    return "nothing was refused"


def hinted(net, positive, negative, frames):
    """Core's conditionings with a control video (F, H, W, 3)."""
    return core.ControlNetApplyAdvanced().apply_controlnet(positive, negative, net, frames, STRENGTH, 0.0, 1.0)


@torch.inference_mode()
def main() -> dict:
    # Newer ones make a noise mask as long as the video before any node sees it.
    found: dict = {
        "repeats_masks": "latent_shapes" in inspect.signature(comfy.samplers.CFGGuider.outer_sample).parameters
    }
    start, said, against = draw(FRAMES, 4, SIDE, SIDE), text(1), text(2)
    positive, negative = told(said), told(against)
    weights = sd_weights()
    plain, network = sd(weights), Bare(library_unet(weights))
    model = IVGInflateModel.execute(plain)[0]
    before = sample(plain, start, positive, negative)

    whole = sample(model, start, positive, negative)
    ours = by_library(network, start, said, against)
    found["sampled"] = apart(whole, ours)
    found["differs"] = apart(before, whole)
    found["after"] = apart(sample(plain, start, positive, negative), before)
    found["one_frame"] = apart(
        sample(model, start[:1], positive, negative), sample(plain, start[:1], positive, negative)
    )
    found["twice"] = apart(sample(IVGInflateModel.execute(model)[0], start, positive, negative), whole)

    windows = ContextWindows(WINDOW, WINDOW - OVERLAP, weights="flat")
    found["windows"] = apart(
        sample(in_windows(model), start, positive, negative), by_library(network, start, said, against, windows=windows)
    )

    name = "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"
    lora = {name: ("diff", (draw(320, 320, seed=7) / 18,))}
    added = dict(weights) | {name.split(".", 1)[1]: weights[name.split(".", 1)[1]] + lora[name][1][0]}
    by_lora = []
    for one in (IVGInflateModel.execute(with_lora(plain, lora))[0], with_lora(model, lora)):
        by_lora.append(sample(one, start, positive, negative))
    found["lora"] = apart(by_lora[0], by_library(Bare(library_unet(added)), start, said, against))
    found["lora_orders"] = apart(*by_lora)

    hints, shown = control_weights(), draw(FRAMES, 8 * SIDE, 8 * SIDE, 3, seed=5).sigmoid()
    net = control_net(hints)
    inflated = IVGInflateModel.execute(plain, net)[1]
    held = Controlled(network, library_control_net(hints), STRENGTH)
    video = shown.permute(3, 0, 1, 2)[None]
    with_hint = hinted(inflated, positive, negative, shown)
    found["control"] = apart(sample(model, start, *with_hint), by_library(held, start, said, against, control=video))
    found["control_windows"] = apart(
        sample(in_windows(model), start, *with_hint),
        by_library(held, start, said, against, control=video, windows=windows),
    )
    flat = sample(model, start, *hinted(net, positive, negative, shown))
    found["control_plain"] = apart(flat, sample(model, start, *with_hint))
    found["control_again"] = apart(sample(model, start, *hinted(net, positive, negative, shown)), flat)

    two = sd_weights(two=True, in_channels=9)
    painting, states = IVGInflateModel.execute(sd(two))[0], (text(3, two=True), text(4, two=True))
    masks, seen = (draw(FRAMES, 1, SIDE, SIDE, seed=6) > 0).float(), draw(FRAMES, 4, SIDE, SIDE, seed=7)
    concat = {"concat_mask": masks, "concat_latent_image": seen / LATENT_SCALE}

    def masked(masks):
        return [told(one, **concat | {"concat_mask": masks}) for one in states]

    beside = torch.cat([masks, seen], dim=1).transpose(0, 1)[None]
    paints = Bare(library_unet(two, two=True))
    for key, how, spans in (("inpainting", painting, None), ("inpainting_windows", in_windows(painting), windows)):
        painted = by_library(paints, start, *states, beside=beside, windows=spans)
        found[key] = apart(sample(how, start, *masked(masks)), painted)

    words, lines = clip(), "0: a kitchen by day\n2: a kitchen at night"
    day, night = (core.CLIPTextEncode().encode(words, line.split(": ")[1])[0][0] for line in lines.splitlines())
    for mode, shares in (("centre", [1, 1, 0, 0, 0]), ("blend", [1, 0.5, 0, 0, 0])):
        ((encoded, also),) = IVGEncodeSchedule.execute(words, read_schedule(lines, mode), {"samples": start})[0]
        share = torch.tensor(shares)[:, None, None]
        pooled = (share * day[1]["pooled_output"] + (1 - share) * night[1]["pooled_output"])[:, 0]
        found[f"encoded_{mode}"] = max(
            apart(encoded, share * day[0] + (1 - share) * night[0]), apart(also["pooled_output"], pooled)
        )
    scheduled = [[encoded, also]]
    found["scheduled"] = apart(sample(in_windows(model), start, scheduled, negative), whole)

    film, made = draw(FRAMES, 16, 16, 3, seed=9), draw(FRAMES, 16, 16, 3, seed=10)
    held_by = torch.zeros(1, 16, 16)
    held_by[:, 4:9, 4:9] = 1
    lay = getattr(ImageCompositeMasked, "execute", None) or ImageCompositeMasked().composite  # which, by its version
    over = lay(film, made, 0, 0, False, held_by)[0]
    found["outside"] = (over - film).abs().amax((0, 3))[held_by[0] == 0].max().item()

    maps, deep = draw(FRAMES, 24, 24, 3, seed=8).sigmoid(), sd_weights(two=True, in_channels=5)
    seeing, latent = IVGInflateModel.execute(sd(deep))[0], {"samples": start}
    conds_of_depth = IVGDepthConditioning.execute(*(told(one) for one in states), maps, latent).args
    beside, looks = depth_beside(maps.mean(-1), SIDE, SIDE), Bare(library_unet(deep, two=True))
    by_maps = by_library(looks, start, *states, beside=beside, windows=windows)
    found["depth_windows"] = apart(sample(in_windows(seeing), start, *conds_of_depth), by_maps)

    found["refused"] = {
        "late": refusal(IVGEncodeSchedule.execute, words, read_schedule("0: a\n9: b"), {"samples": start}),
        "reference": refusal(IVGEncodeSchedule.execute, words, read_schedule("0: a", "reference"), {"samples": start}),
        "no_depth": refusal(sample, seeing, start, *(told(one) for one in states)),
        "depth_unread": refusal(sample, model, start, *conds_of_depth),
        "depths": refusal(IVGDepthConditioning.execute, positive, negative, maps[:2], latent),
        "another_model": refusal(IVGInflateModel.execute, wan()),
        "another_width": refusal(IVGInflateModel.execute, plain, control_net(control_weights(two=True))),
        "hints": refusal(sample, model, start, *hinted(inflated, positive, negative, shown[:3])),
        "masks": refusal(sample, painting, start, *masked(masks[:2])),
        "no_mask": refusal(sample, painting, start, *masked(0 * masks)),
        "noise_mask": refusal(sample, model, start, positive, negative, mask=masks[:2]),
        "dim": refusal(sample, in_windows(model, dim=2), start, positive, negative),
        "behind": refusal(sample, replaced(model), start, positive, negative),
        "before": refusal(IVGInflateModel.execute, replaced(plain)),
    }
    return found


def with_lora(model, patches):
    made = model.clone()
    made.add_patches(patches)
    return made


def replaced(model):
    """With another node's self-attention in the middle."""
    made = model.clone()
    made.set_model_attn1_replace(lambda q, k, v, options: v, "middle", 0)
    return made


if __name__ == "__main__":
    print(json.dumps(main()))
