"""How strong a LoRA of peft is: what its config says, in a file beside it or in the header of its weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import IVGError
from .config_files import json_object

HEADER = "lora_adapter_metadata"  # diffusers' name for peft's config in the header of a safetensors file
#: Ways to begin a training that also change the weights of the base, which a LoRA alone cannot do.
CHANGING_THE_BASE = ("pissa", "olora", "corda", "loftq", "mica", "lora_ga")
# Patterns are regular expressions of strangers, and some of those take hours.
MOST_PATTERNS, MOST_LETTERS, MOST_REPEATS = 2000, 300, 64
REPEAT, REPEATED_GROUP = re.compile(r"[*+{?]"), re.compile(r"\)[*+{]")


def read_config(path: Path) -> dict[str, Any]:
    """The config that lies beside peft's weights.

    Raises:
        IVGError: it is missing or damaged.
    """
    if not path.is_file():
        raise IVGError(f"{path} is missing: it belongs beside the LoRA and says how strong it is.")
    try:
        return json_object(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise IVGError(f"{path} is no adapter_config.json of a LoRA ({error}): download it again.") from error


def config_in_header(metadata: Mapping[str, str], path: Path) -> dict[str, Any] | None:
    """The config in the header of a LoRA file, for the UNet; None if there is none.

    Raises:
        IVGError: it is damaged.

    Source: diffusers' `save_lora_weights` puts the component's name before each key, `save_lora_adapter` does not.
    """
    if HEADER not in metadata:
        return None
    try:
        stated = json_object(metadata[HEADER])
    except ValueError as error:
        raise IVGError(
            f"The {HEADER} in the header of {path} is damaged ({error}): download the file again."
        ) from error
    of_unet = {key.removeprefix("unet."): value for key, value in stated.items() if key.startswith("unet.")}
    plain = {key: value for key, value in stated.items() if "." not in key}
    return of_unet or plain or None


def scales_of(config: Mapping[str, Any], ranks: Mapping[str, int], where: str) -> dict[str, float]:
    """The factor of each layer: alpha / r, or alpha / √r where peft was told `use_rslora`.

    Args:
        config: peft's.
        ranks: layer -> r of its weights.
        where: what to call the config in an error.

    Raises:
        IVGError: the config lacks something, contradicts the weights, or asks for more than a plain LoRA.

    Source: peft's `LoraLayer.update_layer`.
    """
    if config.get("use_dora"):
        raise IVGError(f"{where} says that this is a DoRA, which cannot be applied: train it as a plain LoRA.")
    begun = config.get("init_lora_weights")
    if isinstance(begun, str) and begun.lower().startswith(CHANGING_THE_BASE):
        raise IVGError(
            f"{where} says that the LoRA was begun with {begun}, which changes the model's own weights too: let peft "
            "convert it to a plain LoRA (path_initial_model_for_weight_conversion of save_pretrained)."
        )
    alphas = _Patterns(config.get("alpha_pattern"), "alpha_pattern", where)
    rank_pattern = _Patterns(config.get("rank_pattern"), "rank_pattern", where)
    scales = {}
    for name, rank in ranks.items():
        stated = rank_pattern.value(name, config.get("r", rank))
        if stated != rank:
            raise IVGError(
                f"{where} gives {name} rank {stated!r}, but its weights have rank {rank}: how strong it is cannot be "
                "known; get both from the same place."
            )
        if "lora_alpha" not in config:
            raise IVGError(f"{where} does not say lora_alpha, how strong the LoRA is: get it from its author again.")
        alpha = alphas.value(name, config["lora_alpha"])
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
            raise IVGError(f"{where} gives {name} alpha {alpha!r}, which is no number: get it from its author again.")
        scales[name] = alpha / (rank**0.5 if config.get("use_rslora") else rank)
    return scales


class _Patterns:
    """Values for layers whose names end as a pattern says; the first that fits counts."""

    def __init__(self, stated: Any, key: str, where: str):
        stated = {} if stated is None else stated
        if not isinstance(stated, dict):
            raise IVGError(f"{key} in {where} is no object of names and numbers: get it from its author again.")
        too_long = next((text for text in stated if len(text) > MOST_LETTERS or REPEATED_GROUP.search(text)), None)
        repeats = [len(REPEAT.findall(text)) for text in stated]
        if len(stated) > MOST_PATTERNS or too_long or max(repeats, default=0) > 2 or sum(repeats) > MOST_REPEATS:
            raise IVGError(f"{key} in {where} is too involved to be matched safely: name the layers plainly.")
        try:
            # The outer group is peft's too, and numbers the groups of a pattern.
            self.patterns = [(re.compile(rf"(.*\.)?({text})"), value) for text, value in stated.items()]
        except (re.error, OverflowError, RecursionError) as error:
            raise IVGError(f"{key} in {where} holds a pattern that cannot be read ({error}): mend it.") from error

    def value(self, name: str, otherwise: Any) -> Any:
        return next((value for pattern, value in self.patterns if pattern.fullmatch(name)), otherwise)
