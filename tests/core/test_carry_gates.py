"""Gates that carry: what a box covers, what the photo shows laid into it, and that closed they change nothing."""

import pytest
import torch
from box_gates import opened
from hypothesis import given
from hypothesis import strategies as st

from ivg_core.checkpoints.gates import read_gates, save_gates
from ivg_core.errors import IVGError
from ivg_core.models.add_gates import with_gates
from ivg_core.models.grounding import Tokens, carried, coverage
from ivg_core.training.losses import Noise


def tokens(first, places, frames=1):
    """Tokens of boxes alone, (F, N, 5) each."""
    first, places = torch.tensor(first), torch.tensor(places)
    return Tokens(torch.zeros(*places.shape[:2], 4), None, places, first.expand_as(places), frames, (4, 8))


def laid(photo, objs):
    """What is carried at the level of the photo."""
    return carried(photo, objs, coverage(objs.places, tuple(photo.shape[-2:])))


@given(st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4), st.integers(1, 9), st.integers(1, 9))
def test_the_cells_of_a_box_hold_its_area(corners, height, width):
    (x1, x2), (y1, y2) = sorted(corners[:2]), sorted(corners[2:])
    covered = coverage(torch.tensor([[[x1, y1, x2, y2, 1.0]]]), (height, width))
    assert covered.shape == (1, height * width, 1) and covered.min() >= 0 and covered.max() <= 1 + 1e-6
    assert covered.sum().item() == pytest.approx((x2 - x1) * (y2 - y1) * height * width, abs=1e-4)


def test_a_thing_that_is_not_there_covers_nothing():
    assert not coverage(torch.tensor([[[0.0, 0.0, 1.0, 1.0, 0.0]]]), (4, 8)).any()


def test_a_box_that_moves_by_whole_cells_carries_its_cells():
    photo = torch.arange(2 * 4 * 8.0).reshape(1, 2, 4, 8)
    objs = tokens([[[0.0, 0.0, 0.25, 0.5, 1.0]]], [[[0.5, 0.5, 0.75, 1.0, 1.0]], [[0.0, 0.0, 0.25, 0.5, 1.0]]], 2)
    moved, still = laid(photo, objs).transpose(1, 2).unflatten(2, (4, 8))
    expected = torch.zeros(2, 4, 8)
    expected[:, 2:, 4:6] = photo[0, :, :2, :2]
    torch.testing.assert_close(moved, expected)
    torch.testing.assert_close(still[:, :2, :2], photo[0, :, :2, :2])
    assert not still[:, 2:].any() and not still[:, :, 2:].any()


def test_what_the_photo_does_not_show_is_not_carried_and_overlaps_share():
    photo = torch.ones(1, 1, 4, 8)
    absent, there = [0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.5, 1.0, 1.0]
    assert not laid(photo, tokens([[absent]], [[there]])).any()
    twice = laid(photo, tokens([[there, there]], [[there, there]]))
    assert twice.max() == 1


@pytest.fixture
def told(tiny_model):
    generator = torch.Generator().manual_seed(0)
    width = tiny_model.unet.config["cross_attention_dim"]
    x = torch.randn(1, 4, 2, 8, 8, generator=generator)
    boxes = torch.zeros(1, 2, 8, 5)
    boxes[0, 0, 0] = torch.tensor([0.0, 0.0, 0.5, 0.5, 1.0])
    boxes[0, 1, 0] = torch.tensor([0.5, 0.5, 1.0, 1.0, 1.0])
    return {
        "sample": x,
        "timestep": 500,
        "encoder_hidden_states": torch.randn(1, 77, width, generator=generator),
        "condition_latent": x[:, :, :1],
        "mask": torch.ones(1, 1, 1, 8, 8),
        "motion": torch.ones(1),
        "boxes": boxes,
        "phrases": torch.randn(1, 1, 8, width, generator=generator),
    }


@torch.no_grad()
def test_closed_they_leave_the_network_as_it_is_and_a_file_brings_them_back(tiny_model, told, tmp_path):
    gated = with_gates(tiny_model.unet, "carry")
    without = {name: value for name, value in told.items() if name not in ("boxes", "phrases")}
    before = tiny_model.unet(**without)
    assert torch.equal(gated(**told), before)
    for name, parameter in gated.named_parameters():
        if any(part in name for part in ("looks", "covered", "left", "carry")):
            torch.nn.init.constant_(parameter, 0.1)
    assert torch.equal(gated(**without), before)
    moved = gated(**told)
    assert not torch.allclose(moved, before, atol=1e-3)
    again = read_gates(save_gates(gated, tmp_path / "gates.safetensors", {}), tiny_model.unet)
    assert again.config["gates"] == "carry"
    for name, weight in again.state_dict().items():
        torch.testing.assert_close(weight, gated.state_dict()[name], atol=1e-6, rtol=1e-3)  # in half precision


@torch.no_grad()
def test_where_things_are_in_the_photo_may_be_told_by_itself(tiny_model, told):
    """A window of the frames begins elsewhere than the photo, which it still sees."""
    gated = opened(with_gates(tiny_model.unet, "carry"))
    torch.nn.init.normal_(gated.position_net.carry.conv.weight)
    first, other = told["boxes"][:, :1], told["boxes"][:, 1:]
    assert torch.equal(gated(**told, photo_boxes=first), gated(**told))
    assert not torch.allclose(gated(**told, photo_boxes=other), gated(**told), atol=1e-3)


def test_a_network_without_the_photo_as_its_frame_cannot_carry(tiny_model):
    plain = tiny_model.unet.__class__.from_config_dict({**tiny_model.unet.config, "photo": False, "motion_mask": False})
    with pytest.raises(IVGError, match='take "boxes"'):
        with_gates(plain, "carry")


class Seen:
    """What the noise loss asks of a prediction, with an error in one cell."""

    def __init__(self, cell, boxes):
        self.x0, self.open = torch.zeros(1, 1, 1, 2, 2), None
        self.output, self.target, self.level_weight = torch.zeros(1, 1, 1, 2, 2), torch.zeros(1, 1, 1, 2, 2), None
        self.output[..., cell[0], cell[1]] = 1.0
        self.batch = self
        self.boxes = torch.tensor(boxes).reshape(1, 1, 1, 5)
        self.grid = self

    def need(self, name, why):
        return getattr(self, name)

    def get(self, name, otherwise):
        return getattr(self, name, otherwise)

    def brightest(self, cells):
        return cells


def test_an_error_inside_a_box_counts_more_and_the_mean_weight_stays_one():
    box = [0.0, 0.0, 0.5, 0.5, 1.0]
    inside, outside = (Noise(boxes=5.0)(Seen(cell, box)) for cell in ((0, 0), (1, 1)))
    assert inside == pytest.approx(5 * outside) and inside + 3 * outside == pytest.approx(1.0)
    left = Seen((1, 1), [0.0, 0.0, 0.5, 0.5, 1.0])
    left.photo_boxes = torch.tensor([0.5, 0.5, 1.0, 1.0, 1.0]).reshape(1, 1, 1, 5)
    assert Noise(boxes=5.0)(left) == pytest.approx(5 / 12)
