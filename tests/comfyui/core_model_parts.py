"""IVG networks as core's MODEL at tiny sizes, what core tells them, and the same by the library."""

from __future__ import annotations

import functools
import inspect
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rom_in_core import ROOT, core  # finds ComfyUI and loads the pack

# isort: split
import comfy.model_management as mm
import comfy.sample
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_context_windows import ContextWindowsManualNode

from ivg_pack.ivg_core.checkpoints.load import load_model
from ivg_pack.ivg_core.media.images import resize_image, to_image
from ivg_pack.ivg_core.models.unet import IVGUNet
from ivg_pack.ivg_core.sampling.generate import generate
from ivg_pack.ivg_core.sampling.settings import RAW
from ivg_pack.ivg_core.synthetic import example
from ivg_pack.nodes._model import manage, on_device
from ivg_pack.nodes.core_model import STAGES, IVGImageToVideo, IVGModelParts

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


def conditionings(managed, frames=FRAMES, photos=PHOTO[None], masks=MASK[None], stage=2, action=ACTION):
    """Positive, negative and latent of a clip for each photo, by the nodes."""
    _, clip, vae = IVGModelParts.execute(managed, next(name for name in STAGES if name.startswith(str(stage)))).args
    sides = [core.CLIPTextEncode().encode(clip, text)[0] for text in (action, AGAINST)]
    size = {"frames": frames, "width": WIDTH, "height": HEIGHT, "hold_first_frame": False}
    positive, negative, latent = IVGImageToVideo.execute(*sides, vae, photos, MOTION, **size, mask=masks).args
    return positive, negative, latent["samples"]


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
    how = replace(RAW, num_inference_steps=steps, solver=solver, guidance_scale=SCALE)  # core lays no photo over it
    start = {"seed": 5} if noise is None else {"noise": noise}
    given = {"mask": MASK, "motion_strength": MOTION, **more}
    return generate(
        on_device(managed, more.get("stage", 2), PHOTO, frames, (WIDTH, HEIGHT)), PHOTO, ACTION,
        negative_prompt=AGAINST, num_frames=frames, size=(WIDTH, HEIGHT), how=how,
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
