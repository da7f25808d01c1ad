"""What a video or mask says of how it was made, for the notes in its file."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .. import __version__
from ..media.images import to_bytes
from .settings import Sampling

if TYPE_CHECKING:
    from ..models.bundle import IVGModel


def how_made(model: IVGModel, how: Sampling, region: Tensor | None = None, **about: Any) -> dict[str, Any]:
    """Everything that a result follows from, as plain values; what was left as it is usually is not told.

    Args:
        model: that made it; the LoRAs on it are told with their strengths.
        how: as it was sampled.
        region: (H, W) 0..1, in which it moves: the SHA-256 of its pixels in 8 bits is told.
        about: what else is known: the prompt, the seed, and so on. What is None or "" is left out.
    """
    defaults, usual = model.defaults, Sampling()
    said: dict[str, Any] = {name: value for name, value in about.items() if value is not None and value != ""}
    said |= {
        "model": model.name,
        "steps": how.num_inference_steps or defaults.num_inference_steps,
        "guidance": defaults.guidance_scale if how.guidance_scale is None else how.guidance_scale,
        "solver": how.solver,
    }
    told = {"num_inference_steps", "guidance_scale", "solver"}
    for name in (field.name for field in fields(how) if field.name not in told):
        if (value := getattr(how, name)) != getattr(usual, name):
            said[name] = asdict(value) if name == "context" else value
    loras = [part for part in model.provenance.parts if part.kind == "LoRA"] if model.provenance else []
    if loras:
        said["loras"] = [{"name": part.name, "strength": part.strength} for part in loras]
    if region is not None:
        said["mask_sha256"] = hashlib.sha256(to_bytes(region).tobytes()).hexdigest()
    return {**said, "made_with": f"Comfy-IVG {__version__}"}
