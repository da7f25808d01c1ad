"""Core's video models as training backbones, in a real ComfyUI: its networks, loaders, samplers and autoencoders."""

import pytest
from make_workflows import ROOT

from comfy_harness import installed_comfyui, told_by

pytestmark = pytest.mark.skipif(installed_comfyui() is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")
#: Where a LoRA stands in two blocks: ten layers a block, and two more that Wan 2.1 has for what CLIP sees.
SITES = {"wan22-5b": 20, "wan21-i2v": 24, "wan22-i2v": 20, "ltxv": 20, "hunyuan": 20}
each_family = pytest.mark.parametrize("family", SITES)


@pytest.fixture(scope="module")
def core():
    """What core_backbone_in_core.py found."""
    return told_by(ROOT / "tests" / "comfyui" / "core_backbone_in_core.py")


@each_family
def test_training_asks_what_cores_sampler_asks(core, family):
    parity = core["families"][family]["parity"]
    assert parity["tensors"] >= 3 and parity["inputs"] <= 1e-6 and parity["x0"] <= 5e-6


@each_family
@pytest.mark.parametrize("which", ["slope", "slope_one_role"])
def test_the_gradient_is_the_slope(core, family, which):
    """Recomputed, without weights, with dropout; and with roles that are silent in the forward pass only."""
    slope = core["families"][family][which]
    assert slope["sites"] == SITES[family]
    assert slope["said"] == pytest.approx(slope["measured"], rel=0.005) and slope["said"] > 0.01
    assert (slope["unmoved"] == 0) == (which == "slope")


@each_family
def test_the_file_loaded_by_core_is_what_was_trained(core, family):
    file = core["families"][family]["file"]
    assert file["loaded"] == SITES[family] and file["on_top"]
    assert file["off"] <= 1e-5 and file["changed"] > 0.1


@each_family
def test_the_base_is_what_it_was(core, family):
    assert core["families"][family]["file"]["base_after"]


def test_a_region_is_told_as_our_nodes_tell_it(core):
    told = core["told_mask"]
    assert told["cells"] > 0 and told["ltxv"]["inputs"] <= 1e-6 and told["ltxv"]["x0"] <= 5e-6
    assert max(told["wan"]) <= 1e-5


def test_clips_of_different_noise_are_one_batch(core):
    assert core["batch"] <= 1e-5


@pytest.mark.parametrize("family", ["wan22-5b", "wan22-i2v", "ltxv"])
def test_frames_are_decoded_as_the_whole_is(core, family):
    decode = core["decode"][family]
    assert decode["core"] <= 1e-6, "and the whole as core decodes it"
    assert decode["off"] == 0 and decode["chosen"] == 0
    assert all(decode["learned"]) and decode["learns_after"]


@pytest.mark.parametrize("family", ["wan22-5b", "wan22-i2v"])
def test_only_what_is_behind_a_frame_learns_and_is_kept(core, family):
    decode = core["decode"][family]
    assert decode["leaks"] == 0
    of_two = decode["kept"][2] > 1.5 * decode["kept"][1]  # newer ones decode two latent frames at once
    alike = (decode["kept"][1::2], decode["kept"][2::2]) if of_two else (decode["kept"][1:],)
    assert all(max(kept) < 1.02 * min(kept) for kept in alike)


def test_float8_weights_train_and_are_not_kept(core):
    float8 = core["float8"]
    assert float8["dtype"] == "torch.float8_e4m3fn"
    assert max(float8["off"].values()) < 0.05
    assert float8["slope"]["said"] == pytest.approx(float8["slope"]["measured"], rel=0.005)
    assert float8["weightless"] < 0.5 * float8["plain"] and float8["both"] < 0.5 * float8["weightless"]
    assert float8["losses"] == sorted(float8["losses"], reverse=True)


@pytest.mark.parametrize("family", ["wan22-5b", "wan22-i2v"])
def test_memory_is_estimated_on_the_safe_side(core, family):
    memory = core["memory"][family]
    assert 1 <= memory["ratio"] < 1.5 and memory["learned"] == pytest.approx(1)


@pytest.mark.parametrize("family", ["wan22-5b", "wan21-i2v", "hunyuan"])
def test_a_model_samples_to_the_bit_as_before_a_training(core, family):
    """Cancelled, failed, finished, unloaded; of `wan21-i2v` with a LoRA of its own on it."""
    life = core["life"][family]
    assert life["stopped_by"] == ["InterruptProcessingException", "MemoryError"]
    assert life["same"] == [True] * 4
    assert life["in_training"] and life["ordinary"] and life["moved"] > 0.001
    assert not any(life["left"].values()), life["left"]


def test_noise_levels(core):
    schedule = core["schedule"]
    assert schedule["target"] <= 1e-5 and schedule["x0"] <= 1e-5 and schedule["noise"] <= 1e-5
    assert schedule["signal"] <= 1e-6
    # Shifted by 8, half of the steps lie above 0.89; logit-normal, 1.4 % above 0.9 and half below 0.5.
    assert schedule["half"] == pytest.approx(0.889, abs=0.002)
    assert schedule["above_0.9"] == pytest.approx(0.5 * (1 - 0.5294) + 0.5 * 0.014, abs=0.02)
    assert schedule["below_0.5"] == pytest.approx(0.5 * 0.1111 + 0.5 * 0.5, abs=0.02)
    assert schedule["ends"][0] > 0 and schedule["ends"][1] <= 1 and schedule["start"] > 0.98
    assert schedule["expert"][1] <= 0.875
    assert schedule["half_shifted"] == pytest.approx(0.5, abs=0.002)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("text_to_video", "This model is Wan with 16 channels of input, which cannot be used here"),
        ("vace", "This model is WAN21_Vace"),
        ("ltx_2", "This model is LTXAV"),
        ("windows", "has put context windows on this model"),
        ("compile", "has put torch.compile on this model"),
        ("held", "has put another guidance on this model"),
        ("vae", "makes latents of 48 channels, and the model reads 16"),
        ("control", "holds a ControlNet"),
        ("parts", "has 2 parts"),
        ("frames", "has 8 frames, and the model's latents hold 5 or 9"),
        ("size", "56 x 64 cannot be made"),
        ("mask", "Wan 2.2 TI2V-5B cannot be told where in a frame"),
        ("role", "no layers of the role temporal"),
        ("device", "ComfyUI computes on cpu"),
        ("noise", "no distribution"),
    ],
)
def test_what_cannot_be_trained_is_named(core, what, said):
    if what == "ltx_2" and what not in core["refused"]:
        pytest.skip("this ComfyUI is older than LTX-2")
    assert said in core["refused"][what]


def test_noise_levels_that_a_model_has_not_are_named(core):
    assert "no noise level from 0.5 to 0.4" in core["schedule"]["empty"]
