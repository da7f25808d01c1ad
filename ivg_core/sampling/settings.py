"""How a video is sampled: the one list of it, for the library, the command line, batches and nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import IVGError

if TYPE_CHECKING:
    from .context import ContextWindows

SolverName = Literal["dpm++2m", "ddim", "lcm"]
Region = Literal["whole", "crop", "zoom"]
MotionMode = Literal["raw", "scaled_by_area"]
SOLVERS, REGIONS, MOTION_MODES = get_args(SolverName), get_args(Region), get_args(MotionMode)


@dataclass(frozen=True)
class Sampling:
    """The options of a run that do not say what is made, but how.

    Args:
        num_inference_steps: N >= 1; None takes what the model was made for.
        guidance_scale: how strongly the sentence is followed; at most 1 means not guided, in half the time; None takes
            what the model was made for.
        photo_scale: how strongly the photo is followed, by a model that also learned without it (SMCD); 1 adds nothing,
            another value takes one prediction more a step.
        boxes_scale: how strongly the boxes are followed; 1 adds nothing, another value takes one prediction more.
        guidance_interval: which part of the steps is guided, as fractions of them.
        solver: "dpm++2m", "ddim", or "lcm" for a model with a few-step LoRA, at 4 to 8 steps and guidance 1. The
            embedded model makes better hands with "lcm" at 6 steps; but that adds noise at each step, so that with it
            another region gives another video, and `cache_tolerance` reuses nothing.
        region: what is sampled. "whole": the whole picture. "crop": a window around the mask at the video's own scale,
            laid back over the still photo; measured 34 dB from the whole at 1.3 times its speed, and faster the smaller
            the mask is. "zoom": the window brought to the area the model is made for, which shows more detail.
        cache_every: the network is computed whole at every so many steps and its deep layers reused in between; 1 is
            exact; measured 44 dB and 1.4 times the speed at 2, 40 dB and 1.6 times at 3. What is kept takes memory for
            each window of time, so that it grows with the length of the video.
        cache_tolerance: the same where the run itself decides when: the network is computed whole again once what its
            first layer gave has changed by more than this share, 0..1; 0 is exact. Takes twice the memory of
            `cache_every`.
        decode_chunk: frames decoded at once; fewer take less memory. None takes as many as make 512 x 512 pixels, 1 to
            8.
        keep_first_frame: frame 0 is the photo itself; its latent is held in the loop, so that the rest connects to it.
            None: where there is a photo, without `parity`.
        composite: outside the mask the photo's own pixels are kept, or those of the source video. None: where there is
            a photo, or a source video with a mask, without `parity`.
        feather: width of the composite's seam in pixels; None is 1/32 of the shorter side, and none over a source
            video, which stays as it is outside the mask, bit for bit.
        binarize_mask: round the latent mask to 0 and 1, as in training.
        motion_mode: "raw", or "scaled_by_area": times the mean of the latent mask, which calms small regions.
        parity: do as the released code does, to the letter: `size` is the base of its area rule, the mask's soft edge
            turns white, EXIF rotation is ignored, frames are truncated to 8 bits.
        t_last: start noise of the released web app, see `initial_latents`.
        context: windows of time in which a long video is sampled; None: all frames at once. With `parity` each window
            makes its own step, as in Gen-L-Video's released code.

    Raises:
        IVGError: a value that cannot work, or options that exclude each other.
    """

    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    solver: SolverName = "dpm++2m"
    region: Region = "whole"
    cache_every: int = 1
    decode_chunk: int | None = None
    keep_first_frame: bool | None = None
    composite: bool | None = None
    feather: float | None = None
    binarize_mask: bool = False
    motion_mode: MotionMode = "raw"
    parity: bool = False
    t_last: int | None = None
    photo_scale: float = 1.0
    boxes_scale: float = 1.0
    context: ContextWindows | None = None
    cache_tolerance: float = 0.0

    def __post_init__(self) -> None:
        for name in ("num_inference_steps", "cache_every", "decode_chunk"):
            check_count(name, getattr(self, name))
        for name, known in (("solver", SOLVERS), ("region", REGIONS), ("motion_mode", MOTION_MODES)):
            if getattr(self, name) not in known:
                raise IVGError(f"There is no {name} {getattr(self, name)!r}: choose {', '.join(known)}.")
        if self.guidance_scale is not None and not _is_number(self.guidance_scale):
            raise IVGError(f"guidance_scale is {self.guidance_scale}: give a number; 9 is usual, 1 means none.")
        for name in ("photo_scale", "boxes_scale"):
            if not _is_number(getattr(self, name)):
                raise IVGError(f"{name} is {getattr(self, name)}: give a number; 1 is usual.")
        part = self.guidance_interval
        if not isinstance(part, (tuple, list)) or len(part) != 2 or not all(map(_is_number, part)):
            raise IVGError(f"The guidance interval is {part!r}: give two numbers, such as (0.0, 1.0).")
        if not 0 <= part[0] <= part[1] <= 1:
            raise IVGError(f"The guidance interval is {part[0]} to {part[1]}: give 0 <= first <= last <= 1.")
        if not (_is_number(self.cache_tolerance) and 0 <= self.cache_tolerance <= 1):
            raise IVGError(f"cache_tolerance is {self.cache_tolerance}: give a number from 0 to 1.")
        if self.cache_tolerance > 0 and self.cache_every > 1:
            raise IVGError("cache_every and cache_tolerance both say when the network is computed whole: give one.")
        if self.t_last is not None and not isinstance(self.t_last, int):
            raise IVGError(f"t_last is {self.t_last!r}: give a timestep, which is a whole number.")
        if self.feather is not None and not (_is_number(self.feather) and self.feather >= 0):
            raise IVGError(f"feather is {self.feather}: give a number of pixels from 0 up.")
        added = self.keep_first_frame or self.composite or self.binarize_mask or self.motion_mode != "raw"
        if self.parity and (added or self.region != "whole" or self.keeps_features):
            raise IVGError(
                "Parity mode follows the released code, which keeps nothing of the photo, and knows no binarize_mask, "
                "motion_mode, region, cache_every or cache_tolerance: leave these off, or turn parity off."
            )

        if self.context is not None:
            self._check_context(self.context)

    def _check_context(self, context: ContextWindows) -> None:
        if self.keeps_features and context.schedule == "uniform":
            raise IVGError(
                "cache_every and cache_tolerance keep what a window's deep layers gave, and uniform windows shift at "
                "every step: choose static windows, or leave these at 1 and 0."
            )
        form = (context.weights, context.schedule, context.noise)
        if self.parity and (form != ("flat", "static", "independent") or context.devices or self.solver == "lcm"):
            raise IVGError(
                "Parity mode follows the released code of Gen-L-Video, whose windows are flat and static, with "
                "independent noise, on one device and without lcm: choose these, or turn parity off."
            )

    @property
    def keeps_features(self) -> bool:
        """Whether deep layers are reused from step to step."""
        return self.cache_every > 1 or self.cache_tolerance > 0

    def for_scene(self, photo: bool, masked: bool = False) -> Sampling:
        """The same with what it leaves open decided.

        Args:
            photo: whether the video begins with one.
            masked: whether there is a source video that is to stay as it is outside masks.
        """
        kept = self.keep_first_frame if self.keep_first_frame is not None else photo and not self.parity
        over = self.composite if self.composite is not None else (photo or masked) and not self.parity
        return replace(self, keep_first_frame=kept, composite=over)

    def for_mask(self) -> Sampling:
        """The part of it that also holds for stage 1, whose mask video has no photo to keep and no mask to follow."""
        return Sampling(num_inference_steps=self.num_inference_steps, guidance_scale=self.guidance_scale)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def check_count(name: str, value: int | None) -> None:
    """Let pass a whole number of at least 1, or None.

    Raises:
        IVGError: something else.
    """
    if value is not None and (not isinstance(value, int) or value < 1):
        raise IVGError(f"{name} is {value}: give a whole number of at least 1.")


#: What the network itself makes: nothing of the photo is kept in the pixels.
RAW = Sampling(keep_first_frame=False, composite=False)
