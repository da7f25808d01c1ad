"""What ComfyUI's own nodes, models and samplers make of our masks; run by ComfyUI's Python, prints JSON.

    python tests/comfyui/rom_in_core.py COMFYUI

The networks are core's own classes with few layers and random weights, found and loaded by core's own loaders from
their state dict; so are the VAEs, in their true layout. Nothing here is a stand-in.
"""

from __future__ import annotations

import importlib.util
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMFYUI = pathlib.Path(sys.argv[1])
sys.argv = ["main.py", "--cpu"]
sys.path[:0] = [str(COMFYUI), str(ROOT / "tests" / "comfy_harness")]

import launch  # noqa: E402

launch.install()

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()  # without it --cpu is not read

import comfy.latent_formats  # noqa: E402
import comfy.ldm.lightricks.model  # noqa: E402
import comfy.ldm.lightricks.vae.causal_video_autoencoder  # noqa: E402
import comfy.ldm.wan.model  # noqa: E402
import comfy.ldm.wan.vae  # noqa: E402
import comfy.ops  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.utils  # noqa: E402
import torch  # noqa: E402
import utils.extra_config  # noqa: E402, F401  as main.py does: later comfy/utils.py would be found by that name
from comfy_extras.nodes_lt import LTXVImgToVideo  # noqa: E402
from comfy_extras.nodes_wan import WanImageToVideo, WanVaceToVideo  # noqa: E402

import nodes as core  # noqa: E402

spec = importlib.util.spec_from_file_location("ivg_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
pack = importlib.util.module_from_spec(spec)
sys.modules["ivg_pack"] = pack
spec.loader.exec_module(pack)

from ivg_pack.ivg_core.rom.latent import LatentGrid, fit, latent_mask  # noqa: E402
from ivg_pack.nodes.apply_rom import IVGApplyRoM, IVGApplyRoMModel, IVGApplyRoMVACE  # noqa: E402
from ivg_pack.nodes.window import IVGCropToRoM, IVGStitchRoM  # noqa: E402

SAMPLERS = ["euler", "uni_pc", "dpmpp_2m", "dpmpp_sde", "euler_ancestral", "lcm", "res_multistep"]


def random_weights(network: torch.nn.Module) -> dict:
    """Its state dict with small random numbers in every place."""
    draw = torch.Generator().manual_seed(0)
    return {key: 0.05 * torch.randn(value.shape, generator=draw) for key, value in network.state_dict().items()}


def wan(in_dim=16, out_dim=16, vace=False, weights=random_weights, options=None, **changed):
    shape = {"in_dim": in_dim, "out_dim": out_dim, "dim": 128, "ffn_dim": 64, "num_heads": 1, "num_layers": 1}
    shape |= changed
    kind = comfy.ldm.wan.model.WanModel
    if vace:
        kind, shape = (
            comfy.ldm.wan.model.VaceWanModel,
            {**shape, "vace_layers": 1, "vace_in_dim": 96, "model_type": "vace"},
        )
    net = kind(**shape, operations=comfy.ops.disable_weight_init, device="cpu", dtype=torch.float32)
    return comfy.sd.load_diffusion_model_state_dict(weights(net), model_options=options or {})


def ltx(weights=random_weights, num_layers=1):
    net = comfy.ldm.lightricks.model.LTXVModel(
        num_layers=num_layers, operations=comfy.ops.disable_weight_init, device="cpu", dtype=torch.float32
    )
    return comfy.sd.load_diffusion_model_state_dict(weights(net))


def ltx_2():
    """LTX-2 makes picture and sound in one; None where this ComfyUI is older."""
    import comfy.model_patcher
    import comfy.supported_models

    if not hasattr(comfy.supported_models, "LTXAV"):
        return None
    heads = {"num_attention_heads": 4, "audio_num_attention_heads": 4, "attention_head_dim": 64}
    widths = {"audio_attention_head_dim": 32, "cross_attention_dim": 256, "audio_cross_attention_dim": 128}
    shape = {**heads, **widths, "in_channels": 128, "caption_channels": 2048, "num_layers": 1}
    kind = comfy.supported_models.LTXAV({"image_model": "ltxav", **shape})
    kind.set_inference_dtype(torch.float32, None)
    kind.custom_operations = comfy.ops.disable_weight_init
    model = kind.get_model({}, "", device="cpu")
    model.diffusion_model.load_state_dict(random_weights(model.diffusion_model))
    return comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


def wan_vae():
    net = comfy.ldm.wan.vae.WanVAE(
        dim=96, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, temperal_downsample=[False, True, True]
    )
    return comfy.sd.VAE(sd=random_weights(net))


def ltx_vae():
    net = comfy.ldm.lightricks.vae.causal_video_autoencoder.VideoVAE(version=0)
    weights = random_weights(net)
    weights["per_channel_statistics.std-of-means"] = torch.ones(128)
    return comfy.sd.VAE(sd=weights)


def text():
    states = torch.randn(1, 8, 4096, generator=torch.Generator().manual_seed(1))
    return [[states, {"attention_mask": torch.ones(1, 8, dtype=torch.long)}]]  # which LTX wants


def square(height: int, width: int) -> torch.Tensor:
    """White in the middle of the left half."""
    mask = torch.zeros(1, height, width)
    mask[:, height // 4 : height // 2, width // 8 : width // 3] = 1
    return mask


def watch(model):
    """The latents and timesteps that the model's network is given, written down as they come."""
    seen = []

    inner = model.model.diffusion_model
    forward = type(inner).forward

    def spy(x, timestep, *rest, **named):
        seen.append((x.clone(), timestep.clone()))
        return forward(inner, x, timestep, *rest, **named)

    inner.forward = spy
    return seen


def sample(model, positive, negative, latent, sampler="euler", steps=3, **advanced):
    if advanced:
        return core.KSamplerAdvanced().sample(
            model, advanced.pop("add_noise"), 7, steps, 2.0, sampler, "simple", positive, negative, latent, **advanced
        )[0]
    return core.KSampler().sample(model, 7, steps, 2.0, sampler, "simple", positive, negative, latent)[0]


def compare(result, still, cells) -> dict:
    """How far the result is from the still photo's latents, where it must stay and where it may move."""
    difference = (result["samples"] - still).abs().amax(1)[0]  # (T, h, w)
    return {
        "outside": difference[cells == 0].max().item(),
        "inside": difference[cells == 1].max().item(),
        "first_frame": difference[0].max().item(),
        "scale": still.abs().max().item(),
    }


def check_fit() -> float:
    worst = 0.0
    for height, width, to in ((48, 64, (64, 48)), (97, 50, (64, 48)), (33, 120, (32, 64)), (50, 50, (96, 64))):
        photo = torch.rand(height, width, 3)
        core_way = comfy.utils.common_upscale(photo.movedim(-1, 0)[None], *to, "bilinear", "center")[0].movedim(0, -1)
        worst = max(worst, (fit(photo, to) - core_way).abs().max().item())
    return worst


@torch.inference_mode()
def main() -> dict:
    torch.manual_seed(0)
    found: dict = {"fit": check_fit()}

    # Wan image to video, in the layout of 2.2 14B: 16 channels of noise, 4 of concat_mask, 16 of the photo.
    photo, mask, vae = torch.rand(1, 50, 70, 3), square(50, 70), wan_vae()
    positive, negative, latent = WanImageToVideo.execute(text(), text(), vae, 64, 64, 9, 1, start_image=photo).args
    rom, shown = IVGApplyRoM.execute(photo, mask, vae, latent, 1).args
    cells = shown
    found["wan_shapes"] = {key: list(rom[key].shape) for key in ("samples", "noise_mask")}
    found["wan_first_frame_is_photo"] = (
        (rom["samples"][:, :, :1] - vae.encode(fit(photo[0], (64, 64))[None])).abs().max().item()
    )
    frames = rom["samples"][0].movedim(1, 0)  # (T, 16, h, w)
    found["wan_still_frames_differ"] = [(frames[i] - frames[0]).abs().mean().item() for i in (1, 2)]
    model = wan(in_dim=36)
    found["wan_class"] = type(model.model).__name__
    found["wan"] = compare(sample(model, positive, negative, rom), rom["samples"], cells)
    held = IVGApplyRoMModel.execute(model, rom)[0]
    found["wan_held"] = {
        s: compare(sample(held, positive, negative, latent, s), rom["samples"], cells) for s in SAMPLERS
    }
    found["wan_noise_mask_uni_pc"] = compare(sample(model, positive, negative, rom, "uni_pc"), rom["samples"], cells)
    same = sample(held, positive, negative, latent)["samples"] - sample(model, positive, negative, rom)["samples"]
    found["wan_both_ways_differ"] = same.abs().max().item()

    found["window"] = through_a_window(model, vae, positive, negative)

    # Two experts, one after the other.
    def two_experts(experts, latent):
        half = sample(experts, positive, negative, latent, steps=4, add_noise="enable", start_at_step=0, end_at_step=2,
                      return_with_leftover_noise="enable")  # fmt: skip
        return sample(experts, positive, negative, half, steps=4, add_noise="disable", start_at_step=2,
                      end_at_step=10000, return_with_leftover_noise="disable")  # fmt: skip

    found["two_experts_noise_mask"] = compare(two_experts(model, rom), rom["samples"], cells)
    found["two_experts_held"] = compare(two_experts(held, latent), rom["samples"], cells)

    # VACE.
    control = IVGApplyRoMVACE.execute(photo, mask, 64, 64, 9, False)
    vace = WanVaceToVideo.execute(
        text(), text(), vae, 64, 64, 9, 1, 1.0, control_video=control[0], control_masks=control[1]
    )
    given = vace[0][0][1]
    pixels = given["vace_mask"][0]  # (1, 64, T, h, w): the 8 x 8 pixels of a cell as channels
    white = control[1].view(9, 8, 8, 8, 8).permute(2, 4, 0, 1, 3).reshape(64, 9, 8, 8)
    found["vace_mask_first_frame"] = pixels[:, :, 0].max().item()
    found["vace_mask_later_frames"] = (pixels[0, :, 1:] - white[:, 1:3]).abs().max().item()
    kept, made = given["vace_frames"][0][:, :16], given["vace_frames"][0][:, 16:]
    grey = vae.encode(torch.full((9, 64, 64, 3), 0.5))
    found["vace_made_is_grey"] = (made - grey).abs().max().item()
    found["vace_kept_is_video"] = (kept - vae.encode(control[0])).abs().max().item()
    out = sample(wan(vace=True), vace[0], vace[1], vace[2])
    found["vace_runs"] = [list(out["samples"].shape), bool(out["samples"].isfinite().all())]

    # Wan 2.2 5B: 48 channels, a timestep a frame.
    model = wan(in_dim=48, out_dim=48)
    seen = watch(model)
    found["wan_5b_class"] = type(model.model).__name__
    grid = LatentGrid(frames=3, height=4, width=4, cell=16, stride=4)
    cells = latent_mask(square(64, 64)[0], grid)
    rom = {"samples": torch.randn(1, 48, 3, 4, 4), "noise_mask": cells[None, None]}
    whole = torch.ones(1, 1, 3, 4, 4)
    whole[:, :, 0] = 0  # as core's Wan22ImageToVideoLatent gives it
    sample(model, text(), text(), rom)
    found["wan_5b_timesteps_noise_mask"] = seen[0][1][0].flatten().tolist()
    seen.clear()
    held = IVGApplyRoMModel.execute(model, rom)[0]
    found["wan_5b"] = compare(
        sample(held, text(), text(), {"samples": rom["samples"], "noise_mask": whole}), rom["samples"], cells
    )
    found["wan_5b_timesteps"] = seen[0][1][0].flatten().tolist()

    # LTX: a timestep a token.
    vae = ltx_vae()
    photo, mask = torch.rand(1, 128, 160, 3), square(128, 160)
    positive, negative, latent = LTXVImgToVideo.execute(text(), text(), photo, vae, 160, 128, 17, 1, 1.0).args
    rom, cells = IVGApplyRoM.execute(photo, 0.5 * mask, vae, latent, 0).args
    model = ltx()
    seen = watch(model)
    found["ltx_class"] = type(model.model).__name__
    found["ltx_shapes"] = {key: list(rom[key].shape) for key in ("samples", "noise_mask")}
    sample(model, positive, negative, rom)
    x, timestep = seen[0]
    found["ltx_timesteps"] = (timestep[0].flatten() / timestep.max() - cells.flatten() / cells.max()).abs().max().item()
    found["ltx_soft"] = [timestep.max().item(), cells.max().item()]
    rom, cells = IVGApplyRoM.execute(photo, mask, vae, latent, 0).args
    seen.clear()
    found["ltx"] = compare(sample(model, positive, negative, rom), rom["samples"], cells)
    x, timestep = seen[0]
    outside = (cells == 0).expand(128, -1, -1, -1)
    found["ltx_outside_is_clean"] = (x[0] - rom["samples"][0])[outside].abs().max().item()
    if (both := ltx_2()) is not None:
        found["ltx_2"] = with_sound(both, positive, negative, rom, cells)
    found["ltx_guide_kept"] = guide_frame_kept(positive, negative, vae, latent, photo, mask)
    return found


def with_sound(model, positive, negative, rom, cells) -> dict:
    """The same region in a latent of picture and sound, put together and taken apart by core's nodes."""
    from comfy_extras import nodes_custom_sampler as custom
    from comfy_extras import nodes_lt
    from comfy_extras.nodes_lt import LTXVConcatAVLatent, LTXVSeparateAVLatent

    sound = {"samples": torch.zeros(1, 8, 10, 16)}
    both = LTXVConcatAVLatent.execute(rom, sound)[0]
    results = {"ksampler": sample(model, positive, negative, both)}
    if hasattr(nodes_lt, "LTXVDualCFGGuider"):  # as workflows/ivg_05_draft_ltx2.json samples
        guider = nodes_lt.LTXVDualCFGGuider.execute(model, positive, negative, 1.0, 1.0)[0]
        sigmas = custom.ManualSigmas.execute("1.0, 0.975, 0.725, 0.0")[0]
        ancestral = custom.KSamplerSelect.execute("euler_ancestral")[0]
        noise = custom.RandomNoise.execute(7)[0]
        results["two_cfgs"] = custom.SamplerCustomAdvanced.execute(noise, guider, ancestral, sigmas, both)[0]
    found = {}
    for name, out in results.items():
        picture, heard = LTXVSeparateAVLatent.execute(out).args
        found[name] = {**compare(picture, rom["samples"], cells), "sound": heard["samples"].abs().max().item()}
    return found


def through_a_window(model, vae, positive, negative) -> dict:
    """The region cut out of a larger photo, made by core's model and VAE, and laid back."""
    photo, mask = torch.rand(1, 202, 300, 3), square(202, 300)
    image, part, window, width, height, _ = IVGCropToRoM.execute(photo, mask, "zoom", 96, 64, 16, 0.05).args
    positive, negative, latent = WanImageToVideo.execute(
        positive, negative, vae, width, height, 5, 1, start_image=image
    ).args
    rom = IVGApplyRoM.execute(image, part, vae, latent, 1)[0]
    frames = core.VAEDecode().decode(vae, sample(model, positive, negative, rom))[0]
    stitched, report = IVGStitchRoM.execute(frames, window, 0.01, True).args
    seam = torch.nn.functional.max_pool2d(mask[None], 9, 1, 4)[0, 0]  # .01 of the width is 3 pixels
    outside = seam == 0
    return {
        "made": [width, height, *frames.shape],
        "shape": list(stitched.shape),
        "outside": (stitched[:, outside] - photo[0, outside]).abs().max().item(),
        "inside": (stitched - photo)[:, mask[0] > 0].abs().mean().item(),
        "report": report,
    }


def guide_frame_kept(positive, negative, vae, latent, photo, mask) -> float:
    """A guide frame that LTXVAddGuide has put behind the video must not be opened."""
    from comfy_extras.nodes_lt import LTXVAddGuide

    guided = LTXVAddGuide.execute(positive, negative, vae, latent, torch.rand(1, 128, 160, 3), -1, 1.0)[2]
    rom = IVGApplyRoM.execute(photo, mask, vae, guided, 0)[0]
    kept = (rom["samples"][:, :, -1] - guided["samples"][:, :, -1]).abs().max() + rom["noise_mask"][:, :, -1].max()
    return kept.item()


if __name__ == "__main__":
    result = main()
    print(json.dumps(result))
