"""How ComfyUI holds an IVG model: one patcher a network, on the GPU only while a node computes with it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import comfy.model_management as mm
import comfy.model_patcher
import torch
from comfy_api.latest import io
from torch import Tensor

from ._compat import supported

if TYPE_CHECKING:
    from ..ivg_core.models.bundle import IVGModel

IVGModelSocket = io.Custom("IVG_MODEL")

# Bytes of activations = this * latent cells * channels of the first level * bytes of a number. Fitted to the 9 GB that
# the authors report for 512 x 512 x 16 in fp16, less the weights.
ACTIVATIONS_PER_CELL = 56


class IVGNetwork(torch.nn.Module):
    """A network as ComfyUI can move it: ComfyUI writes `.device`, which diffusers and transformers make read-only."""

    def __init__(self, net: torch.nn.Module):
        super().__init__()
        self.net = net.eval()


@dataclasses.dataclass(frozen=True)
class ManagedModel:
    """What travels along an IVG_MODEL link."""

    model: IVGModel
    patchers: dict[str, comfy.model_patcher.ModelPatcher]  # by the network's name in `model`


def manage(model: IVGModel) -> ManagedModel:
    """Put the networks of a loaded model under ComfyUI's memory management."""
    networks = {name: getattr(model, name) for name in ("unet", "rom_unet", "vae", "text_encoder")}
    return ManagedModel(model, {name: under_management(net) for name, net in networks.items() if net is not None})


def under_management(net: torch.nn.Module) -> comfy.model_patcher.ModelPatcher:
    """Put one network under ComfyUI's memory management."""
    # Not CoreModelPatcher: on a GPU newer ComfyUIs' moves a plain module without its patches, and those are the LoRAs.
    patcher = comfy.model_patcher.ModelPatcher
    return patcher(IVGNetwork(net), load_device=mm.get_torch_device(), offload_device=mm.unet_offload_device())


def on_device(
    managed: ManagedModel, stage: int, photo: Tensor, frames: int, size: tuple[int, int] | None = None
) -> IVGModel:
    """The model with the networks of one stage loaded, and room for what they compute.

    Args:
        stage: 1 predicts the region of motion, 2 makes the video.
        photo: (H, W, 3).
        frames: F of the video.
        size: (width, height) of the video in pixels; None follows from the photo.

    Raises:
        IVGError: the model has no weights for this stage.
    """
    from ..ivg_core.models.codec import fit_size

    model = managed.model
    unet, cell = model.for_stage(stage), model.vae_scale_factor
    height, width = photo.shape[:2]
    width, height = size or fit_size(width, height, model.defaults.width, model.defaults.height, cell)
    # Guidance doubles the batch, and the photo's own latent is one more frame.
    cells = 2 * (frames + 1) * (width // cell) * (height // cell)
    room = ACTIVATIONS_PER_CELL * cells * unet.config["block_out_channels"][0] * model.dtype.itemsize
    patchers = [managed.patchers[name] for name in ("rom_unet" if stage == 1 else "unet", "vae", "text_encoder")]
    # These are plain modules: half of one on the GPU would not run, so ask for the whole.
    whole = supported(mm.load_models_gpu, force_full_load=True)
    mm.load_models_gpu(patchers, memory_required=room, **whole)
    return model
