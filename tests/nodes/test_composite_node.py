import torch

from ivg_pack.nodes.composite import IVGCompositeRoM
from ivg_pack.nodes.preview import LAYOUTS, IVGPreviewRoM

PHOTO = 0.2 + 0.6 * torch.rand(1, 48, 64, 3, generator=torch.Generator().manual_seed(0))
MASK = torch.zeros(1, 48, 64)
MASK[:, 16:32, 20:40] = 1
FRAMES = (PHOTO + 0.1).repeat(3, 1, 1, 1)


def test_composite_puts_the_photo_back_and_reports():
    output = IVGCompositeRoM.execute(FRAMES, PHOTO, MASK, -1.0, True)
    frames, report = output.args
    assert torch.allclose(frames, PHOTO.expand_as(frames), atol=1e-3)
    assert "25.5" in report and output.ui.values == (report,)


def test_composite_leaves_colours_alone_when_told_to():
    frames, _ = IVGCompositeRoM.execute(FRAMES, PHOTO, MASK, 0.0, False).args
    assert torch.equal(frames[1, 20:28, 24:36], FRAMES[1, 20:28, 24:36])


def test_a_seam_and_an_outline_in_thousandths_of_the_width():
    thousandths = 1000 * 8 / 64
    wanted = IVGCompositeRoM.execute(FRAMES, PHOTO, MASK, 8.0, False)[0]
    found = IVGCompositeRoM.execute(FRAMES, PHOTO, MASK, thousandths, False, unit="1/1000 of the width")[0]
    assert torch.equal(found, wanted)
    automatic = IVGCompositeRoM.execute(FRAMES, PHOTO, MASK, -1.0, False, unit="1/1000 of the width")[0]
    assert torch.equal(automatic, IVGCompositeRoM.execute(FRAMES, PHOTO, MASK, -1.0, False)[0])
    outlined = IVGPreviewRoM.execute(PHOTO, MASK, 0.5, 32, LAYOUTS[0], unit="1/1000 of the width")[0]
    assert torch.equal(outlined, IVGPreviewRoM.execute(PHOTO, MASK, 0.5, 2, LAYOUTS[0])[0])


def test_composite_takes_frames_with_alpha():
    frames = torch.cat([FRAMES, torch.ones(3, 48, 64, 1)], -1)
    assert IVGCompositeRoM.execute(frames, PHOTO, MASK, -1.0, True)[0].shape == (3, 48, 64, 3)


def preview(layout=LAYOUTS[0], after=None, photo=PHOTO, mask=MASK):
    output = IVGPreviewRoM.execute(photo, mask, 0.5, 2, layout, after)
    assert torch.equal(output.ui.values[0], output[0])
    return output[0]


def test_preview_alone_and_beside_the_photo():
    one, two = preview(), preview(LAYOUTS[1])
    assert one.shape == (1, 48, 64, 3) and two.shape == (1, 48, 132, 3)
    assert torch.equal(two[:, :, :64], PHOTO) and torch.equal(two[:, :, 68:], one)


def test_preview_with_what_came_after():
    both = preview(LAYOUTS[1], after=FRAMES)
    assert both.shape == (3, 48, 132, 3)
    assert torch.equal(both[0, :, :64], preview()[0])
    assert torch.equal(both[1, 22:26, 68 + 26 : 68 + 34], FRAMES[1, 22:26, 26:34])  # no tint over the frames


def test_preview_fits_photo_and_mask_to_the_frames():
    assert preview(LAYOUTS[1], after=torch.rand(2, 24, 24, 3)).shape == (2, 24, 52, 3)


def test_preview_of_one_mask_a_frame():
    assert preview(mask=MASK.repeat(3, 1, 1)).shape == (3, 48, 64, 3)
