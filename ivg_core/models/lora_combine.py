"""Several LoRAs as one, and a LoRA of a lower rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import IVGError
from .lora import LoRA
from .provenance import Provenance

#: What the parts of a combination must say alike, since the model can only be used in one way.
SAID_BY_ALL = ("ivg_stage", "ivg_zero_terminal_snr")


@dataclass(frozen=True)
class Reduced:
    """A LoRA of a lower rank, and what that cost.

    Attributes:
        lora: of the lower rank.
        error: |change - change before| / |change before| over all layers, Frobenius norm.
        worst_error: the same of the layer where it is highest.
        worst_layer: "" where no layer was reduced.
    """

    lora: LoRA
    error: float
    worst_error: float
    worst_layer: str


def combine_loras(loras: Sequence[LoRA], strengths: Sequence[float]) -> LoRA:
    """One LoRA that changes a network as all of them one upon the other; ranks add up, and nothing is lost.

    Args:
        loras: for one and the same network.
        strengths: of each; a LoRA at 0 is left out.

    Returns:
        Their layers in float32, strengths and scales folded into `up`; its metadata says the stage, the schedule, and
        what it is made of.

    Raises:
        IVGError: they are for different stages or noise schedules, or have a layer in shapes that cannot be joined.
    """
    for lora in loras[1:]:
        if lora.stage != loras[0].stage:
            raise IVGError("These LoRAs are for different stages, 1 and 2: combine those of one stage.")
        if lora.scheduler_config({}) != loras[0].scheduler_config({}):
            raise IVGError(
                "Some of these LoRAs were trained with zero terminal SNR and some without, and a model is sampled in "
                "one way only: combine those of one kind."
            )
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for lora, strength in zip(loras, strengths, strict=True):
        for name, (up, down) in lora.layers.items() if strength else ():
            scale = strength * lora.scales.get(name, 1.0)
            parts.setdefault(name, []).append((up.float() * scale, down.float()))
    said = {key: loras[0].metadata[key] for key in SAID_BY_ALL if key in loras[0].metadata}
    taken = [Provenance.of_lora(lora, strength) for lora, strength in zip(loras, strengths, strict=True) if strength]
    made_of = Provenance(()).and_(part for provenance in taken for part in provenance.parts)
    said |= made_of.then("combine-loras").in_header()
    return LoRA({name: _joined(name, halves) for name, halves in parts.items()}, metadata=said)


def reduce_rank(lora: LoRA, rank: int) -> Reduced:
    """The nearest LoRA whose layers have at most this rank, by truncated SVD; layers below it stay as they are.

    Args:
        lora: of any rank.
        rank: at least 1.

    Returns:
        The LoRA, and how far it is from the one that is given.

    Raises:
        IVGError: there is no such rank.
    """
    if rank < 1:
        raise IVGError(f"rank is {rank}: give at least 1.")
    layers, scales = dict(lora.layers), dict(lora.scales)
    lost: dict[str, float] = {}  # squared norms
    norms: dict[str, float] = {}
    for name, (up, down) in lora.layers.items():
        left, right = (half.double().flatten(1) for half in (up, down))
        if down.shape[0] <= rank:
            norms[name] = float((left.T @ left * (right @ right.T)).sum()) * scales.get(name, 1.0) ** 2
            continue
        (q_left, r_left), (q_right, r_right) = torch.linalg.qr(left), torch.linalg.qr(right.T)
        u, values, v = torch.linalg.svd(r_left @ r_right.T * scales.pop(name, 1.0), full_matrices=False)
        root = values[:rank].sqrt()
        new_up, new_down = q_left @ u[:, :rank] * root, root[:, None] * (v[:rank] @ q_right.T)
        layers[name] = (
            new_up.to(up.dtype).view(up.shape[0], -1, *up.shape[2:]),
            new_down.to(down.dtype).view(-1, *down.shape[1:]),
        )
        norms[name], lost[name] = float(values.square().sum()), float(values[rank:].square().sum())
    errors = {name: (part / norms[name]) ** 0.5 if part else 0.0 for name, part in lost.items()}
    worst = max(errors, key=errors.__getitem__, default="")
    whole = sum(lost.values())
    error = (whole / sum(norms.values())) ** 0.5 if whole else 0.0
    return Reduced(LoRA(layers, scales, lora.metadata, lora.name), error, errors.get(worst, 0.0), worst)


def _joined(name: str, halves: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    if len({(up.shape[2:], down.shape[1:]) for up, down in halves}) > 1:  # kernels told as matrices
        halves = [(up.flatten(1), down.flatten(1)) for up, down in halves]
    if len({(up.shape[0], down.shape[1:]) for up, down in halves}) > 1:
        raise IVGError(f"These LoRAs have {name} in different sizes: combine LoRAs of one network and one program.")
    return torch.cat([up for up, _ in halves], 1), torch.cat([down for _, down in halves], 0)
