"""IVGOptimizeModel: a model's weights in 8 bits, its layers compiled."""

from __future__ import annotations

import dataclasses
from typing import Any

import comfy.model_management as mm
import torch
from comfy_api.latest import io
from torch import Tensor

from ._compat import found_by, supported
from ._model import IVGModelSocket, ManagedModel, unet_under_management
from ._notes import noted, say

AS_LOADED, FLOAT8 = "as loaded", "float8"
UNETS = ("unet", "rom_unet")


def in_float8(managed: ManagedModel) -> ManagedModel:
    """A model with networks of its own, whose weights are float8; LoRAs that are on it are merged into them.

    One that is so already stays as it is.
    """
    from ..ivg_core.models.float8 import copy_in_float8, is_in_float8

    networks, patchers = {}, {}
    for name in UNETS:
        patcher, network = managed.patchers.get(name), getattr(managed.model, name)
        if patcher is None or is_in_float8(network):
            continue
        # Nodes run in inference mode; what is made there could not be moved and copied like other networks.
        with torch.inference_mode(False):
            networks[name] = copy_in_float8(network, _Patched(patcher)).to(patcher.offload_device)
        patchers[name] = unet_under_management(networks[name], managed.model)
        if is_compiled(patcher):
            patchers[name] = compiled(patchers[name])
    changed = dataclasses.replace(managed.model, **networks)
    return dataclasses.replace(managed, model=changed, patchers={**managed.patchers, **patchers})


class _Patched:
    """Gives the weights of a network as a patcher of it has them at work, whichever patcher is at work now."""

    def __init__(self, patcher: Any):
        from ..ivg_core.checkpoints.lora_keys import CORE

        self.found, self.device = patcher.get_key_patches(CORE), patcher.offload_device

    def __call__(self, name: str) -> Tensor:
        from comfy.lora import calculate_weight

        from ..ivg_core.checkpoints.lora_keys import CORE

        key = f"{CORE}{name}"
        (weight, _), *patches = self.found[key]
        weight = weight.to(self.device)
        if not patches:
            return weight
        return calculate_weight(patches, weight.to(torch.float32, copy=True), key).to(weight.dtype)


def compiled(patcher: Any) -> Any:
    """A clone of a patcher, whose network has its layers compiled while ComfyUI has this clone at work."""
    from ..ivg_core.checkpoints.lora_keys import CORE
    from ..ivg_core.models.compiled import CALL, compiled_calls

    made = patcher.clone()
    for name, call in compiled_calls(patcher.model.diffusion_model, say).items():
        made.add_object_patch(f"{CORE}{name}.{CALL}" if name else f"{CORE}{CALL}", call)
    return made


def is_compiled(patcher: Any) -> bool:
    """Whether a patcher comes from `compiled`."""
    from ..ivg_core.checkpoints.lora_keys import CORE
    from ..ivg_core.models.compiled import CALL

    return f"{CORE}{CALL}" in patcher.object_patches


def is_optimised(network: Any, patcher: Any) -> bool:
    """Whether a network comes from this node."""
    from ..ivg_core.models.float8 import is_in_float8

    return is_in_float8(network) or is_compiled(patcher)


def refuse_optimised(managed: ManagedModel) -> None:
    """Raises IVGError where a model that is to be trained comes from this node."""
    from ..ivg_core.errors import IVGError

    for name in UNETS:
        if name in managed.patchers and is_optimised(getattr(managed.model, name), managed.patchers[name]):
            raise IVGError(
                "A model from IVG Optimize Model cannot be trained: train the one that goes into that node, and "
                "put the node behind the training."
            )


class IVGOptimizeModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGOptimizeModel",
            display_name="IVG Optimize Model",
            category="IVG/model",
            **found_by("float8", "fp8", "quantize", "less memory", "torch compile", "faster"),
            description="Keeps the weights of an IVG model in 8 bits, or compiles its layers; both networks where it "
            "has two. Put it behind the LoRAs. The model that comes in is not changed.",
            inputs=[
                IVGModelSocket.Input("model", tooltip="From IVG Load Model or IVG Load LoRA."),
                io.Combo.Input(
                    "weights",
                    options=[AS_LOADED, FLOAT8],
                    default=FLOAT8,
                    tooltip="float8: 8 bits a weight, which is half of fp16 and a quarter of fp32. Each layer is "
                    "widened while it runs, so that a step takes a little longer. LoRAs have to be on the model "
                    "before. as loaded: as they come in.",
                ),
                io.Boolean.Input(
                    "compile",
                    default=False,
                    tooltip="The first run with a size of video compiles the layers, which takes minutes; how much "
                    "faster later ones are depends on the device. Needs Triton on a GPU and a C++ compiler on a CPU. "
                    "For many videos of one size.",
                    **supported(io.Boolean.Input, advanced=True),
                ),
            ],
            outputs=[
                IVGModelSocket.Output(
                    display_name="model", tooltip="The model, for IVG Predict RoM Mask and IVG Sampler."
                )
            ],
        )

    @classmethod
    @noted
    def execute(cls, model, weights, compile) -> io.NodeOutput:
        from ..ivg_core.models.compiled import check_compiler

        if compile:
            check_compiler(mm.get_torch_device())
        made = in_float8(model) if weights == FLOAT8 else model
        if weights == FLOAT8:
            say(f"The networks' weights take {_size(made)}, and {_size(model)} as they came in.")
        if compile:
            new = {name: compiled(patcher) for name, patcher in made.patchers.items() if name in UNETS}
            made = dataclasses.replace(made, patchers={**made.patchers, **new})
            say("The first run with a size of video compiles the layers, which takes minutes.")
        return io.NodeOutput(made)


def _size(managed: ManagedModel) -> str:
    total = sum(patcher.model_size() for name, patcher in managed.patchers.items() if name in UNETS)
    return f"{total / 1e9:.2f} GB" if total >= 1e9 else f"{total / 1e6:.1f} MB"
