"""Whether the embedded model tells drawn scenes from other pictures (``python -m benchmarks domain``)."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from ivg_core.errors import IVGError
from ivg_core.media.images import load_image, to_image
from ivg_core.models.domain import unfamiliar
from ivg_core.synthetic.clips import Scene
from ivg_core.synthetic.dataset import HELD_OUT_SEED

if TYPE_CHECKING:
    from ivg_core.models.bundle import IVGModel

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
BORDERS = ("black", "white", "gray")


def bench_domain(
    model: IVGModel,
    pictures: Path,
    chosen: Path | None = None,
    drawings: Path | None = None,
    scenes: int = 200,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Show held-out scenes, spoilt in ways that keep them drawn scenes, and pictures of other kinds.

    Args:
        model: one that states its domain.
        pictures: folder of real pictures that had no part in choosing what is measured.
        chosen: folder of real pictures that had.
        drawings: folder of other people's drawings, diagrams and screenshots.
        scenes: number of held-out scenes.
        log: receives one line for every twenty scenes and for each folder.

    Returns:
        Flat figures: the share of drawn scenes that are called unfamiliar, over all and for each way of spoiling; the
        share of real pictures that are not, and of drawings that are; how many there were; seconds for a real picture:
        reading the file, resizing, autoencoder.

    Raises:
        IVGError: the model states no domain, or a folder holds no pictures.
    """
    if model.domain is None:
        raise IVGError(f'The model "{model.name}" states no domain: choose another, such as "embedded".')
    start = perf_counter()
    told = _told(model, pictures, log)
    seconds = (perf_counter() - start) / len(told)
    others: dict[str, float] = {}
    if chosen:
        found = _told(model, chosen, log)
        others |= {"misses_chosen": 1 - fmean(found), "pictures_chosen": len(found)}
    if drawings:
        found = _told(model, drawings, log)
        others |= {"drawings_told": fmean(found), "drawings": len(found)}
    alarms: dict[str, list[bool]] = {}
    for index, seed in enumerate(range(HELD_OUT_SEED, HELD_OUT_SEED + scenes), 1):
        for name, photo in spoilt(Scene(seed, model.defaults.width, model.defaults.height)).items():
            alarms.setdefault(name, []).append(bool(unfamiliar(model, photo)))
        if index % 20 == 0:
            log(f"{index}/{scenes}: " + ", ".join(f"{name} {fmean(seen):.3f}" for name, seen in alarms.items()))
    return {
        "false_alarms": fmean(value for seen in alarms.values() for value in seen),
        "misses": 1 - fmean(told),
        "pictures": len(told),
        **others,
        "scenes": scenes,
        "seconds_a_picture": seconds,
        **{f"false_alarms_{name}": fmean(seen) for name, seen in alarms.items()},
    }


def spoilt(scene: Scene) -> dict[str, Tensor]:
    """The photo of a scene (H, W, 3) 0..1, as it comes back from other programs, and the last frame of a clip of it."""
    first, last = (Image.fromarray(frame) for frame in scene.clip(scene.tasks[scene.seed % len(scene.tasks)], 2).frames)
    rng = np.random.default_rng(scene.seed)
    width, height = first.size
    left, top, right, bottom = (int(side * rng.uniform(0, 0.1)) for side in (width, height, width, height))
    sampled = FILTERS[scene.seed % 3]
    border = ImageOps.expand(first, (left, top, right, bottom), BORDERS[scene.seed % 3])
    looks = {
        "clean": first,
        "last_frame": last,
        "jpeg": _saved(first, "JPEG", quality=75),
        "rgba_png": _saved(first.convert("RGBA"), "PNG"),
        "half": first.resize((width // 2, height // 2), sampled),
        "triple": first.resize((width * 3, height * 3), sampled),
        "triple_jpeg": _saved(first.resize((width * 3, height * 3), sampled), "JPEG", quality=75),
        "cropped": first.crop((left, top, width - right, height - bottom)),
        "bordered": border,
        "bordered_jpeg": _saved(border, "JPEG", quality=75),
    }
    return {name: to_image(picture) for name, picture in looks.items()}


def _saved(picture: Image.Image, form: str, **options: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return Image.open(file)


def _told(model: IVGModel, folder: Path, log: Callable[[str], None]) -> list[bool]:
    """Of each picture in a folder, whether it is called unfamiliar; those that are not are named."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    if not paths:
        raise IVGError(f"There are no pictures in {folder}: give a folder of .jpg, .png or .webp files.")
    told = [bool(unfamiliar(model, load_image(path))) for path in paths]
    missed = [path.name for path, seen in zip(paths, told, strict=True) if not seen]
    log(f"{folder.name}: {len(missed)} of {len(paths)} taken for drawn scenes: {', '.join(missed)}")
    return told
