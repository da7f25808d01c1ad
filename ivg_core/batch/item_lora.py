"""The LoRA that a row of a table names, on the model for its item only."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoints.lora_files import read_lora
from ..models.lora import model_wearing
from .table import Item

if TYPE_CHECKING:
    from ..models.bundle import IVGModel


class ItemLoRA:
    """Puts the LoRA of an item on the model, and takes it off again for an item that has another or none."""

    def __init__(self, model: IVGModel):
        self._plain = self._worn = model
        self._key: tuple[Path | None, float] = (None, 1.0)
        self._stack = ExitStack()

    def model_for(self, item: Item) -> IVGModel:
        """The model for an item.

        Raises:
            IVGError: its LoRA cannot be read, or is for another model.
        """
        key = (item.lora, item.lora_strength)
        if key != self._key:
            self._take_off()
            if item.lora:
                lora = read_lora(item.lora, self._plain.unet or self._plain.for_stage(1))
                self._worn = self._stack.enter_context(model_wearing(self._plain, lora, item.lora_strength))
            self._key = key
        return self._worn

    def _take_off(self) -> None:
        self._stack.close()
        self._worn, self._key = self._plain, (None, 1.0)

    def __enter__(self) -> ItemLoRA:
        return self

    def __exit__(self, *_) -> None:
        self._take_off()
