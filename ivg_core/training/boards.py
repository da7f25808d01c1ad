"""Where the figures of a training are shown while it runs, beside its own files: TensorBoard, Weights & Biases."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Protocol

from ..errors import IVGError, shortly
from .config import TrainConfig

#: Value of `log` -> the module that must be there.
NEEDED = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb"}


class Board(Protocol):
    """Shows figures."""

    def show(self, step: int, figures: dict[str, float]) -> None:
        """Shows those of one step, from 1."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


def check_board(config: TrainConfig) -> None:
    """Lets pass a training whose `log` can be written here; to be asked before anything takes time.

    Raises:
        IVGError: the package is not installed, or cannot be imported.
    """
    if config.log:
        _module(config.log)


def open_board(config: TrainConfig, folder: Path) -> Board | None:
    """What `log` asks for; None where it asks for nothing.

    Args:
        config: of the training.
        folder: of the run; TensorBoard's files lie in its folder `log`.

    Raises:
        IVGError: the package is not installed, or Weights & Biases cannot begin.
    """
    if config.log == "tensorboard":
        return _TensorBoard(folder / "log")
    return _WandB(config, folder) if config.log == "wandb" else None


def _module(log: str) -> Any:
    try:
        return importlib.import_module(NEEDED[log])
    except ImportError as error:
        raise IVGError(
            f"log: {log} needs the package {log}: `pip install {log}`, or leave log out; losses.jsonl holds "
            "the figures in any case."
        ) from error


class _TensorBoard:
    def __init__(self, folder: Path):
        self.writer = _module("tensorboard").SummaryWriter(str(folder))

    def show(self, step: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class _WandB:
    def __init__(self, config: TrainConfig, folder: Path):
        try:
            self.run = _module("wandb").init(
                project="comfy-ivg", name=f"{folder.name} {config.name}", dir=str(folder), config=config.to_dict()
            )
        except IVGError:
            raise
        except Exception as error:  # of its own kinds: no account, no network
            raise IVGError(
                f"log: wandb could not begin ({shortly(error)}): `wandb login`, or leave log out."
            ) from error

    def show(self, step: int, figures: dict[str, float]) -> None:
        self.run.log(figures, step=step)

    def close(self) -> None:
        self.run.finish()
