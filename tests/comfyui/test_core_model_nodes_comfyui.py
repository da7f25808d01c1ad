"""What core's nodes do to an IVG checkpoint as core's MODEL, in a real ComfyUI: each as the help says.

The help page of IVG Model Parts is written by hand after the list in `core_model_table`.
"""

import pytest
from core_model_table import CHANGES, NODES, SAME
from make_workflows import ROOT

from comfy_harness import installed_comfyui, told_by

pytestmark = pytest.mark.skipif(installed_comfyui() is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")
NEWER = {
    "CFGOverride", "ConditioningMultiply", "DualModelGuider", "LoraLoaderBypass", "LoraLoaderBypassModelOnly",
    "ModelAttentionBackend", "ModelNoiseScale", "MultiGPU_WorkUnits", "NAGuidance", "ScaleROPE", "SelectModelDevice",
    "TemporalScoreRescaling", "wanBlockSwap",
}  # fmt: skip


@pytest.fixture(scope="module")
def core():
    """What core_model_nodes.py found."""
    return told_by(ROOT / "tests" / "comfyui" / "core_model_nodes.py")


@pytest.mark.parametrize("name", NODES)
def test_a_node_does_what_the_list_says(core, name):
    found, wanted = core["nodes"][name], NODES[name].does
    if found["does"] == "absent" and name in NEWER:
        pytest.skip(f"this ComfyUI has no {name}")
    if wanted in (CHANGES, SAME):
        assert found["does"] == wanted, found
    else:
        assert found["does"] == "stops" and wanted in found["says"], found


def test_no_node_leaves_a_trace_in_the_model(core):
    assert core["after"] == 0


@pytest.mark.parametrize("kind", ["samplers", "schedulers"])
def test_every_sampler_and_scheduler_of_core_runs(core, kind):
    assert len(core[kind]) > 5 and set(core[kind].values()) == {""}


def test_every_node_of_the_help_is_in_the_list():
    page = (ROOT / "web" / "docs" / "IVGModelParts" / "en.md").read_text()
    table = page.split("**What of ComfyUI works**")[1].split("\n\n")[1]
    named = {name.strip("* ") for line in table.splitlines() for name in line.split("|")[1].split(",") if "*" in name}
    elsewhere = {"CLIPSetLastLayer", "Context Windows (Manual)"}  # in test_model_parts_comfyui, and by its id
    assert {name for name in named if " " not in name} - set(NODES) - elsewhere == set()
