"""A clip from any model over its still photo: cropped alike, colours put right, laid over with a soft seam."""

from __future__ import annotations

import dataclasses
import logging
import math

import torch
from torch import Tensor

from ..errors import IVGError
from ..media.frames import to_frames
from ..media.images import LONGEST_SIDE, mask_of_photo, resize_mask
from ..media.masks import to_masks
from ..media.targets import check_memory
from .composite import seam
from .latent import crop_to, fit
from .morphology import WHOLE, Part, around
from .refine import LARGE
from .window import Window, centre_window, resized

log = logging.getLogger("ivg")


def overlay_clip(
    frames: Tensor, photo: Tensor, mask: Tensor, feather: float | None = None, correct_colour: bool = True
) -> tuple[Tensor, str]:
    """Lay a clip over the photo that it was made from, in the photo's colours.

    Args:
        frames: (F, H, W, 3), 0..1.
        photo: (H', W', 3), 0..1; of another size it is cropped around its centre and resized, which is logged.
        mask: (H', W'), or (F, H', W') with one mask a frame; 0..1, 1 = the clip shows.
        feather: width in pixels of the seam, outside the mask; None takes 1/32 of the shorter side.
        correct_colour: take the drift, measured outside the mask, out of the whole frame.

    Returns:
        (F, H, W, 3), and what was found, in words.

    Raises:
        IVGError: the mask has another number of frames.
    """
    frames, photo, masks = _as_they_should_be(frames, photo, mask, feather)
    height, width = frames.shape[1:3]
    for name, size in (("photo", photo.shape[:2]), ("mask", masks.shape[-2:])):
        if tuple(size) != (height, width):
            log.warning(
                "The %s is %d x %d, the frames %d x %d: it is cropped and resized.", name, *size[::-1], width, height
            )
    photo = fit(photo, (width, height))
    masks = resize_mask(crop_to(masks, (width, height)), (width, height))  # (F or 1, H, W)
    feather = min(width, height) / 32 if feather is None else feather
    part = around((masks.amax(0) > 0).byte().cpu().numpy(), feather)  # the rest is the photo's
    shown, report = _in_photos_colours(frames, photo, masks, feather, correct_colour, part)
    laid = torch.empty_like(frames, memory_format=torch.contiguous_format).copy_(photo)
    for index, (frame, whole) in enumerate(zip(shown, laid, strict=True)):
        if index < len(masks):
            alpha = seam(masks[index][part], feather)[..., None].to(frames.device)
        whole[part].lerp_(frame, alpha.expand_as(frame))
    return laid, report


def stitch_clip(
    frames: Tensor,
    photo: Tensor,
    mask: Tensor,
    window: Window | None = None,
    feather: float | None = None,
    correct_colour: bool = True,
) -> tuple[Tensor, str]:
    """Lay a clip of a window over the whole photo, in the photo's resolution and colours.

    Args:
        frames: (F, h, w, 3), 0..1, of any size with the window's shape.
        photo: (H, W, 3), 0..1.
        mask: (H, W), or (F, H, W) with one mask a frame; 0..1, 1 = the clip shows.
        window: what the clip shows; None: the largest part around the photo's centre with the frames' shape.
        feather: width in pixels of the photo of the seam, outside the mask; None takes 1/32 of the window's shorter
            side.
        correct_colour: as in `overlay_clip`.

    Returns:
        (F, H, W, 3), the photo's own pixels outside mask and seam, and what was found, in words.

    Raises:
        IVGError: the mask has another number of frames, the photo another size than the window's picture, or the
            result does not fit into the memory.
    """
    frames, photo, masks = _as_they_should_be(frames, photo, mask, feather)
    (count, height, width), picture = frames.shape[:3], (photo.shape[1], photo.shape[0])
    window = window or centre_window(picture, (width, height))
    if window.picture != picture:
        raise IVGError(
            f"The window was cut out of a photo of {window.picture[0]} x {window.picture[1]} and is to be laid over "
            f"one of {picture[0]} x {picture[1]}: give the photo that it was cut out of."
        )
    check_memory(count, picture, "make fewer frames, or make the photo smaller before its region is cut out")
    if not 0.97 < (width / height) / (window.width / window.height) < 1.03:
        log.warning(
            "The frames are %d x %d and the window is %d x %d: they are squeezed into its shape.",
            width, height, *window.size,
        )  # fmt: skip
    masks = mask_of_photo(masks, picture)
    feather = min(window.size) / 32 if feather is None else feather
    small, scale = (width, height), width / window.width
    seen = resize_mask(window.cut(masks), small)
    frames, report = _in_photos_colours(frames, resized(window.cut_photo(photo), small), seen, feather * scale,
                                        correct_colour)  # fmt: skip
    stitched, fade = photo.repeat(count, 1, 1, 1), window.fade(feather)
    for index, (frame, whole) in enumerate(zip(frames, stitched, strict=True)):
        if index < len(masks):
            alpha = (fade * seam(window.cut(masks[index]), feather)).to(photo.device)
        window.lay(frame.to(photo.device), whole, alpha)
    return stitched, report


def _as_they_should_be(
    frames: Tensor, photo: Tensor, mask: Tensor, feather: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Frames (F, H, W, 3), photo (H', W', 3) and masks (1 or F, H', W'), all float32."""
    frames, photo, masks = to_frames(frames), to_frames(photo[None], "photo")[0], to_masks(mask)
    if len(masks) not in (1, len(frames)):
        raise IVGError(f"There are {len(masks)} masks for {len(frames)} frames: give one mask, or one a frame.")
    if feather is not None and not 0 <= feather <= LONGEST_SIDE:
        raise IVGError(f"feather is {feather}: give a number of pixels from 0 to {LONGEST_SIDE}.")
    return frames, photo, masks


def _in_photos_colours(
    frames: Tensor, photo: Tensor, masks: Tensor, feather: float, correct_colour: bool, part: Part = WHOLE
) -> tuple[Tensor, str]:
    """A part of the frames in the colours of their photo, all of one size, and what was found, in words."""
    every = math.ceil(math.sqrt(photo[..., 0].numel() / LARGE))  # of a big picture some pixels are enough
    outside = seam(masks.amax(0)[::every, ::every], feather / every).to(frames.device) == 0
    drift = measure_drift(frames[:, ::every, ::every], photo[::every, ::every], outside)
    frames = frames[:, part[0], part[1]]
    if drift is None:
        return frames, "The mask covers the whole picture: there is nothing outside it to compare colours with."
    return correct_drift(frames, drift) if correct_colour else frames, drift.report(correct_colour)


ENOUGH = 0.01  # share of the picture that must lie outside the mask for its colours to be judged
FLAT = 2 / 255  # a spread below this says nothing about contrast
STEADY = 12 / 255  # what is left after the correction when the camera stood still


@dataclasses.dataclass(frozen=True)
class Drift:
    """How the colours outside the mask changed; a pixel of the photo became about `gain * photo + offset`.

    Attributes:
        gain: (F, 3).
        offset: (F, 3), 0..1.
        before: (F,), mean absolute difference from the photo outside the mask, 0..1.
        after: (F,), the same once it is corrected.
    """

    gain: Tensor
    offset: Tensor
    before: Tensor
    after: Tensor

    def report(self, corrected: bool = True) -> str:
        """What was found, in sentences for the user; levels are of 255."""
        worst = int(self.before.argmax())
        shift = self.offset[worst] + (self.gain[worst] - 1) / 2  # of a middle grey
        channel = int(shift.abs().argmax())
        text = (
            f"Outside the mask the colours differ by {255 * self.before.mean():.1f} levels of 255 on average, most in "
            f"frame {worst + 1} ({255 * self.before[worst]:.1f}; {('red', 'green', 'blue')[channel]} "
            f"{255 * shift[channel]:+.1f})."
        )
        left = f"{255 * self.after.mean():.1f}"
        text += f" Corrected, {left} are left." if corrected else f" Not corrected; a correction would leave {left}."
        if self.after.mean() > STEADY:
            text += " That is much: the camera moved, or things changed outside the mask, and the seam may show."
        return text


def measure_drift(frames: Tensor, photo: Tensor, outside: Tensor) -> Drift | None:
    """Measure how each frame's colours differ from the photo's outside the mask.

    Pixels that changed quite unlike most others do not count: a shadow or a sleeve that reaches over the edge.

    Args:
        frames: (F, H, W, 3), 0..1.
        photo: (H, W, 3), 0..1.
        outside: (H, W) bool, True where nothing should have changed.

    Returns:
        The drift; None where less than 1 % of the picture lies outside.

    Raises:
        IVGError: the sizes differ.
    """
    if frames.shape[1:] != photo.shape or outside.shape != photo.shape[:2]:
        raise IVGError(
            f"The frames are {tuple(frames.shape[1:])}, the photo {tuple(photo.shape)} and the mask "
            f"{tuple(outside.shape)}: give all of them the same height and width."
        )
    if outside.float().mean() < ENOUGH:
        return None
    were = photo[outside]  # (N, 3)
    gains, offsets, before, after = [], [], [], []
    for frame in frames:  # one by one: a long clip would take its memory again
        are = frame[outside]
        gain, offset = colour_change(were, are)
        gains.append(gain)
        offsets.append(offset)
        before.append((are - were).abs().mean())
        after.append(((are - offset) / gain - were).abs().mean())
    return Drift(torch.stack(gains), torch.stack(offsets), torch.stack(before), torch.stack(after))


def correct_drift(frames: Tensor, drift: Drift) -> Tensor:
    """The frames (F, H, W, 3) with the drift taken out, also inside the mask; 0..1."""
    return (frames - drift.offset[:, None, None]).div_(drift.gain[:, None, None]).clamp_(0, 1)


def colour_change(were: Tensor, are: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and offset (3,) that take most of the pixels (N, 3) from what they were to what they are."""
    change = are - were
    strange = (change - change.median(dim=0).values).abs().amax(1)  # (N,)
    most = strange <= 3 * strange.median() + 1 / 255
    were, are = were[most], are[most]
    spread, spread_now = were.std(dim=0), are.std(dim=0)
    gain = torch.where((spread > FLAT) & (spread_now > FLAT), spread_now / spread.clamp(min=FLAT), 1.0).clamp(0.5, 2)
    return gain, are.mean(dim=0) - gain * were.mean(dim=0)
