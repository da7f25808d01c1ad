"""Stable Diffusion made a video model, in a real ComfyUI: its networks and samplers, against the library."""

import pytest
from make_workflows import ROOT

from comfy_harness import installed_comfyui, told_by

pytestmark = pytest.mark.skipif(installed_comfyui() is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")
SAME = 2e-5  # of the largest value, after a few steps in another order of the same sums


@pytest.fixture(scope="module")
def core():
    """What inflated_in_core.py found."""
    return told_by(ROOT / "tests" / "comfyui" / "inflated_in_core.py")


@pytest.mark.parametrize(
    "what",
    ["sampled", "windows", "lora", "control", "control_windows", "inpainting", "inpainting_windows", "depth_windows"],
)
def test_core_and_library_make_the_same_of_the_same_weights(core, what):
    assert core[what] < SAME


def test_frames_see_each_other_and_one_by_itself_is_the_image_models(core):
    assert core["differs"] > 0.01 and core["one_frame"] == 0


def test_the_same_network_without_the_node_is_as_before(core):
    assert core["after"] == 0


def test_each_frame_is_told_its_sentence_in_whatever_window(core):
    assert core["encoded_centre"] == 0 and core["encoded_blend"] < SAME
    assert core["scheduled"] > 0.001


def test_what_is_not_masked_stays_to_the_bit(core):
    assert core["outside"] == 0


def test_before_or_behind_a_lora_and_twice_are_the_same(core):
    assert core["lora_orders"] == 0 and core["twice"] == 0


def test_a_control_net_is_inflated_only_where_it_went_through_the_node(core):
    assert core["control_plain"] > 0.01 and core["control_again"] == 0


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("another_model", "this model (WAN21) is no Stable Diffusion"),
        ("another_width", "(320, 1024) and the model's (320, 768)"),
        ("hints", "control video has 3 frames and the video 5"),
        ("masks", "mask has 2 frames and the video 5"),
        ("no_mask", "The mask is empty"),
        ("noise_mask", "noise mask has 2 frames and the video 5"),
        ("dim", "set dim to 0"),
        ("behind", "A node behind IVG Inflate Model has replaced"),
        ("before", "Another node has replaced"),
        ("late", "begins at frame 9, and the video has 5 frames"),
        ("reference", "choose centre or blend"),
        ("no_depth", "put IVG Depth Conditioning in front of the sampler"),
        ("depth_unread", "reads no depth map"),
        ("depths", "There are 2 depth maps for the 5 frames"),
    ],
)
def test_what_does_not_fit_is_named(core, what, said):
    if what == "noise_mask" and core["repeats_masks"]:
        pytest.skip("this ComfyUI makes a noise mask as long as the video before any node sees it")
    assert said in core["refused"][what]
