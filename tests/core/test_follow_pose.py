"""Follow-Your-Pose's folder: told from ModelScope's, loaded, saved, sampled with and without a video of skeletons."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from checkpoint_edits import assert_same_weights, edit_json
from safetensors.torch import load_file, save_file

from ivg_core.checkpoints.control_nets import load_control_net
from ivg_core.checkpoints.info import inspect_checkpoint
from ivg_core.checkpoints.init import init_model
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.save import save_file as save_model
from ivg_core.checkpoints.save import save_folder
from ivg_core.errors import IVGError
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.control import Controlled
from ivg_core.models.float8 import store_in_float8
from ivg_core.models.follow_pose import PoseUNet
from ivg_core.models.lora import lora_sites
from ivg_core.models.together import seen_together
from ivg_core.models.told import Told
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.edit import ControlVideo
from ivg_core.sampling.generate import Sampling, generate
from ivg_core.sampling.prompts import read_schedule
from ivg_core.training.backbone import TrainableUNet
from ivg_core.training.config import read_config

BIN, SAFE = "unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.safetensors"
SENTENCE = "a man walking"
LONG = Sampling(num_inference_steps=2, solver="ddim", context=ContextWindows(length=4, stride=2))


@pytest.fixture(scope="module")
def source(follow_pose, tmp_path_factory):
    return follow_pose.write_model(tmp_path_factory.mktemp("models") / "followyourpose")


@pytest.fixture(scope="module")
def model(source):
    return load_model(source)


@pytest.fixture
def folder(source, tmp_path):
    return shutil.copytree(source, tmp_path / "pose")


def test_every_number_of_the_folder(follow_pose):
    with torch.no_grad():
        found = list(follow_pose.skeletons())
    assert len(found) == 6 and not [str(check) for check in found if not check.within]


def test_both_kinds_of_files_and_both_spellings_of_the_adapter(model, folder):
    weights = torch.load(folder / BIN, weights_only=True)
    assert "skeleton_adapter.body.2.in_conv.weight" in weights
    assert isinstance(model.unet, PoseUNet) and not model.takes_photo
    save_file({name: x.clone() for name, x in weights.items()}, folder / SAFE)
    assert_same_weights(load_model(folder), model)
    save_file(model.unet.state_dict(), folder / SAFE)
    assert_same_weights(load_model(folder), model)


def test_what_info_says(source):
    report = inspect_checkpoint(source)
    assert report.usable and "Follow-Your-Pose" in report.kind and report.memory["float16"].denoise > 0
    asked = report.defaults
    assert (asked.width, asked.num_frames, asked.num_inference_steps, asked.guidance_scale) == (64, 16, 50, 12.5)


def test_saved_as_it_was_released(model, source, tmp_path):
    made = save_folder(model, tmp_path / "again")
    assert load_file(made / SAFE).keys() == torch.load(source / BIN, weights_only=True).keys()
    ours, theirs = (json.loads((path / "unet/config.json").read_text()) for path in (made, source))
    assert all(ours[key] == theirs[key] for key in ("_class_name", "down_block_types", "up_block_types"))
    assert_same_weights(load_model(made), model)
    assert_same_weights(load_model(save_model(model, tmp_path / "one.safetensors", torch.float32)), model)


def test_frames_see_the_first_one_and_the_one_before(model):
    attention = model.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    pixels = torch.randn(5, 4, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), seen_together(5):
        before = attention(pixels)
        for changed, sees in {0: [0, 1, 2, 3, 4], 1: [1, 2], 3: [3, 4], 4: [4]}.items():
            other = pixels.clone()
            other[changed] += 1
            assert (attention(other) != before).flatten(1).any(1).nonzero().flatten().tolist() == sees


@pytest.fixture(scope="module")
def pose():
    """Frames (6, 64, 64, 3) of lines that move."""
    frames = torch.zeros(6, 64, 64, 3)
    for i in range(6):
        frames[i, 8:56, 10 + 8 * i : 14 + 8 * i] = torch.tensor([1.0, 0.5, 0.0])
    return frames


def video(model, prompt="rain", **given):
    return generate(model, None, prompt, num_frames=6, seed=1, how=given.pop("how", LONG), **given)


def test_a_long_video_of_skeletons_and_a_sentence(model, pose):
    alone, held = video(model), video(model, control=ControlVideo(None, pose))
    assert held.frames.shape == (6, 64, 64, 3) and held.frames.std() > 0.01
    assert not torch.equal(held.latents, alone.latents)
    assert torch.equal(video(model, control=ControlVideo(None, pose, scale=0)).latents, alone.latents)
    mirrored = video(model, control=ControlVideo(None, pose.flip(2)))
    assert not torch.equal(mirrored.latents, held.latents)
    spread = replace(LONG, context=replace(LONG.context, devices=("cpu",)))
    elsewhere = video(model, control=ControlVideo(None, pose), how=spread).latents
    torch.testing.assert_close(elsewhere, held.latents, atol=1e-4, rtol=0)


def test_several_sentences(model, pose):
    one = video(model, control=ControlVideo(None, pose)).latents
    several = video(model, read_schedule("0: rain | 3: fog"), control=ControlVideo(None, pose)).latents
    assert not torch.equal(several[:, :, -1], one[:, :, -1])


def test_the_same_as_the_recording_by_generate(model, follow_pose):
    part, io = follow_pose.meta["params"]["fyp"], follow_pose.io
    context = ContextWindows(length=part["w"], stride=part["s"], weights="flat")
    how = Sampling(num_inference_steps=part["steps"], guidance_scale=part["g"], solver="ddim", context=context)
    frames = follow_pose.shown("fyp_pose_u8_q")[0].permute(1, 2, 3, 0)
    made = generate(
        model, None, SENTENCE, noise=io["fyp_start"], num_frames=part["T"], control=ControlVideo(None, frames), how=how
    )
    torch.testing.assert_close(made.latents, io["fyp_long_steps"][-1], atol=2e-4, rtol=0)


def test_a_video_of_skeletons_that_does_not_fit(model, pose, golden):
    with pytest.raises(IVGError, match="control video has 4 frames and the video 6"):
        video(model, control=ControlVideo(None, pose[:4]))
    wide = video(model, control=ControlVideo(None, torch.ones(1, 40, 80, 3)))  # is brought to the video's size
    assert wide.frames.shape == (6, 64, 64, 3)
    with pytest.raises(IVGError, match="came nothing that follows a control video: give a ControlNet or"):
        video(load_model(golden / "glv_more" / "sd1"), control=ControlVideo(None, pose))


def test_other_kinds_of_numbers(source, follow_pose):
    made, io = load_model(source, dtype=torch.bfloat16), follow_pose.io
    pose, text = follow_pose.shown("fyp_pose_u8_q")[:, :, :4], follow_pose.said("", "rain")
    told = Told(text, control=pose).to(dtype=torch.bfloat16)
    held = Controlled(UNetBackbone(made, 2), made.unet.control_net)
    for narrow in (False, True):
        if narrow:
            store_in_float8(made.unet)
        with torch.no_grad():
            ours = held(io["fyp_x"].bfloat16(), io["t"], told).float()
        assert (ours - io["fyp_out"]).abs().mean() < 0.1 * io["fyp_out"].abs().mean()


def test_an_adapter_of_another_model_follows_too(model, follow_pose, golden):
    io, told = follow_pose.io, Told(follow_pose.said("", "rain"), control=follow_pose.shown("fyp_pose_u8_q")[:, :, :4])
    backbone = UNetBackbone(model, 2)
    other = load_control_net(golden / "glv_more" / "t2i_adapter.safetensors")
    with torch.no_grad():
        held = [Controlled(backbone, net)(io["fyp_x"], io["t"], told) for net in (other, model.unet.control_net)]
    assert not torch.equal(*held)
    with pytest.raises(IVGError, match="64 x 64 pixels, and is told one of 32 x 64"):
        Controlled(backbone, other)(io["fyp_x"], io["t"], Told(told.text, control=told.control[..., :32]))


def test_where_loras_stand(model):
    sites = {role: list(lora_sites(model.unet, [role])) for role in ("spatial", "text", "temporal", "conv")}
    assert all(".attn_temp." in name for name in sites["temporal"]) and len(sites["temporal"]) == 4 * 6
    others = sites["spatial"] + sites["text"] + sites["conv"]
    assert not [name for name in others if "_temp" in name or "skeleton" in name]


def test_what_it_is_not_for(model, folder):
    with pytest.raises(IVGError, match="is an image model"):
        init_model(folder)
    with pytest.raises(IVGError, match=r"one-shot tuning .* is for Stable Diffusion"):
        TrainableUNet(model, read_config("one-shot"))


def test_what_does_not_fit(folder):
    weights = torch.load(folder / BIN, weights_only=True)
    del weights["mid_block.attentions.0.transformer_blocks.0.conv_temporal.up.weight"]
    torch.save(weights, folder / BIN)
    with pytest.raises(IVGError, match=r"1 missing: mid_block.*conv_temporal\.up\.weight"):
        load_model(folder)
    edit_json(folder / "unet/config.json", in_channels=9)
    with pytest.raises(IVGError, match="has 4 channels in and out"):
        load_model(folder)
    assert "4 channels in and out" in inspect_checkpoint(folder).components[0].problem
