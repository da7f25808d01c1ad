"""Finding clips, captions and masks; whatever does not fit is named and nothing takes its place."""

import json
import re
from pathlib import Path

import pytest
import torch

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
