"""What training minimises: the noise, the motion score and, for the stage-1 mask videos, a soft IoU.

Latents are (B, 4, F, h, w), clean unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate, mse_loss

from ..errors import IVGError
from ..models.grounding import coverage
from ..models.schedule import over_latents, seen_through
from ..models.told import latent_motion_score
from ..settings import check_ranges, from_mapping, nearest
from .crops import crop_around, random_point

if TYPE_CHECKING:
    from .prediction import Prediction


def motion_loss(x0_pred: Tensor, motion: Tensor) -> Tensor:
    """Squared distance between the motion score of the predicted clip and the score the model was told.

    Args:
        x0_pred: predicted clean latents (B, 4, F, h, w).
        motion: the score that was told (B,).

    Source: the released code's finetune_unet, which weights it 0.001.
    """
    return mse_loss(latent_motion_score(x0_pred.float()), motion.float())


def noise_loss(pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error between what the UNet predicted and what it should have.

    Args:
        pred: (B, 4, F, h, w).
        target: the noise (or v, or x0) (B, 4, F, h, w).
        weight: (B,), or anything that broadcasts over `pred`; None: every element counts the same.

    Source: paper, L_noise.
    """
    if weight is None:
        return mse_loss(pred.float(), target.float())
    if weight.ndim == 1:
        weight = over_latents(weight)
    return (weight * (pred.float() - target.float()).square()).mean()


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


class LossTerm(Protocol):
    weight: float

    def __call__(self, p: Prediction) -> Tensor | None: ...


@dataclass
class Noise:
    """Paper, L_noise; optionally some places count more.

    Args:
        weight: of the term.
        inside: how much more a place inside the Region of Motion counts than one outside; 1 = the same.
        hands: how much more a place counts in a frame where the frame's own mask is white; 1 = the same.
        boxes: how much more a place counts in a frame where a box is, or was in the photo; 1 = the same.
    """

    weight: float = 1.0
    inside: float = 1.0
    hands: float = 1.0
    boxes: float = 1.0

    def __call__(self, p: Prediction) -> Tensor:
        weight: Tensor | None = p.level_weight
        places = self._places(p)
        if places is not None:
            weight = places if weight is None else over_latents(weight) * places
        return noise_loss(p.output, p.target, weight)

    def _places(self, p: Prediction) -> Tensor | None:
        if self.inside == self.hands == self.boxes == 1 and p.open is None:
            return None
        size, grid = p.x0.shape[-2:], p.grid
        places = p.x0.new_ones(p.x0.shape[0], 1, 1, *size)
        if p.open is not None:
            places = places * p.open.float()  # (B, 1, T, h, w)
        if self.inside != 1:
            rom = p.batch.need("rom_mask", "the noise loss's `inside` weighs by")  # (B, H, W)
            places = places * (1 + (self.inside - 1) * interpolate(rom[:, None].float(), size, mode="area")[:, :, None])
        if self.hands != 1:
            moving = p.batch.need("frame_masks", "the noise loss's `hands` weighs by")  # (B, F, H, W)
            cells = grid.brightest(interpolate(moving.float(), size, mode="area"))  # (B, T, h, w)
            places = places * (1 + (self.hands - 1) * cells[:, None])
        if self.boxes != 1:
            boxes = p.batch.need("boxes", "the noise loss's `boxes` weighs by")  # (B, F, N, 5)
            both = [coverage(b, (size[0], size[1])) for b in (boxes, p.batch.get("photo_boxes", boxes[:, :1]))]
            cells = grid.brightest(torch.maximum(*both).amax(-1).unflatten(-1, size))  # (B, T, h, w)
            places = places * (1 + (self.boxes - 1) * cells[:, None])
        # a mean of 1, so that the weights shift attention without raising the learning rate
        return places / places.mean(dim=(1, 2, 3, 4), keepdim=True)  # (B, 1, 1 or T, h, w)


@dataclass
class Debiased:
    """What moves, without what all frames look like: the noise loss of differences to one frame.

    Args:
        weight: of the term.
        beta: how much of that frame is taken away; the rest is made larger to keep the variance.

    Source: MotionDirector (arXiv 2310.08465), the appearance-debiased temporal loss, with beta 1 and weight 1.
    """

    weight: float = 1.0
    beta: float = 1.0

    def __call__(self, p: Prediction) -> Tensor:
        if p.x0.shape[2] == 1:
            raise IVGError(f"The clip {p.batch['name'][0]} has one frame, in which nothing moves: leave it out.")
        return noise_loss(self._debiased(p.output, p.anchor), self._debiased(p.target, p.anchor), p.level_weight)

    def _debiased(self, latents: Tensor, anchor: int) -> Tensor:
        alpha = (self.beta**2 + 1) ** 0.5
        return alpha * latents - self.beta * latents[:, :, anchor : anchor + 1]


@dataclass
class Motion:
    """The motion score of the predicted clip against the one the network was told. Released code, weight 0.001."""

    weight: float = 0.001

    def __call__(self, p: Prediction) -> Tensor | None:
        return None if p.motion is None else motion_loss(p.x0_pred, p.motion)


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


#: name in the settings -> class
LOSSES: dict[str, Any] = {"noise": Noise, "debiased": Debiased, "motion": Motion, "miou": MaskIoU, "hands": Hands}

MANY = 10**9  # numbers beyond are slips of the pen
LOSS_RANGES: dict[str, tuple[float, float]] = {
    "weight": (0, MANY),
    "beta": (0, MANY),
    "inside": (0, MANY),
    "boxes": (0, MANY),
    "hands": (0, MANY),
    "frames": (0, MANY),
    "min_snr": (0, MANY),
    "below": (0, 1),
    "presence": (0, MANY),
    "views": (1, 64),
    "crop": (0, MANY),
}


def make_losses(chosen: Mapping[str, Any], stage: int) -> dict[str, LossTerm]:
    """The losses of a path, by name; those of weight 0 are left out.

    Args:
        chosen: name -> weight, or -> a mapping with `weight` and the loss's own options.
        stage: that is trained.

    Raises:
        IVGError: an unknown loss or option, one that the stage cannot have, or none at all.
    """
    terms: dict[str, LossTerm] = {}
    for name, settings in chosen.items():
        if name not in LOSSES:
            raise IVGError(f"losses: there is no loss {name!r}{nearest(name, LOSSES)}")
        values = settings if isinstance(settings, Mapping) else {"weight": settings}
        term = from_mapping(LOSSES[name], values, f"losses.{name}")
        check_ranges(term, {key: LOSS_RANGES[key] for key in vars(term) if key in LOSS_RANGES}, f"losses.{name}.")
        if term.weight:
            terms[name] = term
    if not terms:
        raise IVGError("Every loss has weight 0, so nothing would be learned: give noise: 1.0 under losses.")
    wrong = {1: ("motion", "hands"), 2: ("miou",)}[stage]
    for name in wrong:
        if name in terms:
            raise IVGError(f"The loss {name!r} belongs to stage {3 - stage}, and this is stage {stage}: remove it.")
    return terms
