"""What a link can bring to a node that no widget could hold: one sentence, whatever it is."""

import math

import pytest
import torch

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.nodes.enrich import IVGEnrichAction
from ivg_pack.nodes.evaluate import IVGEvaluate
from ivg_pack.nodes.hands import IVGHandScore
from ivg_pack.nodes.masks import RefineMask
from ivg_pack.nodes.rom import IVGFallbackRoM, PredictRoMMask

MASK = torch.zeros(1, 16, 16)
WIDGETS = {
    "threshold": 0.5, "min_area": 0, "close": 0, "fill_holes": False, "shape": "as it is", "grow": 0,
    "combine": "union", "feather": 0.0, "smooth": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("widget", "value", "says"),
    [
        ("threshold", math.nan, "threshold is nan: give a number from 0.0 to 1.0"),
        ("threshold", "0.5", "threshold is '0.5', where a number belongs"),
        ("threshold", 1.01, "from 0.0 to 1.0"),
        ("grow", -513, "grow is -513: give a number from -512 to 512"),
        ("grow", 10**400, "from -512 to 512"),
        ("grow", 1.5, "where a whole number belongs"),
        ("grow", torch.zeros(3), "grow is a Tensor"),
        ("shape", "blob", "shape is 'blob': choose as it is, convex hull"),
        ("shape", ["as it is"], "shape is a list"),
        ("fill_holes", "no", "true or false"),
        ("combine", "x" * 10**6, "…"),
    ],
)
def test_values_that_no_widget_holds(widget, value, says):
    with pytest.raises(IVGError, match=r"^.{1,400}$") as error:
        RefineMask.execute(MASK, **{**WIDGETS, widget: value})
    assert says in str(error.value)


@pytest.mark.parametrize("value", [0, 1, True, 0.25])
def test_values_that_a_widget_holds(value):
    RefineMask.execute(MASK, **{**WIDGETS, "threshold": value})


def test_half_a_character():
    with pytest.raises(IVGError, match="action holds half a character"):
        IVGEnrichAction.execute("stir \udcff the pan", "template", "none", "", "", 5.0, "", "")


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"people": []},
        {"canvas_width": 0, "canvas_height": 8, "people": []},
        {"canvas_width": [1], "canvas_height": 8, "people": []},
        {"canvas_width": 8, "canvas_height": 8, "people": [[1, 2, 3]]},
        {"canvas_width": 8, "canvas_height": 8, "people": [{"hand_left_keypoints_2d": ["x"] * 63}]},
        {"canvas_width": 8, "canvas_height": 8, "people": [{"hand_left_keypoints_2d": [1.0] * 62}]},
        {"canvas_width": 8, "canvas_height": 8, "people": [{"hand_left_keypoints_2d": [math.nan] * 63}]},
        "text",
        5,
    ],
)
def test_keypoints_that_are_none(frame):
    with pytest.raises(IVGError, match="no keypoints as OpenPose nodes give them"):
        IVGFallbackRoM.execute(torch.rand(1, 16, 16, 3), "hands", 6, keypoints=[frame])


def test_single_channels_are_measured_as_they_are():
    grey = torch.rand(2, 32, 48, 1)
    same = IVGEvaluate.execute(grey.expand(-1, -1, -1, 3), truth=grey)
    assert same[5] > 100 or math.isinf(same[5])
    assert "no hand" in IVGHandScore.execute(grey, 0.5, 0.5)[1]


@pytest.mark.parametrize("value", ["nan", "../../../etc/hostname", 1e308, False, {}, [1], None])
def test_sockets_that_are_given_a_plain_value(value):
    with pytest.raises(IVGError, match=r"^mask is .* where a mask belongs"):
        RefineMask.execute(value, **WIDGETS)
    with pytest.raises(IVGError, match=r"^model is .* where what comes from another node"):
        PredictRoMMask.execute(value, torch.rand(1, 16, 16, 3), "stir", 0, 2, 2.0, 0.5, 0, 2, 0)


def test_a_file_that_is_no_name():
    from ivg_pack.nodes.loras import IVGLoadLoRA

    with pytest.raises(IVGError, match="lora_name is False: choose"):
        IVGLoadLoRA.execute(object(), False, 1.0)
