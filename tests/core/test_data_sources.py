"""Finding clips, captions and masks; whatever does not fit is named and nothing takes its place."""

import json
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.media.images import save_png
from ivg_core.media.video import write_video
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.data.sources import find_training_clips


def clip(path: Path, caption: str | None = None) -> Path:
    write_video(torch.zeros(3, 16, 16, 3), path, 8)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption)
    return path


def look(source: Path, **options):
    """({name: caption}, {name: why})"""
    found = find_training_clips(DataSettings(str(source), **{"masks": "white", **options}))
    return {c.name: c.caption for c in found.clips}, {r.name: r.why for r in found.rejected}


def test_a_folder_of_clips_with_captions(tmp_path):
    clip(tmp_path / "cut.mp4", "cut the\n carrot \n")
    clip(tmp_path / "stir.gif", "stir")
    for i in range(3):
        save_png(torch.zeros(8, 8, 3), tmp_path / "pour" / f"{i}.png")
    (tmp_path / "pour" / "caption.txt").write_text("pour the milk")
    clip(tmp_path / ".hidden.mp4", "hidden")
    assert look(tmp_path) == ({"cut": "cut the carrot", "stir": "stir", "pour": "pour the milk"}, {})


def test_one_clip_and_one_folder_of_pictures(tmp_path):
    assert look(clip(tmp_path / "cut.mp4", "cut")) == ({"cut": "cut"}, {})
    save_png(torch.zeros(8, 8, 3), tmp_path / "pour" / "1.png")
    assert look(tmp_path / "pour", caption="pour") == ({"pour": "pour"}, {})


def test_the_released_list(tmp_path):
    clip(tmp_path / "videos" / "a.mp4")
    clip(tmp_path / "videos" / "b.mp4")
    entries = [
        {"caption": "cut", "video": "a.mp4"},
        {"caption": "slice", "video": "a.mp4"},
        {"caption": "cut", "video": "a.mp4"},
        {"caption": "", "video": "b.mp4"},
        {"caption": "gone", "video": "gone.mp4"},
        {"caption": "no video"},
    ]
    (tmp_path / "list.json").write_text(json.dumps(entries))
    clips, rejected = look(tmp_path / "list.json", videos=str(tmp_path / "videos"))
    assert clips == {"a": "cut", "a #2": "slice"}
    assert "listed twice" in rejected["a.mp4"]
    assert "no caption" in rejected["b.mp4"]
    assert "There is no video" in rejected["gone.mp4"]
    assert "no video" in rejected["entry 6 of list.json"]


def picture(path: Path, caption: str | None = None) -> Path:
    save_png(torch.rand(16, 16, 3), path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption)
    return path


def test_pictures_with_captions_of_their_own_are_no_film(tmp_path):
    picture(tmp_path / "a.png", "cut")
    picture(tmp_path / "b.png", "stir")
    picture(tmp_path / "c.png")
    clips, rejected = look(tmp_path)
    assert clips == {"a": "cut", "b": "stir"} and "no caption" in rejected["c.png"]
    assert look(tmp_path, caption="for all")[0] == {"a": "cut", "b": "stir", "c": "for all"}
    for number in (1, 2):
        picture(tmp_path / "numbered" / f"{number}.png", f"say {number}")
    assert look(tmp_path / "numbered")[0] == {"1": "say 1", "2": "say 2"}
    assert look(tmp_path)[0] == {"a": "cut", "b": "stir", "numbered/1": "say 1", "numbered/2": "say 2"}
    frames = [
        clip.media.facts().frames for clip in find_training_clips(DataSettings(str(tmp_path), masks="white")).clips
    ]
    assert frames == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "names",
    [
        ("1.png", "2.png", "10.png"),
        ("frame_0001.png", "frame_0002.png"),
        ("2024-03 cut 5.png", "2024-03 cut 10.png"),
        ("7.png",),
    ],
)
def test_a_numbered_sequence_is_a_film(tmp_path, names):
    for name in names:
        picture(tmp_path / "pour" / name)
    (tmp_path / "pour" / "caption.txt").write_text("pour")
    for source in (tmp_path, tmp_path / "pour"):
        assert look(source) == ({"pour": "pour"}, {})
    (tmp_path / "pour" / "caption.txt").unlink()
    assert look(tmp_path / "pour", caption="for all") == ({"pour": "for all"}, {})


@pytest.mark.parametrize("names", [("a.png", "b.png"), ("IMG_0301_11.png", "IMG_0302_12.png"), ("1.png", "x1.png")])
def test_other_names_are_pictures_unless_a_caption_holds_for_all(tmp_path, names):
    for name in names:
        picture(tmp_path / "pour" / name)
    assert set(look(tmp_path / "pour", caption="pour")[0]) == {name.removesuffix(".png") for name in names}
    (why,) = look(tmp_path)[1].values()
    assert "names are not numbered" in why
    (tmp_path / "pour" / "caption.txt").write_text("pour")
    assert look(tmp_path) == look(tmp_path / "pour") == ({"pour": "pour"}, {})


def test_beside_clips_a_picture_counts_by_its_caption(tmp_path):
    clip(tmp_path / "cut.mp4", "cut")
    picture(tmp_path / "cut.png")
    picture(tmp_path / "poster.png")
    picture(tmp_path / "pan.png", "a pan")
    assert look(tmp_path, caption="for all") == ({"cut": "cut", "pan": "a pan"}, {})


def test_one_picture_is_a_data_set(tmp_path):
    path = picture(tmp_path / "pan.jpg.png", "a pan")
    assert look(path) == look(tmp_path) == ({"pan.jpg": "a pan"}, {})
    path.rename(tmp_path / "pan.jpg.dng")
    for source in (tmp_path / "pan.jpg.dng", tmp_path):
        assert "cannot be read here" in look(source)[1]["pan.jpg.dng"]
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "1.cr2").touch()
    assert "cannot be read here" in look(tmp_path)[1]["frames"]


def test_frames_of_a_kind_that_cannot_be_read_are_named(tmp_path):
    for number in (1, 2):
        picture(tmp_path / "pour" / f"{number}.png")
    (tmp_path / "pour" / "3.dng").touch()
    clips, rejected = look(tmp_path / "pour", caption="pour")
    assert clips == {"pour": "pour"} and "cannot be read here" in rejected["3.dng"]


SAID = {
    "bom": (b"\xef\xbb\xbfstir the pan", "stir the pan"),
    "utf16": ("stir the pan".encode("utf-16"), "stir the pan"),
    "ansi": ("sauté the crème".encode("cp1252"), "sauté the crème"),
    "none": (b"\x81\x8d\0", None),
}


def test_captions_of_every_editor_are_read_and_others_are_named(tmp_path):
    for name, (data, _) in SAID.items():
        clip(tmp_path / f"{name}.mp4").with_suffix(".txt").write_bytes(data)
    clips, rejected = look(tmp_path)
    assert clips == {name: said for name, (_, said) in SAID.items() if said}
    assert list(rejected) == ["none.mp4"] and "none.txt is no text" in rejected["none.mp4"]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_as_a_caption_are_text_or_a_reason(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("clips")
    picture(folder / "a.png").with_suffix(".txt").write_bytes(data)
    clips, rejected = look(folder)
    assert len(clips) + len(rejected) == 1
    assert "\ufffd" not in clips.get("a", "") and clips.get("a", "x").encode().decode().strip()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_all_lists_of_the_released_code_are_read(tmp_path, encoding):
    clip(tmp_path / "videos" / "a.mp4")
    clip(tmp_path / "videos" / "sub" / "b.mp4")
    picture(tmp_path / "videos" / "pan.png")
    parts = [{"frame_index": 0, "prompt": "sauté", "clip_path": "sub\\b.mp4"}, {"frame_index": 9, "prompt": "stir"}]
    lists = {
        "image": ([{"image": "pan.png", "caption": "a crème"}], {"pan": "a crème"}),
        "video_blip": (
            {"name": "kitchen", "data": [{"video_path": "a.mp4", "num_frames": 16, "data": parts}]},
            {"b": "sauté", "a": "stir"},
        ),
    }
    for name, (values, said) in lists.items():
        (tmp_path / f"{name}.json").write_bytes(json.dumps(values, ensure_ascii=False).encode(encoding))
        assert look(tmp_path / f"{name}.json", videos=str(tmp_path / "videos")) == (said, {})


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"video": "a.mp4", "caption": 3}, "its caption is '3', which is no text"),
        ({"video": "a.mp4", "caption": ["cut"]}, "which is no text"),
        ({"video": "a.mp4", "caption": "cut \ud800"}, "what is no letter"),
        ({"video": ["a.mp4"], "caption": "cut"}, "its file is"),
        ({"video": "a\0.mp4", "caption": "cut"}, "what is no letter"),
        ({"video": "a" * 300 + ".mp4", "caption": "cut"}, "is too long for a name"),
        ({"video": "a" * 250 + ".mp4", "caption": "cut"}, "There is no video at"),
        ({"video": "~nobody-here/b.mp4", "caption": "cut"}, "a user whom this system does not know"),
        ({"video": "b.mp4", "caption": None}, "no caption"),
        ("a.mp4", "no video"),
        (None, "no video"),
    ],
)
def test_one_bad_entry_is_rejected_alone(tmp_path, entry, why):
    clip(tmp_path / "a.mp4")
    (tmp_path / "list.json").write_text(json.dumps([entry, {"video": "a.mp4", "caption": "stir"}]))
    clips, rejected = look(tmp_path / "list.json")
    assert clips == {"a": "stir"} and why in next(iter(rejected.values()))


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, "3", '{"data": 3}', '{"name": "x"}', "null", b"\x81\0", '{"data": [3, {"data": [3, null]}, {}]}'],
)
def test_a_list_that_is_none_is_one_sentence_or_rejected(tmp_path, content):
    (tmp_path / "list.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        clips, rejected = look(tmp_path / "list.json")
    except IVGError as error:
        assert str(error).startswith("data: ") and "\n" not in str(error)
        return
    assert not clips and len(rejected) == 4


@pytest.mark.parametrize("source", ["a\0", "a" * 300, "~nobody-here"])
def test_a_place_that_cannot_be_is_one_sentence(source, tmp_path):
    for options in ({"source": source}, {"source": str(tmp_path), "masks": source}):
        with pytest.raises(IVGError, match=r"nothing at|no folder of masks|null character|too long|does not know"):
            find_training_clips(DataSettings(**{"masks": "white", **options}))


def test_what_does_not_fit_is_named(tmp_path):
    clip(tmp_path / "a.mp4", "one")
    clip(tmp_path / "a.gif")
    clip(tmp_path / "silent.mp4", "  \n")
    (tmp_path / "lonely.txt").write_text("a caption")
    clips, rejected = look(tmp_path)
    assert clips == {"a": "one"}
    assert len(rejected) == 3
    assert "its name is also that of" in next(
        why for name, why in rejected.items() if "a.mp4" in name or "a.gif" in name
    )
    assert "no caption" in rejected["silent.mp4"]
    assert "has no video" in rejected["lonely.txt"]
    assert look(tmp_path, caption="for all")[0]["silent"] == "for all"


def test_masks_go_by_name(tmp_path):
    for name in ("one", "each", "none"):
        clip(tmp_path / f"{name}.mp4", name)
    masks = tmp_path / "masks"  # inside the source, and no clip
    save_png(torch.ones(8, 8), masks / "one.png")
    for i in range(3):
        save_png(torch.ones(8, 8), masks / "each" / f"{i}.png")
    found = find_training_clips(DataSettings(str(tmp_path), masks=str(masks)))
    assert {c.name: c.mask for c in found.clips} == {"each": masks / "each", "one": masks / "one.png"}
    (rejected,) = found.rejected
    assert rejected.name == "none.mp4" and "it has no mask" in rejected.why


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        (None, {}, "there is nothing at"),
        ("{", {}, "is no JSON"),
        ('{"caption": "a"}', {}, "holds no list"),
        ("[]", {"videos": "gone"}, "no folder of videos at gone"),
        ("[]", {"masks": "gone"}, "no folder of masks at gone"),
    ],
)
def test_a_source_that_is_none_is_one_sentence(tmp_path, content, options, sentence):
    path = tmp_path / "list.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(IVGError, match=f"^data: .*{re.escape(sentence)}") as error:
        look(path, **options)
    assert "\n" not in str(error.value)
