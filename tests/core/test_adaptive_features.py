"""Deep features that are computed anew where the run has come too far: when, and what is taken for them in between."""

from dataclasses import replace

import pytest
import torch
from sampled import sample

from ivg_core.errors import IVGError
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.deep_features import GOES_ON, AdaptiveFeatures

PHOTO = torch.rand(64, 96, 3, generator=torch.Generator().manual_seed(1))
LITTLE = {"num_frames": 2, "num_inference_steps": 6, "size": (96, 64), "guidance_scale": 2.0, "seed": 3}


def run(model, **options):
    return sample(model, PHOTO, "the person cuts the carrot", **(LITTLE | options))


def first_layer(way: float, clips: int = 1) -> torch.Tensor:
    """What is `way` from all ones, as a share of them."""
    return torch.full((clips, 2, 8, 8), 1 + way)


def call(kept: AdaptiveFeatures, way: float, deep: float, clips: int = 1) -> tuple[bool, float]:
    """One call of a network: whether it was computed whole, and what entered its last layer."""
    recalled = kept.recall(first_layer(way, clips))
    entered = kept.exchange(torch.full((clips, 4, 8, 8), deep), recalled)
    return recalled is None, float(entered[0, 0, 0, 0])


def test_features_are_computed_anew_beyond_the_tolerance():
    kept = AdaptiveFeatures(0.25)
    assert call(kept, 0.0, 10.0) == (True, 10.0)
    assert call(kept, 0.25, 99.0) == (False, 10.0)  # at the tolerance they are still good
    assert call(kept, 0.5, 20.0) == (True, 20.0)
    assert call(kept, 0.5, 99.0) == (False, 20.0)


def test_part_of_the_last_change_goes_on_as_far_as_the_run_has_come():
    kept = AdaptiveFeatures(0.25)
    call(kept, 0.0, 10.0)
    call(kept, 1.0, 14.0)  # by 4 on a way of 1
    whole, entered = call(kept, 1.5, 99.0)  # a quarter of what is seen now
    assert not whole and entered == pytest.approx(14 + GOES_ON * 0.25 * 4)
    assert call(kept, 1.0, 99.0) == (False, 14.0)  # back where they were computed


def test_another_batch_and_numbers_that_are_none_begin_anew():
    kept = AdaptiveFeatures(0.25)
    call(kept, 0.0, 10.0)
    assert call(kept, 0.0, 20.0, clips=2) == (True, 20.0)
    assert call(kept, 0.1, 99.0, clips=2) == (False, 20.0)  # the change to another batch does not go on
    assert call(kept, float("nan"), 30.0, clips=2)[0]
    other = kept.fresh()
    assert other.tolerance == 0.25 and call(other, 0.0, 5.0) == (True, 5.0)


def test_a_run_decides_by_its_tolerance(tiny_model):
    calls = []
    hook = tiny_model.unet.mid_block.resnets[0].register_forward_hook(lambda *_: calls.append(1))

    def counted(tolerance):
        calls.clear()
        made = run(tiny_model, cache_tolerance=tolerance)
        return len(calls), made.latents

    try:
        exact, *others = (counted(tolerance) for tolerance in (0.0, 1e-6, 0.3, 1.0))
    finally:
        hook.remove()
    whole, steps = [count for count, _ in others], LITTLE["num_inference_steps"]
    assert exact[0] == steps and whole[0] == steps and steps > whole[1] > whole[2] >= 1
    assert torch.equal(others[0][1], exact[1])
    off = [float((latents - exact[1]).abs().max() / exact[1].abs().max()) for _, latents in others]
    assert 0 < off[1] < 0.5


def test_windows_of_time_decide_each_for_itself(tiny_model):
    context = ContextWindows(2, 1)
    plain = run(tiny_model, num_frames=5, context=context, cache_tolerance=0.3)
    spread = run(tiny_model, num_frames=5, context=replace(context, devices=("cpu",)), cache_tolerance=0.3)
    exact = run(tiny_model, num_frames=5, context=context)
    assert torch.equal(spread.latents, plain.latents) and not torch.equal(plain.latents, exact.latents)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cache_tolerance": 0.3, "parity": True}, "Parity mode"),
        ({"cache_tolerance": 0.3, "cache_every": 2}, "both say when"),
        ({"cache_tolerance": -0.1}, "cache_tolerance is -0.1: give a number from 0 to 1"),
        ({"cache_tolerance": float("nan")}, "cache_tolerance is nan"),
        ({"cache_tolerance": 0.1, "context": ContextWindows(schedule="uniform")}, "uniform windows shift"),
    ],
)
def test_mistakes(tiny_model, options, sentence):
    with pytest.raises(IVGError, match=sentence):
        run(tiny_model, **options)
