"""An IVG model as ComfyUI's own VAE and CLIP, and what core's samplers are told, in a real ComfyUI."""

import pytest
from make_workflows import ROOT

from comfy_harness import installed_comfyui, told_by

pytestmark = pytest.mark.skipif(installed_comfyui() is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")


@pytest.fixture(scope="module")
def core():
    """What model_parts_in_core.py found."""
    return told_by(ROOT / "tests" / "comfyui" / "model_parts_in_core.py")


def test_a_sentence_is_encoded_to_the_bit_as_the_library_does(core):
    assert core["clip"]["apart"] == [0, 0, 0]
    assert core["clip"]["copy"] == core["clip"]["long"] == core["clip"]["last_layer"] == 0


def test_what_the_text_encoder_cannot_do_is_said(core):
    assert "leave CLIP Set Last Layer out" in core["clip"]["layer"] and "half a character" in core["clip"]["half"]


def test_core_encodes_and_decodes_frame_by_frame(core):
    vae = core["vae"]
    assert vae["encode"] <= 1e-5 and vae["encode_tiled"] <= 1e-5
    assert vae["encode_clip"] == [1, 4, 3, 16, 24]
    assert vae["decode"] <= 1e-4 and vae["decode_tiled"] <= 1e-4


def test_small_tiles_lie_where_they_belong(core):
    """A tile sees nothing of its neighbours, so that it is like the whole, but not the same."""
    vae = core["vae"]
    assert vae["decode_small_tiles"][0] == [10, 128, 192, 3] and vae["decode_small_tiles"][1] > 0.7
    assert vae["encode_small_tiles"][0] == [1, 4, 3, 16, 24] and vae["encode_small_tiles"][1] > 0.7


def test_what_is_no_video_is_not_decoded(core):
    assert "reads latents of a video" in core["vae"]["picture"] and "hold NaN" in core["vae"]["overflow"]


def test_networks_and_patchers_are_shared(core):
    assert core["shared"] == {"networks": True, "held": True, "weights": True, "loaded": 4}


def test_the_steps_are_the_solvers_own(core):
    assert core["steps"] == {"dpm++2m": [0, 17], "ddim": [0, 17], "lcm": [0, 17]}


def test_a_sampling_is_that_of_the_library(core):
    off, size = core["told"]["of_generate"]
    assert off <= 1e-4 * size
    assert core["told"]["of_few_steps"] <= 0.05 * size, "there core's solver goes on to no noise at all"


def test_the_first_frame_is_held(core):
    shape, off = core["told"]["held"]
    assert shape == [1, 1, 8, 1, 1] and off <= 1e-5


def test_two_photos_are_two_clips(core):
    shape, off, other = core["told"]["two"]
    assert shape == [2, 4, 8, 16, 24]
    assert off <= 1e-3 and other > 0.5, "the second photo is told to the second clip"


def test_stage_1_makes_its_mask_video(core):
    off, size = core["stage1"]
    assert off <= 1e-4 * size
