"""The autoencoder and the text encoder of an IVG model as ComfyUI's own VAE and CLIP, around the very same networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import comfy.model_management as mm
import torch
from torch import Tensor, nn

from ..ivg_core.errors import IVGError
from ._checks import check_text
from ._model import IVGNetwork, ManagedModel
from ._notes import told_plainly, warnings_shown

if TYPE_CHECKING:
    from ..ivg_core.models.bundle import IVGModel

#: By which our tokens are found among those of a CLIP of core's.
KEY = "ivg"


class VideoVAE(IVGNetwork):
    """An autoencoder of pictures as core calls one of videos: frame by frame, each by itself."""

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, F, H, W), 0..1, to unscaled latents (B, 4, F, h, w)."""
        return torch.stack([self._codec.encode(clip.movedim(0, -1)) for clip in pixels])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Unscaled latents (B, 4, F, h, w) to (B, 3, F, H, W), 0..1, where ComfyUI keeps results.

        Raises:
            IVGError: these are no latents of a video, or there is NaN or infinity in them or in what the network makes.
        """
        from ..ivg_core.sampling.decode import check_latents

        with told_plainly():
            check_latents(latents)
            if latents.ndim != 5:
                raise IVGError(
                    f"The VAE of an IVG model reads latents of a video, (clips, 4, frames, height, width), and these "
                    f"are {tuple(latents.shape)}: connect what was sampled with this model."
                )
            frames = [self._frame(latent) for clip in latents for latent in clip.split(1, dim=1)]
        return torch.cat(frames).unflatten(0, (len(latents), -1)).movedim(-1, 1)

    def _frame(self, latent: Tensor) -> Tensor:
        """(4, 1, h, w) to (1, H, W, 3)."""
        mm.throw_exception_if_processing_interrupted()
        return self._codec.decode(latent[None])[0].to(mm.intermediate_device())

    @property
    def _codec(self) -> Any:
        from ..ivg_core.models.codec import ImageCodec

        return ImageCodec(self.net, scale=1.0)  # core scales latents itself


def core_vae(managed: ManagedModel, stage: int = 2) -> Any:
    """The autoencoder of a model as core's VAE, of whose latents each frame is one of the video.

    Its `ivg_model` and `ivg_stage` are what IVG Image to Video wants to know: of which model, and for which stage.
    """
    from comfy.sd import VAE
    from comfy.taesd.taesd import TAESD

    patcher, cell = managed.patchers["vae"], managed.model.vae_scale_factor
    # Core makes a network of its own around weights, moves and casts it. So it gets the smallest that it knows.
    vae = VAE(sd=TAESD().state_dict(), device=patcher.load_device, dtype=torch.float32)
    vae.first_stage_model, vae.patcher, vae.size = patcher.model, patcher, None
    vae.latent_dim = 3
    vae.process_input = vae.process_output = _as_it_is  # the codec casts and shifts, as it does for our own nodes
    vae.upscale_ratio = vae.downscale_ratio = (_as_it_is, cell, cell)
    vae.upscale_index_formula = vae.downscale_index_formula = (1, cell, cell)
    decoding, encoding, dtype = vae.memory_used_decode, vae.memory_used_encode, managed.model.vae.dtype
    vae.memory_used_decode = lambda shape, _: decoding((1, 4, *shape[-2:]), dtype)  # of one frame
    vae.memory_used_encode = lambda shape, _: encoding((1, 3, *shape[-2:]), dtype)
    vae.ivg_model, vae.ivg_stage = managed.model, stage
    return vae


def _as_it_is(value: Any) -> Any:
    return value


class TextEncoder(IVGNetwork):
    """A text encoder as core's CLIP calls its networks."""

    dtypes = ()

    def set_clip_options(self, options: dict[str, Any]) -> None:
        """What core tells before it encodes.

        Raises:
            IVGError: another layer than the last one is asked for.
        """
        if options.get("layer") not in (None, -1):
            with told_plainly():
                raise IVGError(
                    "An IVG model was trained on the text encoder's last layer: leave CLIP Set Last Layer out."
                )

    def reset_clip_options(self) -> None:
        """Nothing is kept."""

    def encode_token_weights(self, tokens: dict[str, list]) -> tuple[Tensor, None]:
        """The states (B, 77, D) of what `Words` gives, where ComfyUI keeps results; and no pooled one."""
        from ..ivg_core.models.text import encode_tokens

        ids = torch.tensor([[token for token, _ in row] for row in tokens[KEY]])
        return encode_tokens(self.net, ids).to(mm.intermediate_device(), torch.float32), None


class Words:
    """The tokenizer of a model as core's CLIP calls one. Brackets and numbers are words: nothing has a weight."""

    def __init__(self, model: IVGModel):
        self.model = model

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **options: Any) -> dict[str, list]:
        """The tokens of a sentence; what is cut off, or not read, is said on the node.

        Raises:
            IVGError: it holds half a character.
        """
        from ..ivg_core.models.text import text_tokens
        from ..ivg_core.sampling.inputs import warn_of_actions

        with told_plainly(), warnings_shown():
            check_text("The text", text)
            warn_of_actions([text] if text.strip() else [])
            ids = text_tokens(self.model, [text])
        return {KEY: [[(token, 1.0) for token in row] for row in ids.tolist()]}

    def state_dict(self) -> dict[str, Tensor]:
        """It has no weights."""
        return {}


class _Nothing(nn.Module):
    """In place of a network, while core makes a CLIP."""

    dtypes = ()


def core_clip(managed: ManagedModel) -> Any:
    """The text encoder of a model as core's CLIP: its states are those that the model was trained on."""
    from comfy.hooks import EnumHookMode
    from comfy.sd import CLIP
    from comfy.supported_models_base import ClipTarget

    clip = CLIP(ClipTarget(lambda **_: Words(managed.model), lambda **_: _Nothing()))
    clip.patcher = managed.patchers["text_encoder"].clone()
    clip.patcher.is_clip, clip.patcher.hook_mode = True, EnumHookMode.MinVram  # as core has it of its own
    clip.cond_stage_model = clip.patcher.model
    return clip
