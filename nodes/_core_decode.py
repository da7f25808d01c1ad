"""A core VAE as the library's codec: pixels to the latents of a core model and back, with gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..ivg_core.errors import IVGError
from ..ivg_core.models.codec import LatentGrid, check_size


class CoreCodec:
    """The VAE of a core video model; see `Codec` in ivg_core/models/codec.py.

    Args:
        model: the MODEL, which says how latents are scaled.
        vae: the VAE.
        patch: latent cells of a token, each way; sides are whole tokens.

    Raises:
        IVGError: the VAE belongs to another model.
    """

    def __init__(self, model: Any, vae: Any, patch: int):
        self.model, self.vae, self.patch = model.model, vae, patch
        self.cell, self.stride = vae.spacial_compression_encode(), vae.temporal_compression_decode() or 1
        made, read = vae.latent_channels, self.model.latent_format.latent_channels
        if made != read:
            raise IVGError(
                f"The VAE makes latents of {made} channels, and the model reads {read}: load the VAE that belongs to "
                "the model."
            )

    @property
    def step(self) -> int:
        """Pixels of which sides are multiples where the size is chosen here; whole tokens, as the nodes' widgets."""
        return max(32, self.cell * self.patch)

    def grid(self, frames: int, size: tuple[int, int]) -> LatentGrid:
        """See `Codec`.

        Raises:
            IVGError: the video does not lie on whole latent frames or tokens; core would cut it without a word.
        """
        width, height = check_size(size, self.cell * self.patch)
        latent_frames, rest = divmod(frames - 1, self.stride)
        if rest:
            fewer = 1 + latent_frames * self.stride
            raise IVGError(
                f"The video has {frames} frames, and the model's latents hold {fewer} or {fewer + self.stride}: give "
                "one of these."
            )
        return LatentGrid(1 + latent_frames, height // self.cell, width // self.cell, self.cell, self.stride)

    @torch.inference_mode(False)
    @torch.no_grad()
    def encode(self, frames: Tensor, noise: Tensor | None = None) -> Tensor:
        """See `Codec`; on core's device for latents.

        Raises:
            IVGError: as in `grid`, or noise is given, for which core's encoders have no use.
        """
        if noise is not None:
            raise IVGError("ComfyUI's VAEs give one latent of a picture and no distribution: set flip to 0.")
        return self.model.process_latent_in(self.encode_raw(frames))[0].float()

    @torch.inference_mode(False)
    @torch.no_grad()
    def encode_raw(self, frames: Tensor) -> Tensor:
        """Frames (F, H, W, 3), 0..1, to latents (1, C, T, h, w) as they travel between core's nodes."""
        count, height, width, _ = frames.shape
        self.grid(count, (width, height))
        return self.vae.encode(frames)

    def decode(self, latents: Tensor, frames: Sequence[int] | None = None) -> Tensor:
        """See `Codec`.

        Wan's decoders go through the latent frames in order. So for some frames only the latents up to theirs are
        decoded, exactly as the whole would be, and those before them without gradient, at the memory of one chunk.
        Other decoders look ahead, and decode the whole.
        """
        wanted = list(range(1 + (latents.shape[2] - 1) * self.stride)) if frames is None else list(frames)
        behind = [-(-frame // self.stride) for frame in wanted]  # frame 0 has a latent frame of its own
        if not self.in_order:
            return self._decode(latents, wanted)
        with self._nothing_learned_before(min(behind)):
            return self._decode(latents[:, :, : max(behind) + 1], wanted)

    def _decode(self, latents: Tensor, frames: list[int]) -> Tensor:
        raw = self.model.process_latent_out(latents).to(self.vae.device, self.vae.vae_dtype)
        # Not `VAE.decode`, which writes its result into a buffer, and so has no gradient.
        pixels = self.vae.first_stage_model.decode(raw)[:, :, frames]  # (B, 3, L, H, W), -1..1
        return ((pixels.float() + 1) / 2).clamp(0, 1).movedim(1, -1)

    @property
    def in_order(self) -> bool:
        """Whether the decoder goes through the latent frames in order, as Wan's do; others look ahead."""
        from comfy.ldm.wan import vae, vae2_2

        return isinstance(self.vae.first_stage_model, vae.WanVAE | vae2_2.WanVAE)

    @contextmanager
    def _nothing_learned_before(self, first: int) -> Iterator[None]:
        """Inside the `with` block the decoder takes the chunks before a latent frame without gradient.

        Detaching those latents would not do: a layer before the decoder joins them with the others again.
        """
        done = 0

        def detach(_decoder: Any, args: tuple) -> tuple | None:
            nonlocal done
            done += args[0].shape[2]
            return (args[0].detach(), *args[1:]) if done <= first else None

        handle = self.vae.first_stage_model.decoder.register_forward_pre_hook(detach)
        try:
            yield
        finally:
            handle.remove()
