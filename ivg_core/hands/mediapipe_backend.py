"""The original: MediaPipe's own hand tracking, for comparing with. It is never needed otherwise."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import IVGError
from .hand import Hand
from .regions import roi_of_joints

#: The versions that have `mediapipe.solutions` and the hand networks; later ones have neither.
OLDEST, NEWEST = "0.10.5", "0.10.21"


class MediaPipeHands:
    """`mediapipe.solutions.hands` on single pictures.

    MediaPipe's newer interface, HandLandmarker, turns every region by 26.6 degrees too far (it takes 90 degrees for 90
    radians), which moves joints by some pixels, so the older interface is used.

    Args:
        palm_threshold, presence_threshold, max_hands, lite: as in `HandTracker`.

    Raises:
        IVGError: mediapipe is not installed, or a version without this interface is.
    """

    def __init__(self, palm_threshold: float, presence_threshold: float, max_hands: int, lite: bool):
        _check_version()
        from mediapipe.python.solutions.hands import Hands  # type: ignore[import-not-found]

        self.hands: Any = Hands(
            static_image_mode=True,
            max_num_hands=max_hands,
            model_complexity=0 if lite else 1,
            min_detection_confidence=palm_threshold,
            min_tracking_confidence=presence_threshold,
        )

    def detect(self, frames: Tensor) -> list[list[Hand]]:
        """As `HandTracker.detect`. MediaPipe does not say how sure it is of palm and presence: both are 1."""
        pictures = (frames.clamp(0, 1) * 255).round().byte().cpu().numpy()
        return [self._detect(np.ascontiguousarray(picture)) for picture in pictures]

    def _detect(self, picture: np.ndarray) -> list[Hand]:
        height, width = picture.shape[:2]
        answer = self.hands.process(picture)
        found = zip(answer.multi_hand_landmarks or [], answer.multi_handedness or [], strict=True)
        hands = []
        for landmarks, handedness in found:
            points = torch.tensor([[p.x * width, p.y * height, p.z * width] for p in landmarks.landmark])
            side = handedness.classification[0]
            # It takes pictures for mirrored ones, so its left hand is the right one.
            right = side.score if side.label == "Left" else 1 - side.score
            hands.append(Hand(points[:, :2], points[:, 2], 1.0, 1.0, right, roi_of_joints(points[:, :2])))
        return hands


def _check_version() -> None:
    try:
        found = version("mediapipe")
    except PackageNotFoundError:
        found = ""
    if not found or not _numbers(OLDEST) <= _numbers(found) <= _numbers(NEWEST):
        there = f"mediapipe {found} is installed" if found else "mediapipe is not installed"
        raise IVGError(
            f'The hand backend "mediapipe" needs mediapipe {OLDEST} to {NEWEST}, and {there}: use "torch", which gives '
            f"the same, or pip install mediapipe=={NEWEST} (it replaces numpy 2 by 1.26)."
        )


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)[:3]]
