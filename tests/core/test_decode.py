"""Latents to frames, a few at a time."""

import pytest
import torch
from safetensors.torch import load_file

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
