"""What training minimises, by name: the noise, the motion score, and the losses that look at pixels.

Latents are (B, 4, F, h, w), clean unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import interpolate, mse_loss

from ..errors import IVGError
from ..models.grounding import coverage
from ..models.schedule import over_latents
from ..models.told import latent_motion_score
from ..settings import check_ranges, from_mapping, nearest
from .pixel_losses import Hands, MaskIoU

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


class LossTerm(Protocol):
    """A loss with its settings.

    Attributes:
        weight: with which it counts, 0 or more.
    """

    weight: float

    def __call__(self, p: Prediction) -> Tensor | None:
        """A scalar; None where it has nothing to say about this batch."""
        ...


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
    """The motion score of the predicted clip against the one the network was told. Released code, weight 0.001.

    Args:
        weight: of the term.
    """

    weight: float = 0.001

    def __call__(self, p: Prediction) -> Tensor | None:
        return None if p.motion is None else motion_loss(p.x0_pred, p.motion)


MANY = 10**9  # numbers beyond are slips of the pen
#: What a loss weighs, whichever it is.
WEIGHT = {"weight": (0.0, float(MANY))}
#: Figures of a step that are no losses.
OTHER_FIGURES = ("loss", "heldout", "rate", "seconds", "grad_norm")


def _any(*options: str) -> dict[str, tuple[float, float]]:
    return dict.fromkeys(options, (0, MANY))


@dataclass(frozen=True)
class LossKind:
    """A loss that settings may name.

    Attributes:
        cls: dataclass of its settings, called with a `Prediction`.
        stages: for which it is.
        ranges: option -> the least and the most that is allowed.
        pixels: whether the clips' frames are needed beside their latents.
    """

    cls: Any
    stages: tuple[int, ...] = (1, 2)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    pixels: bool = False


#: name in the settings -> loss
LOSSES: dict[str, LossKind] = {
    "noise": LossKind(Noise, ranges=_any("inside", "hands", "boxes")),
    "debiased": LossKind(Debiased, ranges=_any("beta")),
    "motion": LossKind(Motion, (2,)),
    "miou": LossKind(MaskIoU, (1,), {**_any("frames", "min_snr", "crop"), "below": (0, 1)}),
    "hands": LossKind(Hands, (2,), {**_any("frames", "min_snr", "presence", "crop"), "views": (1, 64)}, pixels=True),
}


def register_loss(
    name: str,
    cls: type[LossTerm],
    stages: Sequence[int] = (1, 2),
    ranges: Mapping[str, tuple[float, float]] | None = None,
    *,
    pixels: bool = False,
) -> None:
    """Adds a loss that settings of trainings can name: `losses: {mine: {weight: 1, my_option: 2}}`.

    Its options are checked as those of the others are, and its value stands in the figures of every step.

    Args:
        name: in the settings; a plain word that no other loss has. The same class may be given again, as when a cell
            of a notebook is run anew.
        cls: a dataclass whose fields are its options, all with a default and `weight: float` among them. An instance is
            called with a `Prediction`, whose tensors are (B, C, T, h, w), and gives a scalar tensor with a gradient, or
            None where it has nothing to say about a batch.
        stages: of which trainings it may be: 1, the mask video, 2, the video.
        ranges: option -> the least and the most that is allowed. `weight` is never below 0.
        pixels: whether the batch is to hold `frames` (B, F, H, W, 3) uint8, the clips' own pixels.

    Raises:
        IVGError: the name is taken or no word, or the class cannot be a loss.
    """
    if not isinstance(name, str) or not name.isidentifier() or name in OTHER_FIGURES:
        raise IVGError(f"A loss cannot be called {name!r}: give a plain word, and none of {', '.join(OTHER_FIGURES)}.")
    if name in LOSSES and not _same(LOSSES[name].cls, cls):
        raise IVGError(f"There is a loss {name!r} already: register yours under another name.")
    called = isinstance(cls, type) and any("__call__" in vars(base) for base in cls.__mro__)
    if not (called and is_dataclass(cls)):
        raise IVGError(
            f"The loss {name!r} is no dataclass with a __call__: write @dataclass above a class with a field weight "
            "and a method __call__(self, p) that gives a scalar."
        )
    options = {option.name: option for option in fields(cls)}
    if "weight" not in options:
        raise IVGError(f"The loss {name!r} has no weight: add a field `weight: float = 1.0` to {cls.__qualname__}.")
    bare = [key for key, f in options.items() if f.default is MISSING and f.default_factory is MISSING]
    if bare:
        raise IVGError(f"The loss {name!r} has no default for {', '.join(bare)}: give each option one.")
    if not stages or not set(stages) <= {1, 2}:
        raise IVGError(f"The loss {name!r} is for the stages {stages!r}: give (1,), (2,) or (1, 2).")
    if unknown := [key for key in ranges or {} if key not in options]:
        raise IVGError(f"The loss {name!r} has no option {unknown[0]!r}, for which a range is given: mend its name.")
    LOSSES[name] = LossKind(cls, tuple(stages), dict(ranges or {}), pixels)


def _same(one: Any, other: Any) -> bool:
    """Whether two classes are one, perhaps defined anew."""
    return all(getattr(one, key, 0) == getattr(other, key, 1) for key in ("__module__", "__qualname__"))


def needs_pixels(chosen: Mapping[str, Any]) -> bool:
    """Whether one of the losses that are named needs the clips' frames."""
    return any(name in LOSSES and LOSSES[name].pixels for name in chosen)


def value_of(name: str, term: LossTerm, p: Prediction) -> Tensor | None:
    """What a loss says of a prediction: a scalar, or None.

    Raises:
        IVGError: it says something else.
    """
    value = term(p)
    if value is None or (isinstance(value, Tensor) and value.ndim == 0):
        return value
    given = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
    raise IVGError(f"The loss {name!r} gave {given}, but a scalar tensor belongs there: take the mean, or give None.")


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
            raise IVGError(
                f"losses: there is no loss {name!r}{nearest(name, LOSSES)} One of your own comes by --plugin."
            )
        values = settings if isinstance(settings, Mapping) else {"weight": settings}
        term = from_mapping(LOSSES[name].cls, values, f"losses.{name}")
        check_ranges(term, {**LOSSES[name].ranges, **WEIGHT}, f"losses.{name}.")
        if term.weight:
            terms[name] = term
    if not terms:
        raise IVGError("Every loss has weight 0, so nothing would be learned: give noise: 1.0 under losses.")
    for name in terms:
        if stage not in LOSSES[name].stages:
            raise IVGError(f"The loss {name!r} belongs to stage {3 - stage}, and this is stage {stage}: remove it.")
    return terms
