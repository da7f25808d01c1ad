"""The palm detector: where in a picture hands may be, from their palms, whose shape hardly changes."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad

from .networks import SameConv, depthwise, pointwise, read_weights
from .regions import crop

#: Side of the pictures that the network looks at, in pixels.
VIEW = 192
#: Palms that overlap more than this (intersection over union) are the same one.
SAME_PALM = 0.3


class Palm(NamedTuple):
    """A palm in pixels of the frame: how sure the detector is, its box (left, top, right, bottom), joints (7, 2)."""

    score: float
    box: Tensor
    joints: Tensor  # wrist, knuckles of index, middle, ring and little finger, two of the thumb


class PalmNet(nn.Module):
    """MediaPipe's palm detector. Source: palm_detection_full.tflite of mediapipe 0.10.21."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = activated(SameConv(3, 32, 5, stride=2))
        self.fine = nn.Sequential(*steps(32, 4), Step(32, 64, 2), *steps(64, 4), Step(64, 128, 2), *steps(128, 4))
        self.middle = nn.Sequential(Step(128, 256, 2), *steps(256, 4))
        self.coarse = nn.Sequential(Step(256, 256, 2), *steps(256, 4))
        self.up_middle = activated(pointwise(256, 256))
        self.merge_middle = nn.Sequential(*steps(256, 2))
        self.score_middle, self.box_middle = pointwise(256, 6), pointwise(256, 6 * 18)
        self.up_fine = activated(pointwise(256, 128))
        self.merge_fine = nn.Sequential(*steps(128, 2))
        self.score_fine, self.box_fine = pointwise(128, 2), pointwise(128, 2 * 18)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Look for palms.

        Args:
            views: (N, 3, 192, 192), 0..1.

        Returns:
            Logits (N, 2016) and boxes (N, 2016, 18) in pixels relative to the anchors: centre, width and height, then
            seven points.
        """
        x = views.to(self.score_fine.weight.dtype, memory_format=torch.channels_last)
        fine = self.fine(self.stem(x))  # (N, 128, 24, 24)
        middle = self.middle(fine)  # (N, 256, 12, 12)
        middle = self.merge_middle(middle + self.up_middle(doubled(self.coarse(middle))))
        fine = self.merge_fine(fine + self.up_fine(doubled(middle)))
        scores = rows(self.score_fine(fine), 1), rows(self.score_middle(middle), 1)
        boxes = rows(self.box_fine(fine), 18), rows(self.box_middle(middle), 18)
        return torch.cat(scores, 1)[..., 0].to(views.dtype), torch.cat(boxes, 1).to(views.dtype)


def activated(layer: SameConv) -> nn.Sequential:
    """A layer and a PReLU."""
    return nn.Sequential(layer, nn.PReLU(layer.out_channels))


class Step(nn.Module):
    """Look around, mix the channels, add what came in; with stride 2 that is pooled, and padded to more channels."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.depthwise = depthwise(inputs, 5, stride)
        self.pointwise = pointwise(inputs, outputs)
        self.activation = nn.PReLU(outputs)
        self.stride, self.more = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.pointwise(self.depthwise(x))
        if self.stride == 2:
            x = pad(max_pool2d(x, 2), (0, 0, 0, 0, 0, self.more))
        return self.activation(x + y)


def steps(channels: int, count: int) -> list[Step]:
    """`count` steps that keep size and channels."""
    return [Step(channels, channels) for _ in range(count)]


def doubled(x: Tensor) -> Tensor:
    """Twice the height and width."""
    return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def rows(x: Tensor, values: int) -> Tensor:
    """(N, A * values, h, w) → (N, h * w * A, values): one row an anchor, place by place."""
    return rearrange(x, "n (k v) h w -> n (h w k) v", v=values)


def load_palm_net(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> PalmNet:
    """The network with the published weights, frozen."""
    return read_weights(PalmNet(), "hands-mediapipe-palm.safetensors", device, dtype)


def anchors(device: torch.device) -> Tensor:
    """Where the network's answers are centred (2016, 2), in pixels of the view: twice 24 x 24 and six times 12 x 12.

    Source: MediaPipe's SSD anchors with fixed size.
    """
    centres = []
    for places, count in ((24, 2), (12, 6)):
        steps = (torch.arange(places, device=device) + 0.5) / places * VIEW
        down, right = torch.meshgrid(steps, steps, indexing="ij")
        centres.append(torch.stack([right, down], -1).flatten(0, 1).repeat_interleave(count, 0))
    return torch.cat(centres)


def find_palms(net: PalmNet, frames: Tensor, windows: Tensor, threshold: float, batch: int = 16) -> list[list[Palm]]:
    """Find the palms in every frame.

    Args:
        net: see `load_palm_net`.
        frames: (F, H, W, 3), 0..1, on the network's device.
        windows: (K, 4) regions to look at in each frame: centre x, centre y, side, angle 0; see `whole_and_tiles`.
        threshold: palms the detector is less sure of are left out.
        batch: windows that go through the network at once.

    Returns:
        For each frame its palms, the surest first.
    """
    owner = torch.arange(len(frames), device=frames.device).repeat_interleave(len(windows))
    regions = windows.to(frames.device).repeat(len(frames), 1)
    found: list[list[Palm]] = [[] for _ in range(len(frames))]
    centres = anchors(frames.device)
    for start in range(0, len(owner), batch):
        chunk = slice(start, start + batch)
        logits, boxes = net(crop(frames, owner[chunk], regions[chunk], VIEW, padding="zeros"))
        scores = logits.sigmoid()
        view, anchor = (scores >= threshold).nonzero(as_tuple=True)
        points = boxes[view, anchor].unflatten(1, (9, 2))  # centre, size, 7 joints
        points[:, 0] += centres[anchor]
        points[:, 2:] += centres[anchor, None]
        left_top = (regions[chunk][view, :2] - regions[chunk][view, 2:3] / 2)[:, None]
        scale = (regions[chunk][view, 2] / VIEW)[:, None, None]
        corners = torch.stack([points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2], 1)
        points = (torch.cat([corners, points[:, 2:]], 1) * scale + left_top).float().cpu()  # two corners, 7 joints
        frame = owner[chunk][view].tolist()
        for row, score in enumerate(scores[view, anchor].tolist()):
            found[frame[row]].append(Palm(score, points[row, :2].flatten(), points[row, 2:]))
    return [merge_palms(palms) for palms in found]


def merge_palms(palms: list[Palm]) -> list[Palm]:
    """Join palms that overlap: their mean, weighted by score, with the best score. Source: MediaPipe's weighted NMS."""
    if not palms:
        return []
    scores = torch.tensor([palm.score for palm in palms], dtype=torch.float64)
    boxes = torch.stack([palm.box for palm in palms])
    points = torch.cat([boxes, torch.stack([palm.joints for palm in palms]).flatten(1)], 1).double()  # (P, 18)
    left = scores.argsort(descending=True, stable=True)
    merged = []
    while len(left):
        best = left[0]
        same = overlaps(boxes[best], boxes[left]) > SAME_PALM
        same[0] = True  # a box without area overlaps nothing, not even itself
        group = left[same]
        mean = (points[group] * scores[group, None]).sum(0) / scores[group].sum()
        merged.append(Palm(float(scores[best]), mean[:4].float(), mean[4:].unflatten(0, (7, 2)).float()))
        left = left[~same]
    return merged


def overlaps(box: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of a box (4,) with others (P, 4)."""
    low, high = torch.maximum(box[:2], others[:, :2]), torch.minimum(box[2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    total = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(-1) - shared
    return shared / total.clamp(min=1e-9)


def whole_and_tiles(width: int, height: int, tiled: bool) -> Tensor:
    """The regions of a frame to look for palms in.

    The network sees 192 x 192 pixels whatever it is given, so a smaller window is a closer look. Tiles are squares as
    high (or wide) as the frame's short side, and at least a quarter of the long one; each overlaps the next by half.

    Returns:
        (K, 4) centre x, centre y, side, angle; the whole frame first.
    """
    windows = [[width / 2, height / 2, float(max(width, height)), 0.0]]
    long = max(width, height)
    side = max(min(width, height), long / 4)
    if tiled and side < long:
        count = math.ceil(2 * (long - side) / side) + 1
        for step in range(count):
            along = side / 2 + (long - side) * step / (count - 1)
            windows.append([along, height / 2, side, 0.0] if width > height else [width / 2, along, side, 0.0])
    return torch.tensor(windows)
