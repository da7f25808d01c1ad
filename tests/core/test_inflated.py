"""An image model whose frames see each other: one frame is the image model, and threads do not disturb each other."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel

from ivg_core.errors import IVGError
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.inflated import InflatedUNet
from ivg_core.models.together import seen_together
from ivg_core.models.told import Told

CONFIG = {
    "sample_size": 8, "in_channels": 4, "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "block_out_channels": [32, 64], "layers_per_block": 1,
    "cross_attention_dim": 10, "attention_head_dim": [2, 4], "norm_num_groups": 8, "use_linear_projection": True,
}  # fmt: skip
LEVEL = torch.tensor(500)


def network(**changes):
    torch.manual_seed(0)
    return InflatedUNet.from_config_dict({**CONFIG, **changes, "_class_name": "x"}).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def unet():
    return network()


def clip(frames, batch=1, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 4, frames, 8, 8, generator=rng), torch.randn(batch, 7, 10, generator=rng)


@pytest.mark.parametrize("batch", [1, 3])
def test_one_frame_is_the_image_model_bit_for_bit(unet, batch):
    plain = UNet2DConditionModel(**CONFIG).eval()
    plain.load_state_dict(unet.state_dict())
    noisy, text = clip(1, batch)
    with torch.no_grad():
        assert torch.equal(unet(noisy, LEVEL, text)[:, :, 0], plain(noisy[:, :, 0], LEVEL, text).sample)


def test_frames_see_the_middle_one_and_the_neighbour_towards_it(unet):
    attention = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    pixels = torch.randn(6, 4, 32, generator=torch.Generator().manual_seed(1))
    with seen_together(6):
        before = attention(pixels)
        for changed, sees in {0: [0], 3: [0, 1, 2, 3, 4, 5], 1: [0, 1], 4: [4, 5], 5: [5]}.items():
            other = pixels.clone()
            other[changed] += 1
            differ = (attention(other) != before).flatten(1).any(1)
            assert differ.nonzero().flatten().tolist() == sees


def test_clips_of_a_batch_do_not_see_each_other(unet):
    noisy, text = clip(3, batch=2)
    levels = torch.tensor([10, 700])
    both = unet(noisy, levels, text)
    for i in range(2):
        torch.testing.assert_close(both[i : i + 1], unet(noisy[i : i + 1], levels[i], text[i : i + 1]))


def test_threads_with_clips_of_other_lengths_share_one_network(unet):
    clips = [clip(frames, seed=frames) for frames in (2, 5, 3, 4)] * 5
    alone = [unet(noisy, LEVEL, text) for noisy, text in clips]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: unet(one[0], LEVEL, one[1]), clips))
    assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(alone, together, strict=True))


def test_a_layer_outside_of_a_pass_does_not_take_a_clip_for_images(unet):
    with pytest.raises(LookupError):
        unet.conv_norm_out(torch.zeros(2, 32, 8, 8))


@pytest.mark.parametrize(("channels", "frames"), [(1, 3), (1, 1), (5, 3)])
def test_what_stands_beside_the_latents_reaches_the_network(channels, frames):
    inflated = network(in_channels=4 + channels)
    backbone = UNetBackbone(SimpleNamespace(name=""), 2, inflated, codec=object())
    noisy, text = clip(3, batch=2)
    beside = torch.rand(1, channels, frames, 8, 8)
    told = backbone(noisy, LEVEL, Told(text, beside=beside))
    for i in range(channels):
        other = beside.clone()
        other[:, i] += 1
        assert not torch.equal(backbone(noisy, LEVEL, Told(text, beside=other)), told)
    whole = beside.expand(2, -1, 3, -1, -1)
    assert torch.equal(backbone(noisy, LEVEL, Told(text, beside=whole)), told)


@pytest.mark.parametrize(
    ("channels", "shape", "said"),
    [
        (0, (1, 1, 3, 8, 8), "reads nothing beside"),
        (1, None, "reads a depth map .* give it as beside"),
        (1, (1, 5, 3, 8, 8), "shape"),
        (5, (1, 5, 2, 8, 8), r"a mask and the latents .* \(1, 5, 2, 8, 8\)"),
        (5, (1, 5, 3, 8, 4), "shape"),
        (5, (1, 5, 3, 8), "shape"),
    ],
)
def test_what_does_not_fit_beside_the_latents(channels, shape, said):
    noisy, text = clip(3, batch=2)
    with pytest.raises(IVGError, match=said):
        network(in_channels=4 + channels)(noisy, LEVEL, text, beside=None if shape is None else torch.rand(shape))


def test_deep_features_are_refused(unet):
    with pytest.raises(IVGError, match="cache_every"):
        noisy, text = clip(2)
        unet(noisy, LEVEL, text, features=object())
