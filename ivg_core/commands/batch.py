"""`batch`: many videos from a table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TypeVar

from ..errors import IVGError
from ..media.targets import check_fps
from .kinds import a_path, a_share, count, new_folder, not_negative, number, size
from .shared import command, load_for_sampling, model_options, network_options, sampling_of, sampling_options, say

T = TypeVar("T")
D = TypeVar("D")

TEXT = """\
Make many videos: every photo of a table with every one of its prompts and seeds. Each result is written when it is
ready. Run the same command again at any time, even after a crash: what is done is skipped, what failed is tried again.

A table is a folder of photos (carrot.txt holds the prompts of carrot.png, one a line), a .csv with the columns image,
prompt or prompts (several sentences in one video, such as "0: chop the carrot | 40: stir", where 40 is the frame from
which on it is done) and, if wanted, seed, mask, lora and lora_strength (a LoRA for this row alone), boxes (a box track)
and phrase (what is in the boxes of a bbox.txt), a .json list of the same, or the released prompt.json.

Masks that are not given are predicted, for each sentence by itself. Mask videos are as long as the video; where that is
made in windows of time, they have the model's own length.

Over several processes or machines that share the folder:  accelerate launch -m ivg_core batch ...
"""


def add(commands) -> None:
    """Add the command to the parser."""
    said = "many videos from a table; goes on where it was stopped"
    batch = command(commands, "batch", _batch, said, model_options(), network_options(), sampling_options())
    batch.description, batch.formatter_class = TEXT, argparse.RawDescriptionHelpFormatter
    table = batch.add_argument_group("what is made (the second spellings are those of the released code)")
    table.add_argument("--table", "--prompt_file", type=a_path, help="folder of photos, .csv, .json or prompt.json")
    table.add_argument("--image-folder", "--image_folder", type=a_path, help="what relative photo paths begin at")
    table.add_argument("--mask-folder", "--mask_folder", type=a_path, help="masks, each named as its photo")
    table.add_argument("--prompt", action="append", help="for photos without one of their own; may be given repeatedly")
    table.add_argument("--seeds", default="0", help='for rows without their own, such as "7" or "0-3" (default: 0)')
    batch.add_argument("--out", "--output_folder", type=new_folder, required=True, help="folder for the results")
    batch.add_argument("--resume", action="store_true", help="only go on with a batch that was begun in this folder")
    batch.add_argument("--format", choices=("mp4", "webm", "gif"), default="mp4", help="of the videos (default: mp4)")
    how = batch.add_argument_group("how (by default as the model was made for)")
    how.add_argument("--size", type=size, metavar="WxH", help="of the videos, multiples of 8")
    how.add_argument("--frames", type=count(), help="of each video")
    how.add_argument("--fps", type=number(1e-3, 240), help="frames a second")
    how.add_argument("--negative", default="", help="what the videos should not show")
    how.add_argument("--motion", type=not_negative, default=5.0, help="motion strength, 1 to 20 (default: 5)")
    how.add_argument("--threshold", type=a_share, default=0.5, help="of predicted masks, 0..1 (default: 0.5)")
    how.add_argument(
        "--grow", type=count(-10_000, 10_000), default=4, help="pixels by which predicted masks are grown (default: 4)"
    )
    how.add_argument(
        "--fallback",
        choices=("white", "find"),
        help="mask to use in place of a predicted one: everything, or around the hands of each photo (see find-rom)",
    )


def _batch(options: argparse.Namespace) -> None:
    from ..batch.journal import has_journal
    from ..batch.run import BatchSettings, processes, run_batch
    from ..batch.table import read_seeds, read_table

    table = options.table or options.image_folder
    if table is None:
        raise IVGError("There is nothing to make videos of: give --table, or --image_folder and --prompt_file.")
    if options.resume and not has_journal(options.out):
        raise IVGError(f"No batch was begun in {options.out}: check the folder, or leave out --resume to begin one.")
    items = read_table(
        table,
        image_folder=options.image_folder,
        mask_folder=options.mask_folder,
        prompts=options.prompt or (),
        seeds=read_seeds(options.seeds),
        keep_faulty=True,
    )
    if options.float8 and any(item.lora for item in items):
        raise IVGError("Rows of the table have a LoRA, and weights in float8 take none: leave out --float8.")
    if options.fps:
        check_fps(Path(f"the video.{options.format}"), options.fps)
    process, count, options.device = processes(options.device)
    settings = BatchSettings(
        model=options.model,
        rom_model=options.rom_model,
        lora=_plain([str(path) for path in options.lora or ()], None),
        lora_strength=_plain(options.lora_strength, 1.0),
        lora_spatial=_plain(options.lora_spatial, 1.0),
        lora_temporal=_plain(options.lora_temporal, 1.0),
        lora_adapter=_plain(options.lora_adapter, 0),
        how=sampling_of(options),
        num_frames=options.frames,
        size=options.size,
        negative_prompt=options.negative,
        motion_strength=options.motion,
        threshold=options.threshold,
        grow=options.grow,
        fallback=options.fallback,
        fps=options.fps,
        format=f".{options.format}",
    )
    who = f"process {process}: " if count > 1 else ""

    def show(number: int, total: int, item) -> None:
        print(f"{who}{number}/{total} {item.name}", file=sys.stderr, flush=True)

    done = run_batch(
        load_for_sampling(options), items, options.out, settings, process=process, processes=count, on_item=show
    )
    print(f"{who}{done.done} made, {done.skipped} were there already, {done.failed} failed")
    say(options.out / "index.html")
    if done.failed:
        raise IVGError(
            f"{done.failed} of {len(items)} failed, {options.out / 'index.html'} says why: mend them and run the same "
            "command again; what is done is kept."
        )


def _plain(values: list[T] | None, default: D) -> T | list[T] | D:
    """One value as itself, as batches of earlier versions noted it."""
    if not values:
        return default
    return values if len(values) > 1 else values[0]
