"""Box tracks as training data: from the files of each layout to the two tensors of a sample."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.media.clips import Facts, MemoryClip
from ivg_core.media.images import save_png
from ivg_core.media.tracks import Keyframe, Thing, Track
from ivg_core.media.video import write_video
from ivg_core.models.text import encode_phrases
from ivg_core.synthetic.carry import carried_clip, errand
from ivg_core.synthetic.clips import Scene
from ivg_core.training.batches import collate
from ivg_core.training.data.boxes import boxes_of
from ivg_core.training.data.dataset import load_data, survey
from ivg_core.training.data.motion import stabilise
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.data.sources import TrainingClip, find_training_clips
from ivg_core.training.data.transform import Cut, cover

SMALL = {"width": 48, "height": 32, "frames": 4, "bucket_step": 16, "masks": "white"}
STILL = Track((Thing("cup", (Keyframe(0, (0.25, 0.25, 0.5, 0.75)),)),))


def options(source, **values) -> DataSettings:
    return DataSettings(str(source), **{**SMALL, "boxes": True, **values})


def noise(frames=6, size=(96, 64)):
    return torch.rand(frames, size[1], size[0], 3, generator=torch.Generator().manual_seed(0))


def going(phrase="cup", frames=6) -> Track:
    return Track((Thing.of_frames(phrase, [(0.1 * k, 0.25, 0.1 * k + 0.25, 0.75) for k in range(frames)]),))


@pytest.fixture
def source(tmp_path):
    """A clip with a track of ours beside it."""
    write_video(noise(), tmp_path / "clips" / "cut.mp4", 8)
    (tmp_path / "clips" / "cut.txt").write_text("push the cup")
    (tmp_path / "clips" / "cut.track.json").write_text(going().to_json())
    return tmp_path / "clips"


def why(settings: DataSettings, model) -> dict[str, str]:
    return {rejected.name: rejected.why for rejected in survey(settings, model, 2).rejected}


def test_a_sample_has_boxes_and_phrases(source, tmp_path, tiny_model):
    data = load_data(options(source), tiny_model, 2, tmp_path / "cache")
    sample = data.train[0]
    boxes, phrases = sample["boxes"], sample["phrases"]
    assert boxes.shape == (4, 8, 5) and boxes.dtype == phrases.dtype == torch.float32
    for row, k in enumerate([0, 2, 3, 5]):  # the frames that are trained on
        torch.testing.assert_close(boxes[row, 0], torch.tensor([0.1 * k, 0.25, 0.1 * k + 0.25, 0.75, 1]))
    assert not boxes[:, 1:].any() and not phrases[1:].any()
    torch.testing.assert_close(phrases[:1], encode_phrases(tiny_model, ["cup"]))
    assert "boxes of 1 thing: cup" in str(data.report)
    assert collate([sample, sample])["boxes"].shape == (2, 4, 8, 5)


def test_without_the_setting_nothing_changes(source, tmp_path, tiny_model):
    plain = load_data(options(source, boxes=False), tiny_model, 2, tmp_path / "cache")
    assert not {"boxes", "phrases"} & set(plain.train[0]) and "boxes" not in str(plain.report)
    before = set((tmp_path / "cache").iterdir())
    (source / "cut.track.json").write_text("no track")
    load_data(options(source, boxes=False), tiny_model, 2, tmp_path / "cache")
    assert set((tmp_path / "cache").iterdir()) == before


def test_it_is_encoded_anew_when_the_track_changed(source, tmp_path, tiny_model):
    def sample():
        return load_data(options(source), tiny_model, 2, tmp_path / "cache").train[0]

    first = sample()
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(files) == 4  # the clip, its caption, the empty one, its phrases
    assert torch.equal(sample()["boxes"], first["boxes"])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == files
    (source / "cut.track.json").write_text(going("red tomato").to_json())
    assert not torch.equal(sample()["phrases"], first["phrases"])
    (source / "cut.track.json").write_text(STILL.to_json())
    torch.testing.assert_close(sample()["boxes"][:, 0], torch.tensor([0.25, 0.25, 0.5, 0.75, 1]).expand(4, 5))


def test_boxes_in_pixels_have_the_caption_for_a_name(source, tmp_path, tiny_model):
    (source / "cut.track.json").unlink()
    (source / "cut.boxes.txt").write_text("24,16,48,48\n" * 6)
    data = load_data(options(source), tiny_model, 2, tmp_path / "cache")
    torch.testing.assert_close(data.train[0]["boxes"][:, 0], torch.tensor([0.25, 0.25, 0.5, 0.75, 1]).expand(4, 5))
    torch.testing.assert_close(data.train[0]["phrases"][:1], encode_phrases(tiny_model, ["push the cup"]))
    assert not data.report.rejected, "the boxes are no caption without a video"
    (source / "cut.txt").write_text("push the tomato")
    again = load_data(options(source), tiny_model, 2, tmp_path / "cache")
    torch.testing.assert_close(again.train[0]["phrases"][:1], encode_phrases(tiny_model, ["push the tomato"]))


@pytest.mark.parametrize("name", ["track.json", "bbox.txt"])
def test_a_folder_of_pictures_may_hold_its_track(tmp_path, tiny_model, name):
    for k in range(4):
        save_png(noise()[k], tmp_path / "clips" / "pour" / f"{k}.png")
    (tmp_path / "clips" / "pour" / "caption.txt").write_text("pour")
    (tmp_path / "clips" / "pour" / name).write_text(STILL.to_json() if name == "track.json" else "24,16,48,48\n")
    sample = load_data(options(tmp_path / "clips"), tiny_model, 2, tmp_path / "cache").train[0]
    torch.testing.assert_close(sample["boxes"][:, 0], torch.tensor([0.25, 0.25, 0.5, 0.75, 1]).expand(4, 5))


def test_clips_without_a_track_are_named(source, tiny_model):
    for name in ("bare", "wrong", "two"):
        shutil.copy(source / "cut.mp4", source / f"{name}.mp4")
        (source / f"{name}.txt").write_text(name)
    (source / "wrong.track.json").write_text('{"things": 3}')
    (source / "two.track.json").write_text(STILL.to_json())
    (source / "two.boxes.txt").write_text("24,16,48,48\n")
    found = why(options(source), tiny_model)
    assert set(found) == {"bare", "wrong", "two.mp4"}
    assert "no box track: put bare.track.json beside it" in found["bare"]
    assert "wrong.track.json is not of the form" in found["wrong"]
    assert "two box tracks, two.track.json and two.boxes.txt" in found["two.mp4"]
    assert set(why(options(source, boxes=False), tiny_model)) == {"two.mp4"}


def test_what_is_cut_off_is_absent_and_what_is_never_seen_is_no_thing(tmp_path, tiny_model):
    """A clip three times as wide as the training picture: only its middle third stays."""
    here, left = (0.4, 0.2, 0.5, 0.8), (0.0, 0.2, 0.3, 0.8)
    comes = Thing.of_frames("ball", [left, left, here, here])
    track = Track((Thing.of_frames("dog", [left] * 4), comes, Thing.of_frames("cup", [here, None, here, here])))
    clip = TrainingClip("mine", MemoryClip(noise(4, (144, 32))), "play", track=track)
    data = load_data(options("a node", buckets=False), tiny_model, 2, tmp_path, clips=[clip])
    boxes = data.train[0]["boxes"]
    assert data.report.clips[0].things == ["ball", "cup"]
    assert boxes[:, 0, 4].tolist() == [0, 0, 1, 1] and boxes[:, 1, 4].tolist() == [1, 0, 1, 1]
    torch.testing.assert_close(boxes[2, 0], torch.tensor([0.2, 0.2, 0.5, 0.8, 1]), atol=1e-5, rtol=0)
    assert not boxes[boxes[..., 4] == 0].any()
    gone = TrainingClip("gone", MemoryClip(noise(4, (144, 32))), "play", track=Track(track.things[:1]))
    with pytest.raises(IVGError, match="no thing of its box track is in the part"):
        load_data(options("a node", buckets=False), tiny_model, 2, tmp_path, clips=[gone])


@settings(max_examples=300, deadline=None)
@given(st.integers(24, 120), st.integers(24, 120), st.data())
def test_a_box_and_a_mask_of_one_rectangle_land_on_the_same_pixels(width, height, data):
    x1, x2 = sorted(data.draw(st.lists(st.integers(0, width), min_size=2, max_size=2, unique=True)))
    y1, y2 = sorted(data.draw(st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True)))
    cut = cover((width, height), (48, 32))
    box = (x1 / width, y1 / height, x2 / width, y2 / height)
    mask = np.zeros((height, width), np.float32)
    mask[y1:y2, x1:x2] = 1
    there = cut(mask) > 0.5
    clip = TrainingClip("x", MemoryClip(torch.zeros(1)), "x", track=Track((Thing("x", (Keyframe(0, box),)),)))
    try:
        (((*found, present),),), _ = boxes_of(clip, Facts(width, height, 1, 8), [0], cut, None)
    except IVGError:
        assert not there.any() or min(there.any(0).sum(), there.any(1).sum()) <= 2, "less than a pixel is to be seen"
        return
    assert present == 1
    pixels = np.array(found) * (48, 32, 48, 32)
    if min(pixels[2:] - pixels[:2]) >= 2:  # so that some row and some column are covered as a whole
        rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
        edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        # A pixel is in the mask if half of it is covered.
        np.testing.assert_allclose(pixels, edges, atol=0.51 * max(1, cut.scaled[0] / width, cut.scaled[1] / height))


def test_boxes_are_held_still_with_the_picture():
    """The camera pans by 6 pixels a frame, and turns a little; a thing that stands keeps its box."""
    size, turn = (96, 64), np.array([[1, 0.02, -6], [0, 1, 2], [0, 0, 1]])
    homographies = np.stack([np.eye(3), turn])
    frames = np.zeros((2, 64, 96), np.uint8)
    frames[0, 20:40, 30:50] = frames[1, 10:30, 40:60] = 255
    steady = stabilise(frames, homographies) > 127
    moving = Track(
        (Thing.of_frames("x", [(30 / 96, 20 / 64, 50 / 96, 40 / 64), (40 / 96, 10 / 64, 60 / 96, 30 / 64)]),)
    )
    clip = TrainingClip("x", MemoryClip(torch.zeros(1)), "x", track=moving)
    cut = Cut(size, 0, 0, size)
    boxes, _ = boxes_of(clip, Facts(*size, 2, 8), [0, 1], cut, homographies)
    alone = frames.copy()
    alone[0] = 0
    rows, columns = (np.flatnonzero((stabilise(alone, homographies)[1] > 127).any(axis)) for axis in (1, 0))
    expected = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    np.testing.assert_allclose(boxes[1, 0, :4] * (96, 64, 96, 64), expected, atol=1.1)
    np.testing.assert_allclose(boxes[0, 0, :4], (30 / 96, 20 / 64, 50 / 96, 40 / 64), atol=1e-6)
    assert steady[1].any()


def got10k(folder, frames=5, size=(96, 64), meta=None):
    for k in range(frames):
        save_png(noise(frames, size)[k], folder / f"{k + 1:08d}.png")
    lines = ["[METAINFO]", "url: https://youtu.be/x", "begin: 00:00:13", "end: 00:00:23", "anno_fps: 10Hz"]
    kinds = ["object_class: brown bear", "motion_class: walking", "major_class: bear", "root_class: animal"]
    (folder / "meta_info.ini").write_text(
        "\n".join([*lines, *(kinds if meta is None else meta), "resolution: (96, 64)"])
    )
    rows = [f"{9.6 * k:.4f},16.0000,24.0000,32.0000" for k in range(frames)]
    (folder / "groundtruth.txt").write_text("\n".join(rows) + "\n")
    (folder / "absence.label").write_text("0\n0\n1\n0\n0\n")
    (folder / "cover.label").write_text("8\n" * frames)
    return folder


def test_got10k_folders(tmp_path, tiny_model):
    split = tmp_path / "train"
    got10k(split / "GOT-10k_Train_000001")
    got10k(split / "GOT-10k_Train_000002")
    (split / "list.txt").write_text("GOT-10k_Train_000001\nGOT-10k_Train_000002\n")
    data = load_data(options(split, frames=5), tiny_model, 2, tmp_path / "cache")
    assert not data.report.rejected and [about.name for about in data.report.clips] == [
        "GOT-10k_Train_000001",
        "GOT-10k_Train_000002",
    ]
    sample = data.train[0]
    assert sample["caption"] == "A brown bear that is walking." and data.report.clips[0].things == ["brown bear"]
    assert sample["boxes"][:, 0, 4].tolist() == [1, 1, 0, 1, 1]
    torch.testing.assert_close(sample["boxes"][3, 0], torch.tensor([0.3, 0.25, 0.55, 0.75, 1]))
    (alone,) = find_training_clips(options(split / "GOT-10k_Train_000001")).clips
    assert alone.caption == "A brown bear that is walking." and alone.track.phrases == ["brown bear"]


def test_got10k_folders_that_do_not_fit(tmp_path, tiny_model):
    def broken(name, file, text):
        (got10k(tmp_path / name) / file).write_text(text)

    got10k(tmp_path / "nameless", meta=[])
    broken("short", "groundtruth.txt", "1,2,3,4\n")
    broken("words", "groundtruth.txt", "a,b,c,d\n" * 5)
    broken("absent", "absence.label", "1\n" * 5)
    broken("outside", "groundtruth.txt", "-30,10,20,20\n" * 4 + "90,-10,40,40\n")
    broken("own", "caption.txt", "a bear goes by")
    found = find_training_clips(options(tmp_path))
    said = {rejected.name: rejected.why for rejected in found.rejected}
    assert set(said) == {"nameless", "short", "words", "absent"}
    assert "neither object_class nor motion_class" in said["nameless"] and "not of its 5 pictures" in said["short"]
    assert "not four numbers" in said["words"] and "absent in every frame" in said["absent"]
    clips = {clip.name: clip for clip in found.clips}
    outside = [key.box for key in clips["outside"].track.things[0].keyframes]
    assert outside[0] is None and outside[4] == pytest.approx((90 / 96, 0, 1, 30 / 64)), "clamped"
    assert clips["own"].caption == "a bear goes by" and clips["own"].track.phrases == ["brown bear"]


def youtube_vis(folder, things=2, frames=3, **changes):
    for k in range(frames):
        save_png(noise(frames)[k], folder / "JPEGImages" / "0043f083b5" / f"{5 * k:05d}.png")
    names = [f"0043f083b5/{5 * k:05d}.png" for k in range(frames)]
    video = {"id": 1, "width": 192, "height": 128, "length": frames, "file_names": names}
    boxes = [[[19.2 * k, 12.8, 40.0 + 5 * i, 64.0] for k in range(frames)] for i in range(things)]
    boxes[0][1] = None
    rows = [
        {"id": i, "video_id": 1, "category_id": 1 + i % 2, "iscrowd": 0, "areas": [9] * frames, "bboxes": box}
        for i, box in enumerate(boxes)
    ]
    kinds = [{"id": 1, "name": "ape", "supercategory": "object"}, {"id": 2, "name": "giant_panda"}]
    values = {"info": {}, "videos": [video], "annotations": rows, "categories": kinds} | changes
    (folder / "instances.json").write_text(json.dumps(values))
    return folder


def test_youtube_vis_splits(tmp_path, tiny_model):
    """The boxes are in the pixels that the list names, also where the pictures were made smaller."""
    split = youtube_vis(tmp_path / "train")
    data = load_data(options(split), tiny_model, 2, tmp_path / "cache")
    (about,) = data.report.clips
    assert (about.name, about.caption) == ("0043f083b5", "A giant panda and an ape.")
    assert about.things == ["giant panda", "ape"], "the largest first"
    boxes = data.train[0]["boxes"]
    assert boxes[:, 1, 4].tolist() == [1, 0, 1]
    torch.testing.assert_close(boxes[2, 0], torch.tensor([0.2, 0.1, 0.2 + 45 / 192, 0.6, 1]))


def test_of_many_things_the_largest_have_boxes(tmp_path, tiny_model):
    report = survey(options(youtube_vis(tmp_path / "train", things=11)), tiny_model, 2)
    assert len(report.clips[0].things) == 8 and "boxes of 8 things: " in str(report)
    assert "note: 3 smaller things have no boxes, since there is room for 8" in str(report)
    (clip,) = find_training_clips(options(tmp_path / "train")).clips
    widths = [next(key.box[2] - key.box[0] for key in thing.keyframes if key.box) for thing in clip.track.things]
    assert min(widths) == pytest.approx(55 / 192)


def test_lists_of_youtube_vis_that_do_not_fit(tmp_path):
    other = {"id": 2, "width": 192, "height": 128, "file_names": ["gone/00000.jpg"]}
    split = youtube_vis(tmp_path / "a", videos=[other])
    (rejected,) = find_training_clips(options(split)).rejected
    assert rejected.name == "gone" and "there is no folder" in rejected.why
    split = youtube_vis(tmp_path / "b", annotations=[{"video_id": 1, "category_id": 1, "bboxes": [None]}])
    (rejected,) = find_training_clips(options(split)).rejected
    assert "its boxes are not of its 3 pictures" in rejected.why
    split = youtube_vis(tmp_path / "c", annotations=[])
    assert "without any box" in find_training_clips(options(split)).rejected[0].why
    for values in ({"videos": [{"id": 1}]}, {"categories": 3}, {"videos": [other | {"width": 0}]}):
        split = youtube_vis(tmp_path / "d", **values)
        with pytest.raises(IVGError, match=r"instances.json is not the list of YouTube-VIS \("):
            find_training_clips(options(split))


def test_a_single_frame_is_the_middle_one(source, tmp_path, tiny_model):
    data = load_data(options(source, frames=1), tiny_model, 2, tmp_path / "cache", pixels=True)
    sample = data.train[0]
    assert data.report.clips[0].indices == [3] and sample["latents"].shape[1] == 1
    assert sample["boxes"].shape == (1, 8, 5)
    torch.testing.assert_close(sample["boxes"][0, 0], torch.tensor([0.3, 0.25, 0.55, 0.75, 1]))
    assert "one picture of it is taken: it teaches how things look" in str(data.report)
    write_video(noise(1), source / "cut.mp4", 8)
    (about,) = survey(options(source, frames=1), tiny_model, 2).clips
    assert about.indices == [0], "of one frame alone nothing is asked to move"


def test_a_drawn_clip_goes_all_the_way(tmp_path, tiny_model):
    scene = Scene(3)
    task = errand(scene)
    clip = carried_clip(scene, task, num_frames=4)
    frames, region = torch.from_numpy(clip.frames).float() / 255, torch.from_numpy(clip.rom).float() / 255
    given = TrainingClip("drawn", MemoryClip(frames), clip.text, region, clip.track)
    sample = load_data(options("x"), tiny_model, 2, tmp_path, clips=[given]).train[0]
    kept = sample["boxes"][:, : len(task.carries)]
    torch.testing.assert_close(kept, clip.track.boxes(4), atol=1e-5, rtol=0)
