import pytest
import torch

from ivg_core.errors import IVGError
from ivg_core.rom.preview import ORANGE, draw_rom, side_by_side

PICTURE = torch.full((32, 48, 3), 0.5)
MASK = torch.zeros(32, 48)
MASK[8:24, 12:36] = 1


def test_the_tint_is_as_strong_as_asked():
    assert torch.equal(draw_rom(PICTURE, MASK, opacity=0, contour=0), PICTURE)
    tinted = draw_rom(PICTURE, MASK, opacity=0.25, contour=0)
    assert torch.allclose(tinted[16, 20], 0.75 * PICTURE[16, 20] + 0.25 * torch.tensor(ORANGE))
    assert torch.equal(tinted[0, 0], PICTURE[0, 0])


def test_soft_values_tint_less():
    assert torch.allclose(draw_rom(PICTURE, 0.5 * MASK, 0.5, 0), draw_rom(PICTURE, MASK, 0.25, 0))


def test_the_outline_has_a_dark_rim():
    drawn = draw_rom(PICTURE, MASK, opacity=0, contour=2)
    assert torch.allclose(drawn[16, 12], torch.tensor(ORANGE), atol=0.3)
    assert drawn[16, 10].amax() < 0.1  # black, around it the grey
    assert torch.equal(drawn[16, 8], PICTURE[16, 8])
    assert torch.equal(drawn[16, 20], PICTURE[16, 20]) and torch.equal(drawn[0, 0], PICTURE[0, 0])


def test_an_empty_mask_draws_nothing_and_input_stays_as_it_was():
    before = PICTURE.clone()
    assert torch.equal(draw_rom(PICTURE, torch.zeros(32, 48)), before)
    draw_rom(PICTURE, MASK)
    assert torch.equal(PICTURE, before)


def test_side_by_side():
    both = side_by_side(PICTURE, PICTURE * 0)
    assert both.shape == (32, 100, 3) and torch.equal(both[:, :48], PICTURE) and both[:, 52:].max() == 0


def test_sizes_must_agree():
    with pytest.raises(IVGError, match="resize"):
        draw_rom(PICTURE, torch.zeros(8, 8))
