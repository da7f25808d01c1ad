"""Videos of other models in core's context windows, with our region of motion, in a real ComfyUI."""

import pytest
from make_workflows import ROOT
from test_rom_for_any_model import FOUND, NOTHING, holds

from comfy_harness import told_by

pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")


@pytest.fixture(scope="module")
def core():
    """What long_in_core.py found."""
    return told_by(ROOT / "tests" / "comfyui" / "long_in_core.py")


DIFFER = ("Sizes of tensors must match", "must match the size")  # what core says where it does not cut something


def holds_in_every_window(outcome: dict) -> bool:
    """Outside nothing changes, and inside every latent frame but the first does."""
    return holds(outcome) and outcome["stillest"] > 0.1


def skip_if_refused(core, *names: str) -> None:
    """An older core does not cut with the windows what models are told beside the latents, and stops."""
    if not core["cuts"]:
        for name in names:
            refused = isinstance(core[name], str) and any(reason in core[name] for reason in DIFFER)
            assert refused, f"{name}: core can do it now, and the help of IVG Apply RoM may be shortened"
        pytest.skip("this ComfyUI does not cut start images and noise masks with the windows")


def test_the_video_is_longer_than_what_the_network_sees(core):
    before_it = 1 if core["cuts"] else 0  # a newer core adds the frame before a window, and leaves it out again
    assert core["frames"] == 9 and core["longest"] == 3 + before_it


def test_a_region_that_moves_stays_where_it_is_in_every_window(core):
    assert holds_in_every_window(core["text_to_video"]) and holds_in_every_window(core["held"])


def test_windows_may_come_before_or_behind_the_region(core):
    assert core["orders_differ"] == 0


def test_the_photo_is_told_to_every_window(core):
    skip_if_refused(core, "image_to_video", "image_to_video_held")
    assert holds_in_every_window(core["image_to_video"]) and holds_in_every_window(core["image_to_video_held"])
    assert core["photo_told"] == [0, 1]


def test_ltx(core):
    assert holds_in_every_window(core["ltx_held"]), "inside the model it needs no noise mask"
    skip_if_refused(core, "ltx")
    assert holds_in_every_window(core["ltx"])
    assert core["ltx_misplaced"] < NOTHING, "each token's timestep is its own mask's"


def test_vace_and_wan_5b(core):
    skip_if_refused(core, "vace", "wan_5b")
    assert core["vace"] == [1, 16, 9, 8, 8] and holds_in_every_window(core["wan_5b"])
