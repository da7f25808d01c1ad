"""The hand structure loss: the hands of the predicted video should have their joints where the true video has them.

The landmark network looks at the same regions in both, found on the true frames, so gradients flow from the joints
through its picture of the hand to the decoded pixels. On pixels alone, descending this loss mostly fools the network;
regions that shake and a little noise make that harder. Judge the result with another network (`lite=True`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..hands.landmarks import CROP, HandLandmarkNet
from ..hands.regions import crop, to_pixels
from ..hands.tracker import HandTracker
from ..models.codec import LatentGrid
from ..models.schedule import seen_through
from .crops import MARGIN, Crop, crop_around

Weighting = Literal["alpha", "flat"]
#: Below this presence a hand counts as missing in part, and its joints shrink towards 0.
MISSING_BELOW = 0.5
#: The presence logit that a hand of the prediction should reach.
SURE = 2.0
#: How far the regions shake: share of the side, share of the side, radians.
SHIFT, SCALE, TURN = 0.05, 0.10, math.radians(10)
#: Standard deviation of the noise in every view but the first, in values of 0..1.
NOISE = 0.02


@dataclass(frozen=True)
class HandTargets:
    """The hands of a clip's true frames.

    Attributes:
        frame: (N,) index of the frame that each hand is in.
        rois: (N, 4) regions in pixels, see `regions.crop`.
        joints: (N, 21, 2) in pixels, as the loss's own network sees them.
    """

    frame: Tensor
    rois: Tensor
    joints: Tensor

    def select(self, frames: Sequence[int]) -> HandTargets:
        """Those of some frames, in their order, numbered 0, 1, …"""
        rows = [(row, new) for new, old in enumerate(frames) for row in (self.frame == old).nonzero()[:, 0].tolist()]
        index = torch.tensor([row for row, _ in rows], dtype=torch.long, device=self.rois.device)
        frame = torch.tensor([new for _, new in rows], dtype=torch.long, device=self.rois.device)
        return HandTargets(frame, self.rois[index], self.joints[index])

    @property
    def boxes(self) -> Tensor:
        """(N, 4), x1, y1, x2, y2 in pixels around the regions, which may be turned."""
        half = self.rois[:, 2] / 2 * (self.rois[:, 3].cos().abs() + self.rois[:, 3].sin().abs())
        return torch.cat([self.rois[:, :2] - half[:, None], self.rois[:, :2] + half[:, None]], 1)

    def within(self, crop: Crop) -> HandTargets:
        """Those that lie whole in a part of the picture, where they lie in it."""
        inside, corner = crop.holds(self.boxes), self.rois.new_tensor(crop.corner)
        rois = torch.cat([self.rois[:, :2] - corner, self.rois[:, 2:]], 1)
        return HandTargets(self.frame[inside], rois[inside], (self.joints - corner)[inside])


class HandLoss(NamedTuple):
    """What the loss found.

    Attributes:
        loss: a scalar with gradient.
        joint_error: root mean square distance of the joints as a share of the region's side, without gradient.
        presence: mean presence of the true hands in the prediction, 0..1, without gradient.
    """

    loss: Tensor
    joint_error: Tensor
    presence: Tensor


def hand_targets(frames: Tensor, tracker: HandTracker) -> HandTargets:
    """Find the hands of true frames; once for a clip, as they do not change.

    Args:
        frames: (F, H, W, 3), 0..1.
        tracker: its landmark network has to be the one that `hand_structure_loss` is given.

    Returns:
        The targets, on the tracker's device; without rows where there are no hands.
    """
    hands = [(index, hand) for index, found in enumerate(tracker.detect(frames)) for hand in found]
    device = tracker.device
    frame = torch.tensor([index for index, _ in hands], dtype=torch.long, device=device)
    rois = torch.tensor([hand.roi for _, hand in hands], device=device).reshape(-1, 4)
    with torch.no_grad():
        joints, _ = look(tracker.landmark_net, frames.to(device).float(), frame, rois)
    return HandTargets(frame, rois, joints)


def timestep_weight(alphas_cumprod_t: Tensor, min_snr: float = 0.2, weighting: Weighting = "alpha") -> Tensor:
    """How much the loss counts at a timestep: the cumulated alpha, and 0 where noise hides the hands.

    The step from noise to clean latents grows without bound with the noise; the cumulated alpha tames it. In Stable
    Diffusion's schedule of 1000 steps the limit lies near step 600; told as a signal-to-noise ratio it holds for
    rescaled schedules too, and whatever the network predicts.

    Args:
        alphas_cumprod_t: the schedule's cumulated alphas at each item's timestep (B,).
        min_snr: alpha / (1 - alpha) has to reach this; 0 = no limit.
        weighting: "alpha", or "flat": 1 at every timestep within the limit, as printed in the paper. A network that
            predicts v bears it, since its step to clean latents is at most 1.

    Returns:
        (B,), 0..1.
    """
    enough = seen_through(alphas_cumprod_t, min_snr)
    return enough.to(alphas_cumprod_t) if weighting == "flat" else alphas_cumprod_t * enough


def crops_of_hands(targets: Sequence[HandTargets], side: int, grid: LatentGrid, rng: torch.Generator) -> list[Crop]:
    """A part of each clip's picture in which one of its hands lies whole, as far as the picture goes.

    Args:
        targets: of each clip, at least one hand.
        side: about so many pixels each way; more where the hand is larger.
        grid: of the video.
        rng: draws the hands.

    Returns:
        One a clip, all of one size.
    """
    drawn = [target.boxes[int(torch.randint(len(target.boxes), (), generator=rng))] for target in targets]
    most = max(float((box[2:] - box[:2]).max()) for box in drawn)
    side = max(side, math.ceil(most) + 2 * max(MARGIN, grid.cell))
    return [crop_around(tuple(((box[:2] + box[2:]) / 2).tolist()), side, grid) for box in drawn]


def hand_structure_loss(
    generated: Tensor,
    targets: Sequence[HandTargets],
    net: HandLandmarkNet,
    *,
    weight: Tensor | None = None,
    coords: Literal["roi", "image"] = "roi",
    presence_weight: float = 0.01,
    views: int = 2,
    generator: torch.Generator | None = None,
) -> HandLoss | None:
    """Squared distance of the joints of true and predicted hands; joints of hands that are missing count as 0.

    Args:
        generated: decoded frames of the prediction (B, L, 3, H, W), 0..1, with gradient.
        targets: for each clip the hands of its L true frames; `HandTargets.select` picks frames.
        net: frozen landmark network.
        weight: (B,) how much each clip counts, see `timestep_weight`; None: all the same.
        coords: "roi" measures in sides of the region around its centre, so that small hands count as much as large
            ones and a missing hand costs about 20 times a poor pose. "image": the paper's form; a missing hand costs
            about 100 times a poor pose, more the farther it is from the top-left corner.
        presence_weight: weight of the demand that the network recognises a hand.
        views: how often every hand is looked at; all but the first shake the region and add noise, against pictures
            that only fool the network. 1 with `presence_weight=0` and coords="image" is the paper's formula.
        generator: for shaking and noise, on the CPU.

    Returns:
        The loss, a mean over hands, then frames, then clips; None if no true frame shows a hand.

    Source: paper eq. 2, with gradient.
    """
    clips, length, _, height, width = generated.shape
    frames = generated.flatten(0, 1).movedim(1, -1).float()  # (B * L, H, W, 3)
    device = generated.device
    owner = torch.cat([clip * length + target.frame.to(device) for clip, target in enumerate(targets)])  # (N,)
    rois = torch.cat([target.rois.to(device) for target in targets])
    true = torch.cat([target.joints.to(device) for target in targets])
    if not len(owner):
        return None
    centre, scale = rois[:, None, :2], rois[:, None, 2:3]
    if coords == "image":
        centre, scale = torch.zeros_like(centre), centre.new_tensor([width, height])
    wanted = (true - centre) / scale
    error = frames.new_zeros(len(owner))
    seen, presence = true, error
    for view in range(views):
        where, shown = (rois, frames) if view == 0 else (shake(rois, generator), add_noise(frames, generator))
        joints, logit = look(net, shown, owner, where)
        there = (logit.sigmoid() / MISSING_BELOW).clamp(max=1)[:, None, None]
        apart = (there * (joints - centre) / scale - wanted).square().sum(-1).mean(-1)  # (N,)
        error = error + (apart + presence_weight * softplus(SURE - logit)) / views
        if view == 0:
            seen, presence = joints.detach(), logit.detach().sigmoid()
    # hands of a frame share its weight, frames with hands share their clip's
    share = 1 / torch.bincount(owner, minlength=clips * length)[owner].to(error)
    clip = owner // length
    share = share / torch.zeros(clips, device=device).index_add_(0, clip, share)[clip]
    if weight is not None:
        share = share * weight.to(share)[clip]
    off = ((seen - true) / rois[:, None, 2:3]).square().sum(-1).mean().sqrt()
    return HandLoss((share * error).sum() / len(clip.unique()), off, presence.mean())


def look(net: HandLandmarkNet, frames: Tensor, owner: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
    """What the network sees in regions of frames (F, H, W, 3): joints (N, 21, 2) in pixels, presence logits (N,)."""
    with torch.autocast(frames.device.type, enabled=False):  # a pixel has no meaning in half precision
        joints, presence, _ = net(crop(frames, owner, rois, CROP))
    return to_pixels(joints[..., :2] / CROP - 0.5, rois), presence


def shake(rois: Tensor, generator: torch.Generator | None) -> Tensor:
    """Move, scale and turn regions (N, 4) a little."""
    by = (torch.rand(rois.shape, generator=generator) * 2 - 1).to(rois)
    centre = rois[:, :2] + SHIFT * rois[:, 2:3] * by[:, :2]
    return torch.cat([centre, rois[:, 2:3] * (1 + SCALE * by[:, 2:3]), rois[:, 3:] + TURN * by[:, 3:]], 1)


def add_noise(frames: Tensor, generator: torch.Generator | None) -> Tensor:
    """The frames with a little Gaussian noise."""
    return frames + NOISE * torch.randn(frames.shape, generator=generator).to(frames)
