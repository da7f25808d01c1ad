"""The masks a user can choose when there are no stage-1 weights."""

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ivg_core.errors import IVGError
from ivg_core.rom.fallback import draw_hulls, hand_hull_mask, prior_mask, white_mask

PHOTO = torch.full((40, 60, 3), 0.5)
HAND = torch.tensor([[20.0, 10], [30, 10], [30, 20], [20, 20], [25, 15]]).repeat(5, 1)[:21]  # (21, 2)


def test_white_lets_everything_move():
    mask = white_mask((60, 40))
    assert mask.shape == (40, 60) and mask.min() == 1


def test_prior_is_the_mean_of_masks_of_any_size(tmp_path):
    left, right = torch.zeros(20, 30), torch.zeros(80, 120)
    left[:, :20], right[:, 40:] = 1, 1
    Image.new("L", (6, 4), 255).save(tmp_path / "m.png")
    mask = prior_mask([left, right, tmp_path / "m.png"], (60, 40))
    assert mask.shape == (40, 60)
    assert mask[20, 5].item() == pytest.approx(2 / 3) and mask[20, 30].item() == pytest.approx(1)
    with pytest.raises(IVGError, match="at least one"):
        prior_mask([], (60, 40))


def test_hand_hull_grows_by_the_margin():
    hull = hand_hull_mask(PHOTO, lambda image: [HAND], margin=0)
    assert hull.shape == (40, 60) and hull.sum() == 11 * 11 and hull[10:21, 20:31].all()
    grown = hand_hull_mask(PHOTO, lambda image: [HAND], margin=4)
    assert grown[15, 16] == 1 and grown[15, 15] == 0


def test_hulls_of_two_hands_stay_apart_unless_joint():
    hands = [HAND, HAND + torch.tensor([20.0, 15])]
    assert draw_hulls(hands, (60, 40))[22, 36] == 0
    assert draw_hulls(hands, (60, 40), joint=True)[22, 36] == 1


def test_the_detector_is_given_the_photo_and_may_find_nothing():
    with pytest.raises(IVGError, match="No hand was found"):
        hand_hull_mask(PHOTO, lambda image: [] if torch.equal(image, PHOTO) else [HAND], margin=3)
    with pytest.raises(IVGError, match="margin"):
        hand_hull_mask(PHOTO, lambda image: [HAND], margin=-1)


@pytest.mark.parametrize("frame", [0, 1, 2])
def test_joint_hulls_equal_the_released_annotations(golden, frame):
    tensors = load_file(golden / "functions.safetensors")
    expected = tensors[f"rom.frame{frame}.mask"]
    height, width = expected.shape
    hands = list(tensors[f"rom.frame{frame}.landmarks"] * torch.tensor([width, height]))
    assert torch.equal(draw_hulls(hands, (width, height), joint=True), expected.float() / 255)
