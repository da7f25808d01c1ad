"""Clips with the workflow inside. What the real interface reads from them: tests/comfyui/test_rom_for_any_model.py."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ivg_core.errors import IVGError
from ivg_core.media.metadata import to_json, write_with_workflow
from ivg_core.media.video import read_video

FRAMES = torch.linspace(0, 1, 4)[:, None, None, None].expand(4, 16, 24, 3)
# Longer than one argument of a command may be, with everything that formats and readers trip over.
WORKFLOW = {"nodes": [{"text": 'one } brace; "quotes" = #\\ \n 切る é', "more": "x" * 200_000}]}
TAGS = {"workflow": WORKFLOW, "prompt": {"1": {"class_type": "IVGSampler"}}}


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_films_carry_it_whole(tmp_path, suffix):
    (path,) = write_with_workflow(FRAMES, tmp_path / f"a{suffix}", 8, TAGS)
    content = path.read_bytes()
    for value in TAGS.values():
        assert to_json(value).encode() in content
    assert content.index(b"IVGSampler") < 300_000, (
        "before the frames: the interface reads no further than 2 MB of a WebM"
    )
    frames, fps = read_video(path)
    assert frames.shape == (4, 16, 24, 3) and fps == 8
    assert [one.name for one in tmp_path.iterdir()] == [path.name]  # nothing is left lying about


def test_pngs_carry_it_each(tmp_path):
    paths = write_with_workflow(FRAMES, tmp_path / "a.png", 8, TAGS)
    assert [path.name for path in paths] == [f"a_{i:04d}.png" for i in (1, 2, 3, 4)]
    for path in paths:
        with Image.open(path) as picture:
            assert json.loads(picture.text["workflow"]) == WORKFLOW
        assert b"iTXt" not in path.read_bytes(), "older interfaces read iTXt wrong"


def test_beside_a_gif_lies_a_png(tmp_path):
    gif, png = write_with_workflow(FRAMES, tmp_path / "a.gif", 8, TAGS)
    assert read_video(gif)[0].shape[0] == 4
    with Image.open(png) as picture:
        assert json.loads(picture.text["prompt"]) == TAGS["prompt"]


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_without_tags_it_is_a_plain_clip(tmp_path, suffix):
    (path,) = write_with_workflow(FRAMES, tmp_path / f"a{suffix}", 8, {})
    assert len(read_video(path)[0]) == 4 and len(list(tmp_path.iterdir())) == 1


def test_an_ending_that_nobody_writes(tmp_path):
    with pytest.raises(IVGError, match=r"\.webm"):
        write_with_workflow(FRAMES, tmp_path / "a.avi", 8, TAGS)
    assert not list(tmp_path.iterdir())


@given(st.recursive(st.text() | st.integers() | st.booleans(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_json_has_no_brace_inside_a_string(value):
    text = to_json({"a": value})
    assert json.loads(text) == {"a": value} and text.isascii()
    depth = 0  # as the interface's WebM reader finds the end
    for i, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        assert depth > 0 or i == len(text) - 1
