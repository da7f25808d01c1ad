"""The hand structure loss: its values, its gradient, and the released formula, which has none."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import softplus

from benchmarks.hands import drawn_clip, gradient_norms, released_formula
from ivg_core.checkpoints.load import load_model
from ivg_core.hands.tracker import HandTracker
from ivg_core.training.hand_loss import (
    SURE,
    HandTargets,
    hand_structure_loss,
    hand_targets,
    look,
    timestep_weight,
)


@pytest.fixture(scope="module")
def tracker():
    return HandTracker()


@pytest.fixture(scope="module")
def net(tracker):
    return tracker.landmark_net


@pytest.fixture(scope="module")
def frames():
    return drawn_clip(1, 192, 128)[3:6]


@pytest.fixture(scope="module")
def targets(frames, tracker):
    found = hand_targets(frames, tracker)
    assert found.frame.tolist() == [0, 1, 2]
    return found


def shown(frames):
    return frames.movedim(-1, 1)[None].clone()  # (1, L, 3, H, W)


def plain(frames, targets, net, **options):
    return hand_structure_loss(shown(frames), [targets], net, views=1, presence_weight=0, **options)


def test_the_same_pictures_cost_nothing_but_the_wish_for_certainty(frames, targets, net):
    assert plain(frames, targets, net).loss < 1e-8
    found = hand_structure_loss(shown(frames), [targets], net, views=1, presence_weight=0.01)
    _, logits = look(net, frames, targets.frame, targets.rois)
    assert found.loss == pytest.approx(0.01 * softplus(SURE - logits).mean().item(), rel=1e-4)
    assert found.joint_error < 1e-4 and found.presence > 0.9


def test_a_missing_hand_costs_as_much_as_joints_at_zero(frames, targets, net):
    blank = torch.full_like(frames, 0.5)
    _, logits = look(net, blank, targets.frame, targets.rois)
    assert logits.max() < -3
    local = (targets.joints - targets.rois[:, None, :2]) / targets.rois[:, None, 2:3]
    assert plain(blank, targets, net).loss == pytest.approx(local.square().sum(-1).mean().item(), rel=0.2)
    absolute = targets.joints / torch.tensor([192.0, 128])
    found = plain(blank, targets, net, coords="image")
    assert found.loss == pytest.approx(absolute.square().sum(-1).mean().item(), rel=0.1)
    assert found.presence < 0.05


def test_image_coordinates_are_those_of_the_paper(frames, targets, net):
    moved = frames.roll((0, 4), (1, 2))
    joints, logits = look(net, moved, targets.frame, targets.rois)
    assert logits.sigmoid().min() > 0.5  # found: counted in full
    off = (joints - targets.joints) / torch.tensor([192.0, 128])
    assert plain(moved, targets, net, coords="image").loss == pytest.approx(
        off.square().sum(-1).mean().item(), rel=1e-4
    )


def test_further_away_costs_more(frames, targets, net):
    costs = [plain(frames.roll(pixels, 2), targets, net).loss.item() for pixels in (0, 2, 5, 9)]
    assert costs == sorted(costs) and costs[0] < costs[-1]


def test_hands_then_frames_then_clips_are_averaged(frames, targets, net):
    moved = frames.roll(5, 2)
    rows = [plain(moved[i : i + 1], targets.select([i]), net).loss for i in range(3)]
    assert plain(moved, targets, net).loss == pytest.approx(torch.stack(rows).mean().item(), rel=1e-3)
    twice = HandTargets(*(torch.cat([part, part[:1]]) for part in (targets.frame, targets.rois, targets.joints)))
    assert plain(moved, twice, net).loss == pytest.approx(torch.stack(rows).mean().item(), rel=1e-3)
    both = torch.cat([shown(frames), shown(moved)])
    weights = torch.tensor([0.0, 0.5])
    pair = hand_structure_loss(both, [targets, targets], net, views=1, presence_weight=0, weight=weights)
    assert pair.loss == pytest.approx(0.25 * torch.stack(rows).mean().item(), rel=1e-3)


def test_no_hands_nothing_to_say(frames, tracker, net):
    nothing = hand_targets(torch.full_like(frames, 0.5), tracker)
    assert nothing.joints.shape == (0, 21, 2)
    assert hand_structure_loss(shown(frames), [nothing], net) is None
    assert nothing.select([0, 2]).rois.shape == (0, 4)


def test_select_renumbers(targets):
    chosen = targets.select([2, 0])
    assert chosen.frame.tolist() == [0, 1]
    assert torch.equal(chosen.rois, targets.rois[[2, 0]]) and torch.equal(chosen.joints, targets.joints[[2, 0]])


def test_shaking_is_drawn_from_the_generator(frames, targets, net):
    def loss(seed):
        return hand_structure_loss(shown(frames), [targets], net, generator=torch.Generator().manual_seed(seed)).loss

    assert loss(1) == loss(1) != loss(2)


def test_the_gradient_is_the_slope_and_stays_in_the_region(frames, targets, net):
    pixels = shown(frames.roll(4, 2)).requires_grad_(True)

    def cost(x):
        return hand_structure_loss(x, [targets], net, views=1).loss

    (gradient,) = torch.autograd.grad(cost(pixels), pixels)
    assert gradient[0, 0, :, :, :4].abs().max() == 0  # far from the hand
    along = gradient / gradient.norm()
    with torch.no_grad():
        slope = (cost(pixels + 0.02 * along) - cost(pixels - 0.02 * along)) / 0.04
    assert slope == pytest.approx(gradient.norm().item(), rel=0.1)


def test_a_few_steps_along_the_gradient_lower_it(frames, targets, net):
    pixels = shown(frames[:1].roll(4, 2)).requires_grad_(True)
    optimizer = torch.optim.Adam([pixels], lr=0.01)
    costs = []
    for _ in range(6):
        found = hand_structure_loss(pixels, [targets.select([0])], net, views=1)
        optimizer.zero_grad()
        found.loss.backward()
        optimizer.step()
        costs.append(found.loss.item())
    assert costs[-1] < 0.7 * costs[0]


def test_the_gradient_reaches_the_unet_and_the_released_formula_has_none(tracker):
    ours, released = gradient_norms(load_model("embedded"), tracker)
    assert ours > 1e-4 and released == 0


def test_the_released_formula_is_a_number_without_a_way_back(frames, tracker):
    pixels = frames[:1].roll(4, 2).requires_grad_(True)
    loss = released_formula(pixels, frames[:1], tracker)
    assert loss > 0 and not loss.requires_grad


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 2))
def test_timestep_weight(alpha, min_snr):
    weight = float(timestep_weight(torch.tensor([alpha], dtype=torch.float64), min_snr))
    assert weight in (0, alpha)
    if alpha < 1 and alpha / (1 - alpha) < 0.99 * min_snr:
        assert weight == 0


def test_flat_weights_are_the_papers():
    alphas = torch.tensor([0.01, 0.2, 0.99])
    assert timestep_weight(alphas, min_snr=0, weighting="flat").tolist() == [1, 1, 1]
    assert timestep_weight(alphas, min_snr=0.2, weighting="flat").tolist() == [0, 1, 1]


def test_the_limit_is_near_step_600_of_stable_diffusions_schedule():
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    alphas = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").alphas_cumprod
    assert int(timestep_weight(alphas).gt(0).sum()) == pytest.approx(600, abs=15)
