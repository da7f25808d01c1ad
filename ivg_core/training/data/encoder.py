"""What turns clips and sentences into the tensors of samples: an IVG model, or whoever gives the same answers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...models.bundle import IVGModel
from ...models.codec import Codec, ImageCodec
from ...models.fingerprint import fingerprint
from ...models.text import encode_phrases, encode_text

if TYPE_CHECKING:
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
    """An IVG model as `ClipEncoder`.

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

    def _latents(self, frames: np.ndarray) -> Tensor:
        """Scaled latents (4, F, h, w) of frames (F, H, W, 3) uint8."""
        return self.codec.encode(torch.from_numpy(frames).float() / 255)
