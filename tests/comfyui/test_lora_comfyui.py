"""The library's LoRA files in core's own loader, in a real ComfyUI: every layer, as strong as `merge_lora` has it."""

import pytest
from make_workflows import ROOT

from comfy_harness import installed_comfyui, told_by

pytestmark = pytest.mark.skipif(installed_comfyui() is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")
#: LoRA -> its layers in the embedded model
LAYERS = {
    "stage 1": 231, "stage 2": 231, "spatial": 42, "text": 28, "temporal": 80, "conv": 81, "stable_lora": 1,
    "embedded-back": 230,
}  # fmt: skip


@pytest.fixture(scope="module")
def core():
    """What lora_in_core.py found."""
    return told_by(ROOT / "tests" / "comfyui" / "lora_in_core.py")


@pytest.mark.parametrize("which", LAYERS)
def test_core_loads_every_layer_as_merge_lora_adds_it(core, which):
    found = core[which]
    assert found["layers"] == found["patched"] == found["moved"] == LAYERS[which]
    assert found["lines"] == []
    assert found["off"] <= 1e-5 < 1e-3 < found["change"]


@pytest.mark.parametrize("family", ["wan", "ltxv", "hunyuan"])
def test_a_file_for_another_of_cores_models_changes_nothing_and_core_says_so(core, family):
    assert core[family]["patched"] == 0
    assert core[family]["lines"] and all("lora key not loaded" in line for line in core[family]["lines"])
