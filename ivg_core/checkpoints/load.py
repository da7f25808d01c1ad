"""Loading a checkpoint, strictly, into about as much memory as its weights fill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..devices import usable_device
from ..errors import IVGError
from ..models.bundle import IVGModel
from ..models.fingerprint import base_fingerprint
from ..models.provenance import Part, Provenance
from .gates import part_of_gates, read_gates
from .layout import Layout, find_checkpoint, read_layout
from .networks import adapt_weights, empty_network, fill_network
from .tokenizer import load_tokenizer


def load_model(
    source: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    rom: str | Path | None = None,
    boxes: str | Path | None = None,
    beside: Sequence[str | Path] = (),
) -> IVGModel:
    """Loads an IVG checkpoint, or another that makes videos: text-to-video (ModelScope, zeroscope), SMCD.

    So does Stable Diffusion (1.5, 2, 2-depth, 2-inpainting), whose frames are made to see each other, see
    `models.inflated`.

    Args:
        source: "embedded" (the tiny model that ships inside), a checkpoint folder, a one-file IVG .safetensors, or
            ModelScope's or SMCD's own files: their folder, or the UNet's file with the others in its folder.
        dtype: what the weights are cast to.
        device: where they go.
        rom: a second folder or file with the stage-1 weights: its rom_unet if it has one, else its unet.
        boxes: a file of gates for boxes for a model that has none; "embedded" are those of the embedded model.
        beside: further folders for what of ModelScope's own files is not in the folder of the UNet.

    Returns:
        The model, in evaluation mode.

    Raises:
        IVGError: nothing there, no such device, another kind of model, a damaged file, or weights that do not fit their
            config.
    """
    layout, device = read_layout(find_checkpoint(source), beside), usable_device(device)
    check_complete(layout)
    networks = {name: load_component(layout, name, dtype, device) for name in layout.networks()}
    own, parts = dict(networks), []
    if boxes is not None:
        if "unet" not in networks:
            raise IVGError(f"{layout.path} has only stage-1 weights, which follow no boxes: load a full checkpoint.")
        networks["unet"] = read_gates(boxes, networks["unet"])
        parts.append(part_of_gates(boxes))
    if rom is not None:
        rom_layout = read_layout(find_checkpoint(rom))
        stage1 = [name for name in ("rom_unet", "unet") if name in rom_layout.networks()]
        if not stage1:
            raise IVGError(f"{rom_layout.path} has no stage-1 weights: give one whose UNet predicts mask videos.")
        networks["rom_unet"] = load_component(rom_layout, stage1[0], dtype, device)
        if not networks["rom_unet"].takes_mask:
            raise IVGError(f"{rom_layout.path} makes videos of sentences and predicts no masks: give stage-1 weights.")
        mark = base_fingerprint(networks["rom_unet"])
        itself = Part("stage 1", _name_of(rom_layout), rom_layout.licence, mark)
        parts += rom_layout.provenance.parts if rom_layout.provenance else [itself]
    model = assemble(layout, networks, name="embedded" if str(source) == "embedded" else "")
    if parts:
        alone = replace(model, unet=own.get("unet"), rom_unet=own.get("rom_unet"))
        model = Provenance.of_model(alone).and_(parts).onto(model)
    return model


def check_complete(layout: Layout) -> None:
    """Raises an IVGError that names the parts that are missing, if any are."""
    missing = layout.missing_parts()
    absent = [layout.belongs[name] for name in missing if name in layout.belongs]
    if absent:
        raise IVGError(
            f"{layout.path} lacks {' and '.join(absent)}: get what is published with this model and put it into "
            f"{layout.path if layout.path.is_dir() else layout.path.parent}."
        )
    if missing:
        raise IVGError(
            f"{layout.path} is not complete, it lacks {', '.join(missing)} (config or weights): "
            "download these parts of the checkpoint again."
        )


def empty_component(layout: Layout, name: str) -> nn.Module:
    """The network of one component of a checkpoint, on the meta device."""
    path, prefix = layout.weights[name]
    where = f"{path} ({name})" if prefix or layout.belongs else str(path.parent / "config.json")
    shapes = {key: info.shape for key, info in layout.tensors(name).items()}
    return empty_network(name, layout.configs[name], shapes, where)


def load_component(layout: Layout, name: str, dtype: torch.dtype, device: torch.device | str) -> Any:
    """One network of a checkpoint with its weights, in evaluation mode."""
    network = empty_component(layout, name)
    tensors = adapt_weights(name, layout.read(name, dtype, device), network)
    return fill_network(network, tensors, layout.weights[name][0])


def assemble(layout: Layout, networks: dict[str, Any], name: str = "") -> IVGModel:
    """Puts loaded networks and the small parts of a checkpoint together.

    Raises:
        IVGError: the text encoder is not the one the UNets were made for, or the tokenizer cannot be read.
    """
    width = networks["text_encoder"].config.hidden_size
    for stage in ("unet", "rom_unet"):
        if stage in networks and networks[stage].config["cross_attention_dim"] != width:
            raise IVGError(
                f"The text encoder of {layout.path} is {width} wide but {stage} expects "
                f"{networks[stage].config['cross_attention_dim']}: take all parts from the same checkpoint."
            )
    return IVGModel(
        unet=networks.get("unet"),
        rom_unet=networks.get("rom_unet"),
        vae=networks["vae"],
        text_encoder=networks["text_encoder"],
        tokenizer=load_tokenizer(layout.tokenizer_files, str(layout.path)),
        scheduler_config=layout.scheduler_config or {},
        defaults=layout.defaults,
        name=name or _name_of(layout),
        source=str(layout.path),
        licence=layout.licence,
        domain=layout.domain,
        provenance=layout.provenance,
    )


def _name_of(layout: Layout) -> str:
    return layout.path.resolve().name.removesuffix(".safetensors").removesuffix(".pth")
