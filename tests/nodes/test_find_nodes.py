"""The nodes that find a region in a real photo, on drawn pictures whose hands and motion are known."""

import pytest
import torch

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.rom.find import find_rom, hands_in
from ivg_pack.ivg_core.synthetic.clips import Scene
from ivg_pack.nodes.find import IVGNameThings, IVGRoMFromThings, IVGRoMFromVideo
from ivg_pack.nodes.rom import IVGFallbackRoM

ONE, EACH, AS_IT_IS = "one outline", "outline each part", "as it is"


@pytest.fixture(scope="module")
def clip():
    """Frames (16, 212, 320, 3) with a hand in the first."""
    scene = Scene(900_009, 320, 212)
    return torch.from_numpy(scene.clip(scene.tasks[0], 16).frames).float() / 255


@pytest.fixture(scope="module")
def hands(clip):
    return hands_in(clip[0])


def keypoints_at(x: float, y: float, side: float = 20.0) -> list[dict]:
    """POSE_KEYPOINT of a photo of 320 x 212 with one square hand, its wrist below."""
    corners = [(x, y + side), *((x + dx * side / 4, y) for dx in range(5))]
    points = [value for i in range(21) for value in (*corners[0 if i == 0 else 1 + i % 5], 1.0)]
    person = {"hand_left_keypoints_2d": points, "hand_right_keypoints_2d": [0.0] * 63}
    return [{"canvas_width": 320, "canvas_height": 212, "people": [person]}]


def from_things(clip, grow=-1.0, big=0.2, shape=ONE, arms=False, **inputs):
    return IVGRoMFromThings.execute(clip[:1], grow, big, shape, arms, **inputs)


def from_video(frames, shape=AS_IT_IS, when_useless="hands and things", **inputs):
    return IVGRoMFromVideo.execute(frames, 1.0, 0.15, shape, 0.02, when_useless, **inputs)


def test_the_sentence_names_its_things():
    output = IVGNameThings.execute("The person cuts the carrot with a knife", 4, 2, "")
    assert (output[0], output[1]) == ("hand:4, carrot:2, knife:2", "carrot, knife")
    assert IVGNameThings.execute("cut the carrot", 0, 1, " pan , spoon")[0] == "pan:1, spoon:1"


def test_a_sentence_that_names_nothing_is_told():
    assert IVGNameThings.execute("julienne carrot", 4, 2, "")[0] == "hand:4"
    with pytest.raises(IVGError, match=r'No thing is named in "julienne carrot".*articles'):
        IVGNameThings.execute(" julienne carrot ", 0, 2, " ,")


def test_hands_alone_are_enough(clip, hands):
    output = from_things(clip, hands=hands)
    found = find_rom(clip[0], hands)
    assert torch.equal(output[0][0], found.mask) and torch.equal(output[1][0], hands)
    assert output[2].shape == (1, 212, 320, 3) and output[3].startswith("Made from the hands")


def test_keypoints_and_masks_of_hands_are_joined(clip, hands):
    near = from_things(clip, hands=hands, keypoints=keypoints_at(150, 20))[1][0]
    assert near[30, 154] == 1 and (near >= hands).all()


def test_arms_are_those_that_the_photo_shows(clip):
    photo = torch.full_like(clip[:1], 0.2)
    photo[:, 20:, 145:165] = torch.tensor([0.9, 0.6, 0.5])  # from the hand down to the border
    found = [from_things(photo, keypoints=keypoints_at(145, 20), arms=arms)[1][0] for arms in (False, True)]
    assert found[1][-1, 150:160].all() and not found[0][-1].any() and not found[1][:, 180:].any()
    assert not from_things(torch.full_like(photo, 0.2), keypoints=keypoints_at(145, 20), arms=True)[1][0][-1].any()


def test_things_and_their_outline(clip, hands):
    things = torch.zeros(2, 212, 320)
    things[0, 10:20, 10:20] = things[1, 190:200, 10:20] = 1
    one, each = (from_things(clip, shape=shape, things=things)[0][0] for shape in (ONE, EACH))
    assert one[105, 15] == 1 and each[105, 15] == 0
    union = from_things(clip, things=things.amax(0, keepdim=True), shape=EACH)[0][0]
    assert torch.equal(union, each)


def test_a_segmenter_that_finds_nothing_is_no_error_while_hands_are_there(clip, hands):
    nothing = torch.zeros(0, 212, 320)
    assert torch.equal(from_things(clip, things=nothing, hands=hands)[0], from_things(clip, hands=hands)[0])
    assert from_things(clip, things=hands[None], hands=nothing)[0].any()
    with pytest.raises(IVGError, match=r"Neither a hand nor a thing was found.*IVG Name Things"):
        from_things(clip, things=nothing, hands=nothing)


def test_without_anything_the_user_is_told_where_to_put_a_photo(clip):
    nobody = [{"canvas_width": 320, "canvas_height": 212, "people": []}]
    for inputs in ({}, {"keypoints": nobody}):
        with pytest.raises(IVGError, match="There is no hand in this photo: choose your own photo in Load Image"):
            from_things(clip, **inputs)


def test_a_draft_with_what_is_near(clip, hands):
    output = from_video(clip, image=clip[:1], near=hands[None])
    found = find_rom(clip[0], hands, draft=clip, shape="none")
    assert torch.equal(output[0][0], found.mask)
    assert output[1].shape == (16, 212, 320) and "of the draft moves" in output[3]


def test_the_hands_of_the_photo_are_looked_for(clip, hands):
    alone, given = from_video(clip, image=clip[:1]), from_video(clip, image=clip[:1], near=hands[None])
    assert torch.equal(alone[0], given[0])
    black = torch.zeros(1, 212, 320)
    assert torch.equal(from_video(clip, image=clip[:1], near=black)[0], given[0])


def test_a_draft_of_something_else_is_refused_or_stops(clip, hands):
    other = torch.from_numpy(Scene(900_002, 320, 212).photo()).float()[None] / 255
    output = from_video(clip, image=other, near=hands[None])
    assert "does not begin with the photo" in output[3] and (output[0][0] >= hands).all()
    with pytest.raises(IVGError, match="does not begin"):
        from_video(clip, image=other, near=hands[None], when_useless="error")


def test_refused_hands_alone_grow_by_more_than_refused_things(clip):
    still = clip[:1].expand(4, -1, -1, -1)
    by_hands = from_video(still, image=clip[:1], keypoints=keypoints_at(150, 100))[0]
    by_things = from_video(still, image=clip[:1], near=from_things(clip, keypoints=keypoints_at(150, 100))[1])[0]
    assert by_hands.sum() > by_things.sum() > 0


def test_the_fallback_is_one_outline_unless_pixels_are_set(clip):
    two = keypoints_at(40, 40)
    two[0]["people"] += keypoints_at(250, 40)[0]["people"]
    outline = IVGFallbackRoM.execute(clip[:1], "hands", -1, keypoints=two)[0][0]
    pixels = IVGFallbackRoM.execute(clip[:1], "hands", 32, keypoints=two)[0][0]
    assert outline[50, 150] == 1 and pixels[50, 150] == 0
    wider = IVGFallbackRoM.execute(clip[:1], "hands", -1, keypoints=two, share=0.2)[0][0]
    assert wider.sum() > outline.sum()
