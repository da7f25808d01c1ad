"""ComfyUI's tensors, as the library wants them and back."""

from __future__ import annotations

from collections.abc import Sequence

import comfy.model_management as mm
import comfy.utils
import torch
from PIL import Image
from torch import Tensor

PREVIEW_SIDE = 256
SHOWN_SIDE = 1024


def frames_of(images: Tensor, what: str = "frames") -> Tensor:
    """An IMAGE as the library wants it: (B, H, W, 3) float32, 0..1, whatever numbers and channels it came with.

    Raises:
        IVGError: there is no picture in it, or it holds what is no colour, such as NaN.
    """
    from ..ivg_core.media.frames import to_frames

    return to_frames(images, what)


def photos_of(images: Tensor) -> list[Tensor]:
    """The photos of an IMAGE, each (H, W, 3); see `frames_of`."""
    return list(frames_of(images, "photos"))


def masks_of(mask: Tensor) -> Tensor:
    """A MASK as (B, H, W) float32, 0..1, whether or not it came with its batch.

    Raises:
        IVGError: there is none in it, or it holds what is none, such as NaN.
    """
    from ..ivg_core.media.masks import to_masks

    return to_masks(mask)


def masks_if_any(mask: Tensor | None) -> list[Tensor]:
    """The masks (H, W) of a MASK from something that may find nothing, such as a segmenter."""
    return [] if mask is None or not mask.numel() else list(masks_of(mask))


def mask_of_each(mask: Tensor | None, photos: int) -> list[Tensor | None]:
    """One mask (H, W) a photo: its own from a batch as long as the photos', else the union of all."""
    if mask is None:
        return [None] * photos
    masks = masks_of(mask)
    if photos > 1 and len(masks) == photos:
        return list(masks)
    return [masks.amax(0)] * photos


def hands_of(frame: dict, width: int, height: int) -> list[torch.Tensor]:
    """The hands of one POSE_KEYPOINT frame, each (21, 2) in pixels of a width x height picture.

    Raises:
        IVGError: it is no such frame.
    """
    from ..ivg_core.errors import IVGError

    hands = []
    try:
        scale = torch.tensor([width / frame["canvas_width"], height / frame["canvas_height"]])
        for person in frame["people"]:
            for side in ("hand_left_keypoints_2d", "hand_right_keypoints_2d"):
                points = torch.tensor(person.get(side) or []).reshape(-1, 3)  # x, y, score
                if not points.isfinite().all():
                    raise ValueError("joints that are no numbers")
                if len(points) and (points[:, 2] > 0).all():
                    hands.append(points[:, :2] * scale)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise IVGError(
            f"These are no keypoints as OpenPose nodes give them ({type(error).__name__}: {error}): connect those of "
            "IVG Hand Keypoints, or of another node for poses."
        ) from error
    return hands


def to_comfy(tensor: Tensor) -> Tensor:
    """A result where ComfyUI keeps results (normally the CPU), in float32."""
    return tensor.to(mm.intermediate_device(), torch.float32)


def batch_of(pictures: Sequence[Tensor]) -> Tensor:
    """Pictures of one size as a batch; a lone one is not copied, as it may be large."""
    return torch.stack(list(pictures)) if len(pictures) > 1 else pictures[0][None]


def shown(pictures: Tensor, side: int = SHOWN_SIDE) -> Tensor:
    """An IMAGE or MASK as a node shows it: a file of a whole photo would take longer than its mask."""
    from ..ivg_core.media.images import shrink_to

    return shrink_to(pictures, side)


class Progress:
    """The library's `on_step` for a node: moves its bar, shows a preview, stops when the user cancels.

    Args:
        node_id: the node that shows the bar.
        photos: one denoising loop is run for each of them, in this order; None where a video is made without one.
        previews: whether to send pictures (a node that does can show no other pictures).
    """

    def __init__(self, node_id: str, photos: Sequence[Tensor | None], previews: bool = True):
        self.bar = comfy.utils.ProgressBar(len(photos), node_id=node_id)
        self.photos, self.previews = photos, previews
        self.run = 0

    def __call__(self, step: int, total: int, x0: Tensor) -> None:
        mm.throw_exception_if_processing_interrupted()
        preview = ("JPEG", _small(self._picture(step, x0)), PREVIEW_SIDE) if self.previews else None
        self.bar.update_absolute(self.run * total + step, len(self.photos) * total, preview)
        if step == total:
            self.run += 1

    def show_result(self, frames: Tensor) -> None:
        """The last preview of a photo's loop: a frame of the video (F, H, W, 3) itself, which stays on the node."""
        from ..ivg_core.media.images import to_pil

        self.bar.update_absolute(self.bar.current, preview=("JPEG", _small(to_pil(frames[-1])), PREVIEW_SIDE))

    def _picture(self, step: int, x0: Tensor) -> Image.Image:
        from ..ivg_core.media.images import to_pil
        from ..ivg_core.sampling.decode import preview_rgb

        frames = preview_rgb(x0, self.photos[self.run])  # (F, h, w, 3)
        return to_pil(frames[step % len(frames)])  # another frame each step, so that the preview moves


def _small(picture: Image.Image) -> Image.Image:
    scale = PREVIEW_SIDE / max(picture.size)
    return picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.BICUBIC)
