"""The one list of what a network is told: sliced, joined and moved field by field."""

import dataclasses

import pytest
import torch

from ivg_core.errors import IVGError
from ivg_core.models.codec import LatentGrid
from ivg_core.models.told import Told


def told(batch=2, frames=1) -> Told:
    return Told(
        torch.rand(batch, 77, 8),
        torch.rand(batch, 4, 1, 2, 3),
        torch.rand(batch, 1, frames, 2, 3),
        torch.rand(batch),
        torch.rand(batch, frames, 8, 5),
        torch.rand(batch, frames, 8, 8),
        torch.rand(batch, 1, 8, 5),
        torch.rand(batch, 4, 1, 2, 3),
        torch.rand(batch, frames, 2),
        torch.rand(batch, 5, frames, 2, 3),
        torch.rand(batch, 3, frames, 16, 24),
        torch.arange(batch),
        {"pooled": torch.rand(batch, 6), "seen": torch.ones(batch, 7, dtype=torch.int64), "index": 0, "none": None},
    )


def equal(one: Told, other: Told) -> bool:
    names = [field.name for field in dataclasses.fields(Told) if field.name != "also"]
    pairs = [(getattr(one, name), getattr(other, name)) for name in names]
    pairs += [(one.also[key], other.also[key]) for key in ("pooled", "seen")]
    plain = all(one.also[key] == other.also[key] for key in ("index", "none"))
    return plain and all(torch.equal(*pair) for pair in pairs)


def test_rows_and_cat_are_each_others_way_back():
    whole = told(3)
    assert equal(Told.cat([whole.rows(slice(i, i + 1)) for i in range(3)]), whole)


def test_what_holds_for_all_clips_is_repeated_when_joined_and_kept_when_sliced():
    shared = dataclasses.replace(told(2), mask=torch.rand(1, 1, 1, 2, 3))
    assert shared.rows(slice(1, 2)).mask is shared.mask
    both = Told.cat([shared, told(2)])
    assert both.mask.shape[0] == 4 and torch.equal(both.mask[0], both.mask[1])


def test_a_window_of_frames_takes_its_part_of_what_changes_in_time():
    whole = told(2, frames=6)
    part = whole.frames(slice(2, 5))
    assert torch.equal(part.mask, whole.mask[:, :, 2:5])
    assert torch.equal(part.said, whole.said[:, 2:5]) and torch.equal(part.beside, whole.beside[:, :, 2:5])
    assert torch.equal(part.control, whole.control[:, :, 2:5])
    assert torch.equal(part.boxes, whole.boxes[:, 2:5]) and torch.equal(part.phrases, whole.phrases[:, 2:5])
    assert part.photo.shape == whole.photo.shape and torch.equal(part.text, whole.text)


def test_motion_strength_and_boxes_stay_in_single_precision():
    half = told().to(dtype=torch.bfloat16)
    assert {x.dtype for x in (half.text, half.photo, half.mask, half.phrases, half.seen)} == {torch.bfloat16}
    assert half.motion.dtype == half.boxes.dtype == half.said.dtype == torch.float32
    assert half.begins.dtype == half.also["seen"].dtype == torch.int64 and half.also["pooled"].dtype == torch.float32


def test_what_one_batch_is_told_as_one_may_not_differ():
    one, other = told(1), told(1)
    with pytest.raises(IVGError, match="differ in index"):
        Told.cat([one, dataclasses.replace(other, also={**other.also, "index": 1})])


def test_sentences_of_two_lengths_are_no_batch():
    one = told(1)
    for other, what in (
        (dataclasses.replace(one, text=one.text[:, :9]), "text"),
        (dataclasses.replace(one, also={**one.also, "seen": one.also["seen"][:, :3]}), "seen"),
    ):
        with pytest.raises(IVGError, match=f"differ in the length of their {what}: set batch_size to 1"):
            Told.cat([one, other])


def test_what_is_not_told_stays_untold():
    bare = Told(torch.rand(1, 77, 8), torch.rand(1, 4, 1, 2, 3))
    for one in (bare.to(dtype=torch.float64), bare.rows(slice(0, 1)), Told.cat([bare, bare]), bare.frames(slice(0, 1))):
        assert one.mask is None and one.motion is None


def test_a_latent_frame_shows_the_brightest_of_its_frames():
    frames = torch.zeros(9, 1, 2)
    frames[0, 0, 0], frames[3, 0, 1] = 0.5, 1
    assert LatentGrid(3, 1, 2, 8, 4).brightest(frames).tolist() == [[[0.5, 0]], [[0, 1]], [[0, 0]]]
    assert LatentGrid(9, 1, 2, 8, 1).brightest(frames) is frames
