"""A core video model trained and asked in a real ComfyUI: tiny and with random weights, by core's own classes."""

import io
import json
import pathlib
import shutil

import numpy as np
import pytest
import torch
from core_training_prompts import (
    FIVE_B,
    ODD,
    TO_VIDEO,
    as_prompt,
    loaders,
    predicting,
    sampling,
    still_clip,
    training,
    with_lora,
    write_clips,
)
from make_wan import write_wan
from PIL import Image
from safetensors.torch import load_file

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui, told_by

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")

ROOT = pathlib.Path(__file__).resolve().parents[2]
MANY = 24  # training steps that take a while


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    for name, channels in ((FIVE_B, 48), (TO_VIDEO, 16)):
        write_wan(models / name, channels)
    packs = [ROOT, pathlib.Path(__file__).with_name("tiny_core")]
    with ComfyServer(FOUND[0], packs, python=FOUND[1], models={"diffusion_models": models}) as server:
        assert server.import_problems() == []
        write_clips(server.base_dir / "input")
        yield server


@pytest.fixture(scope="module")
def client(server):
    return ComfyClient(server.url)


def pictures(client, result, node) -> np.ndarray:
    assert result.ok, result.errors
    return np.stack([np.array(Image.open(io.BytesIO(client.view(file)))) for file in result.outputs[node]["images"]])


def learned(server, name: str) -> dict[str, torch.Tensor]:
    return load_file(server.base_dir / "models" / "loras" / "ivg" / f"{name}.safetensors")


def figures_of(server, name: str) -> list[dict]:
    """What each step of a run wrote down."""
    lines = (server.base_dir / "output" / "ivg_training" / name / "losses.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def trained(server, client):
    """The base's video before and after a training of stage 1, and what that gave, with a mask of its model."""
    base = as_prompt({**loaders(), **sampling()})
    before = pictures(client, client.run(base, timeout=120), "save")
    early = []  # what stands on the node after the first step

    def look(result, message):
        if result.progress.get("train", [()])[-1] == (1, 4):
            early.append(result.notes.get("train", ""))

    result = client.run(training(predicting("train")), timeout=240, on_message=look)
    assert result.ok, result.errors
    result.notes["early"] = early[0]
    after = client.run(base, timeout=120)
    assert "sample" in after.executed and "unet" in after.cached, "the same MODEL, asked anew"
    return before, result, pictures(client, after, "save")


def test_it_trains_and_shows_what_it_does(client, trained):
    _, result, _ = trained
    assert tuple(result.progress["train"][-1]) == (4, 4)
    assert result.previews["train"] >= 1
    (curve,), frames = pictures(client, result, "curve"), pictures(client, result, "validation")
    assert curve.shape[1] > 500 and frames.shape == (9, 64, 64, 3)
    report = "".join(result.outputs["report"]["text"])
    assert "1 clip; 0 rejected" in report and "frames 0 to 8 at 64 x 64" in report and "4 steps" in report
    assert "A step takes about" in result.notes["early"] and result.notes["train"] == result.notes["early"]


def test_the_base_makes_the_same_video_to_the_pixel(trained):
    before, _, after = trained
    assert np.array_equal(before, after)


def test_cores_loader_takes_the_file_and_it_changes_the_video(server, client, trained):
    result = client.run(as_prompt({**loaders(), **sampling("lora"), **with_lora()}), timeout=120)
    change = np.abs(pictures(client, result, "save").astype(int) - trained[0])
    assert change.max() > 5
    assert "not loaded" not in server.log_text(), "every layer of the file has its place"


def test_a_loaded_file_predicts_what_the_trained_model_does(client, trained):
    at_once = trained[1]
    result = client.run(as_prompt({**loaders(), **with_lora(), **predicting("lora")}), timeout=120)
    for node in ("mask", "frame_masks"):
        assert np.array_equal(pictures(client, result, node), pictures(client, at_once, node))
    assert [total for _, total in result.progress["predict"]][-1] == 2


def test_a_mask_has_the_photos_size_whatever_its_shape(client, trained):
    at_once = trained[1]
    (mask,), frames = pictures(client, at_once, "mask"), pictures(client, at_once, "frame_masks")
    assert mask.shape == (*ODD[::-1], 3) and frames.shape == (9, *ODD[::-1], 3)
    assert not frames[0].any() and np.array_equal(frames.max(0), mask) and set(np.unique(mask)) == {0, 255}
    assert not mask[:, :40].any() and not mask[:, -40:].any(), "a square window in its middle"
    own_shape = client.run(
        as_prompt({**loaders(), **with_lora(), **predicting("lora", width=0, height=0, length=5)}), timeout=240
    )
    (mask,) = pictures(client, own_shape, "mask")
    assert mask.shape == (*ODD[::-1], 3) and mask[:, :40].any() and mask[:, -40:].any()


def test_what_was_cancelled_goes_on_to_the_same_lora_as_unbroken(server, client):
    asked = training(save_name="long", steps=MANY)
    whole = client.run(asked, timeout=300)
    assert whole.ok, whole.errors
    unbroken, run = learned(server, "long"), server.base_dir / "output" / "ivg_training" / "long"
    shutil.move(run, run.with_name("elsewhere"))
    asked = training(save_name="long", steps=MANY, prompt="For clips without a sentence.")  # or it would be kept whole

    sent = []

    def cancel_at_half(_result, _message):  # once, and by the run's own file: a second one would end the next run
        if not sent and (run / "losses.jsonl").exists() and len(figures_of(server, "long")) >= MANY // 2:
            sent.append(client.interrupt())

    cancelled = client.run(asked, timeout=300, on_message=cancel_at_half)
    assert cancelled.status == "interrupted"
    assert "choose ivg/long.safetensors in LoraLoaderModelOnly" in cancelled.notes["train"]
    done = len(figures_of(server, "long"))
    assert MANY // 2 <= done < MANY
    half = learned(server, "long")
    assert any(not torch.equal(half[name], unbroken[name]) for name in unbroken)
    resumed = client.run(asked, timeout=300)
    assert resumed.ok, resumed.errors
    steps = [step for step, total in resumed.progress["train"] if total == MANY]  # a busy server leaves some out
    assert min(steps) > done and steps == sorted(set(steps)) and steps[-1] == MANY
    again = learned(server, "long")
    assert again.keys() == unbroken.keys()
    assert all(torch.equal(again[name], unbroken[name]) for name in unbroken)


def test_stage_2_looks_at_hands_and_at_what_moves(server, client):
    asked = training(save_name="hands", stage="2: the video", steps=8, width=128, height=128, tell_region=True)
    result = client.run(asked, timeout=300)
    assert result.ok, result.errors
    looked = [figures for figures in figures_of(server, "hands") if figures.get("hands") is not None]
    assert looked and all(0 < figures["hands"] < 10 and figures["hand_error"] > 0 for figures in looked)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"beside": with_lora(), "model": ["lora", 0]}, "There are LoRAs on this model: connect the model from before"),
        ({"unet_name": TO_VIDEO}, "This model is Wan with 16 channels of input, which cannot be used here"),
        ({"kind": "wan 2.1"}, "The VAE makes latents of 16 channels, and the model reads 48"),
        ({"folder": "no_sentence"}, "it has no caption: write one into hand.txt beside it"),
        ({"folder": "", "beside": still_clip(), "images": ["still", 0]}, "the clip has no sentence: write into prompt"),
        ({"width": 40}, "40 x 64 cannot be made"),
        ({"noise_from": 0.9, "noise_to": 0.5}, "no noise level from 0.9 to 0.5"),
        ({"folder": "no_hand"}, "no hand was found"),
        ({"masks": "everything"}, "stage 1 learns to make masks"),
        ({"folder": "clips", "save_name": "a/b"}, "is no file name"),
    ],
)
def test_a_mistake_is_one_sentence(client, trained, changes, said):
    prompt = training(**{"save_name": "mistake", **changes})
    for node, name in (("unet", "unet_name"), ("vae", "kind")):
        if name in (inputs := prompt["train"]["inputs"]):
            prompt[node]["inputs"][name] = inputs.pop(name)
    result = client.run(prompt, timeout=120)
    (error,) = result.errors
    assert said in error and ": IVGError: " in error and "\n" not in error


# -- what a server would not show ---------------------------------------------


@pytest.fixture(scope="module")
def core():
    """What core_training_in_core.py found."""
    return told_by(ROOT / "tests" / "comfyui" / "core_training_in_core.py")


@pytest.mark.parametrize(
    ("what", "ways"),
    [
        ("all", "set hand_loss to 0, lower frames (33), lower width and height (64 x 64), load the model in float8."),
        ("no_hands", "lower frames (33), lower width and height (64 x 64), load the model in float8."),
        ("few_frames", "set hand_loss to 0, lower width and height (64 x 64), load the model in float8."),
        ("driver", "lower width and height (64 x 64), load the model in float8."),
    ],
)
def test_where_memory_does_not_do_it_says_what_to_lower_first(core, what, ways):
    if what == "driver" and what not in core["memory"]:
        pytest.skip("this ComfyUI does not tell the driver's error apart")
    assert core["memory"][what] == f"A training step needs more memory than there is. In this order: {ways}"


def test_two_experts_make_one_video(core):
    experts = core["experts"]
    assert 0 < experts["split"] < 6 and experts["steps"] == 3 * 6
    assert experts["same"] <= 1e-5 and experts["other"] > 1e-3


def test_a_training_that_is_whole_ends_without_a_sample_where_there_can_be_none(core):
    assert core["without_a_sample"] == [True, True]


def test_a_models_fingerprint_is_that_of_its_weights_and_its_loras(core):
    found = core["fingerprints"]
    assert found["differ"] == 4, "the base, a LoRA, the same one weaker, another one"
    assert [same for *_, same in found["stay"]] == [True] * 4, "loaded and unloaded"
    assert found["stay"][0] == ["patched", True, True], "though its weights were others then"
    assert found["changed"]


def test_a_crop_is_decoded_at_its_own_size(core):
    """How near it comes to the same part of the whole is a trained decoder's: of random weights it is only told."""
    crops = core["crops"]
    print(f"off by {crops['whole']:.3f}, in the middle {crops['inner']:.3f}, of a spread of {crops['spread']:.3f}")
    assert crops["corner"] == [32, 32] and crops["shape"] == [1, 1, 3, 64, 64]


def test_the_hand_loss_has_a_gradient_down_to_the_lora_and_steps_lower_it(core):
    hands = core["hands"]
    assert hands["exact"] < 1e-6, "the autoencoder of this test loses nothing"
    assert hands["norm"] > 1e-3
    assert hands["losses"] == sorted(hands["losses"], reverse=True) and hands["losses"][-1] < 0.85 * hands["losses"][0]
