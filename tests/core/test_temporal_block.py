"""Layers over time in an image model: new ones change nothing, and learn the same however it is computed."""

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock

from ivg_core.models.inflated import InflatedUNet
from ivg_core.models.temporal_block import TemporalBlock, add_temporal_layers
from ivg_core.models.together import seen_together

CONFIG = {
    "sample_size": 8, "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "block_out_channels": [16, 8], "layers_per_block": 1,
    "cross_attention_dim": 10, "attention_head_dim": 4, "norm_num_groups": 4,
}  # fmt: skip
LEVEL = torch.tensor(500)


def network(convolutions=None):
    torch.manual_seed(0)
    made = InflatedUNet.from_config_dict(CONFIG).eval()
    if convolutions is not None:
        add_temporal_layers(made, convolutions)
    return made


def awake(made):
    """The network with layers over time that do something."""
    rng = torch.Generator().manual_seed(1)
    for name, p in made.named_parameters():
        if "_temp" in name:
            p.data = 0.3 * torch.randn(p.shape, generator=rng)
    return made


def clip(frames, batch=2):
    rng = torch.Generator().manual_seed(2)
    return torch.randn(batch, 4, frames, 8, 8, generator=rng), torch.randn(batch, 7, 10, generator=rng)


@pytest.mark.parametrize("convolutions", [False, True])
def test_new_layers_change_nothing(convolutions):
    noisy, text = clip(3)
    plain, made = network(), network(convolutions)
    assert torch.equal(made(noisy, LEVEL, text), plain(noisy, LEVEL, text))
    added = set(made.state_dict()) - set(plain.state_dict())
    assert all(".transformer_blocks.0." in key for key in added)
    names = {key.split(".transformer_blocks.0.")[1] for key in added}
    attention = {f"attn_temp.{name}" for name in ("to_q.weight", "to_k.weight", "to_v.weight")}
    attention |= {f"attn_temp.to_out.0.{kind}" for kind in ("weight", "bias")}
    convolved = {"conv_temporal.down.weight", "conv_temporal.up.weight"} if convolutions else set()
    assert names == {"norm_temp.weight", "norm_temp.bias"} | attention | convolved
    assert not set(plain.state_dict()) - set(made.state_dict())


@pytest.mark.parametrize(("width", "rank"), [(16, 8), (156, 78), (160, 160), (320, 160)])
def test_the_width_between_the_convolutions(width, rank):
    block = BasicTransformerBlock(width, 2, width // 2)
    add_temporal_layers(torch.nn.ModuleList([block]), convolutions=True)
    assert block.conv_temporal.down.weight.shape == (rank, width, 3)
    assert block.conv_temporal.up.weight.shape == (width, rank, 3)


def test_added_in_the_dtype_of_the_network():
    made = network().to(torch.bfloat16)
    add_temporal_layers(made, convolutions=True)
    assert {p.dtype for p in made.parameters()} == {torch.bfloat16}


def test_pixels_look_along_the_frames_of_their_clip_only():
    made = awake(network(True))
    block = next(module for module in made.modules() if isinstance(module, TemporalBlock))
    x, text = torch.randn(8, 6, 16), torch.randn(2, 7, 10)

    def after_the_block(pixels):
        return block(pixels, encoder_hidden_states=text)

    with torch.no_grad(), seen_together(4):
        before = after_the_block(x)
        other = x.clone()
        other[1] += torch.randn(6, 16)
        differ = (after_the_block(other) != before).flatten(1).any(1)
    assert differ.tolist() == [True] * 4 + [False] * 4


@pytest.mark.parametrize("frames", [1, 3])
def test_gradients_do_not_depend_on_what_is_recomputed(frames):
    def gradients(made):
        noisy, text = clip(frames)
        made(noisy, LEVEL, text).square().mean().backward()
        return {name: p.grad for name, p in made.named_parameters()}

    kept, recomputed = (awake(network(True)).train() for _ in range(2))
    recomputed.enable_gradient_checkpointing()
    ours, theirs = gradients(kept), gradients(recomputed)
    learnt = [name for name in ours if "_temp" in name and frames > 1]
    assert all(ours[name].abs().max() > 0 for name in learnt)
    for name, gradient in ours.items():
        torch.testing.assert_close(theirs[name], gradient, msg=name)
