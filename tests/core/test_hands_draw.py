"""Hands drawn over frames."""

import pytest
import torch

from ivg_core.hands.draw import draw_hands
from ivg_core.hands.hand import Hand
from ivg_core.hands.regions import Roi


def hand(scale: float, track: int | None = None) -> Hand:
    joints = torch.rand(21, 2, generator=torch.Generator().manual_seed(1)) * scale
    return Hand(joints, torch.zeros(21), 0.9, 0.9, 0.8, Roi(0, 0, scale, 0), track)


@pytest.mark.parametrize("size", [16, 128, 1000])
@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_hands_show_on_dark_and_bright_pictures_of_any_size(size, grey):
    frames = torch.full((2, size, size, 3), grey)
    drawn = draw_hands(frames, [[hand(size, 3)], []])
    assert drawn.shape == frames.shape and drawn.min() >= 0 and drawn.max() <= 1
    changed = (drawn - frames).abs().amax(-1) > 0.4
    assert not changed[1].any()
    assert changed[0].float().mean() > 0.02
    assert drawn[0].std(-1).max() > 0.2  # fingers have colours


def test_frames_are_left_alone_and_hands_outside_do_no_harm():
    frames = torch.rand(1, 32, 32, 3)
    kept = frames.clone()
    away = Hand(torch.full((21, 2), -500.0), torch.zeros(21), 1, 1, 0, Roi(-500, -500, 10, 0))
    draw_hands(frames, [[away]])
    assert torch.equal(frames, kept)


def test_as_many_lists_of_hands_as_frames():
    with pytest.raises(ValueError):
        draw_hands(torch.rand(2, 8, 8, 3), [[]])
