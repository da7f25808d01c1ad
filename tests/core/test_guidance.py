"""Guidance: one pass where one is enough, and the formula where two predictions are needed."""

import pytest
import torch

from ivg_core.errors import IVGError
from ivg_core.sampling.guidance import Condition, GuidedNoise


class Recorder:
    """Stands in for the UNet: answers with the mean of the text, and remembers the batch sizes it was given."""

    def __init__(self):
        self.batches = []

    def __call__(self, sample, timestep, encoder_hidden_states, condition_latent, mask, motion):
        self.batches.append(len(sample))
        for told in (encoder_hidden_states, condition_latent, mask, motion):
            assert told is None or len(told) == len(sample)
        assert sample.dtype == condition_latent.dtype
        return encoder_hidden_states.mean(dim=(1, 2))[:, None, None, None, None].expand(sample.shape)


def condition(batch=2, dtype=torch.float32, negative=True):
    text = torch.arange(1.0, batch + 1)[:, None, None].expand(batch, 77, 8).to(dtype)
    return Condition(
        text, -text if negative else None, torch.rand(batch, 4, 1, 2, 2).to(dtype),
        torch.ones(batch, 1, 1, 2, 2).to(dtype), torch.full((batch,), 5.0),
    )  # fmt: skip


def predict(scale, interval=(0.0, 1.0), progress=0.0, **kwargs):
    unet = Recorder()
    out = GuidedNoise(unet, condition(**kwargs), scale, interval)(torch.rand(2, 4, 3, 2, 2), torch.tensor(5), progress)
    assert out.shape == (2, 4, 3, 2, 2) and out.dtype == torch.float32
    return unet.batches, out[:, 0, 0, 0, 0].tolist()


def test_both_predictions_come_from_one_pass():
    batches, values = predict(3.0)
    assert batches == [4]
    assert values == [5.0, 10.0]  # -1 + 3 * 2 and -2 + 3 * 4


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.0])
def test_without_guidance_nothing_is_computed_twice(scale):
    assert predict(scale) == ([2], [1.0, 2.0])
    assert predict(scale, negative=False) == ([2], [1.0, 2.0])


@pytest.mark.parametrize(("progress", "guided"), [(0.0, False), (0.2, True), (0.5, True), (0.6, False)])
def test_steps_outside_the_interval_are_not_guided(progress, guided):
    batches, _ = predict(3.0, interval=(0.2, 0.6), progress=progress)
    assert batches == ([4] if guided else [2])


def test_half_precision_networks_are_guided_in_single_precision():
    _, values = predict(9.0, dtype=torch.bfloat16)
    assert values == [17.0, 34.0]


@pytest.mark.parametrize("interval", [(0.5, 0.2), (-0.1, 1), (0, 1.5), (float("nan"), 1)])
def test_impossible_intervals_are_said(interval):
    with pytest.raises(IVGError, match="guidance interval"):
        GuidedNoise(Recorder(), condition(), 9.0, interval)
