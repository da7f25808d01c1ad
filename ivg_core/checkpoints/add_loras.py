"""Several LoRAs on a model, each on the network of the stage that it is for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..media.targets import user_path
from ..models.lora import LoRA, model_with_lora
from .embedded import EMBEDDED_LORAS
from .lora_files import read_lora
from .weights import is_safetensors, read_metadata

if TYPE_CHECKING:
    from ..models.bundle import IVGModel


def add_loras(model: IVGModel, loras: Iterable[tuple[str | Path, float]]) -> IVGModel:
    """A model with several LoRAs added for good; the one that is given stays as it is.

    Args:
        model: the checkpoint.
        loras: the files with their strengths; what they change adds up, in any order. One that is named twice is added
            twice. Each goes to the stage that its file says, see `model_with_loras`.

    Returns:
        The model with changed networks, which shares all others with the one that is given.

    Raises:
        IVGError: one cannot be read, or is for another network or for a stage that the model has not.
    """
    return model_with_loras(model, [(read_lora_for(model, path), strength) for path, strength in loras])


def model_with_loras(model: IVGModel, loras: Iterable[tuple[LoRA, float]]) -> IVGModel:
    """A model with several LoRAs, each with its strength, added for good; see `model_with_lora`.

    What they change adds up, in any order: those for stage 1 come first, so that where the model has no stage 1 they
    make one of the stage-2 network as it was.

    Raises:
        IVGError: one is for another network.
    """
    for lora, strength in by_stage(loras):
        model = model_with_lora(model, lora, strength)
    return model


def by_stage(loras: Iterable[tuple[LoRA, float]]) -> list[tuple[LoRA, float]]:
    """LoRAs with their strengths in the order in which they go on a model."""
    return sorted(loras, key=lambda pair: pair[0].stage)


def read_lora_for(model: IVGModel, path: str | Path, partial: bool = False, adapter: int | None = None) -> LoRA:
    """Reads a LoRA for the network of a model that the file is for; for the other one, if the model has but that.

    Args:
        model: the checkpoint.
        path: the file, of any format, or the folder of peft, diffusers or MotionDirector; see `read_lora`.
        partial: leave out layers that fit no layer of the network, with a warning, instead of refusing the file.
        adapter: which one, from 1, of a list that holds the spatial adapters of several clips.

    Returns:
        What the file changes, in the names of the model's layers.

    Raises:
        IVGError: no LoRA, a damaged file, one for another network, or another kind of adapter.
    """
    stage = _stage_in(EMBEDDED_LORAS.get(str(path)) or user_path(path))
    unet = (model.rom_unet if stage == 1 else None) or model.unet or model.for_stage(1)
    return read_lora(path, unet, partial, adapter)


def _stage_in(path: Path) -> int:
    """The stage that a file names; 2 where it names none, as other programs' files and folders do not."""
    known = path.is_file() and is_safetensors(path)
    return LoRA({}, metadata=read_metadata(path) if known else {}).stage
