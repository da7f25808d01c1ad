"""Hands as MediaPipe's landmark network sees them, at known places, for whole batches at once.

The same as :mod:`ivg_core.training.hand_loss`, without anything that a CUDA graph cannot replay.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, softplus

from ivg_core.hands.landmarks import CROP, HandLandmarkNet
from ivg_core.hands.regions import to_pixels
from ivg_core.training.hand_loss import MISSING_BELOW, NOISE, SCALE, SHIFT, SURE, TURN

#: Blocks of the landmark network whose pictures of a hand are compared: from edges to joints.
LAYERS = (0, 2, 4, 7, 10)


def cut(frames: Tensor, rois: Tensor, size: int = CROP) -> Tensor:
    """One square (N, 3, size, size) out of each of N frames (N, 3, H, W); see `regions.crop`."""
    height, width = frames.shape[-2:]
    steps = torch.arange(size, dtype=rois.dtype, device=rois.device) / size - 0.5
    down, right = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack([right, down], -1).expand(len(rois), size, size, 2).flatten(1, 2)
    points = to_pixels(points, rois).unflatten(1, (size, size))
    grid = (2 * points + 1) / torch.stack([rois.new_full((), width), rois.new_full((), height)]) - 1
    return grid_sample(frames, grid.to(frames), mode="bilinear", padding_mode="border", align_corners=False)


def look(net: HandLandmarkNet, frames: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
    """Joints (N, 21, 2) in pixels of the frames and presence logits (N,)."""
    with torch.autocast(frames.device.type, enabled=False):
        joints, presence, _ = net(cut(frames.float(), rois))
    return to_pixels(joints[..., :2] / CROP - 0.5, rois), presence


def structure(net: HandLandmarkNet, frames: Tensor, rois: Tensor, true: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    """The hand structure loss, looking twice; see `hand_structure_loss`.

    Args:
        net: frozen.
        frames: (N, 3, H, W), 0..1, with gradient.
        rois: (N, 4).
        true: joints (N, 21, 2) in pixels.
        weight: (N,) how much each counts; 0 where there is no hand.

    Returns:
        The loss with gradient, the root mean square error of the joints as a share of the region, the presence.
    """
    error, first = frames.new_zeros(len(rois)), (true, weight)
    total = weight.sum().clamp(min=1e-3)
    for view in range(2):
        where, shown = rois, frames
        if view:
            by = torch.rand_like(rois) * 2 - 1
            where = torch.cat(
                [
                    rois[:, :2] + SHIFT * rois[:, 2:3] * by[:, :2],
                    rois[:, 2:3] * (1 + SCALE * by[:, 2:3]),
                    rois[:, 3:] + TURN * by[:, 3:],
                ],
                1,
            )
            shown = frames + NOISE * torch.randn_like(frames)
        joints, logit = look(net, shown, where)
        there = (logit.sigmoid() / MISSING_BELOW).clamp(max=1)[:, None, None]
        side = rois[:, None, 2:3]
        wanted = (true - rois[:, None, :2]) / side
        apart = (there * (joints - rois[:, None, :2]) / side - wanted).square().sum(-1).mean(-1)
        error = error + (apart + 0.03 * softplus(SURE - logit)) / 2
        if not view:
            first = joints.detach(), logit.detach().sigmoid()
    off = ((first[0] - true) / rois[:, None, 2:3]).square().sum(-1).mean(-1)
    return (weight * error).sum() / total, ((weight * off).sum() / total).sqrt(), (weight * first[1]).sum() / total


class Likeness:
    """How differently a landmark network sees two pictures of the same hands: a perceptual loss made for hands."""

    def __init__(self, net: HandLandmarkNet):
        self.net = net
        self.seen: list[Tensor] = []
        for index in LAYERS:
            net.blocks[index].register_forward_hook(self._keep)

    def _keep(self, module: Any, inputs: Any, output: Tensor) -> None:
        self.seen.append(output)

    def __call__(self, out: Tensor, true: Tensor, rois: Tensor, weight: Tensor) -> Tensor:
        """Frames (N, 3, H, W) 0..1, regions (N, 4), weights (N,) → a scalar, about 1 where nothing is alike."""
        self.seen = []
        with torch.no_grad():
            self.net(cut(true, rois))
        wanted, self.seen = self.seen, []
        self.net(cut(out, rois))
        apart = [
            (a.float() - b.float()).abs().mean((1, 2, 3)) / b.float().abs().mean((1, 2, 3)).clamp(min=1e-3)
            for a, b in zip(self.seen, wanted, strict=True)
        ]
        self.seen = []
        return (weight * torch.stack(apart).mean(0)).sum() / weight.sum().clamp(min=1)
