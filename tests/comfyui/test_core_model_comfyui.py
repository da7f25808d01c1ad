"""An IVG checkpoint as ComfyUI's own MODEL, in a real ComfyUI: the library's loop is what it is measured by."""

import pytest
from make_workflows import ROOT

from comfy_harness import installed_comfyui, told_by

pytestmark = pytest.mark.skipif(installed_comfyui() is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")
ROUNDING = 2e-4  # as a share of the latents


@pytest.fixture(scope="module")
def core():
    """What core_model_in_core.py found."""
    return told_by(ROOT / "tests" / "comfyui" / "core_model_in_core.py")


@pytest.mark.parametrize(
    ("which", "kind", "timestep"),
    [("embedded", "v_prediction", 999), ("tiny", "epsilon", 901), ("tiny_v", "v_prediction", 901)],
)
def test_a_call_through_core_is_the_librarys(core, which, kind, timestep):
    found = core["one_call"][which]
    assert found["kind"] == kind and found["calls"] == 1 and found["plain"]
    assert found["timestep"] == timestep
    assert set(found["told"]) == {"timestep", "text", "photo", "mask", "motion"}
    assert not any(found["told"].values())
    assert found["answer"] == 0
    assert found["latents"] < ROUNDING and found["guided"] < ROUNDING


@pytest.mark.parametrize("run", ["dpmpp_2m", "euler", "leading", "from_pure_noise", "stage_1"])
def test_a_sampling_by_core_is_generates(core, run):
    found = core["runs"][run]
    assert found["rms"] < ROUNDING  # the acceptance asks for 1e-3
    assert found["frames"] > 80  # and for 50 dB


@pytest.mark.parametrize("run", ["few_steps", "euler_uneven"])
def test_where_cores_solver_takes_another_last_step_the_frames_are_alike(core, run):
    assert core["runs"][run]["frames"] > 50


def test_steps_begin_where_the_schedule_says(core):
    begins = {run: found["begins"] / found["sigma_max"] for run, found in core["runs"].items()}
    assert 0.9999 < begins["dpmpp_2m"] < 1 and 0.9999 < begins["from_pure_noise"] < 1
    assert begins["leading"] < 0.8
    assert core["runs"]["from_pure_noise"]["sigma_max"] > 4000 > 100 > core["runs"]["dpmpp_2m"]["sigma_max"]


def test_generate_is_the_same_to_the_byte_before_and_after_and_nothing_is_held_twice(core):
    found = core["shared"]
    assert found["bytes"] == [True, True] and found["network"]
    assert found["grown"] < 0.05


def test_two_photos_in_one_latent_are_told_apart(core):
    assert core["clips"]["off"] < ROUNDING < 0.1 < core["clips"]["differ"]


def test_each_context_window_is_told_photo_mask_motion_and_text_whole(core):
    found = core["windows"]
    assert found["starts"] == [0, 4, 8, 12, 16] and found["calls"] == 10
    assert found["frames"] == [8] and found["shape"] == [1, 4, 24, 8, 12]
    assert found["told"] == {"text": 0, "photo": 0, "mask": 0, "motion": 0}
    assert found["one_window"] == 0 and found["one_window_long"] == 0


def test_a_lora_by_cores_loader_is_ours_and_off_again(core):
    found = core["lora"]
    assert found["layers"] == found["loaded"] == 231 and found["lines"] == []
    assert found["off"] <= 1e-5 < 1e-3 < found["moved"]
    assert found["library_moved"] > 1e-3
    assert found["without_again"] == 0


def test_a_lora_brings_its_schedule(core):
    plain, zero = core["lora"]["sigma_max"]
    assert plain < 100 and zero > 4000


def test_with_little_memory_layers_and_loras_come_one_by_one_and_nothing_changes(core):
    found = core["lora"]
    assert found["partly"] < 0.6
    assert found["cast"] >= 400 and found["on_the_fly"] >= 229  # 0.3.64 keeps a few layers there
    assert found["partly_off"] == 0 and found["library_partly_off"] == 0


def test_a_training_there_asks_for_all_weights_and_learns(core):
    assert core["lora"]["asked_whole"] == [False, True] and core["lora"]["trained"]
    assert core["lora"]["after"] == 0


def test_cancel_ends_at_the_step_and_the_next_run_is_the_same(core):
    assert core["cancel"] == {"ended": "cancelled", "steps": 5, "again": 0}


@pytest.mark.parametrize("cache", ["EasyCacheNode", "LazyCacheNode"])
def test_cores_caches_leave_steps_out(core, cache):
    found = core["caches"][cache]
    assert 3 < found["calls"] < 20 and found["finite"]


def test_a_network_is_where_core_computes_and_a_copy_where_it_is_itself(core):
    assert core["devices"] == {"network": "meta", "copy": "cpu", "copy_moved": "meta"}
