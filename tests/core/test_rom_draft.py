"""Drafts are drawn clips, whose region of motion is exact; faults are those that the figures are measured with."""

import numpy as np
import pytest
import torch

from benchmarks.spoil import spoilt
from ivg_core.errors import IVGError
from ivg_core.evaluate.metrics.motion import mask_iou
from ivg_core.media.images import resize_image
from ivg_core.rom.camera import WIDTH, Camera, laid_over, reduced, stood_still
from ivg_core.rom.draft import begins_with, changes, moving_parts, rom_from_draft, uncrop
from ivg_core.rom.latent import crop_to
from ivg_core.synthetic.clips import Scene

SEED = 900_003


@pytest.fixture(scope="module")
def clip():
    """A drawn clip: frames (16, 128, 192, 3), its exact region (128, 192), and the hands of the first frame."""
    scene = Scene(SEED, 192, 128)
    drawn = scene.clip(scene.tasks[0], 16)
    return torch.from_numpy(drawn.frames).float() / 255, torch.from_numpy(drawn.rom_mask).float()


@pytest.fixture
def near():
    mask = torch.zeros(128, 192)
    mask[60:90, 80:120] = 1
    return mask


def moved(photo: torch.Tensor, dx: float, dy: float) -> torch.Tensor:
    """The photo as a camera sees it that pans by so many pixels."""
    return photo.roll((round(dy), round(dx)), (0, 1))


@pytest.mark.parametrize("fault", [None, "camera", "colours", "low", "all"])
def test_what_moves_is_found_through_every_fault(clip, fault):
    frames, truth = clip
    if fault:
        frames = spoilt(frames, fault, 1)
    found = rom_from_draft(frames, shape="none", grow=0.0)
    assert found.used and mask_iou(found.mask, truth) > 0.6


@pytest.mark.parametrize("seed", range(3))
def test_a_still_scene_before_a_moving_camera_does_not_move(seed):
    photo = torch.from_numpy(Scene(SEED + seed, 256, 176).photo()).float() / 255
    change, agreement = changes(spoilt(photo.expand(16, -1, -1, -1), "all", seed))
    assert moving_parts(change)[-1].mean() < 0.02 and agreement > 0.5


def test_the_camera_is_followed(clip):
    photo = clip[0][0]
    pictures = reduced(torch.stack([moved(photo, 3 * step, step) for step in range(5)]))
    camera = Camera(pictures[0])
    for picture in pictures[1:]:
        to_frame, agreement = camera.follow(picture)
    scale = WIDTH / 192
    assert to_frame[:2, 2] == pytest.approx([12 * scale, 4 * scale], abs=1.0)
    assert agreement > 0.8 and not stood_still(to_frame, pictures[0].shape)
    assert stood_still(np.eye(3), pictures[0].shape)


def test_masks_are_laid_over_the_first_frame():
    mask = torch.zeros(2, 100, 448)
    mask[:, 40:60, 200:240] = 1
    pan = np.array([[1, 0, 10.0], [0, 1, 5.0], [0, 0, 1]])  # at 224 pixels: 20 and 10 of the clip's
    laid = laid_over(mask, [np.eye(3), pan])
    assert torch.equal(laid[0], mask[0])
    assert torch.equal(laid[1, 30:50, 180:220], torch.ones(20, 40)) and laid[1].sum() == mask[1].sum()


def test_motion_counts_near_hands_and_things_only(clip, near):
    frames, _ = clip
    everywhere = rom_from_draft(frames, near=near, reach=0.0, shape="none", grow=0.0).mask
    close = rom_from_draft(frames, near=near, reach=0.05, shape="none", grow=0.0).mask
    assert (close >= near).all() and (everywhere >= near).all()
    assert close.sum() < everywhere.sum()


def test_sensitivity_finds_weaker_motion(clip):
    frames, _ = clip
    faint = torch.lerp(frames[:1], frames, 0.25)
    assert rom_from_draft(faint, sensitivity=4.0).moving > rom_from_draft(frames).moving / 2
    with pytest.raises(IVGError, match="Nothing moves"):
        rom_from_draft(faint, sensitivity=0.25)


def test_the_draft_of_a_cropped_photo_lies_in_its_middle(clip):
    frames, _ = clip  # 3 : 2
    photo = torch.nn.functional.pad(frames[0], (0, 0, 32, 32))  # (128, 256, 3), black at both sides
    found = rom_from_draft(frames, photo, shape="none", grow=0.0)
    alone = rom_from_draft(frames, shape="none", grow=0.0)
    assert found.mask.shape == (128, 256) and found.frame_masks.shape == (16, 128, 256)
    assert found.mask[:, :32].sum() == 0 and mask_iou(found.mask[:, 32:-32], alone.mask) > 0.9


@pytest.mark.parametrize("size", [(100, 60), (60, 100), (97, 64)])
def test_uncrop_undoes_the_crop(size):
    width, height = size
    middle = crop_to(torch.ones(height, width), (64, 40))
    placed = uncrop(torch.ones(1, 40, 64), size)
    assert placed.shape == (1, height, width) and placed.sum() == middle.numel()
    assert crop_to(placed, (64, 40)).min() == 1


def test_a_big_photo_costs_no_mask_a_frame_of_its_size(clip):
    frames, _ = clip
    photo = resize_image(frames[0], (2400, 1600))
    found = rom_from_draft(frames, photo)
    assert found.mask.shape == (1600, 2400) and found.frame_masks.shape[-1] == 1024
    assert set(found.mask.unique().tolist()) == {0.0, 1.0}


def test_a_draft_of_another_scene_is_refused(clip, near):
    frames, _ = clip
    photo = torch.from_numpy(Scene(SEED + 7, 192, 128).photo()).float() / 255
    assert begins_with(frames[0], photo) < 0.6 <= begins_with(frames[0], frames[0])
    found = rom_from_draft(frames, photo, near)
    assert not found.used and "does not begin with the photo" in found.report
    assert (found.mask >= near).all() and found.mask.mean() < 0.3
    for how in ({"near": None}, {"near": near, "when_useless": "error"}):
        with pytest.raises(IVGError, match="does not begin with the photo"):
            rom_from_draft(frames, photo, **how)


def test_a_draft_that_leaves_the_scene_is_refused(clip, near):
    frames, _ = clip
    others = [torch.from_numpy(Scene(SEED + step, 192, 128).photo()).float() / 255 for step in range(1, 8)]
    jumping = torch.stack([frames[0], *others])
    found = rom_from_draft(jumping, frames[0], near)
    assert not found.used and "leaves the scene" in found.report
    alone = rom_from_draft(jumping, frames[0])
    assert alone.used and "taken all the same" in alone.report
    with pytest.raises(IVGError, match="leaves the scene"):
        rom_from_draft(jumping, frames[0], when_useless="error")


def test_a_draft_that_hardly_moves_leaves_hands_and_things(clip, near):
    still = clip[0][:1].expand(8, -1, -1, -1)
    found = rom_from_draft(still, near=near, grow_alone=0.1)
    assert not found.used and "hardly moves" in found.report and found.frame_masks.shape[0] == 8
    assert found.mask.sum() > rom_from_draft(still, near=near, grow_alone=0.0).mask.sum()
    with pytest.raises(IVGError, match="Nothing moves in the draft"):
        rom_from_draft(still)


def test_a_draft_that_moves_everywhere_is_told(clip):
    photo = clip[0][0]
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(6, 16, 24, 3, generator=rng).repeat_interleave(8, 1).repeat_interleave(8, 2)
    noise[:, :, :50] = photo[:, :50]  # a quarter stays as it is
    found = rom_from_draft(torch.cat([photo[None], noise]), photo)
    assert "moves everywhere" in found.report and found.moving > 0.6


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"sensitivity": 9}, "sensitivity is 9"),
        ({"reach": -1}, "reach is -1"),
        ({"when_useless": "stop"}, 'when_useless is "stop"'),
    ],
)
def test_wrong_arguments_are_named(clip, wrong, why):
    with pytest.raises(IVGError, match=why):
        rom_from_draft(clip[0], **wrong)


def test_one_frame_is_no_draft(clip):
    with pytest.raises(IVGError, match="at least two"):
        rom_from_draft(clip[0][:1])
