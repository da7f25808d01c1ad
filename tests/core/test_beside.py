"""What stands beside the latents: depth maps, masks and masked frames. Their numbers are in test_glv_more."""

import pytest
import torch
from diffusers import AutoencoderKL

from ivg_core.errors import IVGError
from ivg_core.models.codec import ImageCodec
from ivg_core.sampling.beside import depth_beside, masked_beside


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=[8, 8], down_block_types=["DownEncoderBlock2D"] * 2, norm_num_groups=2,
        up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=4,
    )  # fmt: skip
    return ImageCodec(vae.eval().requires_grad_(False))


def test_each_frame_has_its_own_far_and_near():
    depth = (
        torch.rand(3, 20, 44, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 70, 0.01])[:, None, None]
    )
    found = depth_beside(depth + 5, 6, 9)
    assert found.shape == (1, 1, 3, 6, 9)
    assert torch.equal(found.amin((0, 1, 3, 4)), -torch.ones(3)) and torch.equal(
        found.amax((0, 1, 3, 4)), torch.ones(3)
    )
    ramp = torch.arange(44.0).expand(1, 20, 44)
    assert (depth_beside(ramp, 6, 9)[0, 0, 0].diff(dim=1) > 0).all()
    torch.testing.assert_close(depth_beside(ramp * 3 - 7, 6, 9), depth_beside(ramp, 6, 9))


def test_a_frame_of_one_depth_is_in_the_middle():
    depth = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    depth[1], depth[2] = 0.3, 0
    found = depth_beside(depth, 7, 5)
    assert not found[:, :, 1:].any() and found[:, :, 0].any() and found.isfinite().all()


@pytest.mark.parametrize(
    ("depth", "said"),
    [
        (torch.rand(16, 16), "have shape"),
        (torch.rand(2, 16, 16, 3), "have shape"),
        (torch.rand(0, 16, 16), "have shape"),
        (torch.full((2, 16, 16), float("nan")), "NaN or infinite"),
    ],
)
def test_what_is_no_depth(depth, said):
    with pytest.raises(IVGError, match=said):
        depth_beside(depth, 8, 8)


def test_masked_frames(codec):
    frames = torch.rand(3, 12, 16, 3, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(3, 12, 16)
    masks[1, 2:6, 4:10], masks[2, :, 8:] = 1, 0.5
    masks[0, 0, 0] = 0.4  # not painted
    found = masked_beside(codec, frames, masks)
    assert found.shape == (1, 5, 3, 6, 8)
    assert torch.equal(found[0, 0], (masks[:, ::2, ::2] >= 0.5).float())
    grey = torch.where(masks[..., None] >= 0.5, 0.5, frames)
    assert torch.equal(found[0, 1:], codec.encode(grey))
    small = masked_beside(codec, frames, masks[:, ::2, ::2])  # of another size
    assert torch.equal(small, found)


def test_one_mask_is_for_all_frames_and_a_generator_draws(codec):
    frames = torch.rand(3, 12, 16, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 12, 16)
    mask[:, 4:8] = 1
    mean = masked_beside(codec, frames, mask)
    assert torch.equal(mean, masked_beside(codec, frames, mask.expand(3, -1, -1)))
    drawn, same = (masked_beside(codec, frames, mask, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(drawn, same) and torch.equal(drawn[:, :1], mean[:, :1])
    assert (drawn - mean)[:, 1:].std() > 0
