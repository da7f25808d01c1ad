"""Is a picture of the kind that a model was trained on? By how well the model's own autoencoder can draw it again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ..settings import read_json
from .codec import ImageCodec, fit_size

if TYPE_CHECKING:
    from .bundle import IVGModel

UNFAMILIAR = "unfamiliar"  # attribute of a log record that tells of such a picture
BORDER = 0.004  # mean deviation up to which a line of pixels counts as one colour: an added border, one grey level
BLOCK = 8  # side of a JPEG's squares: the one in which a border ends holds some of both; cut away always
OUTLIERS = 0.005  # share of the seen pictures that is left aside
WORSE, EMPTIER = 1.1, 1.25  # limits lie so far beyond the rest


@dataclass(frozen=True)
class Look:
    """What is measured of a picture, at the size that a model is made for and without a border of one colour.

    Attributes:
        error: mean absolute difference, 0..1, between the picture and what the autoencoder makes of it. An autoencoder
            that has seen little draws only that well: foreign colours, textures and fine detail come out wrong.
        detail: mean absolute difference, 0..2, between neighbouring squares of 4 x 4 pixels, down plus across. It tells
            empty pictures, which every autoencoder can draw.
    """

    error: float
    detail: float


@dataclass(frozen=True)
class Domain:
    """The pictures that a model knows.

    Args:
        kind: what they are, for people: "drawn kitchen scenes".
        error: the highest `Look.error` of a picture that it knows.
        detail: the lowest `Look.detail` of one.
    """

    kind: str
    error: float
    detail: float

    @classmethod
    def around(cls, kind: str, looks: Iterable[Look]) -> Domain:
        """The domain of the pictures that look like these, apart from a few, and a little beyond them."""
        errors, details = torch.tensor([(look.error, look.detail) for look in looks]).T
        error = errors.quantile(1 - OUTLIERS).item() * WORSE
        detail = details.quantile(OUTLIERS).item() / EMPTIER
        return cls(kind, round(error, 5), round(detail, 5))

    @classmethod
    def from_json(cls, text: str) -> Domain:
        """Reads what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        values = read_json(text)
        return cls(str(values["kind"]), float(values["error"]), float(values["detail"]))

    def to_json(self) -> str:
        """As it travels in a checkpoint."""
        return json.dumps(asdict(self))

    def holds(self, look: Look | None) -> bool:
        """Whether a picture that looks so is one of these; None, a picture of one colour, is not."""
        return look is not None and look.error <= self.error and look.detail >= self.detail


def unfamiliar(model: IVGModel, photo: Tensor) -> str:
    """What to tell the user of a picture that the model cannot know.

    Args:
        model: its autoencoder is used where it is, see `IVGModel.at_work`.
        photo: (H, W, 3) 0..1, of any size.

    Returns:
        Two sentences; "" if the picture is of the model's domain, or the model states none.
    """
    if model.domain is None or model.domain.holds(look_at(model, photo)):
        return ""
    return (
        f'The model "{model.name}" knows only {model.domain.kind}, and this picture is none of them: what it makes of '
        "the picture means nothing. Find the region from hands, things or a draft instead, and make the video with "
        "another model."
    )


@torch.no_grad()
def look_at(model: IVGModel, photo: Tensor) -> Look | None:
    """Measure a picture.

    Args:
        model: its autoencoder draws the picture again, at about the area that the model is made for.
        photo: (H, W, 3) 0..1, of any size.

    Returns:
        See `Look`; None if the picture is of one colour, or made of even lines.
    """
    inside = _without_border(photo)
    if inside is None:
        return None
    codec, base = ImageCodec(model.vae), model.defaults
    width, height = fit_size(inside.shape[1], inside.shape[0], base.width, base.height, codec.cell)
    planes = inside.permute(2, 0, 1)[None].float()  # (1, 3, H, W)
    small = interpolate(planes, (height, width), mode="bilinear", antialias=True).permute(0, 2, 3, 1)
    again = codec.decode(codec.encode(small)[None])[0].to(small.device)  # (1, h, w, 3)
    squares = avg_pool2d(small.permute(0, 3, 1, 2), 4)
    detail = squares.diff(dim=2).abs().mean() + squares.diff(dim=3).abs().mean()
    return Look((small - again).abs().mean().item(), detail.item())


def _without_border(photo: Tensor) -> Tensor | None:
    """The picture without outer rows and columns of one colour, and without the next ones, into which a JPEG mixes it.

    Of a large picture some pixels of each line are enough. None if nothing is left.
    """
    for axis in (0, 1):
        lines = photo.transpose(0, axis)
        some = lines[:, :: max(1, lines.shape[1] // 256)]
        uneven = ((some - some.mean(1, keepdim=True)).abs().mean((1, 2)) > BORDER).nonzero().flatten().tolist()
        if not uneven:
            return None
        first, last = uneven[0] + BLOCK, uneven[-1] - BLOCK
        if last - first < BLOCK:
            return None
        photo = photo.narrow(axis, first, last - first + 1)
    return photo
