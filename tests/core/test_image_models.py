"""Stable Diffusion's folders: loaded as video models, told of by `info`, saved; other image models are named."""

import shutil
from dataclasses import replace

import pytest
import torch
from checkpoint_edits import edit_json, edit_weights
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file as save_tensors

from ivg_core.checkpoints.info import inspect_checkpoint
from ivg_core.checkpoints.init import init_model
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.checkpoints.save import save_file, save_folder
from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.media.clips import open_media
from ivg_core.models.float8 import store_in_float8
from ivg_core.models.lora import lora_sites, model_with_lora
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.generate import Sampling, generate
from ivg_core.sampling.invert import invert
from ivg_core.sampling.prompts import read_schedule
from ivg_core.training.backbone import TrainableUNet
from ivg_core.training.config import TrainConfig

UNET = "unet/diffusion_pytorch_model.safetensors"
LONG = Sampling(num_inference_steps=3, solver="ddim", context=ContextWindows(length=4, stride=3))


@pytest.fixture(scope="module")
def source(golden):
    return golden / "glv_more" / "sd1"


@pytest.fixture(scope="module")
def model(source):
    return load_model(source)


@pytest.fixture
def folder(source, tmp_path):
    return shutil.copytree(source, tmp_path / "sd")


def with_channels(folder, count):
    """The model with further input channels."""
    edit_json(folder / "unet/config.json", in_channels=count)
    rng = torch.Generator().manual_seed(0)

    def widen(tensors):
        conv = tensors["conv_in.weight"]
        more = torch.randn(len(conv), count - 4, 3, 3, generator=rng).to(conv)
        return {**tensors, "conv_in.weight": torch.cat([conv, more], 1)}

    edit_weights(folder / UNET, widen)
    return folder


def video(model, frames=10, **given):
    return generate(model, None, "rain", num_frames=frames, seed=1, **{"how": LONG, **given})


def test_a_long_video_of_a_sentence(model):
    assert not (model.takes_photo or model.takes_mask or model.takes_boxes)
    long = video(model)
    assert long.frames.shape == (10, 64, 64, 3) and long.frames.std() > 0.01
    assert torch.equal(video(model).latents, long.latents)
    two = generate(model, None, read_schedule("0: rain | 5: fog"), num_frames=10, seed=1, how=LONG)
    assert not torch.equal(two.latents[:, :, -1], long.latents[:, :, -1])


def test_one_frame_is_the_picture_of_the_image_model(model, source):
    pipe = StableDiffusionPipeline.from_pretrained(source, safety_checker=None, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    told = {"num_inference_steps": 3, "guidance_scale": 6.0}
    ours = generate(
        model, None, "rain", negative_prompt="fog", noise=noise, num_frames=1, how=Sampling(solver="ddim", **told)
    )
    theirs = pipe(
        "rain", negative_prompt="fog", latents=noise[:, :, 0], height=64, width=64, output_type="pt", **told
    ).images
    torch.testing.assert_close(ours.frames, theirs.permute(0, 2, 3, 1), atol=1e-4, rtol=0)


def test_windows_on_another_device_and_in_larger_batches_are_the_same_video(model):
    one = video(model).latents
    for changed in ({"batch": 3}, {"devices": ("cpu",)}):
        how = replace(LONG, context=replace(LONG.context, **changed))
        torch.testing.assert_close(video(model, how=how).latents, one, atol=1e-4, rtol=0)


def test_v_prediction_comes_from_the_schedulers_config(folder, model):
    edit_json(folder / "scheduler/scheduler_config.json", prediction_type="v_prediction")
    velocity = load_model(folder)
    assert not torch.equal(video(velocity).latents, video(model).latents)
    assert "trained with v_prediction prediction" in inspect_checkpoint(folder).notes


@pytest.mark.parametrize(("channels", "kind"), [(4, "(Stable Diffusion)"), (5, "with a depth map"), (9, "inpainting")])
def test_what_info_says(folder, channels, kind):
    report = inspect_checkpoint(with_channels(folder, channels))
    assert report.usable and kind in report.kind and "zeroscope" not in report.licence
    assert (report.defaults.width, report.defaults.num_frames) == (64, 16)
    assert report.memory["float16"].denoise > 0


@pytest.mark.parametrize(("channels", "frames"), [(5, 10), (9, 1)])
def test_what_stands_beside_the_latents(folder, channels, frames):
    model = load_model(with_channels(folder, channels))
    beside = torch.rand(1, channels - 4, frames, 8, 8)
    told = video(model, beside=beside)
    assert not torch.equal(video(model, beside=beside + 1).latents, told.latents)
    clip = torch.rand(10, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    back = [invert(model, clip, steps=3, context=LONG.context, beside=x).latents for x in (beside, beside + 1)]
    assert not torch.equal(*back)
    for wrong in (None, beside[:, :, :, :4], torch.full_like(beside, torch.nan)):
        with pytest.raises(IVGError, match="beside the latents"):
            video(model, beside=wrong)
        with pytest.raises(IVGError, match="beside the latents"):
            invert(model, clip, steps=3, beside=wrong)


def test_other_models_read_nothing_beside(model, tiny_model):
    beside = torch.rand(1, 1, 1, 8, 8)
    with pytest.raises(IVGError, match="reads nothing beside"):
        video(model, beside=beside)
    with pytest.raises(IVGError, match="reads nothing beside"):
        generate(tiny_model, torch.rand(64, 64, 3), "stir", num_frames=2, beside=beside)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"addition_embed_type": "text_time"}, "is Stable Diffusion XL"),
        ({"in_channels": 7, "num_class_embeds": 1000}, "an upscaler"),
        ({"in_channels": 8}, "InstructPix2Pix"),
        ({"class_embed_type": "projection"}, r"more than a sentence \(class_embed_type\)"),
        ({"encoder_hid_dim_type": "text_proj"}, r"more than a sentence \(encoder_hid_dim_type\)"),
        ({"time_cond_proj_dim": 256}, "distilled"),
        ({"in_channels": 6}, "6 channels in and 4 out"),
        ({"out_channels": 8}, "4 channels in and 8 out"),
        ({"in_channels": [4]}, "channels in"),
        ({"down_block_types": ["AttnDownBlock2D", "DownBlock2D"]}, "AttnDownBlock2D"),
    ],
)
def test_other_image_models_are_named(folder, changes, said):
    edit_json(folder / "unet/config.json", **changes)
    with pytest.raises(IVGError, match=f"{said}.*only Stable Diffusion 1.5, 2, 2-depth and 2-inpainting"):
        load_model(folder)
    assert not inspect_checkpoint(folder).usable


def test_an_image_model_predicts_no_masks(folder, source, tiny_model):
    with pytest.raises(IVGError, match="predicts no masks"):
        load_model("embedded", rom=source)
    shutil.copytree(folder / "unet", folder / "rom_unet")
    with pytest.raises(IVGError, match="an image model where rom_unet belongs"):
        load_model(folder)


def test_what_it_cannot_do(model, source):
    with pytest.raises(IVGError, match="no gates for boxes"):
        load_model(source, boxes="embedded")
    with pytest.raises(IVGError, match="is an image model"):
        init_model(source)
    with pytest.raises(IVGError, match="tuned to one video: use the preset one-shot"):
        TrainableUNet(model, TrainConfig())
    with pytest.raises(IVGError, match="cache_every"):
        video(model, how=replace(LONG, cache_every=2))


@pytest.mark.parametrize(
    ("size", "version", "side"), [(32, "0.8.0.dev0", 512), (32, "0.18.0", 256), (96, "0.8.0", 768), (None, "x", 512)]
)
def test_the_size_that_it_was_made_for(folder, size, version, side):
    edit_json(folder / "unet/config.json", sample_size=size, _diffusers_version=version)
    assert load_model(folder).defaults.width == side


@pytest.mark.parametrize("channels", [4, 5])
def test_saved_and_loaded_it_is_the_same(folder, tmp_path, channels):
    model = load_model(with_channels(folder, channels))
    beside = torch.rand(1, 1, 1, 8, 8) if channels == 5 else None
    before = video(model, beside=beside)
    saved = save_folder(model, tmp_path / "folder"), save_file(model, tmp_path / "one.safetensors")
    for path in saved:
        again = load_model(path)
        assert again.defaults == model.defaults
        assert torch.equal(video(again, beside=beside).latents, before.latents)
    assert "Depth2Img" in (saved[0] / "model_index.json").read_text() or channels == 4
    if channels == 4:
        StableDiffusionPipeline.from_pretrained(saved[0], safety_checker=None, local_files_only=True)


def test_a_lora_and_eight_bits(model, tmp_path):
    sites = lora_sites(model.unet)
    rng = torch.Generator().manual_seed(0)
    assert any(".attn1." in name for name in sites) and not any(".temp_" in name for name in sites)
    layers = {
        name: (torch.randn(2, layer.in_features, generator=rng), torch.randn(layer.out_features, 2, generator=rng))
        for name, layer in sites.items()
    }
    path = tmp_path / "looks.safetensors"
    save_tensors(
        {
            f"lora_unet_{name.replace('.', '_')}.lora_{part}.weight": x
            for name, (down, up) in layers.items()
            for part, x in (("down", down), ("up", up))
        },
        path,
    )
    worn = model_with_lora(model, read_lora(path, model.unet))
    assert not torch.equal(video(worn).latents, video(model).latents)
    store_in_float8(worn.unet)
    assert video(worn).frames.isfinite().all()


def test_the_command_line(source, tmp_path, capsys):
    out = tmp_path / "long.mp4"
    given = ["--prompt", "rain", "--frames", "10", "--window", "4", "--steps", "3", "--out", str(out)]
    assert main(["generate", "--model", str(source), *given]) == 0
    assert open_media(out).facts().frames == 10
    assert main(["info", str(source)]) == 0 and "image model (Stable Diffusion)" in capsys.readouterr().out
