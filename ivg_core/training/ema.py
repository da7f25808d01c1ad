"""An average of the weights over the steps of a training; it forgets what a single batch did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ..checkpoints.write import save_tensors


class Average:
    """Exponential moving average of parameters.

    Args:
        parameters: name -> parameter, changed in place by an optimiser elsewhere.
        decay: share of the old average that each step keeps; lower in the first steps, which are far from the end.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float):
        self.parameters = dict(parameters)
        self.decay = decay
        self.values = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))
        for name, value in self.values.items():
            value.lerp_(self.parameters[name], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the `with` block the parameters hold the average."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def apply(self) -> None:
        """Leave the average in the parameters, for good."""
        self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, value in self.values.items():
            parameter = self.parameters[name]
            current = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(current)

    def save(self, path: Path) -> None:
        """Write the average as safetensors, with the number of steps in the header."""
        values = {name: value.cpu().contiguous() for name, value in self.values.items()}
        save_tensors(values, path, {"steps": str(self.steps)})

    def load(self, path: Path) -> None:
        """Take up what `save` wrote.

        Raises:
            OSError, SafetensorError, ValueError, KeyError: no such file, a damaged one, or one of other parameters.
        """
        with safe_open(path, framework="pt") as file:
            self.take_up({name: file.get_tensor(name) for name in file.keys()}, int(file.metadata()["steps"]))  # noqa: SIM118

    @torch.no_grad()
    def take_up(self, values: Mapping[str, Tensor], steps: int) -> None:
        """Go on from this average.

        Raises:
            KeyError: a parameter is missing.
        """
        self.steps = steps
        for name, value in self.values.items():
            value.copy_(values[name])
