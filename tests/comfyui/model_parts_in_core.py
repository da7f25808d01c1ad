"""An IVG model as ComfyUI's own VAE and CLIP, and what its nodes tell core's samplers; run by ComfyUI's Python.

    python tests/comfyui/model_parts_in_core.py COMFYUI

Prints JSON. The model is the embedded one.
"""

from __future__ import annotations

import json

from rom_in_core import core  # finds ComfyUI and loads the pack

# isort: split
import comfy.model_management as mm
import torch
from comfy_extras.nodes_custom_sampler import KSamplerSelect, SamplerCustom

from ivg_pack.ivg_core import load_model
from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.models.codec import ImageCodec
from ivg_pack.ivg_core.models.text import encode_text
from ivg_pack.ivg_core.sampling.decode import decode_frames
from ivg_pack.ivg_core.sampling.generate import generate
from ivg_pack.ivg_core.sampling.settings import Sampling
from ivg_pack.ivg_core.sampling.solver import make_solver
from ivg_pack.ivg_core.sampling.start import still_of
from ivg_pack.nodes._model import manage
from ivg_pack.nodes.core_model import STAGES, IVGImageToVideo, IVGModelParts, IVGScheduler
from ivg_pack.nodes.scenes import IVGExampleScene

SENTENCES = ["The person wipes the table", "", "(wipe:1.3) the table"]
#: Steps; with few of them diffusers takes the last one by first order.
MANY, FEW = 16, 6
SEED, GUIDANCE = 3, 2.0
WIDGETS = {"motion_strength": 5.0, "frames": 0, "width": 0, "height": 0, "hold_first_frame": True}


def by_node(node, **inputs):
    """What a node of core's makes, whichever way this version writes nodes."""
    return getattr(node(), node.FUNCTION)(**inputs)[0]


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape, (a.shape, b.shape)
    return (a.float() - b.float()).abs().max().item()


def alike(a: torch.Tensor, b: torch.Tensor) -> float:
    """Correlation, 1 if they are the same."""
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].item()


def refused(do, *args, **named) -> str:
    try:
        do(*args, **named)
    except IVGError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def places(model) -> set[int]:
    """Where the weights lie."""
    return {weight.data_ptr() for net in (model.unet, model.vae, model.text_encoder) for weight in net.parameters()}


def encode(clip, text: str):
    return core.CLIPTextEncode().encode(clip, text)[0]


def check_clip(model, clip):
    other = core.CLIPSetLastLayer().set_last_layer(clip, -2)[0]
    return {
        "apart": [apart(encode(clip, text)[0][0], encode_text(model, [text])) for text in SENTENCES],
        "copy": apart(encode(clip.clone(), SENTENCES[0])[0][0], encode_text(model, SENTENCES[:1])),
        "long": apart(encode(clip, "wipe " * 100)[0][0], encode_text(model, ["wipe " * 100])),
        "layer": refused(encode, other, "wipe"),
        "last_layer": apart(
            encode(core.CLIPSetLastLayer().set_last_layer(clip, -1)[0], "wipe")[0][0], encode_text(model, ["wipe"])
        ),
        "half": refused(encode, clip, "wipe \ud83d"),
    }


def check_vae(model, vae, photo):
    scale = model.vae.config["scaling_factor"]
    still = still_of(ImageCodec(model.vae), photo) / scale
    latents = still + 0.5 * torch.randn(2, 4, 5, *still.shape[-2:], generator=torch.Generator().manual_seed(0))
    frames = decode_frames(ImageCodec(model.vae), latents * scale).flatten(0, 1)
    tiled = core.VAEDecodeTiled().decode(vae, {"samples": latents}, 512, 64, 64, 8)[0]
    small = core.VAEDecodeTiled().decode(vae, {"samples": latents}, 64, 32, 8, 4)[0]
    several = photo.repeat(3, 1, 1, 1)
    in_tiles = core.VAEEncodeTiled().encode(vae, several, 64, 32)[0]["samples"]
    return {
        "encode": apart(core.VAEEncode().encode(vae, photo)[0]["samples"], still),
        "encode_clip": list(core.VAEEncode().encode(vae, several)[0]["samples"].shape),
        "encode_tiled": apart(core.VAEEncodeTiled().encode(vae, photo, 512, 64)[0]["samples"], still),
        "encode_small_tiles": [list(in_tiles.shape), alike(in_tiles[:, :, :1], still)],
        "decode": apart(core.VAEDecode().decode(vae, {"samples": latents})[0], frames),
        "decode_tiled": apart(tiled, frames),
        "decode_small_tiles": [list(small.shape), alike(small, frames)],
        "picture": refused(core.VAEDecode().decode, vae, {"samples": latents[:, :, 0]}),
        "overflow": refused(core.VAEDecode().decode, vae, {"samples": latents * float("nan")}),
    }


def sample(patcher, told, steps):
    """Steps of our scheduler in core's sampler; without the noise that is left at the end, and in our scale."""
    positive, negative, latent = told
    sigmas = IVGScheduler.execute(patcher, steps, "dpm++2m", 1.0)[0]
    sampler = by_node(KSamplerSelect, sampler_name="dpmpp_2m")
    how = {"add_noise": True, "noise_seed": SEED, "cfg": GUIDANCE, "sampler": sampler, "sigmas": sigmas}
    said = {"positive": positive, "negative": negative, "latent_image": latent}
    made = by_node(SamplerCustom, model=patcher, **how, **said)["samples"]
    return patcher.model.process_latent_in(made) / (1 + sigmas[-1] ** 2).sqrt()


def of_library(model, photo, mask, steps, like, **named):
    """What the library samples of the same noise."""
    noise = torch.randn(like.shape, generator=torch.manual_seed(SEED))
    how = Sampling(num_inference_steps=steps, guidance_scale=GUIDANCE, composite=False, keep_first_frame=True)
    return generate(model, photo[0], SENTENCES[0], mask=mask, noise=noise, how=how, **named).latents


def off(a: torch.Tensor, b: torch.Tensor) -> float:
    """Root of the mean square, but for the first frame, which core leaves with the noise of the end."""
    return (a - b)[:, :, 1:].pow(2).mean().sqrt().item()


def check_told(model, parts, photo):
    patcher, clip, vae = parts
    said = encode(clip, SENTENCES[0]), encode(clip, "")
    mask = torch.zeros(1, *photo.shape[1:3])
    mask[:, 40:90, 50:120] = 1
    told = IVGImageToVideo.execute(*said, vae, photo, **WIDGETS, mask=mask).args
    latent = told[2]
    one, few = sample(patcher, told, MANY), sample(patcher, told, FEW)
    ours = of_library(model, photo, mask[0], MANY, latent["samples"])
    photos = torch.cat([photo, photo.flip(2)])
    two = IVGImageToVideo.execute(*said, vae, photos, **WIDGETS, mask=torch.cat([mask, mask.flip(2)])).args
    both = sample(patcher, two, FEW)
    clean = patcher.model.process_latent_in(latent["samples"])
    return {
        "latent": list(latent["samples"].shape),
        "held": [list(latent["noise_mask"].shape), apart(few[:, :, :1], clean[:, :, :1])],
        "of_generate": [off(one, ours), ours.std().item()],
        "of_few_steps": off(few, of_library(model, photo, mask[0], FEW, latent["samples"])),
        "two": [list(both.shape), off(both[:1], few), off(both[1:], few)],
    }


def check_stage1(managed, photo):
    patcher, clip, vae = IVGModelParts.execute(managed, STAGES[1]).args
    told = IVGImageToVideo.execute(encode(clip, SENTENCES[0]), encode(clip, ""), vae, photo, **WIDGETS).args
    ours = of_library(managed.model, photo, None, MANY, told[2]["samples"], stage=1, motion_strength=None)
    return [off(sample(patcher, told, MANY), ours), ours.std().item()]


def check_steps(model, patcher):
    sampling, found = patcher.get_model_object("model_sampling"), {}
    for solver in ("dpm++2m", "ddim", "lcm"):
        steps = make_solver(model.scheduler_config, MANY, solver).timesteps
        sigmas = IVGScheduler.execute(patcher, MANY, solver, 1.0)[0]
        found[solver] = [apart(sampling.timestep(sigmas[:-1]), steps), len(sigmas)]
    return found


def main():
    model = load_model("embedded")
    before = places(model)
    managed = manage(model)
    parts = IVGModelParts.execute(managed, STAGES[0]).args
    photo = IVGExampleScene.execute(4)[0]
    with torch.inference_mode():
        report = {
            "clip": check_clip(model, parts[1]),
            "vae": check_vae(model, parts[2], photo),
            "steps": check_steps(model, parts[0]),
            "told": check_told(model, parts, photo),
            "stage1": check_stage1(managed, photo),
        }
    held = parts[2].patcher is managed.patchers["vae"]
    report["shared"] = {
        "networks": parts[2].first_stage_model.net is model.vae and parts[1].cond_stage_model.net is model.text_encoder,
        "held": held and parts[1].patcher.is_clone(managed.patchers["text_encoder"]),
        "weights": places(model) == before,
        "loaded": len(mm.current_loaded_models),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
