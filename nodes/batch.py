"""IVGBatchLoader and IVGBatchSave: many videos through any graph, one item a run of the queue.

A list output would run each node for all items before the next node, and so save nothing before the very end. One item
a run saves each result when it is ready, keeps memory flat, and can be stopped and continued at any time.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import folder_paths
import torch
from comfy_api.latest import io

from ._compat import found_by
from ._edges import frames_of, masks_of, to_comfy
from ._inputs import BoxTrack, PromptScheduleSocket
from ._model import IVGModelSocket
from ._notes import noted, say
from ._paths import inside, readable, readable_tree
from .video import workflow_tags

if TYPE_CHECKING:
    import pathlib

    from ..ivg_core.batch.journal import Journal
    from ..ivg_core.batch.table import Item
    from ..ivg_core.media.tracks import Track
    from ._model import ManagedModel

ItemSocket = io.Custom("IVG_BATCH_ITEM")
FORMATS = ["mp4", "webm", "gif"]
EXAMPLE = "ivg_example"


@dataclasses.dataclass(frozen=True)
class BatchItem:
    """What travels from the loader to the saver."""

    item: Item
    folder: pathlib.Path  # of the results


class IVGBatchLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGBatchLoader",
            display_name="IVG Load Batch",
            category="IVG/batch",
            **found_by("batch loader", "many videos", "csv", "table"),
            description="Gives the next item of a table (photo, sentence, seed, mask) each time the graph is run, "
            "until IVG Save Batch has saved all. What is done is skipped, also after a crash; what failed comes last.",
            inputs=[
                io.String.Input(
                    "table",
                    default=EXAMPLE,
                    tooltip="In ComfyUI's input folder: a folder of photos (carrot.txt holds the prompts of "
                    "carrot.png), a .csv with the columns image, prompt or prompts, seed, mask, lora, lora_strength, "
                    "boxes, phrase, a .json, or the released prompt.json. ivg_example draws four scenes to try it "
                    "with.",
                ),
                io.String.Input(
                    "batch",
                    default="batch",
                    tooltip="Name of the folder for the results, in output/ivg. Choose a new one when you change the "
                    "graph, so that all results of a folder are made alike.",
                ),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    default="",
                    placeholder="one prompt a line",
                    tooltip="For photos without a prompt of their own: one a line, and each photo gets all of them.",
                ),
                io.String.Input(
                    "seeds",
                    default="0",
                    tooltip='For rows without a seed of their own: "7", or "0-3" for four videos of each.',
                ),
                io.String.Input(
                    "mask_folder",
                    default="",
                    tooltip="Folder in ComfyUI's input folder with a mask for each photo, of the same name. Leave it "
                    "empty if the graph makes the masks.",
                ),
                IVGModelSocket.Input(
                    "model",
                    optional=True,
                    tooltip="For tables with a column lora: the model on which a row's LoRA is put, a file in "
                    "models/loras.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The photo."),
                io.String.Output(display_name="action", tooltip="What is done in it."),
                io.Int.Output(display_name="seed", tooltip="For the seed of the nodes that make mask and video."),
                io.Mask.Output(display_name="mask", tooltip="The item's mask; all white if it has none."),
                ItemSocket.Output(display_name="item", tooltip="For IVG Save Batch."),
                IVGModelSocket.Output(
                    display_name="model",
                    tooltip="The model with the row's LoRA; where it has none, as it came in.",
                ),
                BoxTrack.Output(display_name="boxes", tooltip="The row's box track; nothing where it has none."),
                PromptScheduleSocket.Output(
                    display_name="schedule",
                    tooltip="The row's several sentences (column prompts), for the schedule of the nodes that make "
                    "mask and video; nothing where it has one sentence. action is empty then.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, table, batch, prompts, seeds, mask_folder, model=None):
        items, folder = items_of(table, batch, prompts, seeds, mask_folder)
        return progress_of(items, folder)

    @classmethod
    @noted
    def execute(cls, table, batch, prompts, seeds, mask_folder, model=None) -> io.NodeOutput:
        from comfy_execution.graph_utils import ExecutionBlocker

        from ..ivg_core.batch.journal import Journal, adopt, pending
        from ..ivg_core.batch.run import sweep
        from ..ivg_core.errors import IVGError

        items, folder = items_of(table, batch, prompts, seeds, mask_folder)
        if model is None and (with_lora := [item for item in items if item.loras]):
            raise IVGError(
                f"{len(with_lora)} items of {table.strip()} have a LoRA, and no model is connected to put it on: "
                "connect a model to this node, and its model output to the sampler."
            )
        with Journal(folder) as journal:
            sweep(folder, items)
            adopt(journal, items)
            left = pending(items, folder)
            good, photo, mask, worn, track, bad = next_good(journal, left, model)
        if not left:
            # Without a message it blocks silently: runs that were queued too many do nothing.
            blocked = [ExecutionBlocker(None)] * 8
            return io.NodeOutput(*blocked, ui=said(f"All {len(items)} are done: {folder / 'index.html'}", 0))
        if good is None:
            raise bad
        text = f"{good.name}\n{good.prompt}\n{len(items) - len(left)} of {len(items)} are done"
        return io.NodeOutput(
            to_comfy(photo)[None],
            "" if good.scheduled else good.prompt,
            good.seed,
            to_comfy(mask)[None],
            BatchItem(good, folder),
            worn or ExecutionBlocker("IVG Load Batch has no model to give: connect one to it."),
            track,
            good.action if good.scheduled else None,
            ui=said(text, len(left) - left.index(good) - 1),
        )


class IVGBatchSave(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGBatchSave",
            display_name="IVG Save Batch",
            category="IVG/batch",
            **found_by("batch save", "many videos", "journal"),
            description="Saves the video of a batch's item as soon as it is ready, whole or not at all, notes it in "
            "the batch's journal, and renews its page: output/ivg/<batch>/index.html.",
            inputs=[
                ItemSocket.Input("item", tooltip="From IVG Load Batch."),
                io.Image.Input("frames", tooltip="The frames of the video, from any node."),
                io.Float.Input("fps", default=8.0, min=0.1, max=50.0, step=0.5, tooltip="Frames a second."),
                io.Combo.Input(
                    "format", options=FORMATS, default=FORMATS[0], tooltip="mp4 and webm play in every browser."
                ),
                io.Mask.Input(
                    "mask", optional=True, tooltip="The mask that the video was made with, to be kept beside it."
                ),
            ],
            outputs=[],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(cls, item, frames, fps, format, mask=None) -> io.NodeOutput:
        from ..ivg_core.batch.journal import DONE, FAILED, Journal
        from ..ivg_core.batch.page import write_page
        from ..ivg_core.batch.run import save_result
        from ..ivg_core.errors import reason_of

        about = {"prompt": item.item.prompt, "seed": item.item.seed}
        try:
            clip = frames_of(frames).cpu()
            region = masks_of(mask).amax(0).cpu() if mask is not None else torch.ones(clip.shape[1:3])
            files = save_result(item.folder, item.item, clip, region, fps, f".{format}", about, workflow_tags(cls))
        except Exception as error:  # also one of PIL's or torch's: the item is not done
            with Journal(item.folder) as journal:
                journal.write(item.item, FAILED, error=reason_of(error))
            raise
        with Journal(item.folder) as journal:
            journal.write(item.item, DONE, **files)
        say(f"All results so far: {write_page(item.folder)}")
        subfolder = os.path.relpath(item.folder, folder_paths.get_output_directory()).replace(os.sep, "/")
        shown = {"filename": files["file"], "subfolder": subfolder, "type": "output"}
        return io.NodeOutput(ui={"images": [shown], "animated": (True,)})


def next_good(
    journal: Journal, left: list[Item], model: ManagedModel | None
) -> tuple[Item | None, torch.Tensor, torch.Tensor, ManagedModel | None, Track | None, Exception | None]:
    """The first of these items whose files can be read; those before it are noted as failed, and said.

    Returns:
        The item, None if there is none; its photo (H, W, 3); its mask (H', W'), white where it has none; the model with
        its LoRA; its box track, if it has one; the last error.
    """
    from ..ivg_core.batch.journal import FAILED, STARTED
    from ..ivg_core.batch.run import track_of
    from ..ivg_core.errors import IVGError, reason_of
    from ..ivg_core.media.images import load_image, load_mask

    bad = None
    for item in left:
        journal.write(item, STARTED)
        try:
            if item.fault:
                raise IVGError(item.fault)
            photo = load_image(item.image)
            mask = load_mask(item.mask) if item.mask else torch.ones(photo.shape[:2])
            return item, photo, mask, model_for(item, model), track_of(item, photo), bad
        except Exception as error:  # whatever it is: one bad photo must not end the batch
            journal.write(item, FAILED, error=reason_of(error))
            say(f"{item.name} failed: {reason_of(error)}")
            bad = error
    return None, torch.empty(0), torch.empty(0), None, None, bad


def model_for(item: Item, model: ManagedModel | None) -> ManagedModel | None:
    """The model with the LoRAs of an item."""
    if model is not None:
        from .loras import with_lora_file

        for path, strength in item.loras:
            model = with_lora_file(model, path, strength)
    return model


def find_lora(name: str) -> pathlib.Path:
    """The file that a row of a table means by its lora.

    Raises:
        IVGError: there is none in models/loras.
    """
    import pathlib

    from ..ivg_core.errors import IVGError
    from .loras import lora_named

    path = lora_named(name)
    if path is None:
        raise IVGError(f"There is no LoRA {name!r} in models/loras: put it there, or write the name of another.")
    return pathlib.Path(path)


def items_of(table: str, batch: str, prompts: str, seeds: str, mask_folder: str) -> tuple[list[Item], pathlib.Path]:
    """All items that the loader's widgets ask for, and the folder of their results.

    Raises:
        IVGError: a widget is at fault, or names a place outside ComfyUI's own folders.
    """
    import pathlib

    from ..ivg_core.batch.table import read_seeds, read_table
    from ..ivg_core.errors import IVGError

    if not table.strip():
        raise IVGError("There is no table: write the name of a folder or file in ComfyUI's input folder.")
    inputs = folder_paths.get_input_directory()
    folder = inside(os.path.join(folder_paths.get_output_directory(), "ivg"), batch or "batch", "batch")
    path = readable_tree(inside(inputs, table, "table"), "table")
    items = read_table(
        draw_example(path) if table.strip() == EXAMPLE else path,
        mask_folder=inside(inputs, mask_folder, "mask_folder") if mask_folder.strip() else None,
        prompts=[line.strip() for line in prompts.splitlines() if line.strip()],
        seeds=read_seeds(seeds or "0"),
        keep_faulty=True,
        find_lora=find_lora,
    )
    for item in items:  # a table may name any path
        for named in (item.image, item.mask, item.boxes):
            if named is not None and not item.fault:
                readable(named, f"A photo, mask or box track of {table.strip()}")
    return items, pathlib.Path(folder)


def draw_example(folder: str) -> str:
    """Four drawn scenes with their prompts, so that a batch runs before the user has photos; the table."""
    import pathlib

    from ..ivg_core.synthetic.export import export_scenes

    table = os.path.join(folder, "prompt.json")
    if not os.path.isfile(table):
        export_scenes(pathlib.Path(folder), range(4), (192, 128), 2)
    return table


def progress_of(items: list[Item], folder: pathlib.Path) -> list:
    """Differs whenever the next run has something else to do."""
    from ..ivg_core.batch.journal import pending, read_journal

    states = read_journal(folder)
    return [(item.name, states[item.name].attempts if item.name in states else 0) for item in pending(items, folder)]


def said(text: str, left: int) -> dict:
    """What the loader tells the interface: a text, and how many items are left after this one."""
    return {"text": [text], "ivg_left": [left]}
