"""The LoRAs that a row of a table names, on the model for its item only."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoints.add_loras import by_stage, read_lora_for
from ..models.lora import model_wearing
from .table import Item

if TYPE_CHECKING:
    from ..models.bundle import IVGModel


class ItemLoRA:
    """Puts the LoRAs of an item on the model, and takes them off again for an item that has others or none."""

    def __init__(self, model: IVGModel):
        self._plain = self._worn = model
        self._key: tuple[tuple[Path, float], ...] = ()
        self._stack = ExitStack()

    def model_for(self, item: Item) -> IVGModel:
        """The model for an item.

        Raises:
            IVGError: a LoRA of it cannot be read, or is for another model.
        """
        if item.loras != self._key:
            self._take_off()
            loras = [(read_lora_for(self._plain, path), strength) for path, strength in item.loras]
            for lora, strength in by_stage(loras):
                self._worn = self._stack.enter_context(model_wearing(self._worn, lora, strength))
            self._key = item.loras
        return self._worn

    def _take_off(self) -> None:
        self._stack.close()
        self._worn, self._key = self._plain, ()

    def __enter__(self) -> ItemLoRA:
        return self

    def __exit__(self, *_) -> None:
        self._take_off()
