"""What a draft video suffers besides its motion: a moving camera, drifting colours, few small compressed frames."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

#: Over the whole clip: shares of the width, of the size, degrees; and the jitter of each frame in pixels of 448.
PAN, ZOOM, ROLL, JITTER = 0.06, 0.06, 2.0, 0.8
#: Of the brightness from frame to frame, of each channel over the clip, and of the noise, in levels of 255.
FLICKER, DRIFT, NOISE = 0.04, 8.0, 2.0
FEW, SMALL, JPEG = 8, 128, 40

FAULTS = ("camera", "colours", "low", "all")


def spoilt(frames: Tensor, fault: str, seed: int) -> Tensor:
    """A clip with faults; the first frame keeps its place, as a draft begins with its photo.

    Args:
        frames: (F, H, W, 3), 0..1.
        fault: one of FAULTS: "camera" pans, zooms, rolls and jitters; "colours" flicker and drift, with noise; "low" is
            8 frames of 128 pixels, as JPEG of quality 40, brought back to the size.
        seed: decides directions and amounts.

    Returns:
        (F', H, W, 3), 0..1.
    """
    rng = np.random.default_rng([seed, 7])
    pictures = [(frame.numpy() * 255).round().astype(np.uint8) for frame in frames]
    if fault in ("low", "all") and len(pictures) > FEW:
        pictures = [pictures[i] for i in np.linspace(0, len(pictures) - 1, FEW).round().astype(int)]
    if fault in ("camera", "all"):
        pictures = _camera(pictures, rng)
    if fault in ("colours", "all"):
        pictures = _colours(pictures, rng)
    if fault in ("low", "all"):
        pictures = [_low(picture) for picture in pictures]
    return torch.from_numpy(np.stack(pictures)).float() / 255


def _camera(pictures: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    height, width = pictures[0].shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    pan = PAN * width * np.array([np.cos(angle), np.sin(angle)])
    zoom, roll = rng.choice([-1, 1]) * ZOOM, rng.choice([-1, 1]) * ROLL
    moved = []
    for index, picture in enumerate(pictures):
        done = index / max(len(pictures) - 1, 1)
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), roll * done, 1 + zoom * done)
        jitter = rng.normal(0, JITTER * width / 448, 2) if index else np.zeros(2)
        matrix[:, 2] += pan * done + jitter
        moved.append(cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT))
    return moved


def _colours(pictures: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    drift, changed = rng.uniform(-DRIFT, DRIFT, 3), []
    for index, picture in enumerate(pictures):
        done = index / max(len(pictures) - 1, 1)
        light = 1 + rng.uniform(-FLICKER, FLICKER) if index else 1.0
        noise = rng.normal(0, NOISE, picture.shape)
        changed.append((picture * light + drift * done + noise).clip(0, 255).round().astype(np.uint8))
    return changed


def _low(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (SMALL, max(1, round(height * SMALL / width))), interpolation=cv2.INTER_AREA)
    packed = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG])[1]
    return cv2.resize(cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1], (width, height), interpolation=cv2.INTER_CUBIC)
