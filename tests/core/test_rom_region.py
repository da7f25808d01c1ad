import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.rom.region import BIG, GROW, REACH, closed, needed, region_around

SIZE = (60, 100)  # height, width


def box(top: int, left: int, bottom: int, right: int, size: tuple[int, int] = SIZE) -> torch.Tensor:
    mask = torch.zeros(size)
    mask[top:bottom, left:right] = 1
    return mask


boxes = st.builds(
    lambda top, left, height, width: box(top, left, min(top + height, 60), min(left + width, 100)),
    st.integers(0, 55), st.integers(0, 95), st.integers(1, 30), st.integers(1, 40),
)  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(boxes, boxes, st.sampled_from(["one", "each", "none"]), st.floats(0, 0.2))
def test_a_region_holds_its_core_and_an_outline_holds_its_parts(one, other, shape, grow):
    core = torch.maximum(one, other)
    region = region_around(core, grow=grow, shape=shape)
    assert set(region.unique().tolist()) <= {0.0, 1.0}
    assert (region >= core).all()
    wider = region_around(core, grow=grow, shape={"none": "each", "each": "one", "one": "one"}[shape])
    assert (wider >= region).all()


def test_one_outline_takes_in_the_way_between_hand_and_thing():
    core = torch.maximum(box(10, 10, 20, 20), box(40, 70, 50, 90))
    assert region_around(core, grow=0.0)[30, 48] == 1
    assert region_around(core, grow=0.0, shape="each")[30, 48] == 0


def test_lengths_are_shares_of_the_width():
    small = region_around(box(20, 40, 30, 60), grow=0.1)
    large = region_around(box(40, 80, 60, 120, (120, 200)), grow=0.1)
    assert small.sum().item() == pytest.approx(large.sum().item() / 4, rel=0.1)
    assert small[25].nonzero().min() == 40 - 10  # a tenth of 100 pixels


def test_a_big_thing_counts_near_the_hands_only():
    hands, table = box(0, 0, 10, 10), box(0, 20, 60, 100)
    assert table.mean() > BIG
    found = needed(hands, [table])
    assert found[5, 20] == 1 and found[:, 10 + int(REACH * 100) + 1 :].sum() == 0
    assert needed(hands, [table], big=1.0).sum() == hands.sum() + table.sum()
    assert needed(torch.zeros(SIZE), [table]).sum() == table.sum()  # near what?


def test_small_things_count_wherever_they_are():
    carrot = box(50, 80, 55, 95)
    assert needed(box(0, 0, 10, 10), [carrot]).sum() == 100 + carrot.sum()


def test_closing_does_not_cling_to_the_border():
    mask = box(20, 3, 30, 40)
    assert torch.equal(closed(mask, 8), mask)
    assert closed(torch.maximum(mask, box(20, 45, 30, 60)), 4)[25, 42] == 1


def test_nothing_gives_nothing():
    assert region_around(torch.zeros(SIZE), grow=GROW).sum() == 0


@pytest.mark.parametrize(("wrong", "why"), [({"grow": 2.0}, "grow is 2.0"), ({"grow": 0.1, "shape": "round"}, "round")])
def test_wrong_arguments_are_named(wrong, why):
    with pytest.raises(IVGError, match=why):
        region_around(box(0, 0, 5, 5), **wrong)


def test_a_wrong_share_for_big_things_is_named():
    with pytest.raises(IVGError, match="big is 20"):
        needed(torch.zeros(SIZE), [], big=20)
