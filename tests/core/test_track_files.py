"""Box tracks as files and from masks: what is read is what was written, and a wrong line is named."""

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.media.track_files import parse_track, read_track, write_boxes, write_track
from ivg_core.media.track_masks import track_of_masks
from ivg_core.media.tracks import EASINGS, Keyframe, Thing, Track, frame_times

SIZE = (640, 480)


@st.composite
def boxes(draw):
    x1, y1 = draw(st.floats(0, 0.9)), draw(st.floats(0, 0.9))
    return x1, y1, draw(st.floats(x1 + 1e-3, 1)), draw(st.floats(y1 + 1e-3, 1))


@st.composite
def things(draw):
    times = sorted(draw(st.sets(st.floats(0, 1), min_size=1, max_size=5)))
    keyframes = tuple(Keyframe(at, draw(st.none() | boxes())) for at in times)
    phrase = draw(st.text(st.characters(categories=("L", "N", "P"))).map(lambda text: f"cup {text}"))
    return Thing(phrase, keyframes, draw(st.sampled_from(EASINGS)))


@settings(max_examples=40, deadline=None)
@given(st.lists(things(), min_size=1, max_size=8))
def test_a_track_comes_back_from_its_file(tmp_path_factory, some):
    path = tmp_path_factory.mktemp("track") / "track.json"
    track = Track(tuple(some))
    assert write_track(track, path) == path and read_track(path) == track


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | boxes(), min_size=1, max_size=9).filter(any), st.tuples(*[st.integers(1, 9999)] * 2))
def test_boxes_of_frames_come_back_from_their_lines(tmp_path_factory, some, size):
    path = tmp_path_factory.mktemp("boxes") / "bbox.txt"
    write_boxes(Thing.of_frames("cup", some), path, len(some), size)
    (thing,) = read_track(path, "cup", size).things
    for time, box in zip(frame_times(len(some)), some, strict=True):
        assert thing.at(time) == (box and pytest.approx(box, abs=1e-7))


def test_lines_in_pixels(tmp_path, caplog):
    path = tmp_path / "bbox.txt"
    path.write_bytes(b"\xef\xbb\xbf0, 0, 320,240\r\n\r\n-\r\n320.0,240,640,480\r\n\r\n \r\n")
    with caplog.at_level(logging.INFO, logger="ivg"):
        track = read_track(path, "cup", SIZE)
    assert track.phrases == ["cup"]
    whole, gone = [0.0, 0.0, 0.5, 0.5, 1.0], [0.0] * 5
    assert track.boxes(4)[:, 0].tolist() == [whole, gone, gone, [0.5, 0.5, 1.0, 1.0, 1.0]]
    assert "holds 4 boxes: they are spread over the clip" in caplog.text


def test_any_number_of_frames_from_any_number_of_lines():
    track = parse_track("0,0,64,48\n64,0,128,48", "it", "cup", SIZE)
    assert track.boxes(5)[:, 0, 0].tolist() == pytest.approx([0, 0.025, 0.05, 0.075, 0.1])
    assert parse_track("0,0,64,48", "it", "cup", SIZE).boxes(3)[:, 0, 2].tolist() == pytest.approx([0.1] * 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0,0,10,10\n1,2,3", "Line 2 of it is '1,2,3': give four numbers"),
        ("1,2,3,4,5", "Line 1 of it"),
        ("1 2 3 4", "give four numbers"),
        ("1,2,3,nan", "give four numbers"),
        ("1,2,nan,4", "give four numbers"),
        ("1,2,3,inf", "give four numbers"),
        ("\n\n0,0,641,10", "Line 3 of it is 0,0,641,10, which leaves the photo of 640 x 480 pixels"),
        ("-1,0,6,10", "leaves the photo"),
        ("0,0,6,481", "leaves the photo"),
        ("9,0,6,10", "has no area: give the upper left corner first"),
        ("0,4,6,4", "has no area"),
        ("", "it holds no box"),
        ("\n-\n\n", "it holds no box"),
        ("{", "it is no JSON"),
        ("[" * 100_000, "it is no JSON (it is nested too deeply)"),
        ("[]", "it is not of the form"),
        ('{"things": []}', "holds 0 things"),
        (r'{"things": [{"phrase": "\ud800", "keyframes": [{"at": 0, "box": null}]}]}', "A phrase in it holds"),
    ],
)  # fmt: skip
def test_what_is_no_track_is_said_in_one_sentence(text, says):
    with pytest.raises(IVGError, match=r"\A.*\Z") as error:
        parse_track(text, "it", "cup", SIZE)
    assert says in str(error.value)


def test_pixels_need_a_photo_and_a_name():
    with pytest.raises(IVGError, match="give the phrase"):
        parse_track("0,0,1,1", "it", size=SIZE)
    with pytest.raises(IVGError, match="give the photo"):
        parse_track("0,0,1,1", "it", "cup")


def test_an_error_names_the_file(tmp_path):
    with pytest.raises(IVGError, match=r"none\.json cannot be read"):
        read_track(tmp_path / "none.json")
    (tmp_path / "odd.json").write_text('{"things": 3}')
    with pytest.raises(IVGError, match=r"odd\.json is not of the form"):
        read_track(tmp_path / "odd.json")


def test_the_box_around_a_mask():
    masks = torch.zeros(3, 40, 50)
    masks[0, 10:20, 5:15] = 1
    masks[2, 39, 49] = 0.6
    masks[2, 0, 0] = 0.5  # not above it
    (thing,) = track_of_masks(masks, "cup").things
    boxes = [key.box for key in thing.keyframes]
    assert boxes[0] == pytest.approx((0.1, 0.25, 0.3, 0.5)) and boxes[1] is None
    assert boxes[2] == pytest.approx((0.98, 0.975, 1, 1))
    assert len(track_of_masks(masks[0].byte() * 255, "cup").things[0].keyframes) == 1
    with pytest.raises(IVGError, match='masks of "cup" are empty in every frame'):
        track_of_masks(masks[1:2], "cup")
