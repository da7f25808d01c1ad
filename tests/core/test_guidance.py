"""Guidance: one pass where one is enough, and the formula where two predictions are needed."""

import dataclasses

import pytest
import torch

from ivg_core.errors import IVGError
from ivg_core.models.told import Told
from ivg_core.sampling.guidance import Guided
from ivg_core.sampling.settings import Sampling


class Recorder:
    """Stands in for the backbone: answers with the mean of the text, and remembers the batch sizes it was given."""

    def __init__(self):
        self.batches = []

    def __call__(self, noisy, level, told, features=None):
        self.batches.append(len(noisy))
        for part in (told.text, told.photo, told.mask, told.motion):
            assert part is None or len(part) == len(noisy)
        assert noisy.dtype == told.photo.dtype
        return told.text.mean(dim=(1, 2))[:, None, None, None, None].expand(noisy.shape)


def rungs(scale, batch=2, dtype=torch.float32):
    text = torch.arange(1.0, batch + 1)[:, None, None].expand(batch, 77, 8)
    rest = torch.rand(batch, 4, 1, 2, 2), torch.ones(batch, 1, 1, 2, 2), torch.full((batch,), 5.0)
    ladder = [(1.0, Told(-text, *rest)), (scale, Told(text, *rest))]
    return [(scale, told.to(dtype=dtype)) for scale, told in (ladder if scale > 1 else ladder[1:])]


def predict(scale, interval=(0.0, 1.0), progress=0.0, **kwargs):
    backbone = Recorder()
    out = Guided(backbone, rungs(scale, **kwargs), interval)(torch.rand(2, 4, 3, 2, 2), torch.tensor(5), progress)
    assert out.shape == (2, 4, 3, 2, 2) and out.dtype == torch.float32
    return backbone.batches, out[:, 0, 0, 0, 0].tolist()


def test_both_predictions_come_from_one_pass():
    batches, values = predict(3.0)
    assert batches == [4]
    assert values == [5.0, 10.0]  # -1 + 3 * 2 and -2 + 3 * 4


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.0])
def test_without_guidance_nothing_is_computed_twice(scale):
    assert predict(scale) == ([2], [1.0, 2.0])


@pytest.mark.parametrize(("progress", "guided"), [(0.0, False), (0.2, True), (0.5, True), (0.6, False)])
def test_steps_outside_the_interval_are_not_guided(progress, guided):
    batches, _ = predict(3.0, interval=(0.2, 0.6), progress=progress)
    assert batches == ([4] if guided else [2])


def test_half_precision_networks_are_guided_in_single_precision():
    _, values = predict(9.0, dtype=torch.bfloat16)
    assert values == [17.0, 34.0]


def test_each_rung_adds_what_it_moves():
    """The correct form of guidance by two conditions: nothing, then boxes, then the sentence too."""
    nothing, boxes, both = (rungs(1.0)[0][1] for _ in range(3))
    boxes, both = (dataclasses.replace(told, text=told.text + k) for told, k in ((boxes, 10), (both, 110)))
    guided = Guided(Recorder(), [(1.0, nothing), (2.0, boxes), (3.0, both)])
    out = guided(torch.rand(2, 4, 3, 2, 2), torch.tensor(5), 0.0)
    assert out[:, 0, 0, 0, 0].tolist() == [321.0, 322.0]  # 1 + 2 * 10 + 3 * 100


@pytest.mark.parametrize("interval", [(0.5, 0.2), (-0.1, 1), (0, 1.5), (float("nan"), 1)])
def test_impossible_intervals_are_said(interval):
    with pytest.raises(IVGError, match="guidance interval"):
        Sampling(guidance_interval=interval)
