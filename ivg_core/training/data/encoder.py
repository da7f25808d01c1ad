"""What turns clips and sentences into the tensors of samples: an IVG model, or whoever gives the same answers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...errors import IVGError
from ...media.images import to_bytes
from ...models.bundle import IVGModel
from ...models.codec import Codec, ImageCodec
from ...models.fingerprint import fingerprint
from ...models.text import encode_phrases, encode_text

if TYPE_CHECKING:
    from ..sample import Sample
    from .prepare import Prepared


class ClipEncoder(Protocol):
    """What the data side asks of the model that is trained."""

    @property
    def model(self) -> IVGModel | None:
        """The IVG model whose stage 1 can imagine masks; None: there is none."""
        ...

    @property
    def device(self) -> str:
        """Where hands are looked for."""
        ...

    @property
    def codec(self) -> Codec:
        """How a video lies on its latents."""
        ...

    @property
    def takes_mask(self) -> bool:
        """Whether a mask of what moves is needed."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of clips when the settings name none, in pixels."""
        ...

    @property
    def made_by(self) -> Mapping[str, Any]:
        """What a clip's tensors follow from, besides the clip and the settings."""
        ...

    @property
    def texts_made_by(self) -> str:
        """What a sentence's tensors follow from, besides the sentence."""
        ...

    def clip(self, prepared: Prepared) -> dict[str, Tensor]:
        """The latents of a clip, and what else its network needs, by their names in a `Sample`."""
        ...

    def text(self, caption: str) -> dict[str, Tensor]:
        """A sentence as the network is told it: `text`, or parts as `told_parts.flatten` names them."""
        ...

    def phrases(self, phrases: list[str]) -> Tensor:
        """Text states (N, D) of what is in boxes."""
        ...


class ModelEncoder:
    """An IVG model as `ClipEncoder`; `sample` makes the items of a data set of your own.

    Args:
        model: where it is.
        stage: 1 also gets the latents of the mask video.
    """

    def __init__(self, model: IVGModel, stage: int):
        self.model, self.stage, self.device = model, stage, str(model.vae.device)
        self.codec, self.takes_mask = ImageCodec(model.vae), model.takes_mask
        self.size = (model.defaults.width, model.defaults.height)

    @cached_property
    def made_by(self) -> Mapping[str, Any]:
        """See `ClipEncoder`."""
        return {"stage": self.stage, "vae": fingerprint(self.model.vae), "scale": self.codec.scale}

    @cached_property
    def texts_made_by(self) -> str:
        """See `ClipEncoder`."""
        return fingerprint(self.model.text_encoder)

    def clip(self, prepared: Prepared) -> dict[str, Tensor]:
        """See `ClipEncoder`."""
        tensors, masks = {"latents": self._latents(prepared.frames)}, prepared.masks.frames
        if masks is not None and self.stage == 1:
            tensors["mask_latents"] = self._latents(np.repeat(masks[..., None], 3, axis=-1))
        return tensors

    def text(self, caption: str) -> dict[str, Tensor]:
        """See `ClipEncoder`; (77, D)."""
        return {"text": encode_text(self.model, [caption])[0].float()}

    def phrases(self, phrases: list[str]) -> Tensor:
        """See `ClipEncoder`."""
        return encode_phrases(self.model, phrases).float()

    @torch.no_grad()
    def sample(
        self,
        frames: Tensor,
        caption: str,
        rom_mask: Tensor | None = None,
        frame_masks: Tensor | None = None,
        name: str = "",
    ) -> Sample:
        """A clip of a data set of your own, as training reads it.

        Args:
            frames: (F, H, W, 3), 0..1, at the size that is trained; the first is the photo.
            caption: what is done.
            rom_mask: (H, W), 0..1: the Region of Motion; None: the union of `frame_masks`, or all of the picture.
            frame_masks: (F, H, W), 0..1: what moves in each frame; stage 1 learns these.
            name: for messages.

        Raises:
            IVGError: stage 1 is given no masks, or the sizes are not those of the model's cells.
        """
        if frame_masks is None and self.stage == 1:
            raise IVGError(f"Stage 1 learns the masks of frames: give frame_masks of the clip {name or caption!r}.")
        if any(side % self.codec.cell for side in frames.shape[1:3]):
            raise IVGError(f"The clip {name or caption!r} has sides that are no multiple of {self.codec.cell} pixels.")
        if rom_mask is None:
            rom_mask = torch.ones(frames.shape[1:3]) if frame_masks is None else frame_masks.amax(0)
        texts = {"text": self.text(caption)["text"], "empty_text": self.text("")["text"]}
        made: Sample = {
            "latents": self.codec.encode(frames),
            "caption": caption,
            "name": name or caption,
            "text": texts["text"],
            "empty_text": texts["empty_text"],
            "rom_mask": rom_mask,
            "frames": torch.from_numpy(to_bytes(frames)),
        }
        if frame_masks is not None:
            made["frame_masks"] = frame_masks
            if self.stage == 1:
                made["mask_latents"] = self.codec.encode(frame_masks[..., None].expand(-1, -1, -1, 3))
        return made

    def _latents(self, frames: np.ndarray) -> Tensor:
        """Scaled latents (4, F, h, w) of frames (F, H, W, 3) uint8."""
        return self.codec.encode(torch.from_numpy(frames).float() / 255)
