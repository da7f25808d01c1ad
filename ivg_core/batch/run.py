"""The loop of a batch: item by item, each result on the disk before the next is begun."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from ..cluster.shard import WHOLE, Shard
from ..errors import IVGError, reason_of
from ..media.files import atomic_write
from ..media.images import load_image, save_png
from ..media.metadata import write_with_workflow
from ..media.targets import user_path
from ..media.track_files import read_track
from ..media.tracks import Track
from ..media.video import write_video
from ..sampling.settings import Sampling
from ..settings import read_json
from .course import Course, Summary
from .item_lora import ItemLoRA
from .journal import FORMATS, Journal, adopt, pending
from .page import save_thumbnail, with_thumbnail
from .region import region_of
from .table import Item

if TYPE_CHECKING:
    from ..models.bundle import IVGModel
    from ..sampling.finish import Frames
    from ..sampling.generate import OnStep

SETTINGS = "batch.json"  # in the folder: how its results are made
OnItem = Callable[[int, int, Item], None]


@dataclasses.dataclass(frozen=True)
class BatchSettings:
    """What holds for every item of a batch. None takes what the model was made for."""

    model: str = "embedded"
    weights: str = ""  # of model and LoRAs, see `weights_mark`: what is trained anew under its old name is another
    rom_model: str | None = None
    lora: str | list[str] | None = None
    lora_strength: float | list[float] = 1.0
    lora_spatial: float | list[float] = 1.0
    lora_temporal: float | list[float] = 1.0
    lora_adapter: int | list[int] = 0
    how: Sampling = dataclasses.field(default_factory=Sampling)
    num_frames: int | None = None
    size: tuple[int, int] | None = None  # (width, height)
    negative_prompt: str = ""
    motion_strength: float = 5.0
    threshold: float = 0.5  # of predicted masks
    grow: int = 4  # pixels by which a predicted mask is grown
    fallback: Literal["white", "find"] | None = None  # in place of a predicted mask; find: around the photo's hands
    fps: float | None = None
    format: str = ".mp4"

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, those of `how` among them, as `batch.json` keeps them."""
        values = dataclasses.asdict(dataclasses.replace(self, how=self.how.for_scene(photo=True)))
        return values | values.pop("how")


def run_batch(
    model: IVGModel,
    items: Sequence[Item],
    folder: str | Path,
    settings: BatchSettings,
    *,
    shard: Shard = WHOLE,
    on_item: OnItem | None = None,
    on_step: OnStep | None = None,
) -> Summary:
    """Make every item that is not made yet.

    An item that fails is noted with its reason, and the batch goes on. Running it again skips what is done and tries
    again what failed, whatever ended the run before. At the end `index.html` and `sheet.png` show all results.

    Args:
        model: with stage-1 weights if masks are to be predicted.
        items: see `read_table`.
        folder: gets for each item `<name>.mp4` and `<name>_mask.png`, and `results.jsonl`.
        settings: must be the same every time; `batch.json` keeps them.
        shard: which of the items this process makes, where several share the folder.
        on_item: called as `on_item(number, count, item)` before each item that is made, from 1.
        on_step: see `generate`; an exception that is no error of an item ends the run and leaves all that was made.

    Returns:
        What was done.

    Raises:
        IVGError: the folder cannot be used, another run is at work in it, it was begun with other settings, or masks
            are to be predicted and the model has no stage-1 weights.
    """
    folder, mine = user_path(folder), shard.of(items)
    told = _Told(on_step) if on_step else None
    with Journal(folder, shard.number) as journal, ItemLoRA(model) as lora:
        left = begin(journal, mine, settings)
        check_masks(model, left, settings)
        course = Course(journal, len(mine) - len(left))
        for number, item in enumerate(left, 1):
            if on_item:
                on_item(number, len(left), item)
            course.start(item)
            began = time.monotonic()
            try:
                files = make_item(lora, item, folder, settings, told)
            except Exception as error:  # whatever it is: one bad photo must not end the night
                if told and error is told.error:
                    raise
                course.fail(item, reason_of(error))
            else:
                course.done(item, **files, seconds=round(time.monotonic() - began, 2))
        return course.end()


def begin(journal: Journal, items: Sequence[Item], settings: BatchSettings) -> list[Item]:
    """Make a folder ready for a run.

    Args:
        journal: of this process, in the folder.
        items: that it makes.
        settings: as `run_batch` takes them.

    Returns:
        The items that are still to be made, in the order in which to make them.

    Raises:
        IVGError: the folder was begun with other settings, or no such format can be written.
    """
    if settings.format not in FORMATS:
        raise IVGError(f'A batch cannot write "{settings.format}": choose {", ".join(FORMATS)}.')
    folder = journal.path.parent
    keep_settings(folder, settings)
    sweep(folder, items)
    adopt(journal, items)
    return pending(items, folder)


def check_masks(model: IVGModel, items: Sequence[Item], settings: BatchSettings) -> None:
    """Say before the night, and not at every item of it, that masks are to be predicted and the model cannot.

    Raises:
        IVGError: that is so.
    """
    if model.takes_mask and not settings.fallback and not all(item.mask or item.fault for item in items):
        model.for_stage(1)


def make_item(
    lora: ItemLoRA, item: Item, folder: Path, settings: BatchSettings, on_step: OnStep | None = None
) -> dict[str, str]:
    """Make one item.

    Args:
        lora: around the model.
        item: to be made.
        folder: of the batch.
        settings: of the batch.
        on_step: see `generate`.

    Returns:
        The names of its files, see `save_result`.

    Raises:
        IVGError: there is something wrong with it, or the folder cannot be written to.
    """
    from ..sampling.describe import how_made
    from ..sampling.generate import generate

    if item.fault:
        raise IVGError(item.fault)
    model = lora.model_for(item)
    photo, fps = load_image(item.image), settings.fps or model.defaults.fps
    action, mask = region_of(model, item, photo, settings, on_step)
    video = generate(
        model,
        photo,
        action,
        mask=mask,
        boxes=track_of(item, photo),
        negative_prompt=settings.negative_prompt,
        motion_strength=settings.motion_strength,
        num_frames=settings.num_frames,
        size=settings.size,
        seed=item.seed,
        how=settings.how,
        on_step=on_step,
        at_once=False,
    )
    named = tuple((Path(path.name), strength) for path, strength in item.loras)
    about = how_made(
        model,
        settings.how,
        video.mask if model.takes_mask else None,
        prompt=item.prompt,
        negative_prompt=settings.negative_prompt,
        image=item.image.name,
        seed=item.seed,
        mask=(item.mask.name if item.mask else settings.fallback or "predicted") if model.takes_mask else None,
        boxes=item.boxes and item.boxes.name,
        motion_strength=settings.motion_strength if model.takes_mask else None,
        **dataclasses.replace(item, loras=named).said_loras,
    )
    return save_result(folder, item, video.later or video.frames, video.mask, fps, settings.format, about)


class _Told:
    """Calls `on_step`, and keeps the exception by which it ends the run, to tell it from those of an item."""

    def __init__(self, on_step: OnStep):
        self.on_step = on_step
        self.error: Exception | None = None

    def __call__(self, *words) -> None:
        try:
            self.on_step(*words)
        except Exception as error:
            self.error = error
            raise


def save_result(
    folder: Path,
    item: Item,
    frames: Tensor | Frames,
    mask: Tensor,
    fps: float,
    suffix: str,
    about: Mapping[str, Any],
    graph: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Write what an item became; the video comes last, because where it is the item is done.

    Args:
        folder: of the batch.
        item: that was made.
        frames: (F, H, W, 3) 0..1, or those of a run, which are written as they are decoded.
        mask: (H', W') 0..1, that the video was made with.
        fps: frames a second.
        suffix: of the video, one of FORMATS.
        about: how it was made, kept in the video.
        graph: ComfyUI's prompt and workflow, if it was made there; see `write_with_workflow`.

    Returns:
        The names of the files in the folder, for the journal: `file`, `mask_file`, `thumbnail`.

    Raises:
        IVGError: the folder cannot be written to.
    """
    names = {
        "file": f"{item.name}{suffix}",
        "mask_file": f"{item.name}_mask.png",
        "thumbnail": f"thumbnails/{item.name}.webp",
    }
    save_png(mask, folder / names["mask_file"])
    if graph:
        whole = frames if isinstance(frames, Tensor) else frames.all()[0]
        save_thumbnail(whole, fps, folder / names["thumbnail"])
        write_with_workflow(whole, folder / names["file"], fps, {**graph, "ivg": about})
    else:
        clips = [frames] if isinstance(frames, Tensor) else frames
        seen = with_thumbnail(clips, len(frames), fps, folder / names["thumbnail"])
        write_video(seen, folder / names["file"], fps, about)
    return names


def track_of(item: Item, photo: Tensor) -> Track | None:
    """The box track of an item with this photo (H, W, 3), if it has one."""
    return read_track(item.boxes, item.phrase, (photo.shape[1], photo.shape[0])) if item.boxes else None


def sweep(folder: Path, items: Sequence[Item]) -> None:
    """Remove the half-written files that a killed process left behind."""
    beginnings = tuple(f"{item.name}{end}" for item in items for end in (".", "_mask.", "_last."))
    for path in folder.rglob(".*"):
        if path.name.lstrip(".").startswith(beginnings):
            path.unlink(missing_ok=True)


def keep_settings(folder: Path, settings: BatchSettings) -> None:
    """Note the settings with which a folder is begun.

    Raises:
        IVGError: it was begun with others.
    """
    path, now = folder / SETTINGS, json.loads(json.dumps(settings.to_dict()))
    try:
        kept = read_json(path.read_bytes())
        before = json.loads(json.dumps(type(settings)().to_dict())) | {"weights": now["weights"]} | kept
    except (OSError, ValueError, TypeError):
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(now, indent=1), encoding="utf-8")
        return
    changed = [f"{name}: {before.get(name)} → {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        raise IVGError(
            f"{folder} was begun with other settings ({', '.join(changed)}): choose another folder, so that its "
            "results are all made alike."
        )
