"""Pseudo masks from hands: the hulls, the released form, and a folder that is stopped and goes on."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.evaluate.metrics.motion import mask_iou
from ivg_core.hands.hand import Hand
from ivg_core.hands.regions import roi_of_joints
from ivg_core.hands.tracker import HandTracker
from ivg_core.media.images import load_mask
from ivg_core.media.video import read_video, write_video
from ivg_core.rom.annotate import RELEASED_TRACKER, annotate_clip, mask_of_hands
from ivg_core.rom.annotate_folder import annotate_folder
from ivg_core.rom.fallback import hand_hull_mask
from ivg_core.synthetic.clips import Scene


class Known:
    """Stands in for a tracker where the joints are to be exact."""

    tiled, palm_threshold, presence_threshold, max_hands = True, 0.5, 0.5, 10

    def __init__(self, joints):
        self.hands = [[hand_at(xy) for xy in frame] for frame in joints]

    def detect(self, frames):
        return self.hands

    track = detect


def hand_at(joints):
    joints = torch.as_tensor(joints).float()
    return Hand(joints, torch.zeros(21), 1.0, 1.0, 1.0, roi_of_joints(joints), 0)


@pytest.fixture(scope="module")
def tracker():
    return HandTracker()


@pytest.fixture(scope="module")
def clip():
    scene = Scene(3, 192, 128)
    return scene.clip(scene.tasks[1], num_frames=6)


@pytest.fixture(scope="module")
def frames(clip):
    return torch.from_numpy(clip.frames).float() / 255


@pytest.fixture
def videos(tmp_path, frames):
    """One with a hand, one without, one that is none."""
    folder = tmp_path / "videos"
    write_video(frames, folder / "hand.mp4", 8)
    write_video(torch.zeros(3, 64, 64, 3), folder / "black.gif", 8)
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def test_released_form_equals_the_released_union(golden):
    tensors = load_file(golden / "functions.safetensors")
    expected = [tensors[f"rom.frame{i}.mask"] for i in range(3)]
    height, width = expected[0].shape
    joints = [tensors[f"rom.frame{i}.landmarks"] * torch.tensor([width, height]) for i in range(3)]
    found = annotate_clip(torch.zeros(3, height, width, 3), Known(joints), parity=True, dilate=9.0, arms=True)
    assert torch.equal(found.frame_masks, torch.stack(expected).float() / 255)
    assert torch.equal(found.mask, tensors["rom.union"].float() / 255)


def test_masks_cover_what_moves(frames, clip, tracker):
    found = annotate_clip(frames, tracker)
    truth = torch.from_numpy(clip.rom_mask).float()
    assert found.frames_with_hands >= 5 and torch.equal(found.mask, found.frame_masks.amax(0))
    assert mask_iou(found.mask, truth) > 0.5
    with_arms = annotate_clip(frames, tracker, arms=True).mask
    assert mask_iou(with_arms, truth) > mask_iou(found.mask, truth)


def test_growth_goes_by_the_palm(clip):
    joints = torch.from_numpy(clip.joints[-1, 0, :, :2]).float()
    hull = mask_of_hands([hand_at(joints)], (192, 128), 0.0)
    grown = mask_of_hands([hand_at(joints)], (192, 128), 0.5)
    rows, grown_rows = hull.any(1).nonzero(), grown.any(1).nonzero()
    palm = float((joints[9] - joints[0]).norm())
    assert float(rows.min() - grown_rows.min()) == pytest.approx(0.5 * palm, abs=1.5)


def test_hands_stay_apart_and_none_gives_none(clip):
    joints = torch.from_numpy(clip.joints[-1, 0, :, :2]).float()
    far = joints + torch.tensor([400.0, 0.0])
    both = mask_of_hands([hand_at(joints), hand_at(far)], (640, 128), 0.0)
    assert not both[:, 200:400].any()
    assert not mask_of_hands([], (64, 32), 0.3, torch.zeros(32, 64, 3)).any()


@pytest.mark.parametrize(
    ("frames_with_hands", "count", "kept"), [(1, 4, False), (2, 4, True), (1, 1, True), (0, 1, False)]
)
def test_a_hand_must_be_seen_in_enough_frames(clip, frames_with_hands, count, kept):
    joints = clip.joints[-1, :1, :, :2]
    known = Known([joints if i < frames_with_hands else [] for i in range(count)])
    found = annotate_clip(torch.zeros(count, 128, 192, 3), known, min_hand_frames=2)
    assert found.mask.any() == kept


@pytest.mark.parametrize("change", [{"dilate": -0.1}, {"min_hand_frames": -1}, {"dilate": float("nan")}])
def test_settings_that_cannot_work(frames, tracker, change):
    with pytest.raises(IVGError, match=next(iter(change))):
        annotate_clip(frames, tracker, **change)


def test_the_tracker_serves_the_hands_fallback(frames, tracker):
    mask = hand_hull_mask(frames[-1], tracker, margin=4)
    assert mask.shape == (128, 192) and 0 < mask.mean() < 0.5


def test_generate_takes_the_hands_when_told_to(tmp_path, clip, capsys, golden):
    photo, black = tmp_path / "hand.png", tmp_path / "black.png"
    Image.fromarray(clip.frames[-1]).save(photo)
    Image.new("RGB", (64, 64)).save(black)
    words = ["generate", "--model", str(golden / "tiny_ckpt"), "--prompt", "cut it", "--fallback", "hands"]
    words += ["--size", "48x32", "--frames", "2", "--steps", "1", "--out", str(tmp_path / "v.mp4"), "--margin", "8"]
    assert main([*words, "--image", str(photo)]) == 0 and (tmp_path / "v.mp4").is_file()
    assert main([*words, "--image", str(black)]) == 2 and "No hand was found" in capsys.readouterr().err


def test_a_folder(videos, tmp_path, frames, tracker):
    target = tmp_path / "masks"
    reports = {report.video: report for report in annotate_folder(videos, target, tracker)}
    assert {name: report.outcome for name, report in reports.items()} == {
        "hand.mp4": "mask", "black.gif": "no hands", "broken.mp4": "unreadable"
    }  # fmt: skip
    assert reports["hand.mp4"].frames == 6 and 0 < reports["hand.mp4"].coverage < 1
    assert sorted(path.name for path in target.glob("[!.]*")) == ["annotate.json", "hand", "hand.png"]
    pieces = [load_mask(path) for path in sorted((target / "hand").iterdir())]
    assert len(pieces) == 6 and torch.equal(torch.stack(pieces).amax(0), load_mask(target / "hand.png"))
    kept = json.loads((target / "annotate.json").read_text())
    assert [entry["video"] for entry in kept["videos"]] == ["black.gif", "broken.mp4", "hand.mp4"]


def test_a_folder_goes_on_where_it_was_stopped(videos, tmp_path, tracker, monkeypatch):
    target = tmp_path / "masks"

    def stop(report, number, total):
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate_folder(videos, target, tracker, on_clip=stop)
    assert not (target / "hand.png").exists()
    looked_at = []
    track = tracker.track
    monkeypatch.setattr(tracker, "track", lambda frames: looked_at.append(len(frames)) or track(frames))
    annotate_folder(videos, target, tracker)
    assert looked_at == [6]  # only the third one
    annotate_folder(videos, target, tracker)
    assert looked_at == [6]
    (target / "hand" / "0002.png").unlink()
    annotate_folder(videos, target, tracker)
    assert looked_at == [6, 6]  # what was damaged is made again


def test_other_settings_begin_anew(videos, tmp_path, tracker, caplog):
    target = tmp_path / "masks"
    annotate_folder(videos, target, tracker, keep_frames=False)
    before = load_mask(target / "hand.png")
    assert not (target / "hand").exists()
    annotate_folder(videos, target, tracker, keep_frames=False, dilate=0.5)
    assert "other settings" in caplog.text and load_mask(target / "hand.png").sum() > before.sum()


def test_released_form_writes_black_masks_too(videos, tmp_path):
    annotate_folder(videos, tmp_path / "masks", HandTracker(**RELEASED_TRACKER), parity=True, keep_frames=False)
    assert not load_mask(tmp_path / "masks" / "black.png").any()


def test_the_command(videos, tmp_path, capsys):
    assert main(["annotate", "--video-dir", str(videos), "--save-dir", str(tmp_path / "masks"), "--arms"]) == 0
    said = capsys.readouterr().out
    assert "1 masks, 1 videos without hands, 1 unreadable" in said and "hands in 6 of 6 frames" in said
    assert (tmp_path / "masks" / "hand.png").is_file()


@pytest.mark.parametrize(
    ("names", "sentence"), [([], "no videos"), (["a.mp4", "a.gif"], "rename one"), (None, "no folder")]
)
def test_folders_that_cannot_work(tmp_path, tracker, names, sentence):
    folder = tmp_path / "videos"
    if names is not None:
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    with pytest.raises(IVGError, match=sentence):
        annotate_folder(folder, tmp_path / "masks", tracker)


def panned(frames, step=6):
    """The frames as a camera sees them that moves to the left by `step` pixels a frame."""
    return torch.stack([frame.roll(step * index, 1) for index, frame in enumerate(frames)])


def test_a_moving_camera_is_taken_out(tracker, frames):
    still = annotate_clip(frames, tracker)
    followed = annotate_clip(panned(frames), tracker)
    drifting = annotate_clip(panned(frames), tracker, follow_camera=False)
    assert still.mask.any()
    assert mask_iou(followed.mask, still.mask) > 0.8 > mask_iou(drifting.mask, still.mask)


def test_a_still_camera_changes_nothing(tracker, frames):
    assert torch.equal(annotate_clip(frames, tracker).mask, annotate_clip(frames, tracker, follow_camera=False).mask)


def test_masks_from_motion_and_from_both(tracker, clip, frames):
    truth = torch.from_numpy(clip.rom_mask).float()
    by_hands, by_motion, by_both = (
        annotate_clip(frames, tracker, evidence=evidence) for evidence in ("hands", "motion", "both")
    )
    assert mask_iou(by_motion.mask, truth) > 0.5
    assert by_motion.frame_masks[0].sum() == 0  # nothing has moved yet
    assert (by_both.mask >= by_hands.mask).all() and by_both.mask.sum() > by_hands.mask.sum()


def test_motion_needs_no_hands(frames):
    nobody = Known([[]] * len(frames))
    assert annotate_clip(frames, nobody, evidence="motion").mask.any()
    assert annotate_clip(frames, nobody, evidence="both").mask.any()
    assert not annotate_clip(frames, nobody).mask.any()


def test_unknown_evidence_and_parity_with_motion_are_told(frames):
    for options, why in (({"evidence": "sound"}, '"sound"'), ({"evidence": "motion", "parity": True}, "hands only")):
        with pytest.raises(IVGError, match=why):
            annotate_clip(frames, Known([[]] * len(frames)), **options)


def test_the_camera_is_followed_across_the_pieces_of_a_long_video(tmp_path, monkeypatch, tracker, frames):
    monkeypatch.setattr("ivg_core.rom.annotate_video.PIECE", 2)
    (tmp_path / "videos").mkdir()
    write_video(panned(frames), tmp_path / "videos" / "walk.mp4", 8)
    annotate_folder(tmp_path / "videos", tmp_path / "masks", tracker)
    assert mask_iou(load_mask(tmp_path / "masks" / "walk.png"), annotate_clip(frames, tracker).mask) > 0.7


def test_a_folder_from_motion_alone(tmp_path, frames, capsys):
    (tmp_path / "videos").mkdir()
    write_video(frames, tmp_path / "videos" / "stir.mp4", 8)
    options = ["--video-dir", tmp_path / "videos", "--save-dir", tmp_path / "masks", "--from", "motion"]
    assert main(["annotate", *map(str, options), "--palm-threshold", "1", "--still-camera"]) == 0
    assert "1 masks" in capsys.readouterr().out and load_mask(tmp_path / "masks" / "stir.png").any()


def colour(frames):
    """How orange the frames are, (F, H, W)."""
    return frames[..., 0] - frames[..., 2]


@pytest.mark.parametrize("moves", [False, True])
def test_overlays_show_each_mask_where_it_lies_in_its_frame(tmp_path, tracker, frames, moves, monkeypatch):
    """In pieces of 4 frames; where the camera pans, masks of the first frame's scene are led back."""
    monkeypatch.setattr("ivg_core.rom.annotate_video.PIECE", 4)
    film = panned(frames) if moves else frames
    write_video(film, tmp_path / "v" / "a.mp4", 8)
    annotate_folder(tmp_path / "v", tmp_path / "m", tracker, overlays=True)
    shown, fps = read_video(tmp_path / "m" / "overlays" / "a.mp4")
    plain, _ = read_video(tmp_path / "v" / "a.mp4")
    assert shown.shape == plain.shape and fps == 8
    still = annotate_clip(plain, tracker, follow_camera=False).frame_masks
    for drawn, was, mask in zip(shown, plain, still, strict=True):
        tinted = (colour(drawn[None]) - colour(was[None]))[0] > 0.15
        assert mask_iou(tinted.float(), mask) > 0.75


def test_an_overlay_that_is_missing_is_made_and_an_old_one_goes(videos, tmp_path, tracker, monkeypatch):
    target = tmp_path / "masks"
    annotate_folder(videos, target, tracker)
    assert not (target / "overlays").exists()
    annotate_folder(videos, target, tracker, overlays=True)
    made = {path.name: path.stat().st_mtime_ns for path in (target / "overlays").iterdir()}
    assert {f"{path.stem}.mp4" for path in target.glob("*.png")} == set(made) and made
    annotate_folder(videos, target, tracker, overlays=True)
    assert made == {path.name: path.stat().st_mtime_ns for path in (target / "overlays").iterdir()}
    annotate_folder(videos, target, tracker, overwrite=True)
    assert not list((target / "overlays").iterdir())
    assert not list(target.glob(".*.partial"))
