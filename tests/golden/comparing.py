"""One comparison with what the code of a relative computed, and how far it may be off."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

CALL, SAMPLER, LOSS, GRADIENT, AFTER = 1e-5, 2e-4, 1e-5, 1e-6, 1e-4
CLOSE, SHARE = 2e-5, 0.99  # of the entries after AdamW so many are so close


@dataclass(frozen=True)
class Check:
    """One comparison: what was reached and what is allowed, the largest difference that counts."""

    name: str
    reached: float
    allowed: float

    @property
    def within(self) -> bool:
        return self.reached <= self.allowed  # false for NaN

    def __str__(self) -> str:
        return f"{self.name}: {self.reached:.2e} ({self.allowed:.0e}){'' if self.within else '  MISSED'}"


def difference(ours: Tensor, theirs: Tensor, name: str, allowed: float) -> Check:
    """The largest difference of two tensors; infinite if their shapes differ."""
    same = ours.shape == theirs.shape
    return Check(name, (ours.float() - theirs.float()).abs().max().item() if same else float("inf"), allowed)
