"""The losses a training can choose from, by name. To add one: a dataclass with `weight` and its options, and its name.

A loss is called with a `Prediction` and gives a scalar, or None where it has nothing to say about this batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import IVGError
from .losses import motion_loss, noise_loss, soft_iou_loss
from .settings import from_mapping, nearest

if TYPE_CHECKING:
    from .config import TrainConfig
    from .objective import Prediction


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
    """

    weight: float = 1.0
    inside: float = 1.0
    hands: float = 1.0

    def __call__(self, p: Prediction) -> Tensor:
        weight: Tensor | None = p.timestep_weight
        places = self._places(p)
        if places is not None:
            weight = places if weight is None else weight.reshape(-1, 1, 1, 1, 1) * places
        return noise_loss(p.output, p.target, weight)

    def _places(self, p: Prediction) -> Tensor | None:
        if self.inside == 1 and self.hands == 1:
            return None
        size = p.x0.shape[-2:]
        places = p.x0.new_ones(p.x0.shape[0], 1, 1, *size)
        if self.inside != 1:
            rom = p.batch.need("rom_mask", "the noise loss's `inside` weighs by")  # (B, H, W)
            places = places * (1 + (self.inside - 1) * interpolate(rom[:, None].float(), size, mode="area")[:, :, None])
        if self.hands != 1:
            moving = p.batch.need("frame_masks", "the noise loss's `hands` weighs by")  # (B, F, H, W)
            places = places * (1 + (self.hands - 1) * interpolate(moving.float(), size, mode="area")[:, None])
        # a mean of 1, so that the weights shift attention without raising the learning rate
        return places / places.mean(dim=(1, 2, 3, 4), keepdim=True)  # (B, 1, 1 or F, h, w)


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
        below: only at timesteps below this share of the schedule; in more noise there is no mask to compare.
        target: "frames", each frame's own mask, or "union", the Region of Motion for all.
        paper_norm: divide by L + 1 as printed.
    """

    weight: float = 0.1
    frames: int = 0
    below: float = 0.7
    target: Literal["frames", "union"] = "frames"
    paper_norm: bool = False

    def __call__(self, p: Prediction) -> Tensor | None:
        rows = (p.timesteps < self.below * len(p.schedule)).nonzero()[:, 0]
        if not len(rows):
            return None
        chosen = p.choose_frames(self.frames)
        masks = p.batch.need("frame_masks", "the mIoU loss compares with")[rows].float()  # (R, F, H, W)
        masks = masks.amax(1, keepdim=True).expand_as(masks) if self.target == "union" else masks
        shown = p.decode(rows, chosen).mean(2)  # (R, L, H, W), 0..1
        return soft_iou_loss(shown, masks[:, chosen], self.paper_norm)


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
    """

    weight: float = 1.0
    frames: int = 4
    min_snr: float = 0.2
    weighting: Literal["alpha", "flat"] = "alpha"
    coords: Literal["roi", "image"] = "roi"
    presence: float = 0.01
    views: int = 2
    #: figures beside the loss itself
    notes: ClassVar[tuple[str, ...]] = ("hand_error", "hand_presence")

    def __post_init__(self) -> None:
        self._tracker: Any = None
        #: clip -> its hands; trainings on the same clips may share it
        self.known: dict[str, Any] = {}

    def __call__(self, p: Prediction) -> Tensor | None:
        from ..hands.tracker import HandTracker
        from .hand_loss import hand_structure_loss, timestep_weight

        self._tracker = self._tracker or HandTracker(device=p.output.device)
        counts = timestep_weight(p.alphas_cumprod, self.min_snr, self.weighting)
        chosen = p.choose_frames(self.frames)
        targets = [self._targets(p, row).select(chosen) for row in range(len(counts))]
        rows = [row for row, target in enumerate(targets) if len(target.frame) and counts[row] > 0]
        if not rows:
            return None
        index = torch.tensor(rows, device=counts.device)
        found = hand_structure_loss(
            p.decode(index, chosen),
            [targets[row] for row in rows],
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
LOSSES: dict[str, Any] = {"noise": Noise, "motion": Motion, "miou": MaskIoU, "hands": Hands}


def make_losses(config: TrainConfig) -> dict[str, LossTerm]:
    """The losses of a training, by name; those of weight 0 are left out.

    Raises:
        IVGError: an unknown loss or option, one that the stage cannot have, or none at all.
    """
    terms: dict[str, LossTerm] = {}
    for name, settings in config.losses.items():
        if name not in LOSSES:
            raise IVGError(f"losses: there is no loss {name!r}{nearest(name, LOSSES)}")
        values = settings if isinstance(settings, Mapping) else {"weight": settings}
        term = from_mapping(LOSSES[name], values, f"losses.{name}")
        if term.weight:
            terms[name] = term
    if not terms:
        raise IVGError("Every loss has weight 0, so nothing would be learned: give noise: 1.0 under losses.")
    wrong = {1: ("motion", "hands"), 2: ("miou",)}[config.stage]
    for name in wrong:
        if name in terms:
            other = 3 - config.stage
            raise IVGError(f"The loss {name!r} belongs to stage {other}, and this is stage {config.stage}: remove it.")
    return terms
