import comfy.model_management as mm
import comfy.utils
import pytest
import torch

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.hands import mediapipe_backend
from ivg_pack.ivg_core.synthetic.clips import Scene
from ivg_pack.nodes.hands import HandKeypoints, IVGAnnotateRoM, IVGHandScore, IVGPickBest
from ivg_pack.nodes.rom import IVGFallbackRoM

SIZE = (256, 192)
WIDGETS = {"palm_threshold": 0.5, "presence_threshold": 0.5}
KEYPOINTS = {**WIDGETS, "max_hands": 10, "video": True, "dilate": 0.15}
ANNOTATE = {**WIDGETS, "dilate": 0.15, "arms": False, "min_hand_frames": 2, "released": False}
BLACK = torch.zeros(2, 64, 64, 3)


@pytest.fixture(scope="module")
def clip():
    scene = Scene(3, *SIZE)
    return scene.clip(scene.tasks[1], num_frames=16)


@pytest.fixture(scope="module")
def frames(clip):
    return torch.from_numpy(clip.frames[-3:]).float() / 255


def iou(one, other):
    return ((one > 0.5) & (other > 0.5)).sum() / ((one > 0.5) | (other > 0.5)).sum()


def test_keypoints_lie_on_the_hand(frames, clip):
    keypoints, overlay, mask, count = HandKeypoints.execute(frames, **KEYPOINTS).args
    assert count == 1 and len(keypoints) == 3
    assert overlay.shape == frames.shape and (overlay != frames).any()
    side = "hand_left_keypoints_2d" if clip.left[0] else "hand_right_keypoints_2d"
    for frame, exact in zip(keypoints, clip.joints[-3:, 0, :, :2], strict=True):
        assert (frame["canvas_width"], frame["canvas_height"]) == SIZE
        joints = torch.tensor(frame["people"][0][side]).reshape(21, 3)
        palm = ((exact[9] - exact[0]) ** 2).sum() ** 0.5
        assert (joints[:, :2] - torch.from_numpy(exact)).norm(dim=-1).mean() < 0.3 * palm and (joints[:, 2] > 0.5).all()
    hands = torch.from_numpy(clip.hands[-3:] > 127).float()
    assert ((mask * hands).sum() / mask.sum()) > 0.7  # the forearm is not in it


def test_mediapipe_is_a_choice(frames, monkeypatch):
    monkeypatch.setattr(mediapipe_backend, "version", lambda name: "1.2.2")
    with pytest.raises(IVGError, match=r"mediapipe 1\.2\.2 is installed"):
        HandKeypoints.execute(frames[:1], **KEYPOINTS, backend="mediapipe")


def test_keypoints_go_into_the_fallback(frames):
    keypoints = HandKeypoints.execute(frames[:1], **KEYPOINTS)[0]
    grown = IVGFallbackRoM.execute(frames[:1], "hands", 6, keypoints=keypoints)[0]
    mask = HandKeypoints.execute(frames[:1], **{**KEYPOINTS, "dilate": 0.0})[2]
    assert grown.shape == mask.shape and (grown >= mask).all() and grown.sum() > mask.sum()


@pytest.mark.parametrize("video", [True, False])
@pytest.mark.parametrize("shape", [(2, 64, 64, 3), (1, 16, 16, 3), (1, 48, 64, 4)])
def test_no_hand_is_an_answer(shape, video):
    keypoints, overlay, mask, count = HandKeypoints.execute(torch.rand(shape), **{**KEYPOINTS, "video": video}).args
    assert count == 0 and [frame["people"] for frame in keypoints] == [[]] * shape[0]
    assert overlay.shape == (*shape[:3], 3) and mask.shape == shape[:3] and not mask.any()


def test_annotation(frames, clip):
    mask, frame_masks, overlay, report = IVGAnnotateRoM.execute(frames, **ANNOTATE).args
    assert torch.equal(mask[0], frame_masks.amax(0)) and overlay.shape == frames.shape
    assert report.startswith("Hands in 3 of 3 frames")
    rom = torch.from_numpy((clip.rom[-3:] > 127).any(0))
    arms = IVGAnnotateRoM.execute(frames, **{**ANNOTATE, "arms": True})[0]
    assert iou(arms[0], rom) > iou(mask[0], rom) > 0.3
    released = IVGAnnotateRoM.execute(frames, **{**ANNOTATE, "released": True})[0]
    assert 0 < released.sum() < mask.sum()


def test_annotation_without_hands_says_so():
    mask, _, _, report = IVGAnnotateRoM.execute(BLACK, **ANNOTATE).args
    assert not mask.any() and "Hands in 0 of 2 frames" in report and "lower the thresholds" in report


def test_score(frames):
    total, table, found = IVGHandScore.execute(frames, **WIDGETS).args
    assert found and 0.6 < total <= 1 and "3 of 3" in table
    total, table, found = IVGHandScore.execute(BLACK, **WIDGETS).args
    assert not found and total == 0 and "no hand" in table


def test_the_best_of_several_videos(frames):
    flickering = frames.clone()
    flickering[1] = frames.mean((0, 1, 2))
    comfy.utils.ProgressBar.log.clear()
    best, table, number, total = IVGPickBest.execute([BLACK, flickering], [frames], None, [None]).args
    assert number == 3 and torch.equal(best, frames) and total > 0.6
    assert "no hand" in table and table.endswith("best: video 3")
    assert [step[:2] for step in comfy.utils.ProgressBar.log] == [(1, 3), (2, 3), (3, 3)]


def test_pick_best_without_any_hand_takes_the_first_and_says_so(caplog):
    assert IVGPickBest.execute([BLACK, BLACK])[2] == 1
    assert "no hand in any" in caplog.text


def test_pick_best_can_be_cancelled(frames):
    mm.interrupt_current_processing()
    with pytest.raises(mm.InterruptProcessingException):
        IVGPickBest.execute([frames])
