"""The Region of Motion of a box track: all that its boxes pass over, and nothing else."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.media.track_masks import track_of_masks
from ivg_core.media.tracks import Keyframe, Thing, Track
from ivg_core.rom.swept import swept


def way(*boxes, easing="linear"):
    times = [index / max(len(boxes) - 1, 1) for index in range(len(boxes))]
    return Track((Thing("cup", tuple(map(Keyframe, times, boxes)), easing),))


@pytest.mark.parametrize("easing", ["linear", "smooth"])
def test_a_diagonal_way(easing):
    """A square of 2 pixels goes from one corner of 10 x 10 to the other: what it touches is a band."""
    steps = torch.arange(10)
    band = ((steps - steps[:, None]).abs() <= 2).float()  # its corners pass a little of the second diagonal beside it
    assert torch.equal(swept(way((0, 0, 0.2, 0.2), (0.8, 0.8, 1, 1), easing=easing), (10, 10)), band)


def test_a_box_that_stays_is_itself():
    mask = torch.zeros(100, 100)
    mask[57:58, 29:33] = 1  # 29 / 100 * 100 is a little less than 29, as is 57 / 100 * 100 than 57
    assert torch.equal(swept(track_of_masks(mask, "cup"), (100, 100)), mask)


def test_what_a_box_touches_counts_however_little():
    assert swept(way((0.31, 0.31, 0.32, 0.32)), (10, 10)).nonzero().tolist() == [[3, 3]]
    assert swept(way((0.29, 0.3, 0.41, 0.4)), (10, 10)).nonzero().tolist() == [[3, 2], [3, 3], [3, 4]]


def test_a_thing_marks_nothing_while_it_is_not_there():
    left, right = (0, 0, 0.1, 0.1), (0.9, 0.9, 1, 1)
    mask = swept(way(left, None, right), (10, 10))
    assert mask.nonzero().tolist() == [[0, 0], [9, 9]]
    assert not swept(way(None), (10, 10)).any()


def test_several_things_and_growth():
    track = Track.joined([way((0, 0, 0.1, 0.1)), way((0.5, 0.5, 0.6, 0.6))])
    assert swept(track, (10, 10)).sum() == 2
    assert swept(track, (10, 10), grow=0.1).sum() == 3 + 5  # a corner with two neighbours, and a cross
    with pytest.raises(IVGError, match="grow is 2"):
        swept(track, (10, 10), grow=2)


def test_the_very_edge_of_the_picture():
    assert swept(way((1 - 1e-16, 0, 1, 1)), (10, 10)).shape == (10, 10)
    assert swept(way((0, 0, 1, 1)), (7, 3)).all()


shares = st.floats(0, 1)
some_boxes = st.tuples(shares, shares, shares, shares).map(
    lambda v: (min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3]))
).filter(lambda b: b[2] - b[0] > 0.01 and b[3] - b[1] > 0.01)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(some_boxes, some_boxes, st.integers(1, 40), st.integers(1, 40))
def test_nothing_is_missing_and_nothing_too_much(start, goal, width, height):
    """Beside boxes at many moments: each lies inside, and together they leave only what none of them hit by chance."""
    track = way(start, goal)
    moments = track.boxes(400)[:, 0, :4].double() * torch.tensor([width, height, width, height])  # (T, 4)

    def touched(edge):
        """Pixels that a box overlaps by `edge` pixels at one of the moments."""
        columns = (torch.arange(width) + 1 - edge > moments[:, :1]) & (torch.arange(width) + edge < moments[:, 2:3])
        rows = (torch.arange(height) + 1 - edge > moments[:, 1:2]) & (torch.arange(height) + edge < moments[:, 3:])
        return (rows[:, :, None] & columns[:, None]).any(0)

    mask = swept(track, (width, height)).bool()
    assert mask[touched(1e-3)].all() and touched(-0.25)[mask].all()
