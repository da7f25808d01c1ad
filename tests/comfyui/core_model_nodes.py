"""What each of core's nodes does to an IVG checkpoint as core's MODEL; run by ComfyUI's Python, prints JSON.

    python tests/comfyui/core_model_nodes.py COMFYUI

The list is `core_model_table`. A node gets what it says there, and its own defaults.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import core_model_parts as parts
import torch
from core_model_parts import FRAMES, conditionings, core, in_comfy, rms, sample
from core_model_table import NODES, SAME

# isort: split
import comfy.model_management as mm
import comfy.samplers
import comfy_extras.nodes_post_processing  # noqa: F401  nodes_latent and it need each other, this one first
import folder_paths
from core_model_uses import random_lora

from ivg_pack.ivg_core.checkpoints.lora_files import save_lora
from ivg_pack.nodes.core_model import STAGES, IVGModelParts


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
        self.other = IVGModelParts.execute(self.managed, STAGES[1])[0]
        self.positive, self.negative, self.latent = conditionings(self.managed)
        self.plain = self.sampled()

    def sampled(self, model=None, positive=None, negative=None, latent=None, **how):
        latent = {"samples": self.latent} if latent is None else latent
        told = positive or self.positive, negative or self.negative, latent["samples"]
        return sample(model or self.model, told, noise_mask=latent.get("noise_mask"), **how)

    def given(self, inputs: dict) -> dict:
        """The things of which a row names an input."""
        things = {"MODEL": self.model, "STAGE 1": self.other, "CLIP": self.clip, "VAE": self.vae}
        things |= {"POSITIVE": self.positive, "NEGATIVE": self.negative, "LATENT": {"samples": self.latent}}
        things |= {"MASK": parts.MASK[None], "PHOTO": parts.PHOTO[None], "CONTROL": Control(), "EMPTY": self.negative}
        return {name: things.get(value, value) if isinstance(value, str) else value for name, value in inputs.items()}

    def of(self, node, inputs: dict, becomes: str) -> torch.Tensor:
        """A sampling with what a node made, in its place."""
        made = run_node(node, self.given(inputs))
        if becomes == "clip":
            text = core.CLIPTextEncode().encode(made[0], parts.ACTION)[0][0][0]
            return self.sampled(positive=[[text, self.positive[0][1]]])
        if becomes == "guider":
            return self.by_guider(made[0])
        if becomes == "sigmas":
            return self.sampled(sigmas=made[0])
        if becomes == "operation":
            node = node_of("LatentApplyOperationCFG", "latent")
            return self.sampled(run_node(node, {"model": self.model, "operation": made[0]})[0])
        if becomes == "hooks":
            attach = node_of("ConditioningSetProperties", "hooks")
            return self.sampled(positive=run_node(attach, {"cond_NEW": self.positive, "hooks": made[0]})[0])
        if becomes == "both":
            return self.sampled(positive=made[0], negative=made[1])
        if becomes == "saved":
            return self.latent
        return self.sampled(**{becomes: made[0]})

    def by_guider(self, guider):
        sigmas = comfy.samplers.calculate_sigmas(self.model.get_model_object("model_sampling"), "simple", parts.STEPS)
        noise = parts.noise_of(self.latent)
        return guider.sample(noise, self.latent, comfy.samplers.sampler_object("euler"), sigmas, disable_pbar=True)


class Control:
    """A ControlNet, so far as the nodes that apply one and core's loop know it."""

    latent_format = None
    extra_conds: tuple = ()
    previous_controlnet = None

    def copy(self):
        return Control()

    def set_cond_hint(self, *given, **named):
        return self

    def set_previous_controlnet(self, before):
        return self

    def set_extra_arg(self, *given):
        return None

    def get_models(self):
        return []

    get_extra_hooks = get_instance_for_device = get_models
    multigpu_clones: dict = {}

    def pre_run(self, *given):
        return None

    def cleanup(self):
        return None

    def inference_memory_requirements(self, dtype):
        return 0

    def get_control(self, *given):
        return {"input": [], "middle": [], "output": []}


def outcome(bench: Bench, name: str) -> dict:
    """What a node of the list does: "absent", "stops" and how, or how far the video is then from what it was."""
    row = NODES[name]
    node = node_of(name, row.where)
    if node is None:
        return {"does": "absent"}
    try:
        made = bench.of(node, row.inputs, row.becomes)
    except Exception as error:  # whatever it is, the list says it
        mm.unload_all_models()
        return {"does": "stops", "says": f"{type(error).__name__}: {error}"}
    if made.shape != bench.plain.shape or not made.isfinite().all():
        return {"does": "changes" if made.isfinite().all() else "broken", "shape": list(made.shape)}
    off = rms(made - bench.plain) / rms(bench.plain)
    return {"does": SAME if off == 0 else "changes", "off": off}


@torch.inference_mode()
def main() -> dict:
    logging.getLogger("ivg").setLevel(logging.ERROR)
    bench = Bench()
    with tempfile.TemporaryDirectory() as folder:
        folder_paths.set_output_directory(folder)
        folder_paths.add_model_folder_path("loras", folder)
        with torch.inference_mode(False):
            save_lora(random_lora(bench.managed.model.unet), Path(folder) / "all.safetensors")
        found = {"nodes": {name: outcome(bench, name) for name in NODES}}
        found["saved"] = sorted(path.name for path in Path(folder).rglob("*.safetensors"))
    found["again"] = rms(bench.sampled() - bench.plain)
    found["frames"] = FRAMES
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
