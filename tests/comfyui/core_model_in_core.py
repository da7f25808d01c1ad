"""What core's samplers make of an IVG checkpoint as its own MODEL, against `generate`; run by ComfyUI's Python.

    python tests/comfyui/core_model_in_core.py COMFYUI

Prints JSON. The tiny checkpoint's random weights make much of the last bit, so that only calls are compared on it.
"""

from __future__ import annotations

import gc
import json
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import core_model_parts as parts
import torch
from core_model_parts import SCALE, in_comfy, in_windows, off, rms, sample
from core_model_uses import uses

from ivg_pack.ivg_core.checkpoints.load import load_model
from ivg_pack.ivg_core.models.codec import ImageCodec
from ivg_pack.ivg_core.models.schedule import predict_x0
from ivg_pack.ivg_core.sampling.solver import make_solver
from ivg_pack.nodes._core_model import core_model, core_sigmas

STEPS, LONG, WINDOW, OVERLAP = 25, 24, 8, 4


def sigmas_of(model, steps, solver="dpm++2m"):
    return core_sigmas(model.get_model_object("model_sampling"), steps, solver)


def as_library(managed, latent, sigmas):
    """Core's latents at a noise level as the library has them: of the autoencoder's scale, and of one variance."""
    return latent * managed.model.vae.config["scaling_factor"] / (1 + sigmas[-1] ** 2).sqrt()


def psnr(a, b) -> float:
    return -20 * torch.tensor(max(rms(a - b), 1e-10)).log10().item()


def one_call(managed, source) -> dict:
    """The first call of a sampling: what the network is told, and what it says, which a network apart is asked too."""
    model, calls = parts.spied(core_model(managed, 2))
    told, first = parts.conditionings(managed), []
    sigmas = sigmas_of(model, 10)[:2]
    sample(model, told, sigmas=sigmas, callback=lambda step, x0, x, total: first.append(x0))
    with parts.library_spied() as asked:
        parts.made_by_library(managed, 10, noise=parts.noise_of(told[2]))
    x, t, *said, answer = calls[0]
    rows = [[torch.equal(row, other) for other in said[0]].index(True) for row in asked[0][2]]
    with torch.inference_mode(False):
        apart = load_model(source).unet
    against, towards = answer[rows].chunk(2)
    solver = make_solver(managed.model.scheduler_config, 10)
    alpha, kind = solver.alphas_cumprod[int(t[0])], solver.prediction_type
    guided = predict_x0(x[:1], against + SCALE * (towards - against), alpha, kind)
    return {
        "kind": kind,
        "calls": len(calls),
        "timestep": t[0].item(),
        "told": {
            what: off(heard[rows] if len(heard) > 1 else heard, mine)
            for what, heard, mine in zip(("timestep", *parts.TOLD), [t, *said], asked[0][1:], strict=False)
        },
        "latents": off(x[rows], asked[0][0]) / rms(asked[0][0]),
        "answer": off(answer, apart(x, t, *said)),
        "guided": off(first[0], guided) / rms(guided),
        "plain": type(apart) is not type(managed.model.unet),
    }


def whole_run(managed, steps, solver="dpm++2m", sampler="dpmpp_2m", stage=2) -> dict:
    """A sampling from the same noise: how far it is from the library's, as a share of the latents."""
    begun = time.perf_counter()
    told, model = parts.conditionings(managed, stage=stage), core_model(managed, stage)
    sigmas = sigmas_of(model, steps, solver)
    # Core's latents end at a noise level of their own variance.
    theirs = sample(model, told, sampler=sampler, sigmas=sigmas) / (1 + sigmas[-1] ** 2).sqrt()
    theirs = theirs * managed.model.vae.config["scaling_factor"]
    decoded = ImageCodec(managed.model.vae).decode(theirs)[0]
    seconds, begun = time.perf_counter() - begun, time.perf_counter()
    told_motion = {} if stage == 2 else {"motion_strength": None}
    ours = parts.made_by_library(managed, steps, solver, noise=parts.noise_of(told[2]), stage=stage, **told_motion)
    slower, apart = seconds / (time.perf_counter() - begun), rms(decoded - ours.frames)
    return {
        "rms": rms(theirs - ours.latents) / rms(ours.latents),
        "frames": -20 * math.log10(max(apart, 1e-10)),  # dB
        "sigma_max": model.get_model_object("model_sampling").sigma_max.item(),
        "begins": sigmas[0].item(),
        "slower": slower,
    }


def whole_runs(managed) -> dict:
    leading = scheduled(managed, timestep_spacing="leading")
    return {
        "dpmpp_2m": whole_run(managed, STEPS),
        "euler": whole_run(managed, 10, "ddim", "euler"),
        "euler_uneven": whole_run(managed, 15, "ddim", "euler"),
        "few_steps": whole_run(managed, 8),
        "leading": whole_run(leading, 15),
        "from_pure_noise": whole_run(scheduled(managed, rescale_betas_zero_snr=True), 15),
        "stage_1": whole_run(managed, 15, stage=1),
    }


def scheduled(managed, **changed):
    """The model with another schedule."""
    config = managed.model.scheduler_config | changed
    return replace(managed, model=replace(managed.model, scheduler_config=config))


def held_bytes() -> int:
    """Bytes of all tensors that Python holds, memory that is shared once."""
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if isinstance(thing, torch.Tensor) and thing.device.type == "cpu"]
    return sum({x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors}.values())


def shared() -> dict:
    """`generate` before core took the network, after it, and after core sampled; and what that takes."""
    before = load_model("embedded")
    first = parts.generate(
        before, parts.PHOTO, parts.ACTION, mask=parts.MASK, negative_prompt=parts.AGAINST, seed=5,
        motion_strength=parts.MOTION, num_frames=parts.FRAMES, size=(parts.WIDTH, parts.HEIGHT),
        how=replace(parts.RAW, num_inference_steps=3, guidance_scale=SCALE),
    )  # fmt: skip
    del before
    managed = in_comfy("embedded")
    told, own = parts.conditionings(managed), parts.made_by_library(managed)
    start = held_bytes()
    models = [core_model(managed, stage) for stage in (1, 2)]
    latent = sample(models[1], told)
    after = parts.made_by_library(managed)
    grown = (held_bytes() - start - latent.nbytes - after.frames.nbytes - after.latents.nbytes) / start
    return {
        "bytes": [torch.equal(made.frames, first.frames) and torch.equal(made.latents, first.latents)
                  for made in (own, after)],
        "grown": grown,
        "network": models[1].model.diffusion_model is managed.model.unet,
    }  # fmt: skip


def clips(managed) -> dict:
    """Two photos in one latent, and each by itself."""
    photos = torch.stack([parts.PHOTO, parts.PHOTO.flip(1)])
    masks = torch.stack([parts.MASK, torch.ones_like(parts.MASK)])
    both, model = parts.conditionings(managed, photos=photos, masks=masks), core_model(managed, 2)
    noise = parts.noise_of(both[2])
    made = sample(model, both, noise=noise)
    each = [
        sample(model, parts.conditionings(managed, photos=photos[i, None], masks=masks[i, None]), noise=noise[i, None])
        for i in range(2)
    ]
    return {"off": off(made, torch.cat(each)) / rms(made), "differ": off(*each) / rms(made)}


def windows(managed) -> dict:
    """24 frames in windows of 8: what each call of the network is told, and one window over all frames."""
    told = parts.conditionings(managed, LONG)
    whole, plainly = parts.spied(core_model(managed, 2))
    sample(whole, told, steps=2)
    model, calls = parts.spied(in_windows(core_model(managed, 2), WINDOW, OVERLAP))
    made = sample(model, told, steps=2)
    x, _, *said = plainly[0][:-1]
    spans = [x[:, :, first : first + WINDOW] for first in range(LONG - WINDOW + 1)]
    starts = [[torch.equal(call[0], span) for span in spans].index(True) for call in calls[: len(calls) // 2]]
    few = parts.conditionings(managed, WINDOW)
    return {
        "calls": len(calls),
        "starts": starts,
        "frames": sorted({call[0].shape[2] for call in calls}),
        "told": {what: max(off(call[2 + i], said[i]) for call in calls) for i, what in enumerate(parts.TOLD)},
        "shape": list(made.shape),
        "one_window": off(sample(in_windows(core_model(managed, 2), WINDOW), few), sample(core_model(managed, 2), few)),
        "one_window_long": off(sample(in_windows(core_model(managed, 2), LONG), told, 1), sample(whole, told, 1)),
    }


@torch.inference_mode()
def main() -> dict:
    found: dict = {"shared": shared()}
    embedded = in_comfy("embedded")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        v = parts.with_schedule(parts.TINY, folder / "v", prediction_type="v_prediction")
        sources = {"embedded": "embedded", "tiny": parts.TINY, "tiny_v": v}
        found["one_call"] = {
            which: one_call(embedded if which == "embedded" else in_comfy(source), source)
            for which, source in sources.items()
        }
        found |= {"runs": whole_runs(embedded), "clips": clips(embedded), "windows": windows(embedded)}
        found |= uses(embedded, folder)
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
