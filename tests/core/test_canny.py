"""Edges for a ControlNet."""

import cv2
import numpy as np
import pytest
import torch

from ivg_core.errors import IVGError
from ivg_core.media.canny import canny_edges


@pytest.fixture
def frames():
    clip = torch.full((2, 32, 48, 3), 0.4)
    clip[0, 8:24, 10:30] = 0.9
    clip[1, 8:24, 16:36, 0] = 0.55  # a step of 38 levels, in red alone
    return clip


def test_the_outline_of_each_frame(frames):
    edges = canny_edges(frames)
    assert edges.shape == frames.shape and set(edges.unique().tolist()) == {0.0, 1.0}
    assert edges[0, 8:24, 8:12].any() and not edges[0, 12:20, 14:26].any() and not edges[0, :, 34:].any()
    assert torch.equal(edges[..., 0], edges[..., 2])
    assert edges[1].any() and torch.equal(canny_edges(frames[1:]), edges[1:])
    expected = cv2.Canny((frames[0].numpy() * 255).round().astype(np.uint8), 100, 200)
    assert torch.equal(edges[0, ..., 0], torch.from_numpy(expected).float() / 255)


def test_the_limits(frames):
    assert not canny_edges(frames, 300, 400)[1].any() and canny_edges(frames, 300, 400)[0].any()
    for low, high in ((-1, 100), (200, 100), (float("nan"), 100), (1, float("inf"))):
        with pytest.raises(IVGError, match="limits of the edges"):
            canny_edges(frames, low, high)
    with pytest.raises(IVGError, match="have shape"):
        canny_edges(frames[0])
