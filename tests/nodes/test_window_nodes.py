import pytest
import torch

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.nodes.composite import IVGCompositeRoM
from ivg_pack.nodes.window import IVGCropToRoM, IVGStitchRoM

PHOTO = 0.2 + 0.6 * torch.rand(1, 101, 150, 3, generator=torch.Generator().manual_seed(0))
MASK = torch.zeros(1, 101, 150)
MASK[:, 40:60, 50:80] = 1


def crop(image=PHOTO, mask=MASK, region="zoom", size=(96, 64), multiple=8, context=0.1):
    return IVGCropToRoM.execute(image, mask, region, *size, multiple, context)


def test_the_window_goes_out_and_its_frames_come_back_in_the_photos_size():
    output = crop()
    image, mask, window, width, height, report = output.args
    assert image.shape == (1, height, width, 3) and mask.shape == (1, height, width) and (width, height) == (96, 64)
    assert "fewer tokens" in report and torch.equal(output.ui.values[0], image)
    assert mask[0, height // 2, width // 2] == 1 and mask[0, 0, 0] == 0
    frames = torch.zeros(3, height, width, 3)
    stitched, said = IVGStitchRoM.execute(frames, window, 0.02, True).args  # 3 pixels
    outside = torch.ones(101, 150, dtype=torch.bool)
    outside[37:63, 47:83] = False
    assert stitched.shape == (3, 101, 150, 3) and said
    assert torch.equal(stitched[:, outside], PHOTO[0, outside].expand(3, -1, -1))
    assert (stitched[:, 36:64, 46:84] != PHOTO[:, 36:64, 46:84]).any(-1).sum() > 3 * 30 * 20


def test_crop_keeps_the_detail_of_a_video_of_the_whole_photo():
    *_, width, height, _ = crop(region="crop").args
    assert (width, height) == (40, 32)  # 60 x 50 of the photo's pixels, two thirds as many each way


def test_one_mask_a_frame_and_alpha():
    masks = torch.cat([MASK, MASK.roll(20, 2)])
    output = crop(torch.cat([PHOTO, torch.ones(1, 101, 150, 1)], -1), masks)
    image, mask, window, width, height, _ = output.args
    assert image.shape[-1] == 3 and len(mask) == 2
    stitched = IVGStitchRoM.execute(torch.zeros(2, height, width, 4), window, 0.0, False)[0]
    assert (stitched[0, 50, 55] == 0).all() and torch.equal(stitched[1, 50, 55], PHOTO[0, 50, 55])


def test_a_mask_of_another_size_is_stretched_and_an_empty_one_refused(caplog):
    crop(mask=MASK[:, ::2, ::2])
    assert "stretched" in caplog.text
    with pytest.raises(IVGError, match="The mask is empty"):
        crop(mask=torch.zeros(1, 101, 150))


def test_composite_keeps_the_photos_size_when_told_to():
    frames = torch.zeros(2, 64, 96, 3)
    small = IVGCompositeRoM.execute(frames, PHOTO, MASK, 0.0, False)[0]
    assert small.shape == (2, 64, 96, 3)
    large = IVGCompositeRoM.execute(frames, PHOTO, MASK, 0.0, False, "photo")[0]
    assert large.shape == (2, 101, 150, 3) and (large[:, 40:60, 50:80] == 0).all()
    assert torch.equal(large[:, :40], PHOTO[:, :40].expand(2, -1, -1, -1))
