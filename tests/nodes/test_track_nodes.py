"""The nodes of box tracks: what was drawn, and what is taken from masks, hands, boxes and text."""

import json
import pathlib
import re

import pytest
import torch

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.media.track_picture import COLOURS
from ivg_pack.ivg_core.media.tracks import Keyframe, Thing, Track
from ivg_pack.ivg_core.rom.swept import swept
from ivg_pack.ivg_core.synthetic.clips import Scene
from ivg_pack.nodes.tracks import IVGBoxTrack, IVGBoxTrackFrom

LEFT, RIGHT = (0.1, 0.2, 0.3, 0.4), (0.6, 0.2, 0.8, 0.4)
CUP = Track((Thing("cup", (Keyframe(0, LEFT), Keyframe(1, RIGHT))),))
HAND = Track((Thing("hand", (Keyframe(0, LEFT), Keyframe(0.5, None))),))
PHOTO = torch.full((1, 100, 200, 3), 0.5)


def convert(phrase="cup", text="", **inputs):
    return IVGBoxTrackFrom.execute(phrase, text, **inputs)


def test_what_was_drawn_is_a_track_and_a_region_of_the_photos_size():
    output = IVGBoxTrack.execute(CUP.to_json(), PHOTO)
    assert output[0] == CUP and torch.equal(output[1], swept(CUP, (200, 100))[None])
    assert output[1][0, 30, 20:160].all() and not output[1][0, 50].any()
    assert output[2] == ("cup: goes from 20%, 30% to 70%, 30%, smooth\nThe region of motion covers 14% of the picture.")


def test_without_a_photo_the_mask_has_the_shape_of_the_empty_grid():
    output = IVGBoxTrack.execute(CUP.to_json())
    assert output[1].shape == (1, 512, 768) and output.ui["ivg_photo"] == []


def test_after_a_run_boxes_and_way_are_drawn_and_the_editor_gets_the_plain_photo():
    shown = IVGBoxTrack.execute(CUP.to_json(), PHOTO).ui
    ((drawn,),), (plain,) = shown["images"], shown["ivg_photo"]
    assert torch.equal(plain, PHOTO)
    assert drawn.shape == (384, 768, 3)  # a small photo is enlarged
    colours = [
        tuple(round(255 * value) for value in drawn[y, x].tolist()) for x, y in ((77, 100), (537, 115), (345, 115))
    ]
    assert colours == [(230, 159, 0)] * 3  # an edge of each box, and the way between their middles
    assert drawn[300, 400].tolist() == pytest.approx([0.5] * 3, abs=0.01)
    assert drawn[100, 300, 0] > drawn[100, 300, 2] + 0.1  # the region in orange


def test_editor_and_pictures_have_the_same_colours():
    script = (pathlib.Path(__file__).resolve().parents[2] / "web" / "js" / "box_track_picture.js").read_text("utf-8")
    written = re.findall(r'"#(\w{6})"', script.partition("COLOURS = [")[2].partition("]")[0])
    assert [tuple(bytes.fromhex(colour)) for colour in written] == list(COLOURS)


def test_the_things_of_another_track_come_first():
    both = IVGBoxTrack.execute(CUP.to_json(), also=HAND)[0]
    assert both.phrases == ["hand", "cup"]
    alone = IVGBoxTrack.execute('{"things": []}', also=HAND)
    assert alone[0] == HAND and alone[2].startswith("hand: stays at 20%, 30%; vanishes at 50% of the time")


@pytest.mark.parametrize("nothing", ["", '{"things": []}', '{"things":[]}'])
def test_nothing_drawn_is_told(nothing):
    with pytest.raises(IVGError, match="Nothing is drawn yet: drag on the picture"):
        IVGBoxTrack.execute(nothing, PHOTO)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10,20,30,40", "The drawn box track is no JSON: draw it anew"),
        ("{", "The drawn box track is no JSON"),
        ('{"things": [{"phrase": "cup"}]}', "The drawn box track is not of the form"),
        (CUP.to_json().replace("cup", " "), "has no name"),
    ],
)
def test_what_is_no_track_is_told(text, said):
    with pytest.raises(IVGError, match=said):
        IVGBoxTrack.execute(text)


def test_a_track_of_masks():
    masks = torch.zeros(3, 100, 200)
    masks[0, 20:40, 20:60] = masks[2, 20:40, 120:160] = 1
    track = convert(masks=masks)[0]
    assert track.phrases == ["cup"] and track.things[0].at(0) == LEFT and track.things[0].at(1) == RIGHT
    assert track.things[0].at(0.5) is None


def test_a_track_of_text():
    lines = "20,20,60,40\n120,20,160,40\n"
    assert convert(text=lines, image=PHOTO)[0].things[0].at(1) == RIGHT
    assert convert("", text=json.dumps(json.loads(CUP.to_json()), indent=1))[0] == CUP
    with pytest.raises(IVGError, match="The text counts pixels"):
        convert(text=lines)


def test_a_track_of_hands():
    scene = Scene(900_009, 320, 212)
    frames = torch.from_numpy(scene.clip(scene.tasks[0], 6).frames).float() / 255
    track = convert("", frames=frames)[0]
    assert set(track.phrases) <= {"left hand", "right hand"}


def box(x, y, width=40, height=20, **more):
    return {"x": x, "y": y, "width": width, "height": height, **more}


@pytest.mark.parametrize(
    ("boxes", "start", "end"),
    [
        (box(20, 20), LEFT, LEFT),
        ([box(20, 20), box(120, 20)], LEFT, LEFT),  # of one picture: the first
        ([[box(20, 20, score=0.9), box(0, 0)], [box(120, 20)]], LEFT, RIGHT),
        ([[], [box(120, 20)]], None, RIGHT),
        ([[box(-20, 20, 80)], [box(300, 20)]], (0, 0.2, 0.3, 0.4), None),  # cut at the edge; outside
    ],
)
def test_a_track_of_cores_boxes(boxes, start, end):
    thing = convert(boxes=boxes, image=PHOTO)[0].things[0]
    assert (thing.at(0), thing.at(1)) == (start, end)


@pytest.mark.parametrize(
    ("boxes", "image", "said"),
    [
        ([box(0, 0)], None, "connect it to image"),
        ([], PHOTO, "No box lies in the picture"),
        ([[]], PHOTO, "No box lies in the picture"),
        ([{"x": 1}], PHOTO, "no boxes of x, y, width and height"),
        ([3], PHOTO, "no boxes of x, y, width and height"),
        ([box(0, 0, None)], PHOTO, "no boxes of x, y, width and height"),
    ],
)
def test_what_are_no_boxes_is_told(boxes, image, said):
    with pytest.raises(IVGError, match=said):
        convert(boxes=boxes, image=image)


def test_one_source_is_given():
    with pytest.raises(IVGError, match="has nothing to convert: give it one of text, masks, frames, boxes"):
        convert()
    with pytest.raises(IVGError, match="takes one of text, masks, frames, boxes, and 2 are given"):
        convert(text="1,2,3,4", masks=torch.ones(1, 4, 4))


def test_tracks_can_be_chained():
    assert convert(text=CUP.to_json(), also=HAND)[0].phrases == ["hand", "cup"]
