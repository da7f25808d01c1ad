"""IVGLoadLoRA: what a training learned, added to a model as patches that ComfyUI takes off again."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import TYPE_CHECKING

import folder_paths
from comfy.weight_adapter import LoRAAdapter
from comfy_api.latest import io

from ..ivg_core.errors import IVGError
from ._compat import found_by
from ._model import IVGModelSocket, ManagedModel
from ._notes import noted
from ._paths import readable

if TYPE_CHECKING:
    from ..ivg_core.models.lora import LoRA

FOLDER = "loras"
#: Where TrainIVGLoRA puts them, below models/loras.
SUBFOLDER = "ivg"
NONE = "none"


def with_lora(managed: ManagedModel, lora: LoRA, strength: float) -> ManagedModel:
    """A model with a LoRA on the network of its stage; the one that came in stays as it is, and shares the weights.

    Raises:
        IVGError: the LoRA is for another network, or the strength is no number, or the weights are in float8.
    """
    from ..ivg_core.checkpoints.lora_keys import CORE
    from ..ivg_core.models.float8 import is_in_float8

    if strength == 0 or not lora.layers:
        return managed
    if not math.isfinite(strength):
        raise IVGError(f"The strength is {strength}: give a number, such as 1.")
    model, stage = managed.model, lora.stage
    network = model.rom_unet if stage == 1 and model.rom_unet is not None else model.for_stage(2)
    if is_in_float8(network):
        raise IVGError(
            "No LoRA can be added to weights in float8: put the node with the LoRA in front of IVG Optimize Model."
        )
    lora.check(network)
    name = "rom_unet" if network is model.rom_unet else "unet"
    patcher = managed.patchers[name].clone()
    patches = {}
    for layer, (up, down) in lora.layers.items():
        alpha = lora.scales.get(layer, 1.0) * down.shape[0]
        patches[f"{CORE}{layer}.weight"] = LoRAAdapter(set(), (up, down, alpha, None, None, None))
    patcher.add_patches(patches, strength)
    changed = {"scheduler_config": lora.scheduler_config(model.scheduler_config)}
    if stage == 1:
        changed["rom_unet"] = network  # a model without stage 1 gets one: its only network, with this LoRA on
    patchers = {**managed.patchers, "rom_unet" if stage == 1 else "unet": patcher}
    return dataclasses.replace(managed, model=dataclasses.replace(model, **changed), patchers=patchers)


def with_lora_file(
    managed: ManagedModel,
    path: str | os.PathLike,
    strength: float,
    partial: bool = False,
    spatial: float = 1.0,
    temporal: float = 1.0,
    adapter: int = 0,
) -> ManagedModel:
    """`with_lora` of a file; the rest is as in the widgets of IVGLoadLoRA.

    Raises:
        IVGError: the file cannot be read, or is for another network.
    """
    import torch

    from ..ivg_core.checkpoints.lora_files import read_lora

    with torch.inference_mode(False):
        network = managed.model.unet or managed.model.for_stage(1)
        lora = read_lora(path, network, partial, adapter or None).balanced(spatial, temporal)
        return with_lora(managed, lora, strength)


def lora_named(name: str) -> str | None:
    """The file of a name below models/loras; None if there is none.

    Raises:
        IVGError: a link in there leads out of ComfyUI's folders.
    """
    path = folder_paths.get_full_path(FOLDER, name)
    return path and readable(path, "A LoRA")


def file_of(lora_name: str, lora_path: str | None) -> str | None:
    """The file that the widgets name; None if there is none.

    Raises:
        IVGError: `lora_path` lies outside of ComfyUI's folders.
    """
    if lora_path:
        return readable(lora_path, "lora_path")
    if lora_name == NONE:
        return None
    return embedded_loras().get(lora_name) or folder_paths.get_full_path(FOLDER, lora_name)


def embedded_loras() -> dict[str, str]:
    """Name and file of those of the embedded model that are installed."""
    from ..ivg_core.checkpoints.embedded import EMBEDDED_LORAS

    return {name: str(path) for name, path in EMBEDDED_LORAS.items() if path.is_file()}


class IVGLoadLoRA(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGLoadLoRA",
            display_name="IVG Load LoRA",
            category="IVG/model",
            **found_by("lora loader", "motion lora", "adapter"),
            description="Adds a LoRA to an IVG model: an action, tool or kitchen that was trained. Put several of "
            "these nodes in a row to add several. The model that comes in is not changed.",
            inputs=[
                IVGModelSocket.Input("model", tooltip="From IVG Load Model, or from another IVG Load LoRA."),
                io.Combo.Input(
                    "lora_name",
                    options=[NONE, *folder_paths.get_filename_list(FOLDER), *embedded_loras()],
                    default=NONE,
                    tooltip="The LoRA, from models/loras (IVG Train LoRA writes to models/loras/ivg). The released "
                    "code's .pt files are read too. With none, the model goes through unchanged.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip="1 is what was trained, 0 is the model without it, bit for bit.",
                ),
                io.String.Input(
                    "lora_path",
                    optional=True,
                    force_input=True,
                    tooltip="The file that IVG Train LoRA wrote, in place of lora_name.",
                ),
                io.Boolean.Input(
                    "partial",
                    optional=True,
                    default=False,
                    tooltip="Off: a LoRA with layers that this model does not have is refused, because without them it "
                    "is not what was trained. On: the layers that fit are used, and a note counts the others.",
                ),
                io.Float.Input(
                    "spatial",
                    optional=True,
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip="A factor of strength for what things look like: the layers that see one frame at a time. "
                    "0 takes the motion of a clip without its looks.",
                ),
                io.Float.Input(
                    "temporal",
                    optional=True,
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip="A factor of strength for how things move: the layers over time.",
                ),
                io.Int.Input(
                    "adapter",
                    optional=True,
                    default=0,
                    min=0,
                    max=10_000,
                    tooltip="Which one, from 1, of a MotionDirector file that holds the spatial LoRAs of several "
                    "clips. 0: the file holds one.",
                ),
            ],
            outputs=[
                IVGModelSocket.Output(
                    display_name="model", tooltip="The model with the LoRA, for IVG Predict RoM Mask and IVG Sampler."
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, lora_name, lora_path=None, **others):
        try:
            path = file_of(lora_name, lora_path)
            return path and (path, os.stat(path).st_mtime_ns)
        except (IVGError, OSError, TypeError):  # the run itself says what is wrong
            return None

    @classmethod
    @noted
    def execute(
        cls, model, lora_name, strength, lora_path=None, partial=False, spatial=1.0, temporal=1.0, adapter=0
    ) -> io.NodeOutput:
        if not lora_path and lora_name == NONE:
            return io.NodeOutput(model)
        path = file_of(lora_name, lora_path)
        if path is None:
            raise IVGError(f"There is no LoRA {lora_name!r} in models/loras: put it there, or choose another one.")
        return io.NodeOutput(with_lora_file(model, path, strength, partial, spatial, temporal, adapter))
