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
WIDGETS = {"motion_strength": 5.0, "frames": 0, "width": 0, "height": 0, "hold_first_frame": True}


def by_node(node, **inputs):
    """What a node of core's makes, whichever way this version writes nodes."""
    return getattr(node(), node.FUNCTION)(**inputs)[0]


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape, (a.shape, b.shape)
    return (a.float() - b.float()).abs().max().item()


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
    return {
        "encode": apart(core.VAEEncode().encode(vae, photo)[0]["samples"], still),
        "encode_clip": list(core.VAEEncode().encode(vae, several)[0]["samples"].shape),
        "encode_tiled": apart(core.VAEEncodeTiled().encode(vae, photo, 512, 64)[0]["samples"], still),
        "encode_small_tiles": apart(core.VAEEncodeTiled().encode(vae, several, 64, 32)[0]["samples"][:, :, :1], still),
        "decode": apart(core.VAEDecode().decode(vae, {"samples": latents})[0], frames),
        "decode_tiled": apart(tiled, frames),
        "decode_small_tiles": [list(small.shape), (small - frames).abs().mean().item()],
        "picture": refused(core.VAEDecode().decode, vae, {"samples": latents[:, :, 0]}),
        "overflow": refused(core.VAEDecode().decode, vae, {"samples": latents * float("nan")}),
    }


def check_told(model, parts, photo):
    patcher, clip, vae = parts
    said = encode(clip, SENTENCES[0]), encode(clip, "")
    mask = torch.zeros(1, *photo.shape[1:3])
    mask[:, 40:90, 50:120] = 1
    positive, negative, latent = IVGImageToVideo.execute(*said, vae, photo, **WIDGETS, mask=mask)
    two = IVGImageToVideo.execute(*said, vae, torch.cat([photo, photo.flip(2)]), **WIDGETS, mask=mask)
    sampler = by_node(KSamplerSelect, sampler_name="dpmpp_2m")

    def sample(positive, negative, latent, steps=6):
        sigmas = IVGScheduler.execute(patcher, steps, "dpm++2m", 1.0)[0]
        how = {"add_noise": True, "noise_seed": 3, "cfg": 2.0, "sampler": sampler, "sigmas": sigmas}
        told = {"positive": positive, "negative": negative, "latent_image": latent}
        return by_node(SamplerCustom, model=patcher, **how, **told)["samples"]

    one, both = sample(positive, negative, latent), sample(*two)
    noise = torch.randn(latent["samples"].shape, generator=torch.manual_seed(3))
    how = Sampling(num_inference_steps=6, guidance_scale=2.0, composite=False)
    ours = generate(model, photo[0], SENTENCES[0], mask=mask[0], noise=noise, how=how)
    last = IVGScheduler.execute(patcher, 6, "dpm++2m", 1.0)[0][-1]
    scaled = one * model.vae.config["scaling_factor"] / (1 + last**2).sqrt()
    return {
        "latent": list(latent["samples"].shape),
        "held": [list(latent["noise_mask"].shape), apart(one[:, :, :1], latent["samples"][:, :, :1])],
        "told": sorted(positive[0][1]),
        "of_generate": [(scaled - ours.latents)[:, :, 1:].pow(2).mean().sqrt().item(), ours.latents.std().item()],
        "two": [list(both.shape), (both[0] - both[1]).abs().mean().item()],
    }


def check_steps(model, patcher):
    sampling, found = patcher.get_model_object("model_sampling"), {}
    for solver in ("dpm++2m", "ddim", "lcm"):
        steps = make_solver(model.scheduler_config, 8, solver).timesteps
        sigmas = IVGScheduler.execute(patcher, 8, solver, 1.0)[0]
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
        }
    report["shared"] = {
        "networks": parts[2].first_stage_model.net is model.vae and parts[1].cond_stage_model.net is model.text_encoder,
        "held": parts[2].patcher is managed.patchers["vae"]
        and parts[1].patcher.is_clone(managed.patchers["text_encoder"]),
        "weights": places(model) == before,
        "loaded": len(mm.current_loaded_models),
    }
    report["stage1"] = refused(IVGModelParts.execute, manage(load_model("embedded", rom=None)), STAGES[1])
    print(json.dumps(report))


if __name__ == "__main__":
    main()
