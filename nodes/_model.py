"""How ComfyUI holds an IVG model: one patcher a network, on the GPU only while a node computes with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import comfy.model_management as mm
import comfy.model_patcher
import comfy.patcher_extension
import torch
from comfy_api.latest import io
from torch import Tensor

from ._compat import supported

if TYPE_CHECKING:
    from ..ivg_core.models.bundle import IVGModel

IVGModelSocket = io.Custom("IVG_MODEL")


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
    again: Callable[[], ManagedModel] | None = None  # loads it anew, without LoRAs, for another GPU

    def of_stage(self, stage: int) -> comfy.model_patcher.ModelPatcher:
        """The patcher of the network that `model.for_stage` gives."""
        return self.patchers["rom_unet" if stage == 1 else "unet"]


def manage(model: IVGModel, again: Callable[[], ManagedModel] | None = None) -> ManagedModel:
    """Put the networks of a loaded model under ComfyUI's memory management."""
    from ._core_parts import TextEncoder, VideoVAE

    patchers = {"vae": in_layers(model.vae, VideoVAE), "text_encoder": in_layers(model.text_encoder, TextEncoder)}
    for name in ("unet", "rom_unet"):
        if (unet := getattr(model, name)) is not None:
            patchers[name] = unet_under_management(unet, model)
    return ManagedModel(model, patchers, again)


def under_management(net: torch.nn.Module) -> comfy.model_patcher.ModelPatcher:
    """Put one network under ComfyUI's memory management."""
    return _patcher(IVGNetwork(net))


def in_layers(net: torch.nn.Module, holder: type[IVGNetwork] = IVGNetwork) -> comfy.model_patcher.ModelPatcher:
    """Put a network of diffusers or transformers under ComfyUI's memory management, which may move its layers alone.

    Args:
        net: of a model.
        holder: as which core has it.
    """
    from ._castable import make_castable, settle_buffers, tell_device

    make_castable(net)
    patcher = _patcher(holder(net))
    tell_device(net, patcher.model)
    on_load = comfy.patcher_extension.CallbacksMP.ON_LOAD
    patcher.add_callback(on_load, lambda loaded, device, *_: settle_buffers(loaded.model, device))
    return patcher


def unet_under_management(unet: Any, model: IVGModel) -> comfy.model_patcher.ModelPatcher:
    """Put a UNet of a model under ComfyUI's memory management, as what a MODEL holds too."""
    from ..ivg_core.models.unet import IVGUNet
    from ._castable import make_castable
    from ._core_model import held

    if isinstance(unet, IVGUNet):
        make_castable(unet)
    return _patcher(held(unet, model.vae.config["scaling_factor"]))


def _patcher(holder: torch.nn.Module) -> comfy.model_patcher.ModelPatcher:
    # Not CoreModelPatcher: on a GPU newer ComfyUIs' moves a plain module without its patches, and those are the LoRAs.
    patcher = comfy.model_patcher.ModelPatcher
    return patcher(holder, load_device=mm.get_torch_device(), offload_device=mm.unet_offload_device())


def on_device(
    managed: ManagedModel,
    stage: int,
    photo: Tensor,
    frames: int,
    size: tuple[int, int] | None = None,
    whole: bool = False,
) -> IVGModel:
    """The model with the networks of one stage loaded, and room for what they compute.

    Where there is no room for all weights, ComfyUI brings layers there while they run.

    Args:
        stage: 1 predicts the region of motion, 2 makes the video.
        photo: (H, W, 3).
        frames: F of the video.
        size: (width, height) of the video in pixels; None follows from the photo.
        whole: all weights are to be there, as they have to be in a training.

    Raises:
        IVGError: the model has no weights for this stage.
    """
    from ..ivg_core.models.codec import fit_size
    from ._castable import moves_by_layers
    from .optimize import is_compiled

    model = managed.model
    unet, cell = model.for_stage(stage), model.vae_scale_factor
    height, width = photo.shape[:2]
    width, height = size or fit_size(width, height, model.defaults.width, model.defaults.height, cell)
    patcher = managed.of_stage(stage)
    # Guidance doubles the batch, and the photo's own latent is one more frame.
    room = patcher.model.memory_required((2, 4, frames + 1, height // cell, width // cell))
    whole = whole or is_compiled(patcher) or not moves_by_layers(unet)
    mm.load_models_gpu(
        [patcher, managed.patchers["vae"], managed.patchers["text_encoder"]],
        memory_required=room,
        **supported(mm.load_models_gpu, force_full_load=whole),
    )
    return model
