"""`merge-lora`, `combine-loras` and `convert-lora`: files made by a training."""

from __future__ import annotations

import argparse

from ..checkpoints.lora_choice import for_each
from ..errors import IVGError
from .kinds import a_path, count, new_file, new_place, number
from .lora_options import lora_options, read_loras, reading_options
from .shared import command, load, model_options, say


def add(commands) -> None:
    """Add the commands to the parser."""
    merge = command(commands, "merge-lora", _merge, "write a checkpoint with a LoRA added to it", model_options())
    merge.add_argument("lora", type=a_path, help="LoRA file, of any format that the loader reads")
    merge.add_argument("--strength", type=number(), default=1.0, help="0 adds nothing, 1 what was trained")
    merge.add_argument("--stage", type=int, choices=(1, 2), help="whose network it is for (default: as the file says)")
    merge.add_argument(
        "--out", type=new_place, required=True, help="a folder in the published layout, or one .safetensors file"
    )
    lora_options(merge)
    combine = command(
        commands,
        "combine-loras",
        _combine,
        "write one LoRA that does what several do, one upon the other; their ranks add up",
        model_options(),
    )
    combine.add_argument("loras", type=a_path, nargs="+", help="LoRA files for one model, of any format")
    combine.add_argument("--strengths", type=number(), nargs="+", help="one for all, or one for each (default: 1)")
    combine.add_argument(
        "--rank", type=count(), help="of the result, which then is the nearest one; the error is told (default: exact)"
    )
    combine.add_argument("--out", type=new_file(".safetensors"), required=True, help=".safetensors to write")
    lora_options(combine)
    convert = command(
        commands,
        "convert-lora",
        _convert,
        "write a LoRA of any format as safetensors with named layers, or as a .pt list for MotionDirector",
        model_options(),
    )
    convert.add_argument(
        "lora", type=a_path, help="file to read; lists carry no names, so --model must be its own model"
    )
    convert.add_argument(
        "--role", choices=("temporal", "spatial"), help="write these layers only; a list holds those of one role"
    )
    convert.add_argument("--out", type=new_file(".safetensors", ".pt"), required=True, help="file to write")
    reading_options(convert)


def _merge(options: argparse.Namespace) -> None:
    from ..checkpoints.save import save_file, save_folder
    from ..checkpoints.weights import is_safetensors
    from ..models.lora import model_with_lora
    from ..models.provenance import Provenance

    model = load(options)
    (lora,) = read_loras(options, [options.lora], model)
    merged = model_with_lora(model, lora, options.strength, options.stage)
    merged = Provenance.of_model(merged).then("merge-lora").onto(merged)
    if is_safetensors(options.out):
        say(save_file(merged, options.out, dtype=model.dtype))
    else:
        say(save_folder(merged, options.out))


def _combine(options: argparse.Namespace) -> None:
    from ..checkpoints.lora_files import save_lora
    from ..models.lora_combine import combine_loras, reduce_rank

    strengths = for_each("--strengths", options.strengths, len(options.loras), 1.0)
    lora = combine_loras(read_loras(options, options.loras, load(options)), strengths)
    if not lora.layers:
        raise IVGError("Nothing is left of these LoRAs: give one of them a strength other than 0.")
    of = " + ".join(f"{strength:g} {path.name}" for path, strength in zip(options.loras, strengths, strict=True))
    about = {"ivg_combined_from": of}
    if options.rank:
        reduced = reduce_rank(lora, options.rank)
        lora = reduced.lora
        about |= {"ivg_rank_error": f"{reduced.error:.4g}", "ivg_rank_error_worst": f"{reduced.worst_error:.4g}"}
        worst = f", at worst {reduced.worst_error:.2%} (in {reduced.worst_layer})" if reduced.worst_layer else ""
        print(f"rank {options.rank} differs from the whole by {reduced.error:.2%}{worst}")
    say(save_lora(lora, options.out, about))
    highest = max(down.shape[0] for _, down in lora.layers.values())
    print(f"{len(lora.layers)} layers of rank {highest} at most: {of}")


def _convert(options: argparse.Namespace) -> None:
    from ..checkpoints.lora_files import save_lora
    from ..checkpoints.lora_lists import save_list
    from ..checkpoints.weights import is_safetensors
    from ..models.provenance import LORA_KEY, Provenance

    model = load(options)
    unet = model.unet or model.for_stage(1)
    (lora,) = read_loras(options, [options.lora], model)
    if options.role:
        lora = lora.of_role(options.role, unet)
    if is_safetensors(options.out):
        made_of = Provenance.from_json(lora.metadata.get(LORA_KEY)) or Provenance.of_lora(lora)
        about = made_of.then("convert-lora").in_header()
        say(save_lora(lora, options.out, {"ivg_converted_from": options.lora.name, **about}))
    else:
        say(save_list(lora, options.out, unet))
    print(f"{len(lora.layers)} layers")
