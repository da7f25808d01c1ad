"""TrainIVGLoRA and IVGLoadLoRA as ComfyUI runs them: in inference mode, with its folders, its patches, its cancel."""

import json
import os
import pathlib

import comfy.model_management as mm
import comfy.utils
import folder_paths
import pytest
import torch
from comfy_api.latest import InputImpl, Types
from comfy_execution.utils import CurrentNodeContext
from safetensors import safe_open
from safetensors.torch import save_file
from server import PromptServer

from ivg_pack.ivg_core.checkpoints.lora_files import read_lora, save_lora
from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.media.images import save_png
from ivg_pack.ivg_core.media.video import write_video
from ivg_pack.ivg_core.models.lora import LoRA, merge_lora, unmerge_lora
from ivg_pack.nodes._model import on_device
from ivg_pack.nodes.loras import IVGLoadLoRA, with_lora
from ivg_pack.nodes.sampling import IVGSampler
from ivg_pack.nodes.training import TrainIVGLoRA

WIDGETS = {
    "prompt": "the hand moves the square", "save_name": "square", "stage": "2: the video", "steps": 2, "rank": 2,
    "learning_rate": 1e-3, "hand_loss": 0.0, "masks": "everything", "folder": "", "frames": 3, "width": 48,
    "height": 32, "training_seed": 0, "resume": True,
}  # fmt: skip
SAMPLE = {
    "negative": "", "seed": 3, "frames": 2, "steps": 2, "guidance": 2.0, "motion_strength": 5.0, "fps": 8.0,
    "width": 48, "height": 32, "keep_first_frame": True, "composite": False, "feather": 2.0,
}  # fmt: skip
CLIP = torch.rand(4, 32, 48, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """ComfyUI's folders, empty."""
    monkeypatch.setattr(folder_paths, "base_path", str(tmp_path))
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path / "loras")], {".safetensors"}))
    comfy.utils.ProgressBar.log.clear()
    return tmp_path


def run(model, images=CLIP, **changes):
    links = {key: changes.pop(key) for key in ("video", "mask") if key in changes}
    with torch.inference_mode():  # as ComfyUI does
        return TrainIVGLoRA.execute(model, **{**WIDGETS, **changes}, images=images, **links)


def weights(model, name="unet"):
    return {key: value.clone() for key, value in getattr(model.model, name).state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def video_of(model) -> torch.Tensor:
    with torch.inference_mode():
        return IVGSampler.execute(model, CLIP[:1], action="move", **SAMPLE)[0][0]


def test_it_trains_shows_progress_and_gives_everything(model, fresh):
    model.patchers["unet"].load()  # another test's LoRA may still be on the weights
    before = weights(model)
    trained, path, curve, validation, report = run(model).args
    assert pathlib.Path(path) == fresh / "loras" / "ivg" / "square.safetensors"
    with safe_open(path, "pt") as file:
        about = file.metadata()
        assert about["ivg_steps"] == "2" and about["ivg_stage"] == "2"
        assert "the hand moves the square" in about["ivg_prompts"]
    assert curve.shape[0] == 1 and curve.shape[-1] == 3 and 0 < curve.mean() < 1
    assert validation.shape == (3, 32, 48, 3)
    assert "1 clip; 0 rejected" in report and path in report
    log = comfy.utils.ProgressBar.log
    assert [(done, total) for done, total, _ in log[-2:]] == [(1, 2), (2, 2)] and log[-1][2]
    model.patchers["unet"].load()
    assert same(weights(model), before)
    assert not torch.equal(video_of(trained), video_of(model))


def test_what_was_trained_is_what_is_loaded(model):
    trained, path, *_ = run(model).args
    loaded = IVGLoadLoRA.execute(model, "ivg/square.safetensors", 1.0)[0]
    by_path = IVGLoadLoRA.execute(model, "none", 1.0, path)[0]
    assert torch.equal(video_of(loaded), video_of(trained))
    assert torch.equal(video_of(by_path), video_of(trained))


def test_cancel_keeps_what_was_learned_and_resume_goes_on_from_there(model, fresh, monkeypatch):
    whole = run(model, save_name="whole", steps=4)
    original = comfy.utils.ProgressBar.update_absolute

    def cancel_at_two(self, value, total=None, preview=None):
        original(self, value, total, preview)
        if (value, total) == (2, 4):
            mm.interrupt_current_processing()

    monkeypatch.setattr(comfy.utils.ProgressBar, "update_absolute", cancel_at_two)
    shown = PromptServer()
    monkeypatch.setattr(PromptServer, "instance", shown)
    with CurrentNodeContext("prompt", "7"), pytest.raises(mm.InterruptProcessingException):
        run(model, steps=4)
    ((_, note),) = shown.shown
    assert "Cancelled after step 2: choose ivg/square.safetensors in IVG Load LoRA" in note
    monkeypatch.undo()
    fresh_folders(fresh, monkeypatch)
    kept = read_lora(fresh / "loras" / "ivg" / "square.safetensors", model.model.unet)
    assert kept.metadata["ivg_steps"] == "2"
    comfy.utils.ProgressBar.log.clear()
    done = run(model, steps=4)
    assert [value for value, total, _ in comfy.utils.ProgressBar.log if total == 4] == [3, 4]
    one, other = (read_lora(output[1], model.model.unet) for output in (whole, done))
    assert all(
        torch.equal(a, b) for name in one.layers for a, b in zip(one.layers[name], other.layers[name], strict=True)
    )


def fresh_folders(folder, monkeypatch):
    monkeypatch.setattr(folder_paths, "base_path", str(folder))
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(folder / "loras")], {".safetensors"}))


def test_stage_1_learns_masks_and_gives_a_model_without_it_one(model_without_rom):
    masks = torch.zeros(4, 32, 48)
    for k in range(4):
        masks[k, 8:24, 4 + 4 * k : 20 + 4 * k] = 1
    trained, path, _, validation, report = run(model_without_rom, stage="1: the mask", mask=masks).args
    assert trained.model.rom_unet is not None and model_without_rom.model.rom_unet is None
    assert validation.shape == (3, 32, 48, 3) and "a mask of each frame" in report
    again = IVGLoadLoRA.execute(model_without_rom, "none", 1.0, path)[0]
    assert again.model.rom_unet is not None
    assert torch.equal(video_of(trained), video_of(model_without_rom))  # stage 2 is as it was


def test_a_folder_a_video_and_several_sentences(model, fresh):
    source = fresh / "input" / "clips"
    write_video(CLIP, source / "a.mp4", 8)
    (source / "a.txt").write_text("move")
    (source / "broken.mp4").write_bytes(b"no video")
    save_png(torch.ones(32, 48), source / "masks" / "a.png")
    save_png(torch.ones(32, 48), source / "masks" / "broken.png")
    report = run(model, None, folder="clips", masks="folder named masks", prompt="for others")[4]
    assert "1 clip; 1 rejected" in report and "broken: " in report
    video = InputImpl.VideoFromFile(str(source / "a.mp4"))
    assert "2 clips; 0 rejected" in run(model, None, video=video, prompt="one\n\ntwo", save_name="file")[4]
    video = InputImpl.VideoFromComponents(Types.VideoComponents(images=CLIP, frame_rate=8))
    assert "1 clip; 0 rejected" in run(model, None, video=video, save_name="parts")[4]


def test_training_on_top_of_a_lora_and_after_sampling(model):
    """Weights that were patched in inference mode cannot be trained through as they are."""
    _, path, *_ = run(model).args
    with torch.inference_mode():
        stacked = IVGLoadLoRA.execute(model, "none", 0.5, path)[0]
        video_of(stacked)
        on_device(stacked, 2, CLIP[0], 2)
    assert any(p.is_inference() for p in model.model.unet.parameters())
    assert run(stacked, save_name="second")[4]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"images": None}, "there are no clips"),
        ({"folder": "clips"}, "images and folder are given"),
        ({"prompt": " \n"}, "has no sentence"),
        ({"save_name": "../up"}, "is no file name"),
        ({"images": CLIP[:1]}, "it has one frame"),
        ({"images": None, "folder": "gone"}, "there is nothing at"),
        ({"stage": "1: the mask"}, "stage 1 learns to make masks"),
        ({"masks": "folder named masks"}, "comes without a mask"),
        ({"mask": torch.zeros(1, 32, 48)}, "empty"),
    ],
)
def test_bad_input_is_one_sentence(model, changes, sentence):
    with pytest.raises(IVGError, match=sentence) as error:
        run(model, **changes)
    assert "\n" not in str(error.value)


def test_a_name_that_is_taken_is_said(model):
    run(model)
    with pytest.raises(IVGError, match="already: switch resume on"):
        run(model, resume=False)


def made_lora(model, seed=0) -> LoRA:
    rng = torch.Generator().manual_seed(seed)
    layers = {}
    for name in ("mid_block.attentions.0.transformer_blocks.0.attn1.to_q", "conv_in2", "transformer_in.proj_in"):
        weight = model.model.unet.get_submodule(name).weight
        up = torch.randn(weight.shape[0], 2, *[1] * (weight.ndim - 2), generator=rng) / 20
        layers[name] = (up, torch.randn(2, *weight.shape[1:], generator=rng) / 20)
    return LoRA(layers, {"conv_in2": 0.5})


def test_patches_are_what_merging_gives_and_come_off_again(model):
    on_device(model, 2, CLIP[0], 2)
    model.patchers["unet"].load()
    before, first, second = weights(model), made_lora(model), made_lora(model, 1)
    patched = with_lora(with_lora(model, first, 0.7), second, -0.4)
    on_device(patched, 2, CLIP[0], 2)
    now = weights(patched)
    on_device(model, 2, CLIP[0], 2)
    assert same(weights(model), before)
    undo = [merge_lora(model.model.unet, first, 0.7), merge_lora(model.model.unet, second, -0.4)]
    merged = weights(model)
    for old in reversed(undo):
        unmerge_lora(model.model.unet, old)
    assert max((merged[key] - now[key]).abs().max() for key in now) < 1e-6
    assert not same(now, before)


def test_strength_0_and_none_are_the_model_itself(model, fresh):
    path = save_lora(made_lora(model), fresh / "loras" / "a.safetensors")
    assert IVGLoadLoRA.execute(model, "a.safetensors", 0.0)[0] is model
    assert IVGLoadLoRA.execute(model, "none", 1.0)[0] is model
    assert IVGLoadLoRA.fingerprint_inputs("a.safetensors") == IVGLoadLoRA.fingerprint_inputs("none", str(path))


def test_a_lora_that_is_gone_or_does_not_fit_is_one_sentence(model, fresh):
    with pytest.raises(IVGError, match=r"no LoRA 'gone\.safetensors' in models/loras"):
        IVGLoadLoRA.execute(model, "gone.safetensors", 1.0)
    lora = made_lora(model)
    lora.layers["conv_in2"] = (torch.zeros(7, 2, 1, 1), torch.zeros(2, 5, 3, 3))
    with pytest.raises(IVGError, match="does not fit the model: conv_in2"):
        with_lora(model, lora, 1.0)


def test_layers_that_fit_nowhere_are_refused_unless_partial_is_on(model, fresh, caplog):
    lora = made_lora(model)
    path = save_lora(
        LoRA({**lora.layers, "blocks.0.attn": (torch.ones(4, 2), torch.ones(2, 4))}), fresh / "loras" / "a.safetensors"
    )
    for way in ({}, {"partial": False}):  # a saved workflow knows no `partial`
        with pytest.raises(
            IVGError, match=r"1 of the 4 layers .* fit no .* \(first diffusion_model\.blocks\.0\.attn\)"
        ):
            IVGLoadLoRA.execute(model, "a.safetensors", 1.0, **way)
    loaded = IVGLoadLoRA.execute(model, "a.safetensors", 1.0, str(path), partial=True)
    assert len(loaded[0].patchers["unet"].patches) == 3
    assert "1 of the 4 layers" in caplog.text


@pytest.mark.parametrize("strength", [float("nan"), float("inf")])
def test_a_strength_that_is_no_number(model, strength):
    with pytest.raises(IVGError, match=f"strength is {strength}"):
        with_lora(model, made_lora(model), strength)


def test_a_lora_with_nan_is_named_when_it_is_loaded(model, fresh):
    lora = made_lora(model)
    lora.layers["conv_in2"][0].fill_(torch.nan)
    save_lora(lora, fresh / "loras" / "a.safetensors")
    with pytest.raises(
        IVGError, match=r"a\.safetensors holds NaN or infinite .* 1 of 7 tensors \(first diffusion_model\.conv_in2"
    ):
        IVGLoadLoRA.execute(model, "a.safetensors", 1.0)


def test_convolutions_over_time_of_stable_lora_are_patched_too(model, tmp_path):
    on_device(model, 2, CLIP[0], 2)
    name = "mid_block.temp_convs.0.conv1.2"
    rows, columns = model.model.unet.get_submodule(name).weight.shape[:2]
    halves = {"lora_B": torch.randn(rows * 3, 2) / 20, "lora_A": torch.randn(2, columns * 3) / 20}
    save_file({f"{name}.{half}": tensor for half, tensor in halves.items()}, tmp_path / "x.safetensors")
    lora = read_lora(tmp_path / "x.safetensors", model.model.unet)
    patched = with_lora(model, lora, 0.7)
    on_device(patched, 2, CLIP[0], 2)
    now = weights(patched)
    on_device(model, 2, CLIP[0], 2)
    undo = merge_lora(model.model.unet, lora, 0.7)
    merged = weights(model)
    unmerge_lora(model.model.unet, undo)
    assert max((merged[key] - now[key]).abs().max() for key in now) < 1e-6
    assert not torch.equal(now[f"{name}.weight"], undo[name])


@pytest.mark.parametrize("way", ["absolute", "dots", "link", "listed", "linked caption"])
def test_clips_outside_comfyuis_folders_are_not_read(model, fresh, tmp_path_factory, way):
    secret, inputs = tmp_path_factory.mktemp("secret"), pathlib.Path(folder_paths.get_input_directory())
    write_video(torch.rand(4, 32, 48, 3), secret / "cut.mp4", 8)
    (secret / "cut.txt").write_text("the password")
    name = {"absolute": str(secret), "dots": os.path.relpath(secret, inputs)}.get(way, "clips")
    if way == "link":
        (inputs / "clips").symlink_to(secret)
    if way == "listed":
        name = "clips.json"
        (inputs / name).write_text(json.dumps([{"video": str(secret / "cut.mp4"), "caption": "stir"}]))
    if way == "linked caption":
        (inputs / "clips").mkdir()
        write_video(torch.rand(4, 32, 48, 3), inputs / "clips" / "cut.mp4", 8)
        (inputs / "clips" / "cut.txt").symlink_to(secret / "cut.txt")
    with pytest.raises(IVGError, match="which is not in a folder of ComfyUI's"):
        run(model, None, folder=name, prompt="stir")
