"""`merge-lora` and `convert-lora`: files made by a training."""

from __future__ import annotations

import argparse

from .kinds import a_path, new_file, new_place, number
from .shared import command, load, model_options, partial_option, say


def add(commands) -> None:
    """Add the commands to the parser."""
    merge = command(commands, "merge-lora", _merge, "write a checkpoint with a LoRA added to it", model_options())
    merge.add_argument("lora", type=a_path, help="LoRA file, of any format that the loader reads")
    merge.add_argument("--strength", type=number(), default=1.0, help="0 adds nothing, 1 what was trained")
    merge.add_argument("--stage", type=int, choices=(1, 2), help="whose network it is for (default: as the file says)")
    merge.add_argument(
        "--out", type=new_place, required=True, help="a folder in the published layout, or one .safetensors file"
    )
    partial_option(merge)
    convert = command(
        commands,
        "convert-lora",
        _convert,
        "write a released .pt list, a stable_lora or a peft file as safetensors with named layers",
        model_options(),
    )
    convert.add_argument(
        "lora", type=a_path, help="file to read; lists carry no names, so --model must be its own model"
    )
    convert.add_argument("--out", type=new_file(".safetensors"), required=True, help=".safetensors to write")
    partial_option(convert)


def _merge(options: argparse.Namespace) -> None:
    from ..checkpoints.lora_files import read_lora
    from ..checkpoints.save import save_file, save_folder
    from ..checkpoints.weights import is_safetensors
    from ..models.lora import model_with_lora

    model = load(options)
    lora = read_lora(options.lora, model.unet or model.for_stage(1), options.lora_partial)
    merged = model_with_lora(model, lora, options.strength, options.stage)
    if is_safetensors(options.out):
        say(save_file(merged, options.out, dtype=model.dtype))
    else:
        say(save_folder(merged, options.out))


def _convert(options: argparse.Namespace) -> None:
    from ..checkpoints.lora_files import read_lora, save_lora

    model = load(options)
    lora = read_lora(options.lora, model.unet or model.for_stage(1), options.lora_partial)
    say(save_lora(lora, options.out, {"ivg_converted_from": options.lora.name}))
    print(f"{len(lora.layers)} layers")
