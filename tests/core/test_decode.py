"""Latents to frames, a few at a time."""

import copy

import pytest
import torch
from safetensors.torch import load_file

from ivg_core.errors import IVGError
from ivg_core.models.codec import ImageCodec
from ivg_core.sampling.decode import decode_frames


@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_decoded_frames_equal_the_golden_ones(golden, tiny_model, chunk):
    expected = load_file(golden / "sampler_eval.safetensors")
    with torch.no_grad():
        frames = decode_frames(ImageCodec(tiny_model.vae), expected["latents"], chunk)
    wanted = (expected["decoded"].permute(0, 2, 3, 4, 1) * 0.5 + 0.5).clamp(0, 1)
    assert frames.shape == (1, 4, 96, 168, 3) and (frames - wanted).abs().max() < 2.5e-5


def test_batches_keep_their_order(tiny_model):
    latents = torch.randn(2, 4, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        both = decode_frames(ImageCodec(tiny_model.vae), latents, 4)
        second = decode_frames(ImageCodec(tiny_model.vae), latents[1:], 2)
    assert torch.allclose(both[1:], second, atol=1e-5)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_latents_that_are_no_numbers_are_no_picture(tiny_model, value):
    latents = torch.randn(1, 4, 2, 4, 4)
    latents[0, 0, 1, 2, 2] = value
    with pytest.raises(IVGError, match="latents hold NaN"):
        decode_frames(ImageCodec(tiny_model.vae), latents)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_frames_that_are_no_numbers_are_not_shown_and_the_cause_is_named(tiny_model, value, dtype):
    vae = copy.deepcopy(tiny_model.vae).to(dtype)
    latents = torch.randn(1, 4, 2, 4, 4)
    vae.decoder.conv_out.register_forward_hook(
        lambda module, told, output: output.index_fill(0, torch.tensor(1), value)
    )
    cause = {torch.float16: "overflowed in torch.float16: load the model in bfloat16", torch.float32: "even in"}[dtype]
    with torch.no_grad(), pytest.raises(IVGError, match=f"autoencoder gave NaN or infinite values.*{cause}"):
        decode_frames(ImageCodec(vae), latents)
    torch.nn.init.constant_(vae.decoder.conv_out.bias, value)
    with torch.no_grad(), pytest.raises(IVGError, match=r"weights hold .* \(first decoder.conv_out.bias\)"):
        decode_frames(ImageCodec(vae), latents)
