"""`batch`: many videos from a table."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import IVGError
from ..media.targets import check_fps
from .items import item_options, item_settings
from .kinds import a_path, a_text, new_folder
from .machines import machine_options, shard_of
from .shared import command, load_for_sampling, model_options, network_options, sampling_options, say

if TYPE_CHECKING:
    from ..batch.table import Item

TEXT = """\
Make many videos: every photo of a table with every one of its prompts and seeds. Each result is written when it is
ready. Run the same command again at any time, even after a crash: what is done is skipped, what failed is tried again.

A table is a folder of photos (carrot.txt holds the prompts of carrot.png, one a line), a .csv with the columns image,
prompt or prompts (several sentences in one video, such as "0: chop the carrot | 40: stir", where 40 is the frame from
which on it is done) and, if wanted, seed, mask, lora (FILE or FILE:0.8, for this row alone; several with " | " between
them), lora_strength, boxes (a box track) and phrase (what is in the boxes of a bbox.txt), a .json list of the same, or
the released prompt.json.

Masks that are not given are predicted, for each sentence by itself. Mask videos are as long as the video; where that is
made in windows of time, they have the model's own length.

Over several processes or machines that share the folder: accelerate launch -m ivg_core batch …, --shard in a Slurm
array, or --ray, which hands the items out as machines come free, gives those of a dead machine to others, and takes in
machines that come later. Photos, model and folder have the same paths on all of them. Runs of any kind go on where
others stopped.
"""


def add(commands) -> None:
    """Add the command to the parser."""
    said = "many videos from a table; goes on where it was stopped"
    parents = (model_options(a_text), network_options(), sampling_options(), item_options(), machine_options())
    batch = command(commands, "batch", _batch, said, *parents)
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


def _batch(options: argparse.Namespace) -> None:
    from ..batch.journal import has_journal
    from ..batch.on_ray import run_batch_on_ray
    from ..batch.run import BatchSettings, run_batch
    from ..batch.table import read_seeds, read_table
    from ..cluster.pool import place_of

    shard = shard_of(options)
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
    if options.float8 and any(item.loras for item in items):
        raise IVGError("Rows of the table have a LoRA, and weights in float8 take none: leave out --float8.")
    if options.fps:
        check_fps(Path(f"the video.{options.format}"), options.fps)
    settings = BatchSettings(**item_settings(options), format=f".{options.format}")
    who = f"process {shard.number}: " if shard.count > 1 else ""

    def show(number: int, total: int, item: Item, machine: str = "", workers: int = 0) -> None:
        there = f" {place_of(machine, workers)}" if machine else ""
        print(f"{who}{number}/{total} {item.name}{there}", file=sys.stderr, flush=True)

    if options.ray:
        load, where = partial(load_for_sampling, options), {"address": options.ray, "device": options.device}
        done = run_batch_on_ray(load, items, options.out, settings, **where, on_item=show)
    else:
        done = run_batch(load_for_sampling(options), items, options.out, settings, shard=shard, on_item=show)
    print(f"{who}{done.done} made, {done.skipped} were there already, {done.failed} failed")
    say(options.out / "index.html")
    if done.failed:
        raise IVGError(
            f"{done.failed} of {len(items)} failed, {options.out / 'index.html'} says why: mend them and run the same "
            "command again; what is done is kept."
        )
