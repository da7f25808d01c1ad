"""The metrics: what each is, what it needs, and how one clip is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from ..hands.networks import TRACKING as HAND_NETWORKS
from ..hands.score import LEGEND as HAND_SCORE_LEGEND
from ..hands.score import score_hands
from .clips import MeasuredClip
from .metrics import weights as published
from .metrics.hs_err import LEGEND as HS_ERR_LEGEND
from .metrics.hs_err import hs_err
from .metrics.motion import background_stillness, mask_iou, motion_precision
from .metrics.pixels import pixel_error, psnr, ssim

if TYPE_CHECKING:
    from ..hands.tracker import HandTracker
    from .metrics.weights import Network


@dataclass(frozen=True)
class Metric:
    """One column of the table.

    Attributes:
        key: in files.
        title: for people.
        better: which way.
        needs: attributes of `MeasuredClip` without which it is not measured, separated by spaces.
        digits: behind the point.
        paper: whether it stands in the paper's Table 1.
        share: key of the share that stands beside its mean, which is misread without.
        legend: what has to be known to read it.
    """

    key: str
    title: str
    better: Literal["higher", "lower"]
    needs: str = ""
    digits: int = 3
    paper: bool = False
    share: str = ""
    legend: str = ""


#: In the order of the table, which begins as the paper's.
METRICS = {
    metric.key: metric
    for metric in (
        Metric("hs_err", "HS-Err", "lower", "truth", 5, paper=True, share="hand_recall", legend=HS_ERR_LEGEND),
        Metric("fid", "FID", "lower", "truth", 2, paper=True),
        Metric("clip_to_truth", "CLIP to truth", "higher", "truth", 3, paper=True),
        Metric("fvd", "FVD", "lower", "truth", 2, paper=True),
        Metric("egovlp", "EgoVLP", "higher", "truth", 3, paper=True),
        Metric("clip_consecutive", "CLIP consecutive", "higher", "", 4, paper=True),
        Metric("clip_to_text", "CLIP to text", "higher", "prompt", 2, paper=True),
        Metric("blip", "BLIP", "higher", "prompt", 3, paper=True),
        Metric("motion_precision", "motion precision", "higher", "mask"),
        Metric("background_stillness", "background stillness", "higher", "mask"),
        Metric("rom_iou", "RoM IoU", "higher", "own_mask"),
        Metric("hand_score", "hand score", "higher", legend=HAND_SCORE_LEGEND),
        Metric("hs_err_found", "HS-Err, found hands", "lower", "truth", 5, share="hand_recall", legend=HS_ERR_LEGEND),
        Metric("hand_recall", "hands found", "higher", "truth"),
        Metric("psnr", "PSNR", "higher", "truth", 2),
        Metric("ssim", "SSIM", "higher", "truth"),
        Metric("pixel_error", "pixel error", "lower", "truth", 4),
    )
}

#: What a clip may lack, and how the user gives it.
INPUTS = {
    "truth": "needs the true clips: give --truth",
    "mask": "needs Regions of Motion: give --masks, or put <name>_mask.png beside the clips",
    "own_mask": "needs the true Regions of Motion, --masks, and those the clips were made with, <name>_mask.png beside "
    "them",
    "prompt": "needs the sentences: give --prompts",
}


@dataclass(frozen=True)
class Features:
    """What a clip adds to a distance between distributions.

    Attributes:
        generated: (N, D), of the generated clip.
        true: (N, D), of the true one.
    """

    generated: Tensor
    true: Tensor


Values = dict[str, "float | Features"]
Measure = Callable[[MeasuredClip], Values]


@dataclass(frozen=True)
class Family:
    """Metrics that share a network.

    Attributes:
        keys: of the metrics.
        load: (folder of weights, device) -> a function that measures a clip which has what one of the metrics needs.
            Raises IVGError with the reason, "needs …", where that cannot be done here.
        networks: of the folder of weights that it looks through.
        version: raised when its figures change: what was measured before is then measured anew.
        shipped: files of networks that come with this library.
        own: it is a user's, see `register_metric`: why it refuses a clip is not kept, as a program may fail for any
            reason.
    """

    keys: tuple[str, ...]
    load: Callable[[Path | None, str], Measure]
    networks: tuple[Network, ...] = ()
    version: int | str = 1
    shipped: tuple[Path, ...] = ()
    own: bool = False

    @property
    def title(self) -> str:
        """Its first metric's."""
        return METRICS[self.keys[0]].title


def measure_plain(clip: MeasuredClip) -> Values:
    """What takes no network: motion, masks and pixels."""
    values: Values = {}
    if clip.mask is not None:
        values["motion_precision"] = motion_precision(clip.frames, clip.mask)
        values["background_stillness"] = background_stillness(clip.frames, clip.mask)
    if clip.true_mask is not None and clip.own_mask is not None:
        values["rom_iou"] = mask_iou(clip.own_mask, clip.true_mask)
    if clip.truth is not None:
        values["psnr"] = psnr(clip.latter, clip.truth)
        values["ssim"] = ssim(clip.latter, clip.truth)
        values["pixel_error"] = pixel_error(clip.latter, clip.truth)
    return values


def hand_measure(tracker: HandTracker) -> Measure:
    """What a hand tracker sees; its networks are part of this library."""
    seen: dict[tuple, list] = {}  # the true clips' hands: the methods share them

    def measure(clip: MeasuredClip) -> Values:
        score = score_hands(clip.latter, tracker)
        values: Values = {"hand_score": score.total if score.found else float("nan")}
        if clip.truth is not None:
            count, height, width = clip.truth.shape[:3]
            key = (clip.name, count, height, width)
            if key not in seen:
                seen[key] = tracker.detect(clip.truth)
            error = hs_err(clip.latter, seen[key], tracker, true_size=(width, height))
            values |= {"hs_err": error.value, "hs_err_found": error.value_found, "hand_recall": error.recall}
        return values

    return measure


def _plain(folder: Path | None, device: str) -> Measure:
    return measure_plain


def _hands(folder: Path | None, device: str) -> Measure:
    from ..hands.tracker import HandTracker

    return hand_measure(HandTracker(device))


def _inception(folder: Path | None, device: str) -> Measure:
    from .metrics.inception import InceptionFeatures

    features = InceptionFeatures(published.INCEPTION.find(folder), device)

    def measure(clip: MeasuredClip) -> Values:
        assert clip.truth is not None
        return {"fid": Features(features(clip.latter), features(clip.truth))}

    return measure


def _i3d(folder: Path | None, device: str) -> Measure:
    from .metrics.i3d import I3DFeatures

    features = I3DFeatures(published.I3D.find(folder), device)

    def measure(clip: MeasuredClip) -> Values:
        assert clip.truth is not None
        return {"fvd": Features(features(clip.latter), features(clip.truth))}

    return measure


def _clip(folder: Path | None, device: str) -> Measure:
    from .metrics.clip import ClipSimilarity, clip_consecutive, clip_to_text, clip_to_truth

    model = ClipSimilarity(published.CLIP.find(folder), device)

    def measure(clip: MeasuredClip) -> Values:
        frames = model.frames(clip.latter)
        values: Values = {"clip_consecutive": clip_consecutive(frames)}
        if clip.truth is not None:
            values["clip_to_truth"] = clip_to_truth(frames, model.frames(clip.truth))
        if clip.prompt is not None:
            values["clip_to_text"] = clip_to_text(frames, model.text(clip.prompt))
        return values

    return measure


def _egovlp(folder: Path | None, device: str) -> Measure:
    from .metrics.egovlp import EgoVLP

    model = EgoVLP(published.EGOVLP.find(folder), device)

    def measure(clip: MeasuredClip) -> Values:
        assert clip.truth is not None
        return {"egovlp": float(model.clip(clip.latter) @ model.clip(clip.truth))}

    return measure


def _blip(folder: Path | None, device: str) -> Measure:
    from .metrics.blip import Captioner, blip_score
    from .metrics.egovlp import EgoVLP

    captioner = Captioner(published.BLIP.find(folder), device)
    egovlp = EgoVLP(published.EGOVLP.find(folder), device)

    def measure(clip: MeasuredClip) -> Values:
        assert clip.prompt is not None
        return {"blip": blip_score(clip.latter, clip.prompt, captioner, egovlp)}

    return measure


#: Grown by `register_metric`.
FAMILIES = [
    Family(
        ("motion_precision", "background_stillness", "rom_iou", "psnr", "ssim", "pixel_error"),
        _plain,
    ),
    Family(("hs_err", "hs_err_found", "hand_recall", "hand_score"), _hands, shipped=HAND_NETWORKS),
    Family(("fid",), _inception, (published.INCEPTION,)),
    Family(("fvd",), _i3d, (published.I3D,)),
    Family(("clip_to_truth", "clip_consecutive", "clip_to_text"), _clip, (published.CLIP,)),
    Family(("egovlp",), _egovlp, (published.EGOVLP,)),
    Family(("blip",), _blip, (published.BLIP, published.EGOVLP)),
]
