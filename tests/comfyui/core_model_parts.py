"""IVG networks as core's MODEL at tiny sizes, what core tells them, and the same by the library."""

from __future__ import annotations

import functools
import inspect
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rom_in_core import ROOT  # finds ComfyUI and loads the pack

# isort: split
import comfy.model_management as mm
import comfy.sample
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_context_windows import ContextWindowsManualNode

from ivg_pack.ivg_core.checkpoints.load import load_model
from ivg_pack.ivg_core.media.images import resize_image, to_image
from ivg_pack.ivg_core.models.codec import ImageCodec, mask_cells
from ivg_pack.ivg_core.models.text import encode_text
from ivg_pack.ivg_core.models.unet import IVGUNet
from ivg_pack.ivg_core.sampling.generate import generate
from ivg_pack.ivg_core.sampling.settings import Sampling
from ivg_pack.ivg_core.synthetic import example
from ivg_pack.nodes._model import manage, on_device

WIDTH, HEIGHT, FRAMES, STEPS, SCALE, MOTION = 96, 64, 4, 3, 7.0, 6.0
AGAINST = "blurry"
PHOTO, ACTION = example(3)
PHOTO = resize_image(to_image(PHOTO), (WIDTH, HEIGHT))
MASK = torch.zeros(HEIGHT, WIDTH)
MASK[16:48, 20:76] = 1
#: What the network is told at each call, in the order of `IVGUNet.forward`.
TOLD = ("text", "photo", "mask", "motion")


TINY = ROOT / "tests" / "golden" / "tiny_ckpt"  # random weights, epsilon prediction, steps that begin at t = 951


def in_comfy(source):
    """A checkpoint under ComfyUI's memory management."""
    with torch.inference_mode(False):  # weights made inside of it are computed with in another order
        return manage(load_model(source, device="cpu"))


def with_schedule(source: Path, folder: Path, **changed) -> Path:
    """A copy of a checkpoint whose scheduler file says something else."""
    shutil.copytree(source, folder)
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    return folder


def photo_latent(managed, photo=PHOTO):
    return ImageCodec(managed.model.vae, 1.0).encode(photo[None])[None]


def conditionings(managed, frames=FRAMES, photo=PHOTO, mask=MASK, clips=1):
    """Positive, negative and the photo's latent repeated, as IVG Image to Video gives them."""
    still = photo_latent(managed, photo)
    told = {"ivg_photo": still, "ivg_mask": mask_cells(mask[None], *still.shape[-2:]), "ivg_motion": MOTION}
    sides = [[[encode_text(managed.model, [text]), dict(told)]] for text in (ACTION, AGAINST)]
    return *sides, still.repeat(clips, 1, frames, 1, 1)


def noise_of(latent, seed=5):
    return torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed))


def sample(model, told, steps=STEPS, sampler="euler", scheduler="simple", scale=SCALE, noise=None, sigmas=None, **more):
    """Core's sampling of (positive, negative, latent); with `sigmas`, as SamplerCustom does it."""
    positive, negative, latent = told
    noise = noise_of(latent) if noise is None else noise
    more = {"seed": 5, "disable_pbar": True, **more}
    if sigmas is None:
        return comfy.sample.sample(model, noise, steps, scale, sampler, scheduler, positive, negative, latent, **more)
    solver = comfy.samplers.sampler_object(sampler)
    return comfy.sample.sample_custom(model, noise, scale, solver, sigmas, positive, negative, latent, **more)


def made_by_library(managed, steps=STEPS, solver="dpm++2m", frames=FRAMES, noise=None, **more):
    """What `generate` makes, as IVG Sampler has it."""
    how = Sampling(num_inference_steps=steps, solver=solver, guidance_scale=SCALE)
    start = {"seed": 5} if noise is None else {"noise": noise}
    given = {"mask": MASK, **more}
    return generate(
        on_device(managed, more.get("stage", 2), PHOTO, frames, (WIDTH, HEIGHT)), PHOTO, ACTION,
        negative_prompt=AGAINST, motion_strength=MOTION, num_frames=frames, size=(WIDTH, HEIGHT), how=how,
        **start, **given,
    )  # fmt: skip


def rms(x) -> float:
    return x.double().square().mean().sqrt().item()


def off(a, b) -> float:
    """The largest difference."""
    return (a - b).abs().max().item()


def spied(model):
    """A clone of a MODEL, and what its network is called with: (latents, timestep, text, photo, mask, motion)."""
    made, calls = model.clone(), []

    def watch(call, *inputs):
        calls.append([x.clone() if torch.is_tensor(x) else x for x in inputs[: 2 + len(TOLD)]])
        made_of = call(*inputs)
        calls[-1].append(made_of.clone())
        return made_of

    made.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "spy", watch)
    return made, calls


@contextmanager
def library_spied() -> Iterator[list]:
    """What the library calls its network with, in the same order."""
    calls, forward = [], IVGUNet.forward

    def watch(self, *inputs, **named):
        calls.append([*inputs, *named.values()])
        return forward(self, *inputs, **named)

    IVGUNet.forward = watch
    try:
        yield calls
    finally:
        IVGUNet.forward = forward


@contextmanager
def little_memory(room: int) -> Iterator[list[bool]]:
    """As on a device that has room for so many bytes of each network: core keeps the other layers off it.

    Gives, of each time that networks were brought there, whether all weights were asked for, which core then heeds.
    """
    load, load_all, asked = mm.LoadedModel.model_load, mm.load_models_gpu, []

    def partly(self, lowvram_model_memory=0, force_patch_weights=False):
        return load(self, 0 if asked[-1] else room, force_patch_weights)

    @functools.wraps(load_all)
    def watched(*given, force_full_load=False, **named):
        asked.append(force_full_load)
        return load_all(*given, force_full_load=force_full_load, **named)

    mm.unload_all_models()
    mm.LoadedModel.model_load, mm.load_models_gpu = partly, watched
    try:
        yield asked
    finally:
        mm.LoadedModel.model_load, mm.load_models_gpu = load, load_all


def in_windows(model, length, overlap=4):
    """A MODEL behind core's Context Windows (Manual), over frames."""
    make = ContextWindowsManualNode.execute
    asked = inspect.signature(make).parameters
    newer = {name: False for name in ("freenoise", "causal_window_fix") if name in asked}
    return make(model, length, overlap, "standard_static", 1, False, "pyramid", 2, **newer)[0]
