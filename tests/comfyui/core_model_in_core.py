"""What core's samplers make of an IVG checkpoint as its own MODEL, against `generate`; run by ComfyUI's Python.

    python tests/comfyui/core_model_in_core.py COMFYUI

Prints JSON. The embedded model is trained; the tiny checkpoint has random weights, predicts v, and its steps begin
below the schedule's last.
"""

from __future__ import annotations

import gc
import json
import tempfile
from pathlib import Path

import core_model_parts as parts
import torch
from core_model_parts import SCALE, in_comfy, in_windows, off, rms, sample
from core_model_uses import uses

from ivg_pack.ivg_core.checkpoints.load import load_model
from ivg_pack.ivg_core.models.codec import ImageCodec
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
    ours: list = []
    with parts.library_spied() as asked:
        parts.made_by_library(managed, 10, noise=parts.noise_of(told[2]), on_step=lambda step, n, x0: ours.append(x0))
    x, t, *said, answer = calls[0]
    rows = [[torch.equal(row, other) for other in said[0]].index(True) for row in asked[0][2]]
    apart = load_model(source).unet
    return {
        "calls": len(calls),
        "told": {
            what: off(heard[rows] if len(heard) > 1 else heard, mine)
            for what, heard, mine in zip(parts.TOLD, said, asked[0][2:], strict=False)
        },
        "timestep": off(t.float(), asked[0][1].float()),
        "latents": off(x[rows], asked[0][0]) / rms(asked[0][0]),
        "answer": off(answer, apart(x, t, *said)),
        "guided": off(first[0], ours[0]) / rms(ours[0]),
        "plain": type(apart) is not type(managed.model.unet),
    }


def whole_runs(managed, steps) -> dict:
    """Samplings from the same noise, as shares of the latents."""
    found, told, model = {}, parts.conditionings(managed), core_model(managed, 2)
    decode = ImageCodec(managed.model.vae).decode
    for solver, sampler in (("dpm++2m", "dpmpp_2m"), ("ddim", "euler")):
        sigmas = sigmas_of(model, steps, solver)
        theirs = as_library(managed, sample(model, told, sampler=sampler, sigmas=sigmas), sigmas)
        ours = parts.made_by_library(managed, steps, solver, noise=parts.noise_of(told[2]))
        found[sampler] = {
            "rms": rms(theirs - ours.latents) / rms(ours.latents),
            "frames": psnr(decode(theirs)[0], ours.frames),
            "begins": sigmas[0].item() / model.get_model_object("model_sampling").sigma_max.item(),
        }
    return found


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
        how=parts.Sampling(num_inference_steps=3, guidance_scale=SCALE),
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
    other, mask = parts.PHOTO.flip(1), torch.ones_like(parts.MASK)
    single = [parts.conditionings(managed), parts.conditionings(managed, photo=other, mask=mask)]
    both = [
        [
            [
                one[0][0],
                one[0][1] | {key: torch.cat([one[0][1][key], two[0][1][key]]) for key in ("ivg_photo", "ivg_mask")},
            ]
        ]
        for one, two in zip(single[0][:2], single[1][:2], strict=True)
    ]
    latent = torch.cat([told[2] for told in single])
    noise, model = parts.noise_of(latent), core_model(managed, 2)
    made = sample(model, (*both, latent), noise=noise)
    each = [sample(model, told, noise=noise[i : i + 1]) for i, told in enumerate(single)]
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


def first_stage(managed) -> dict:
    """The mask video of stage 1."""
    told, model = parts.conditionings(managed, mask=torch.ones_like(parts.MASK)), core_model(managed, 1)
    sigmas = sigmas_of(model, 10)
    theirs = as_library(managed, sample(model, told, sampler="dpmpp_2m", sigmas=sigmas), sigmas)
    ours = parts.made_by_library(managed, 10, noise=parts.noise_of(told[2]), stage=1, mask=None).latents
    other = parts.made_by_library(managed, 10, noise=parts.noise_of(told[2]), mask=None).latents
    return {"rms": rms(theirs - ours) / rms(ours), "of_stage_2": rms(other - ours) / rms(ours)}


@torch.inference_mode()
def main() -> dict:
    found: dict = {"shared": shared()}
    embedded = in_comfy("embedded")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = {"embedded": (embedded, "embedded"), "tiny": (parts.tiny(folder), folder / "tiny")}
        for which, (managed, source) in sources.items():
            found[which] = {
                "one_call": one_call(managed, source),
                "runs": whole_runs(managed, STEPS if which == "embedded" else 10),
            }
        found |= {"clips": clips(embedded), "windows": windows(embedded), "stage_1": first_stage(embedded)}
        found |= uses(embedded, folder)
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
