"""Forearms are followed where the photo shows them, and not drawn where it shows none."""

import pytest
import torch
from drawn_arms import drawn_arm

from ivg_core.hands.tracker import HandTracker
from ivg_core.rom.arms import draw_arms, find_arms
from ivg_core.synthetic.clips import Scene


@pytest.mark.parametrize("elbow", [(60, 260), (160, 260), (250, 240)])
def test_an_arm_is_followed_to_the_border_whichever_way_it_goes(elbow):
    photo, joints, arm = drawn_arm(elbow)
    found = draw_arms(photo, [joints])
    assert (found * arm).sum() / found.sum() > 0.9 and (found * arm).sum() / arm.sum() > 0.75
    assert (found * arm)[-1].any()


def test_no_arm_is_drawn_where_none_is():
    photo, joints, _ = drawn_arm(end=True)
    assert find_arms(photo, [joints]) == [] and not draw_arms(photo, [joints]).any()
    assert find_arms(photo, []) == []


def test_an_arm_like_its_surroundings_is_none():
    _, joints, _ = drawn_arm()
    assert find_arms(torch.full((200, 300, 3), 0.6), [joints]) == []


def test_hands_anywhere_and_pictures_of_any_kind():
    photo, joints, arm = drawn_arm()
    assert find_arms(photo, [joints + 1000, joints - 1000, joints * 0]) == []
    alpha = torch.cat([photo, torch.ones_like(photo[..., :1])], -1)
    assert torch.equal(draw_arms(alpha, [joints]), draw_arms(photo, [joints]))
    assert find_arms(photo[..., :1], [joints * 0]) == []
    large = torch.nn.functional.interpolate(photo.permute(2, 0, 1)[None], scale_factor=4)[0].permute(1, 2, 0)
    found = draw_arms(large, [joints * 4])[::4, ::4]
    assert (found * arm).sum() / torch.maximum(found, arm).sum() > 0.7


def test_arms_of_drawn_hands_lie_on_them():
    inside, drawn = 0.0, 0.0
    for seed in range(3):
        scene = Scene(seed, 384, 256)
        clip = scene.clip(scene.tasks[0], num_frames=6)
        photo = torch.from_numpy(clip.frames[-1]).float() / 255
        found = draw_arms(photo, HandTracker()(photo))
        inside += float((found * torch.from_numpy(clip.hands[-1] > 127)).sum())
        drawn += float(found.sum())
    assert drawn > 0 and inside / drawn > 0.9
