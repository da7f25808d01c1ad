"""The Region of Motion drawn over pictures, for people to look at."""

from __future__ import annotations

import cv2
import torch
from torch import Tensor

from ..errors import IVGError
from ..media.frames import to_frames
from .morphology import around

ORANGE = (1.0, 0.45, 0.05)
BETWEEN = 4  # pixels between two pictures side by side


def draw_rom(picture: Tensor, mask: Tensor, opacity: float = 0.5, contour: int = 2) -> Tensor:
    """Lay the mask in orange over a picture, and draw its outline.

    Args:
        picture: (H, W, 3), 0..1.
        mask: (H, W), 0..1; soft values tint less.
        opacity: of the tint, 0..1; 0 turns it off.
        contour: width in pixels of the outline around values of at least 0.5; it has a dark rim, so that it is seen on
            any ground. 0 draws none.

    Returns:
        (H, W, 3).

    Raises:
        IVGError: picture and mask differ in size.
    """
    if picture.shape[:2] != mask.shape:
        raise IVGError(
            f"The mask is {tuple(mask.shape)} and the picture {tuple(picture.shape[:2])}: resize one of them."
        )
    tinted = draw_tint(picture, mask, opacity)
    core = (mask >= 0.5).byte().cpu().numpy()
    if not contour or not core.any():
        return tinted
    lines = cv2.findContours(core, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    drawn = tinted.cpu().numpy()
    cv2.drawContours(drawn, lines, -1, (0.0, 0.0, 0.0), contour + 2, cv2.LINE_AA)
    cv2.drawContours(drawn, lines, -1, ORANGE, contour, cv2.LINE_AA)
    return torch.from_numpy(drawn).to(picture.device)


def draw_tint(picture: Tensor, mask: Tensor, opacity: float = 0.55) -> Tensor:
    """As `draw_rom`, without an outline."""
    tinted = to_frames(picture[None], "picture")[0].clone(memory_format=torch.contiguous_format)
    inside = tinted[part := around((mask > 0).byte().cpu().numpy())]  # the rest is not touched
    orange = torch.tensor(ORANGE, device=picture.device)
    strength = (opacity * mask[part].to(inside))[..., None]
    inside.lerp_(orange.expand_as(inside), strength.expand_as(inside))
    return tinted


def side_by_side(before: Tensor, after: Tensor) -> Tensor:
    """Two pictures of one size beside each other, (H, W, 3) each → (H, 2 W + 4, 3)."""
    gap = torch.ones(before.shape[0], BETWEEN, 3, device=before.device)
    return torch.cat([before, gap, after.to(before.device)], dim=1)
