"""How much a clip moves, and the camera: the released score, and cameras whose path is known."""

import json

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file

from ivg_core.training.data.motion import background_motion, camera_motion, enlarge, motion_score, stabilise

SIZE = (160, 112)


def texture(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Something with corners to hold on to."""
    rng = np.random.default_rng(seed)
    picture = np.full((size[1], size[0], 3), 128, np.uint8)
    for _ in range(size[0] * size[1] // 250):
        corner = rng.integers(0, size, 2)
        end = corner + rng.integers(4, 30, 2)
        cv2.rectangle(picture, corner.tolist(), end.tolist(), rng.integers(0, 255, 3).tolist(), -1)
    return picture


def panned(pan: float, turn: float, hand: bool) -> tuple[np.ndarray, np.ndarray]:
    """A clip of six frames seen by a camera that pans and turns, and its true homographies to the first frame."""
    world, truth, frames = texture(3, (420, 360)), [], []
    for k in range(6):
        view = cv2.getRotationMatrix2D((210, 180), turn * k, 1.0)
        view[:, 2] += -130 - pan * k, -120 - 0.5 * pan * k
        truth.append(np.vstack([view, [0, 0, 1]]))
        frame = cv2.warpAffine(world, view, SIZE)
        if hand:  # covers a fifth, and moves otherwise than the camera
            frame[40:90, 20 + 8 * k : 70 + 8 * k] = texture(9, (50, 50))
        frames.append(frame)
    to_first = np.stack([truth[0] @ np.linalg.inv(view) for view in truth])
    return np.stack(frames), to_first


def corners_off(a: np.ndarray, b: np.ndarray) -> float:
    corners = np.float32([[[0, 0]], [[SIZE[0], 0]], [[0, SIZE[1]]], [[SIZE[0], SIZE[1]]]])
    return max(
        np.linalg.norm(cv2.perspectiveTransform(corners, x) - cv2.perspectiveTransform(corners, y), axis=-1).max()
        for x, y in zip(a, b, strict=True)
    )


def test_the_score_is_the_released_one(golden):
    frames = load_file(golden / "functions.safetensors")["score.frames"]
    assert motion_score(frames) == json.loads((golden / "functions.json").read_text())["calculate_motion_score"]


def test_a_still_clip_scores_nothing():
    frame = texture(0, SIZE)
    assert motion_score(np.stack([frame] * 3)) == 0 == motion_score(frame[None])


@pytest.mark.parametrize("hand", [False, True])
@pytest.mark.parametrize(("pan", "turn"), [(0, 0), (4, 0), (2, 1.5)])
def test_the_camera_is_found_whatever_the_hand_does(pan, turn, hand):
    frames, truth = panned(pan, turn, hand)
    found = background_motion(frames)
    assert corners_off(found, truth) < 1.5
    assert camera_motion(found, SIZE) == pytest.approx(camera_motion(truth, SIZE), abs=0.01)


def test_nothing_is_claimed_about_a_blank_wall():
    assert background_motion(np.full((3, 64, 64, 3), 90, np.uint8)) is None


def test_a_stilled_clip_stands_still():
    frames, _ = panned(4, 0, hand=False)
    steady = stabilise(frames, background_motion(frames))
    assert (steady[0] == frames[0]).all() and steady.shape == frames.shape
    assert motion_score(steady) < motion_score(frames) / 5
    inner = np.s_[:, 30:-30, 40:-40]
    before, after = (np.abs(clip[inner].astype(int) - clip[inner][0]).mean() for clip in (frames, steady))
    assert after < before / 5


def test_masks_are_stilled_like_frames():
    frames, truth = panned(4, 0, hand=False)
    masks = (frames[..., 0] > 128).astype(np.uint8) * 255
    coloured = np.repeat(masks[..., None], 3, -1)
    assert (stabilise(coloured, truth)[..., 0] == stabilise(masks, truth)).all()


def test_homographies_grow_with_the_picture():
    frames, truth = panned(3, 1, hand=False)
    large = np.stack([cv2.resize(frame, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC) for frame in frames])
    back = [cv2.resize(f, SIZE, interpolation=cv2.INTER_AREA) for f in stabilise(large, enlarge(truth, 3))]
    inner = np.s_[:, 20:-20, 30:-30]
    assert np.abs(np.stack(back)[inner].astype(int) - stabilise(frames, truth)[inner]).mean() < 6


def test_enlarging_keeps_the_centres_of_pixels():
    """Pixel x becomes three pixels around 3 x + 1: what happens to x happens to these."""
    homography = np.array([[[2.0, 0.1, 5], [0.0, 1.5, -3], [0, 0, 1]]])
    large = enlarge(homography, 3)[0]
    for x, y in ((0.0, 0.0), (10.0, 4.0), (-2.0, 7.0)):
        moved = homography[0] @ [x, y, 1]
        assert large @ [3 * x + 1, 3 * y + 1, 1] == pytest.approx([3 * moved[0] + 1, 3 * moved[1] + 1, 1])
