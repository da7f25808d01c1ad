"""Latent frames that hold several frames, but the first: which are decoded, and where nothing is learned."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.training.batches import Batch, ListDataset, describe
from ivg_core.training.losses import Noise
from ivg_core.training.prediction import Prediction

CODEC = SimpleNamespace(cell=16, stride=4)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def prediction(latent_frames: int = 3, seed: int = 0, clips: int = 1, **values) -> Prediction:
    """Of clips of noise, of which nothing is wrong."""
    x0 = torch.randn(clips, 4, latent_frames, 4, 6, generator=rng())
    fields = {"level_weight": None, "motion": None, "batch": Batch(name=["a clip"]), "levels": torch.ones(clips)}
    return Prediction(
        output=x0.clone(), target=x0.clone(), noisy=x0, x0=x0, backbone=SimpleNamespace(codec=CODEC), rng=rng(seed),
        **{**fields, **values},
    )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 9), st.integers(0, 40), st.integers(0, 2**31))
def test_frames_of_whole_latent_frames_are_drawn_and_never_the_photo(latent_frames, count, seed):
    frames = 1 + 4 * (latent_frames - 1)
    chosen = prediction(latent_frames, seed).choose_frames(count)
    wanted = math.ceil(count / 4) if 0 < count < frames else latent_frames - 1
    assert chosen == list(range(chosen[0], chosen[0] + 4 * wanted))
    assert chosen[0] >= 1 and (chosen[0] - 1) % 4 == 0 and chosen[-1] < frames


def test_every_latent_frame_but_the_first_is_drawn():
    begins = {prediction(5, seed).choose_frames(1)[0] for seed in range(60)}
    assert begins == {1, 5, 9, 13}


def test_a_single_latent_frame_is_a_picture():
    assert prediction(1).choose_frames(1) == [0]


def test_where_sampling_holds_what_is_known_nothing_is_learned():
    opened = torch.ones(2, 1, 3, 4, 6)
    opened[:, :, 0] = 0
    opened[1, :, :, :, :3] = 0
    p = prediction(clips=2, open=opened)
    p.output = p.target + 100 * (1 - opened)
    assert Noise()(p) == 0
    p.output = p.target + opened
    torch.testing.assert_close(Noise()(p), torch.tensor(1.0))  # the mean over what is open


def test_what_is_open_is_weighed_with_what_moves():
    opened, rom = torch.ones(1, 1, 3, 4, 6), torch.zeros(1, 64, 96)
    opened[:, :, 0] = 0
    rom[..., :48] = 1
    p = prediction(open=opened, batch=Batch(name=["a clip"], rom_mask=rom))
    losses = []
    for columns in (slice(0, 3), slice(3, 6)):
        off = torch.zeros_like(p.target)
        off[:, :, 1:, :, columns] = 1
        p.output = p.target + off
        losses.append(Noise(inside=3.0)(p).item())
    assert losses[0] / losses[1] == pytest.approx(3) and sum(losses) == pytest.approx(1)


def test_a_trained_file_tells_the_size_of_the_video_and_not_of_its_latents():
    samples = [{"latents": torch.zeros(48, 3, 4, 6), "caption": f"sentence {k}", "name": str(k)} for k in range(2)]
    about = describe(ListDataset(samples), CODEC)
    assert about == {"clips": 2, "frames": 9, "width": 96, "height": 64, "prompts": ["sentence 0", "sentence 1"]}
