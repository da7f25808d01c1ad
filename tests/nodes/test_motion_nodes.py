"""IVGMotionClip and IVGTrainMotion as ComfyUI runs them: what a chain of clips holds, and what is learned from it."""

import pathlib

import comfy.model_management as mm
import comfy.utils
import folder_paths
import pytest
import torch
from comfy_api.latest import InputImpl, Types
from comfy_execution.utils import CurrentNodeContext
from safetensors import safe_open
from server import PromptServer

from ivg_pack.ivg_core.checkpoints.lora_files import read_lora
from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.media.video import write_video
from ivg_pack.ivg_core.training.config import read_config
from ivg_pack.ivg_core.training.losses import make_losses
from ivg_pack.nodes.loras import IVGLoadLoRA
from ivg_pack.nodes.motion import LOOKS, MOTION, IVGMotionClip, IVGTrainMotion, motion_config
from ivg_pack.nodes.sampling import IVGSampler

CLIP = torch.rand(4, 32, 48, 3, generator=torch.Generator().manual_seed(0))
OTHER = torch.rand(6, 24, 64, 3, generator=torch.Generator().manual_seed(1))
WIDGETS = {
    "save_name": "stir", "learn": MOTION, "steps": 2, "rank": 2, "learning_rate": 1e-3, "debias": 1.0,
    "masks": "everything", "frames": 3, "width": 96, "height": 64, "training_seed": 0, "resume": True,
}  # fmt: skip
SAMPLE = {
    "negative": "", "seed": 3, "frames": 2, "steps": 2, "guidance": 2.0, "motion_strength": 5.0, "fps": 8.0,
    "width": 48, "height": 32, "keep_first_frame": True, "composite": False, "feather": 2.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """ComfyUI's folders, empty."""
    monkeypatch.setattr(folder_paths, "base_path", str(tmp_path))
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path / "loras")], {".safetensors"}))
    comfy.utils.ProgressBar.log.clear()
    return tmp_path


def clip(prompt="stir the soup", images=None, **links):
    with torch.inference_mode():  # as ComfyUI does
        return IVGMotionClip.execute(prompt, images=images, **links).args


def trained(model, clips, **changes):
    with torch.inference_mode():
        return IVGTrainMotion.execute(model, clips, **{**WIDGETS, **changes})


def two_clips():
    first, _ = clip("stir the soup", CLIP)
    return clip("stir the rice", OTHER, clips=first)[0]


def video_of(model) -> torch.Tensor:
    with torch.inference_mode():
        return IVGSampler.execute(model, CLIP[:1], action="stir", **SAMPLE)[0][0]


def layers_of(path, model):
    return read_lora(path, model.model.unet).layers


def learned_of(run: pathlib.Path) -> dict[str, str]:
    """The roles that each of a run's LoRA files holds, from what is written in it."""
    found = {}
    for path in run.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            over_time = ["temp" in key or "transformer_in" in key for key in file.keys()]  # noqa: SIM118
        found[path.name] = "temporal" if all(over_time) else "spatial" if not any(over_time) else "both"
    return found


# -- a chain of clips ---------------------------------------------------------


def test_clips_are_chained_named_and_summed_up(fresh):
    write_video(OTHER, fresh / "input" / "b.mp4", 8)
    file = InputImpl.VideoFromFile(str(fresh / "input" / "b.mp4"))
    parts = InputImpl.VideoFromComponents(Types.VideoComponents(images=CLIP, frame_rate=8))
    first, said = clip(" stir\n  the soup ", CLIP)
    assert said == "clip 1: 4 frames, 48 x 32: stir the soup"
    second, _ = clip("stir the rice", video=file, mask=torch.ones(1, 24, 64), clips=first)
    third, said = clip("stir the tea", video=parts, clips=second)
    assert said.splitlines() == [
        "clip 1: 4 frames, 48 x 32: stir the soup",
        "clip 2: 6 frames, 64 x 24, with a mask: stir the rice",
        "clip 3: 4 frames, 48 x 32: stir the tea",
    ]
    assert [len(some.each) for some in (first, second, third)] == [1, 2, 3]  # what is passed on is not changed
    assert [one.name for one in third.each] == ["clip 1", "clip 2", "clip 3"]


def test_one_picture_is_a_clip_too():
    assert clip("a red pot", CLIP[:1])[1] == "clip 1: one picture, 48 x 32: a red pot"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "there are no clips: connect images or video, one of these"),
        ({"images": CLIP, "video": True}, "images and video are given: connect images or video, one of these"),
        ({"images": CLIP, "prompt": " \n"}, "the clip has no sentence"),
    ],
)
def test_a_clip_that_is_none_is_one_sentence(given, sentence):
    if given.get("video"):
        given = {**given, "video": InputImpl.VideoFromComponents(Types.VideoComponents(images=CLIP, frame_rate=8))}
    with pytest.raises(IVGError, match=f"^IVG Motion Clip: {sentence}") as error:
        clip(**given)
    assert "\n" not in str(error.value) and "folder" not in str(error.value)


# -- the settings of a training -----------------------------------------------


@pytest.mark.parametrize(
    ("learn", "clips", "preset"),
    [
        (MOTION, 1, "motion-one-video"),
        (MOTION, 3, "motion-videos"),
        (LOOKS, 1, "looks-one-image"),
        (LOOKS, 3, "looks-images"),
    ],
)
def test_the_settings_are_those_of_the_preset_and_of_the_node(learn, clips, preset):
    config = motion_config(pathlib.Path("runs/stir"), learn, clips, 40, 5, 2e-4, 0.5, 7)
    known = read_config(preset, {})
    assert (config.name, config.steps, config.learning_rate, config.seed) == ("stir", 40, 2e-4, 7)
    assert {role: lora.rank for role, lora in config.lora.items()} == dict.fromkeys(known.lora, 5)
    assert {role: lora.dropout for role, lora in config.lora.items()} == {
        role: lora.dropout for role, lora in known.lora.items()
    }
    assert config.weight_decay == known.weight_decay and config.schedule == known.schedule
    assert [(path.name, path.learns, path.sounds, path.frames, path.chance, path.flip) for path in config.paths] == [
        (path.name, path.learns, path.sounds, path.frames, path.chance, path.flip) for path in known.paths
    ]


@pytest.mark.parametrize("learn", [MOTION, LOOKS])
@pytest.mark.parametrize("debias", [0.0, 0.5])
def test_debias_is_the_weight_of_that_loss_where_the_preset_has_it_and_0_leaves_it_out(learn, debias):
    config = motion_config(pathlib.Path("runs/stir"), learn, 1, 40, 5, 2e-4, debias, 7)
    terms = [make_losses(path.losses, config.stage) for path in config.paths]
    weights = [[(name, term.weight) for name, term in losses.items()] for losses in terms]
    motion = [("noise", 1.0), *([("debiased", debias)] if debias else [])]
    assert weights == ([[("noise", 1.0)], motion] if learn == MOTION else [[("noise", 1.0)]])


# -- a training ---------------------------------------------------------------


def test_it_learns_a_motion_apart_from_looks_and_gives_everything(model, fresh):
    before = video_of(model)
    changed, path, curve, validation, report = trained(model, two_clips()).args
    assert pathlib.Path(path) == fresh / "loras" / "ivg" / "stir.safetensors"
    assert learned_of(fresh / "output" / "ivg_training" / "stir") == {
        "stir.safetensors": "temporal",
        "stir-clip-1.safetensors": "spatial",
        "stir-clip-2.safetensors": "spatial",
    }
    assert curve.shape[0] == 1 and curve.shape[-1] == 3 and validation.shape[0] == 3
    assert "2 clips; 0 rejected" in report and path in report
    assert [(done, total) for done, total, _ in comfy.utils.ProgressBar.log[-2:]] == [(1, 2), (2, 2)]
    by_path = IVGLoadLoRA.execute(model, "none", 1.0, path)[0]
    assert torch.equal(video_of(by_path), video_of(changed)) and not torch.equal(video_of(changed), before)
    assert torch.equal(video_of(model), before)


def test_a_mask_that_is_connected_is_the_clips(model):
    clips, _ = clip("stir", CLIP, mask=torch.zeros(1, 32, 48))
    with pytest.raises(IVGError, match="empty"):
        trained(model, clips)


def test_one_picture_teaches_looks_and_no_motion(model, fresh):
    moving, _ = clip("stir", CLIP)
    clips, _ = clip("a red pot", CLIP[:1], clips=moving)
    with pytest.raises(IVGError, match=r"^clip 2 is one picture, in which nothing moves: give a clip, or learn what"):
        trained(model, clips)
    still, _ = clip("a red pot", CLIP[:1])
    trained(model, still, learn=LOOKS, save_name="pot")
    assert learned_of(fresh / "output" / "ivg_training" / "pot") == {"pot.safetensors": "spatial"}


def test_cancel_keeps_what_was_learned_and_resume_goes_on_from_there(model, fresh, monkeypatch):
    clips, _ = clip("stir", CLIP)
    whole = trained(model, clips, save_name="whole", steps=4).args
    original = comfy.utils.ProgressBar.update_absolute

    def cancel_at_two(self, value, total=None, preview=None):
        original(self, value, total, preview)
        if (value, total) == (2, 4):
            mm.interrupt_current_processing()

    shown = PromptServer()
    with monkeypatch.context() as patched:
        patched.setattr(comfy.utils.ProgressBar, "update_absolute", cancel_at_two)
        patched.setattr(PromptServer, "instance", shown)
        with CurrentNodeContext("prompt", "7"), pytest.raises(mm.InterruptProcessingException):
            trained(model, clips, steps=4)
    ((_, note),) = shown.shown
    assert "Cancelled after step 2: choose ivg/stir.safetensors in IVG Load LoRA" in note
    kept = read_lora(fresh / "loras" / "ivg" / "stir.safetensors", model.model.unet)
    assert kept.metadata["ivg_steps"] == "2"
    comfy.utils.ProgressBar.log.clear()
    done = trained(model, clips, steps=4).args
    assert [value for value, total, _ in comfy.utils.ProgressBar.log if total == 4] == [3, 4]
    one, other = (layers_of(output[1], model) for output in (whole, done))
    assert all(torch.equal(a, b) for name in one for a, b in zip(one[name], other[name], strict=True))


def test_a_name_that_is_taken_is_said(model):
    clips, _ = clip("stir", CLIP)
    trained(model, clips, steps=1)
    with pytest.raises(IVGError, match="already: switch resume on"):
        trained(model, clips, steps=1, resume=False)
