"""A video of a sentence alone: the sampler against MotionDirector's, and what cannot be asked of such a model."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.media.clips import open_media
from ivg_core.models.lora import applied_lora
from ivg_core.sampling.generate import Sampling, generate

GOLDEN = Path(__file__).parents[1] / "golden" / "motiondirector" / "training"
META = json.loads((GOLDEN / "md_meta.json").read_text())


@pytest.fixture(scope="module")
def io():
    return load_file(GOLDEN / "md_io.safetensors")


@pytest.fixture(scope="module")
def model():
    return load_model(GOLDEN / "model")


@pytest.fixture
def photo():
    return torch.rand(64, 80, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["t2v_base", "t2v_temporal", "t2v_both_neg"])
def test_sampling_is_the_reference(model, io, name):
    run = META[name]
    with ExitStack() as stack:
        for kind in ("spatial", "temporal"):
            lora = read_lora(next(GOLDEN.glob(f"lora/checkpoint-*/{kind}/lora/*.pt")), model.unet)
            stack.enter_context(applied_lora(model.unet, lora, run[f"{kind}_scale"]))
        video = generate(
            model,
            None,
            run["prompt"],
            negative_prompt=run["negative"],
            noise=io[run["start"]],
            num_frames=META["frames"],
            size=(80, 64),
            how=Sampling(num_inference_steps=run["steps"], guidance_scale=run["guidance"], solver="ddim", parity=True),
        )
    torch.testing.assert_close(video.latents, io[name][-1], atol=2e-4, rtol=0)
    frames = (video.frames * 255).round()[:: META["frames_every"]]
    assert (frames - io[f"{name}_frames"].float()).abs().max() <= 1
    assert video.mask.shape == (64, 80) and video.mask.all()


def test_the_seed_decides(model):
    how = Sampling(num_inference_steps=2)
    one, same, other = (
        generate(model, None, "a dog runs", seed=seed, num_frames=2, size=(80, 64), how=how) for seed in (1, 1, 2)
    )
    assert torch.equal(one.frames, same.frames) and not torch.equal(one.frames, other.frames)


def test_a_batch_of_sentences(model):
    how = Sampling(num_inference_steps=2)
    both = generate(model, None, ["a dog", "a cat"], seed=3, num_frames=2, size=(80, 64), how=how)
    second = generate(model, None, "a cat", seed=4, num_frames=2, size=(80, 64), how=how)
    torch.testing.assert_close(both.latents[1], second.latents[0], atol=1e-4, rtol=0)


def test_a_photo_for_a_model_without(model, photo):
    with pytest.raises(IVGError, match="cannot take a photo"):
        generate(model, photo, "a dog runs")


@pytest.mark.parametrize(
    ("what", "mask", "how"),
    [
        ("a mask", torch.ones(8, 8), {}),
        ("keep_first_frame", None, {"keep_first_frame": True}),
        ("composite", None, {"composite": True}),
        ("region crop", None, {"region": "crop"}),
        ("t_last", None, {"t_last": 0}),
    ],
)
def test_what_only_a_photo_can_give(model, what, mask, how):
    with pytest.raises(IVGError, match=f"without a photo for {what}"):
        generate(model, None, "a dog runs", mask=mask, how=Sampling(**how))


def test_no_photo_for_a_model_with():
    with pytest.raises(IVGError, match="makes videos of a photo"):
        generate(load_model("embedded"), None, "stir the soup")


def test_the_command_line_makes_a_video_of_a_sentence(tmp_path):
    out, sheet = tmp_path / "dog.mp4", tmp_path / "dog.png"
    small = ["--size", "80x64", "--frames", "2", "--steps", "2"]
    model = ["--model", str(GOLDEN / "model")]
    assert main(["generate", *model, "--prompt", "a dog runs", *small, "--out", str(out), "--sheet", str(sheet)]) == 0
    assert open_media(out).facts().frames == 2
    assert Image.open(sheet).width > 500


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--model", "embedded"], "makes videos of a photo"),
        (["--model", str(GOLDEN / "model"), "--fallback", "white"], "without a photo for a mask"),
    ],
)
def test_the_command_line_says_what_does_not_go_together(tmp_path, capsys, given, said):
    assert main(["generate", *given, "--prompt", "a dog runs", "--out", str(tmp_path / "x.mp4")]) != 0
    assert said in capsys.readouterr().err
