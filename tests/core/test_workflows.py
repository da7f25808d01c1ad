"""The workflow files by themselves, without a ComfyUI: how they lie, what they load, what their notes promise."""

import itertools
import json
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from ivg_core.media.track_masks import bounding_box
from ivg_core.media.tracks import Track
from ivg_core.synthetic.clips import Scene
from ivg_core.synthetic.dataset import HELD_OUT_SEED
from ivg_core.synthetic.props import outline

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "workflows").glob("*.json"))
FOR_PHOTOS = [path for path in FILES if int(path.stem.split("_")[1]) < 20]
TITLE = 30  # pixels, above a node's place


def nodes_of(path: pathlib.Path) -> list[dict]:
    return json.loads(path.read_text("utf-8"))["nodes"]


def note_of(path: pathlib.Path) -> str:
    return next(node["widgets_values"][0] for node in nodes_of(path) if node["type"] == "MarkdownNote")


def rectangle(node: dict) -> tuple[float, float, float, float]:
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, x + width, y + height


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_node_lies_over_another(path):
    for one, other in itertools.combinations(nodes_of(path), 2):
        a, b = rectangle(one), rectangle(other)
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (one["type"], other["type"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_node_but_the_note_lies_in_one_of_the_frames(path):
    groups = json.loads(path.read_text("utf-8"))["groups"]
    frames = [(x, y, x + width, y + height) for x, y, width, height in (group["bounding"] for group in groups)]
    for one, other in itertools.combinations(frames, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1], path.stem
    for node in nodes_of(path):
        left, top, right, low = rectangle(node)
        around = [f for f in frames if f[0] < left and f[1] < top and right < f[2] and low < f[3]]
        assert len(around) == (node["type"] != "MarkdownNote"), node["type"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_frames_are_numbered_from_left_to_right_and_have_colours(path):
    groups = sorted(json.loads(path.read_text("utf-8"))["groups"], key=lambda group: group["title"])
    assert [group["title"].split()[0] for group in groups] == [str(n) for n in range(1, len(groups) + 1)]
    assert len(groups) >= 2 and [g["bounding"][0] for g in groups] == sorted(g["bounding"][0] for g in groups)
    assert len({group["color"] for group in groups}) == len(groups)


def test_thumbnails_differ_and_none_is_a_white_rectangle():
    pictures = {path.stem: np.asarray(Image.open(path.with_suffix(".jpg")).convert("L"), dtype=float) for path in FILES}
    for name, picture in pictures.items():
        assert (picture > 250).mean() < 0.2, name
    for one, other in itertools.combinations(pictures, 2):
        assert np.abs(pictures[one] - pictures[other]).mean() > 3, (one, other)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_note_names_only_workflows_that_are_there(path):
    named = {name.rstrip("_") for name in re.findall(r"\bivg_\w+", note_of(path))}
    known = {other.stem for other in FILES} | {"ivg_example"}
    assert named <= known


@pytest.mark.parametrize("path", FOR_PHOTOS, ids=lambda path: path.stem)
def test_a_workflow_for_photos_begins_with_the_picture_that_every_comfyui_has(path):
    nodes = nodes_of(path)
    (photo,) = [node for node in nodes if node["type"] == "LoadImage"]
    assert photo["widgets_values"][0] == "example.png"
    assert "Load Image" in note_of(path) and not any(node["type"] == "IVGExampleScene" for node in nodes)


@pytest.mark.parametrize("path", FOR_PHOTOS, ids=lambda path: path.stem)
def test_a_note_says_what_its_models_take(path):
    models = [model["name"] for node in nodes_of(path) for model in node["properties"].get("models", [])]
    note = note_of(path)
    assert all(f"[{name}]" in note for name in models)
    assert ("GB of disk" in note and "**Memory:**" in note) == bool(models)


@pytest.mark.parametrize("name", ["ivg_20_drawn_photo_to_video", "ivg_21_few_words_to_video", "ivg_24_many_videos"])
def test_a_workflow_with_the_embedded_model_says_what_that_knows(name):
    note = note_of(ROOT / "workflows" / f"{name}.json")
    assert "drawn scenes only" in note and "ivg_01_real_photo" in note


def test_the_box_track_begins_around_its_thing_in_the_photo_and_ends_well_inside():
    widgets = {node["type"]: node["widgets_values"] for node in nodes_of(ROOT / "workflows" / "ivg_28_box_track.json")}
    scene = Scene(HELD_OUT_SEED + widgets["IVGExampleScene"][0])
    (thing,) = Track.of_json(json.loads(widgets["IVGBoxTrack"][0])).things
    (prop,) = [prop for prop in scene.props if f"{prop.colour} {prop.kind}" == thing.phrase]
    assert thing.at(0) == pytest.approx(bounding_box(outline(prop, (scene.height, scene.width)) > 0.5), abs=0.01)
    x1, y1, x2, y2 = thing.at(1)
    assert min(x1, y1) > 0.1 and max(x2, y2) < 0.9 and x1 - thing.at(0)[0] > 0.3
