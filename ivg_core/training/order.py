"""Which clips come when, and what chance decides then: both follow from the seed and one number, so nothing is stored.

That number counts the batches of a whole training: with P processes and A batches a step, batch a of process p in step
s is number (s * A + a) * P + p. So a run that was stopped goes on exactly, and P processes with A batches each learn
the same as one process with P * A.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from .batches import Batch, OrderedClips, collate


class Order:
    """The endless row of batches of a data set, epoch after epoch.

    Args:
        dataset: what `batches` is asked of.
        batch_size: clips a batch.
        seed: of the shuffling.
    """

    def __init__(self, dataset: OrderedClips, batch_size: int, seed: int):
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        self.epoch, self.first = 0, 0  # the current epoch and the number of its first batch
        self.batches = dataset.batches(batch_size, seed, 0)

    def batch(self, number: int) -> Batch:
        """Batch `number` of the row."""
        while number >= self.first + len(self.batches):
            self.first += len(self.batches)
            self.epoch += 1
            self.batches = self.dataset.batches(self.batch_size, self.seed, self.epoch)
        clips = self.batches[number - self.first]
        batch = collate([self.dataset[i] for i in clips])
        batch["clips"] = clips
        return batch


def seeded(seed: int, *numbers: int) -> torch.Generator:
    """Sets the generators of torch, numpy and Python from these numbers, and gives one of its own for the draws.

    The global ones are for what draws by itself: dropout.
    """
    words = np.random.SeedSequence([seed, *numbers]).generate_state(4).tolist()
    torch.manual_seed(words[0])  # every device's
    np.random.seed(words[1])
    random.seed(words[2])
    return torch.Generator().manual_seed(words[3])


@contextmanager
def own_randomness() -> Iterator[None]:
    """Leaves the generators of the process as they were found: training also runs inside other programs."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)
