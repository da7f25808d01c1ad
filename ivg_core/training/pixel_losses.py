"""Losses that look at pixels: the decoded mask video of stage 1, and the hands of stage 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from ..models.schedule import seen_through
from .crops import crop_around, random_point

if TYPE_CHECKING:
    from .prediction import Prediction


def soft_iou_loss(generated: Tensor, target: Tensor, paper_norm: bool = False) -> Tensor:
    """One minus the soft intersection over union of two mask videos, frame by frame; two empty frames agree.

    Args:
        generated: (B, L, H, W), 0..1.
        target: (B, L, H, W), 0..1.
        paper_norm: divide the sum over the L frames by L + 1 as printed, so that perfect masks still cost 1 / (L + 1).

    Returns:
        a scalar, 0..1.

    Source: paper eq. 4, which weights it 0.1.
    """
    generated, target = generated.float(), target.float()
    eps = 1e-6
    intersection = (generated * target).sum(dim=(2, 3))  # (B, L)
    union = (generated + target - generated * target).sum(dim=(2, 3))
    iou = (intersection + eps) / (union + eps)
    frames = iou.shape[1]
    return 1 - (iou.sum(dim=1) / (frames + 1 if paper_norm else frames)).mean()


@dataclass
class MaskIoU:
    """Paper, eq. 4: the decoded mask video against the true masks, weight 0.1; for stage 1.

    Args:
        weight: of the term.
        frames: frames decoded a step, drawn anew each time; 0 = all of them, the paper's, at the cost of memory.
        min_snr: only at timesteps with at least this signal-to-noise ratio; in more noise there is no mask to compare.
            0.09 is timestep 699 of Stable Diffusion's schedule; 0 = all, the paper's.
        below: as settings of older versions have it, in place of `min_snr`: only below this share of the schedule.
        target: "frames", each frame's own mask, or "union", the Region of Motion for all.
        paper_norm: divide by L + 1 as printed.
        crop: decode only about so many pixels each way around a point of the mask, drawn anew each time; 0 = all.
    """

    weight: float = 0.1
    frames: int = 0
    min_snr: float = 0.09
    below: float | None = None
    target: Literal["frames", "union"] = "frames"
    paper_norm: bool = False
    crop: int = 0

    def __call__(self, p: Prediction) -> Tensor | None:
        if self.below is None:
            seen = seen_through(p.signal, self.min_snr)
        else:
            seen = p.levels < p.backbone.schedule.at(self.below)
        rows = seen.nonzero()[:, 0]
        if not len(rows):
            return None
        chosen = p.choose_frames(self.frames)
        masks = p.batch.need("frame_masks", "the mIoU loss compares with")[rows].float()  # (R, F, H, W)
        masks = masks.amax(1, keepdim=True).expand_as(masks) if self.target == "union" else masks
        masks, crops = masks[:, chosen], None  # (R, L, H, W)
        if self.crop:
            moving = masks.amax(1)
            crops = [crop_around(random_point(one, p.rng), self.crop, p.grid) for one in moving]
            masks = torch.stack([crop.pixels(one) for crop, one in zip(crops, masks, strict=True)])
        shown = p.decode(rows, chosen, crops=crops).mean(2)  # (R, L, H, W), 0..1
        return soft_iou_loss(shown, masks, self.paper_norm)


@dataclass
class Hands:
    """Paper, eq. 2: the joints of the predicted hands against those of the true ones, weight 1; for stage 2.

    The true hands are found once a clip, in `frames` of the sample, or in its decoded latents if it has none.

    Args:
        weight: of the term.
        frames: frames decoded a step, drawn anew each time; 0 = all.
        min_snr: only at timesteps with at least this signal-to-noise ratio; in more noise there are no hands to see.
        weighting: "alpha", less in more noise, or "flat", the same at every timestep (as printed).
        coords: "roi", as a share of the hand's own region, or "image", as a share of the picture (as printed).
        presence: weight of the demand that a hand is recognised at all.
        views: how often each hand is looked at, each time a little differently, so that it is not learned to fool one.
        crop: decode only about so many pixels each way around one hand of each clip, drawn anew each time, and more for
            a larger hand; hands that do not lie in it whole are passed over. 0 = the whole picture.
    """

    weight: float = 1.0
    frames: int = 4
    min_snr: float = 0.2
    weighting: Literal["alpha", "flat"] = "alpha"
    coords: Literal["roi", "image"] = "roi"
    presence: float = 0.01
    views: int = 2
    crop: int = 0
    #: figures beside the loss itself
    notes: ClassVar[tuple[str, ...]] = ("hand_error", "hand_presence")

    def __post_init__(self) -> None:
        self._tracker: Any = None
        #: clip -> its hands; trainings on the same clips may share it
        self.known: dict[str, Any] = {}

    def __call__(self, p: Prediction) -> Tensor | None:
        from ..hands.tracker import HandTracker
        from .hand_loss import crops_of_hands, hand_structure_loss, timestep_weight

        self._tracker = self._tracker or HandTracker(device=p.output.device)
        counts = timestep_weight(p.signal, self.min_snr, self.weighting)
        chosen = p.choose_frames(self.frames)
        targets = [self._targets(p, row).select(chosen) for row in range(len(counts))]
        rows = [row for row, target in enumerate(targets) if len(target.frame) and counts[row] > 0]
        if not rows:
            return None
        index, shown = torch.tensor(rows, device=counts.device), [targets[row] for row in rows]
        crops = None
        if self.crop:
            crops = crops_of_hands(shown, self.crop, p.grid, p.rng)
            shown = [target.within(crop) for target, crop in zip(shown, crops, strict=True)]
        found = hand_structure_loss(
            p.decode(index, chosen, crops=crops),
            shown,
            self._tracker.landmark_net,
            weight=counts[index],
            coords=self.coords,
            presence_weight=self.presence,
            views=self.views,
            generator=p.rng,
        )
        assert found is not None  # the rows were chosen for their hands
        p.notes.update(hand_error=found.joint_error, hand_presence=found.presence)
        # A mean over the whole batch: a clip whose hands cannot be judged must not make the others count more.
        return found.loss * len(rows) / len(counts)

    def _targets(self, p: Prediction, row: int) -> Any:
        from .hand_loss import hand_targets

        name = p.batch["name"][row]
        if name not in self.known:
            with torch.no_grad():
                self.known[name] = hand_targets(p.true_frames(row), self._tracker)
        return self.known[name]
