"""What each of core's nodes does to an IVG checkpoint as core's MODEL; run by ComfyUI's Python, prints JSON.

    python tests/comfyui/core_model_nodes.py COMFYUI

The list is `core_model_table`. A node gets what it says there, and its own defaults.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import core_model_parts as parts
import torch
from core_model_parts import conditionings, core, in_comfy, rms, sample
from core_model_table import CHANGES, NODES, SAME
from inflated_parts import control_net, control_weights

# isort: split
import comfy.model_management as mm
import comfy.samplers
import comfy.utils
import comfy_extras.nodes_post_processing  # noqa: F401  nodes_latent and it need each other, this one first
import folder_paths
from core_model_uses import random_lora

from ivg_pack.ivg_core.checkpoints.lora_files import save_lora
from ivg_pack.nodes.core_model import STAGES, IVGModelParts

SEED = 5


def node_of(name: str, where: str) -> Any:
    """The class of a node; None where this ComfyUI has none of that name."""
    if not where:
        return core.NODE_CLASS_MAPPINGS.get(name)
    try:
        module = importlib.import_module(f"comfy_extras.nodes_{where}")
    except ModuleNotFoundError:
        return None
    if name in getattr(module, "NODE_CLASS_MAPPINGS", {}):
        return module.NODE_CLASS_MAPPINGS[name]
    if not hasattr(module, "comfy_entrypoint"):
        return None
    begin = module.comfy_entrypoint()
    found = asyncio.run((asyncio.run(begin) if inspect.isawaitable(begin) else begin).get_node_list())
    return next((node for node in found if node.GET_SCHEMA().node_id == name), None)


def run_node(node, given: dict) -> tuple:
    """What it makes of some inputs, its other widgets as they are at first."""
    asked = node.INPUT_TYPES()
    values = {}
    for name, (kind, *options) in {**asked.get("required", {}), **(asked.get("optional", {}) if given else {})}.items():
        about = options[0] if options else {}
        if name in given:
            values[name] = given[name]
        elif "default" in about:
            values[name] = about["default"]
        elif isinstance(kind, list) or kind == "COMBO":
            values[name] = (kind if isinstance(kind, list) else about["options"])[0]
    return tuple(getattr(node(), node.FUNCTION)(**values))


class Bench:
    """A model, what it is told, and what it makes of that."""

    def __init__(self):
        self.managed = in_comfy("embedded")
        self.model, self.clip, self.vae = IVGModelParts.execute(self.managed, STAGES[0]).args
        self.positive, self.negative, latent = conditionings(self.managed)
        self.latent = {"samples": latent}
        silent = conditionings(self.managed, action="")[0]
        self.things = {
            "MODEL": self.model, "STAGE 1": IVGModelParts.execute(self.managed, STAGES[1])[0], "CLIP": self.clip,
            "VAE": self.vae, "POSITIVE": self.positive, "NEGATIVE": self.negative, "SILENT": silent,
            "LATENT": self.latent, "MASK": parts.MASK[None], "PHOTO": parts.PHOTO[None],
            "CONTROL": control_net(control_weights()),
        }  # fmt: skip

    def sampled(self, model=None, positive=None, negative=None, latent=None, steps=parts.STEPS, **how):
        """By KSampler."""
        return core.KSampler().sample(
            model or self.model, SEED, steps, parts.SCALE, "euler", "simple", positive or self.positive,
            negative or self.negative, latent or self.latent,
        )[0]["samples"]  # fmt: skip

    @functools.cache  # noqa: B019
    def plain(self, steps):
        return self.sampled(steps=steps)

    def of(self, node, row) -> torch.Tensor:
        """A sampling with what a node made, in its place."""
        given = {name: self.things.get(x, x) if isinstance(x, str) else x for name, x in row.inputs.items()}
        made = run_node(node, given)
        if row.becomes == "clip":
            text = core.CLIPTextEncode().encode(made[0], parts.ACTION)[0][0][0]
            return self.sampled(positive=[[text, self.positive[0][1]]])
        if row.becomes == "guider":
            return self.by_guider(made[0])
        if row.becomes == "sigmas":
            return self.by_guider(run_node(node_of("CFGGuider", "custom_sampler"), self.guided)[0], made[0])
        if row.becomes == "operation":
            node = node_of("LatentApplyOperationCFG", "latent")
            return self.sampled(run_node(node, {"model": self.model, "operation": made[0]})[0])
        if row.becomes == "hooks":
            attach = node_of("ConditioningSetProperties", "hooks")
            return self.sampled(positive=run_node(attach, {"cond_NEW": self.positive, "hooks": made[0]})[0])
        if row.becomes == "both":
            return self.sampled(positive=made[0], negative=made[1])
        if row.becomes == "file":
            return self.sampled()
        return self.sampled(**{row.becomes: made[0]}, steps=row.steps)

    @property
    def guided(self):
        return {"model": self.model, "positive": self.positive, "negative": self.negative, "cfg": parts.SCALE}

    def by_guider(self, guider, sigmas=None):
        """By SamplerCustomAdvanced."""
        if sigmas is None:
            levels = self.model.get_model_object("model_sampling")
            sigmas = comfy.samplers.calculate_sigmas(levels, "simple", parts.STEPS)
        noise = run_node(node_of("RandomNoise", "custom_sampler"), {"noise_seed": SEED})[0]
        euler = comfy.samplers.sampler_object("euler")
        asked = {"noise": noise, "guider": guider, "sampler": euler, "sigmas": sigmas, "latent_image": self.latent}
        return run_node(node_of("SamplerCustomAdvanced", "custom_sampler"), asked)[0]["samples"]


def outcome(bench: Bench, name: str) -> dict:
    """What a node of the list does: "absent", "stops" and how, or how far the video is then from what it was."""
    row = NODES[name]
    node = node_of(name, row.where)
    if node is None:
        return {"does": "absent"}
    try:
        made = bench.of(node, row)
    except Exception as error:  # whatever it is, the list says it
        mm.unload_all_models()
        return {"does": "stops", "says": f"{type(error).__name__}: {error}"}
    if not made.isfinite().all():
        return {"does": "breaks"}
    plain = bench.plain(row.steps)
    if made.shape != plain.shape:
        return {"does": CHANGES, "shape": list(made.shape)}
    off = rms(made - plain) / rms(plain)
    return {"does": SAME if off == 0 else CHANGES, "off": off}


@torch.inference_mode()
def main() -> dict:
    logging.disable(logging.WARNING)
    comfy.utils.PROGRESS_BAR_ENABLED = False
    bench = Bench()
    with tempfile.TemporaryDirectory() as folder:
        folder_paths.set_output_directory(folder)
        folder_paths.add_model_folder_path("loras", folder)
        with torch.inference_mode(False):
            save_lora(random_lora(bench.managed.model.unet), Path(folder) / "all.safetensors")
        before = bench.plain(parts.STEPS)
        found = {"nodes": {name: outcome(bench, name) for name in NODES}}
        found["samplers"] = {name: finite(bench, name) for name in comfy.samplers.KSampler.SAMPLERS}
        found["schedulers"] = {name: finite(bench, "euler", name) for name in comfy.samplers.KSampler.SCHEDULERS}
    found["after"] = rms(bench.sampled() - before)
    return found


def finite(bench, sampler, scheduler="simple") -> str:
    """Nothing, or how a sampler or scheduler of core's fails."""
    told = bench.positive, bench.negative, bench.latent["samples"]
    try:
        made = sample(bench.model, told, 3, sampler, scheduler)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if made.isfinite().all() else "not finite"


if __name__ == "__main__":
    print(json.dumps(main()))
