"""What else core does to an IVG network that is its own MODEL: LoRAs, layers off the device, caches, cancelling."""

from __future__ import annotations

import copy
import logging
import time
from pathlib import Path
from types import SimpleNamespace

import core_model_parts as parts
import folder_paths
import torch
from core_model_parts import off, rms, sample
from lora_in_core import Heard

# isort: split
import comfy.model_management as mm
import comfy.utils
import latent_preview
from comfy_extras import nodes_easycache

import nodes as core
from ivg_pack.ivg_core.checkpoints.lora_files import read_lora, save_lora
from ivg_pack.ivg_core.models.lora import ROLES, LoRA, lora_sites
from ivg_pack.nodes._core_model import core_model
from ivg_pack.nodes.loras import with_lora_file
from ivg_pack.nodes.training import TrainIVGLoRA

ROOM = 300_000  # bytes of a network that stay on the device, of 18 million
LONG_RUN = 12
TRAINING = {
    "prompt": "cut", "save_name": "after_offload", "stage": "2: the video", "steps": 2, "rank": 2,
    "learning_rate": 1e-3, "hand_loss": 0.0, "masks": "everything", "folder": "", "frames": 3, "width": 48,
    "height": 32, "training_seed": 0, "resume": False,
}  # fmt: skip


def random_lora(network, **metadata) -> LoRA:
    """One on every layer that can have one."""
    rng, layers = torch.Generator().manual_seed(1), {}
    for name, layer in lora_sites(network, ROLES).items():
        rows, columns, *kernel = layer.weight.shape
        up = torch.randn(rows, 2, *[1] * len(kernel), generator=rng) * 0.02
        layers[name] = (up, torch.randn(2, columns, *kernel, generator=rng) * 0.02)
    return LoRA(layers, metadata=metadata)


def loras(managed, folder: Path) -> dict:
    """A file of ours by core's loader behind IVG Model Parts, and by IVG Load LoRA before it."""
    folder_paths.add_model_folder_path("loras", str(folder))
    with torch.inference_mode(False):
        lora = random_lora(managed.model.unet)
        save_lora(lora, folder / "all.safetensors")
        save_lora(LoRA(lora.layers, metadata={"ivg_zero_terminal_snr": "true"}), folder / "zero.safetensors")
    told, model, heard = parts.conditionings(managed), core_model(managed, 2), Heard()
    plain = sample(model, told)
    logging.getLogger().addHandler(heard)
    by_core = core.LoraLoaderModelOnly().load_lora_model_only(model, "all.safetensors", 0.7)[0]
    logging.getLogger().removeHandler(heard)
    loaded = sample(by_core, told)
    ours = with_lora_file(managed, folder / "all.safetensors", 0.7)
    again = sample(model, told)
    by_node = sample(core_model(ours, 2), told)
    library = parts.made_by_library(ours).latents
    zero = with_lora_file(managed, folder / "zero.safetensors", 0.7)
    return {
        "layers": len(lora.layers),
        "loaded": len(by_core.patches),
        "lines": heard.lines,
        "off": off(loaded, by_node),
        "moved": off(loaded, plain) / rms(plain),
        "without_again": off(again, plain),
        "library_moved": off(library, parts.made_by_library(managed).latents),
        "sigma_max": [core_model(one, 2).get_model_object("model_sampling").sigma_max.item() for one in (ours, zero)],
        **off_device(managed, by_core, ours, loaded, library, told),
    }


def off_device(managed, by_core, ours, loaded, library, told) -> dict:
    """The same LoRA where there is room for little of any network: layers and their LoRA come while they run."""
    network = managed.model.unet
    with parts.little_memory(ROOM) as asked_whole:
        partly = sample(by_core, told)
        cast = sum(getattr(layer, "comfy_cast_weights", False) for layer in network.modules())
        on_the_fly = sum(bool(getattr(layer, "weight_function", ())) for layer in network.modules())
        by_library = parts.made_by_library(ours).latents
        parts_there = [there(patcher) for patcher in managed.patchers.values()]
        asked_before = any(asked_whole)
        trained = train(managed)
    return {
        "cast": cast,
        "on_the_fly": on_the_fly,
        "partly": max(parts_there),
        "partly_off": off(partly, loaded),
        "library_partly_off": off(by_library, library),
        "asked_whole": [asked_before, any(asked_whole)],
        "trained": trained,
        "after": off(sample(by_core, told), loaded),
    }


def there(patcher) -> float:
    """Which part of a network's weights core has on the device."""
    return patcher.loaded_size() / patcher.model_size()


def train(managed) -> bool:
    """Two steps of IVG Train LoRA, whose file holds what was learned."""
    TrainIVGLoRA.hidden = SimpleNamespace(unique_id="1")
    path = TrainIVGLoRA.execute(managed, **TRAINING, images=parts.PHOTO[None].expand(4, -1, -1, -1).clone())[1]
    learned = read_lora(path, managed.model.unet).layers
    return bool(learned) and all(up.isfinite().all() and up.any() for up, _ in learned.values())


def cancelled(managed) -> dict:
    """Cancel in the middle as the interface does it, then the same run again."""
    told, model = parts.conditionings(managed), core_model(managed, 2)
    first, steps = sample(model, told, LONG_RUN), []
    comfy.utils.set_progress_bar_global_hook(lambda *given, **named: mm.throw_exception_if_processing_interrupted())
    shows = latent_preview.prepare_callback(model, LONG_RUN)

    def at_each(step, *given):
        steps.append(step)
        if step == 4:
            mm.interrupt_current_processing()
            time.sleep(0.2)  # core passes over what comes within a tenth of a second of the last it has shown
        shows(step, *given)

    try:
        sample(model, told, LONG_RUN, callback=at_each)
        ended = "to its end"
    except mm.InterruptProcessingException:
        ended = "cancelled"
    mm.interrupt_current_processing(False)
    comfy.utils.set_progress_bar_global_hook(None)
    return {"ended": ended, "steps": len(steps), "again": off(sample(model, told, LONG_RUN), first)}


def caches(managed) -> dict:
    """How many of the steps core's caches leave out."""
    told, found = parts.conditionings(managed), {}
    for kind in (nodes_easycache.EasyCacheNode, nodes_easycache.LazyCacheNode):
        model = kind.execute(core_model(managed, 2), 0.2, 0.15, 0.95, False)[0]
        with parts.library_spied() as calls:
            made = sample(model, told, 20)
        found[kind.__name__] = {"calls": len(calls), "finite": bool(made.isfinite().all())}
    return found


def devices(managed) -> dict:
    """Which device a network says it is on: where core computes, and a copy of it where that is."""
    network, holder = managed.model.unet, managed.patchers["unet"].model
    apart = copy.deepcopy(network)
    before, holder.device = holder.device, torch.device("meta")
    told = {"network": str(network.device), "copy": str(apart.device), "copy_moved": str(apart.to("meta").device)}
    holder.device = before
    return told


def uses(managed, folder: Path) -> dict:
    folder_paths.set_output_directory(str(folder / "output"))
    return {
        "lora": loras(managed, folder),
        "cancel": cancelled(managed),
        "caches": caches(managed),
        "devices": devices(managed),
    }
