"""What a LoRA file says of its training, in lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..settings import read_json

SHOWN = 3  # sentences that it was trained on


def lora_notes(header: Mapping[str, str]) -> list[str]:
    """Stage, steps, rank, clips and losses, where the header of a LoRA file has them; see `record.lora_metadata`."""
    said = {key.removeprefix("ivg_"): _value(text) for key, text in header.items() if key.startswith("ivg_")}
    if "stage" not in said:
        return []
    base = f"{said.get('base') or 'a model without a name'}, {str(said.get('base_hash', ''))[:12]}"
    lines = [f"for stage {said['stage']} of {base}; give it beside that model (--lora)"]
    rank = said.get("rank")
    ranks = ", ".join(f"{role} {number}" for role, number in rank.items()) if isinstance(rank, dict) else rank
    lines.append(f"trained for {said.get('steps', '?')} steps with seed {said.get('seed', '?')}; rank: {ranks}")
    if "clips" in said:
        size = f"{said.get('width', '?')}x{said.get('height', '?')}, {said.get('frames', '?')} frames"
        lines.append(f"on {said['clips']} clips of {size}")
    prompts = said.get("prompts")
    if isinstance(prompts, list) and prompts:
        more = f", and {len(prompts) - SHOWN} more" if len(prompts) > SHOWN else ""
        lines.append(f"such as {', '.join(f'{str(one)!r}' for one in prompts[:SHOWN])}{more}")
    losses = [(said.get("loss"), "loss of the last 50 steps"), (said.get("heldout_loss"), "held-out loss")]
    told = [f"{name} {value:.4g}" for value, name in losses if isinstance(value, (int, float))]
    return [*lines, *([", ".join(told)] if told else [])]


def _value(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return text
