"""The data set: every clip encoded once, kept on disk, read from there in each epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import IVGError
from ...media.cache import Cache
from ...media.clips import content_hash
from ...media.targets import user_path
from ...media.tracks import filled_up
from ...models.bundle import IVGModel
from ..batches import bucketed_batches
from ..sample import Sample
from .boxes import track_identity
from .encoder import ClipEncoder, ModelEncoder
from .heldout import choose_heldout
from .masks import MaskMaker
from .overlapping import Part, find_clips
from .prepare import About, Prepared, check_motion, prepare
from .report import Report
from .settings import DataSettings
from .sources import Rejected, TrainingClip, UnfitError
from .told_parts import told_in
from .transform import bucket_sizes

log = logging.getLogger("ivg")

#: Called before each clip as `on_clip(done, total, name)`.
OnClip = Callable[[int, int, str], None]
#: Settings that the kept tensors follow from; filters are applied anew each time.
SHAPING = ("frames", "frame_sampling", "fps", "camera", "max_camera_motion")
#: What a kept refusal follows from besides.
FILTERS = ("min_motion", "max_motion")


@dataclass
class Data:
    """What a source gave.

    Attributes:
        train: the clips that are trained on.
        heldout: those that are measured with; None: there are none.
        report: what became of every clip.
    """

    train: CachedClips
    heldout: CachedClips | None
    report: Report


class CachedClips:
    """Encoded clips, as `OrderedClips`.

    Args:
        files: of each clip: its tensors, its text, and where it has boxes, the names of their things.
        abouts: of each clip.
        empty: what is kept of "".
    """

    def __init__(self, files: Sequence[tuple[Path, ...]], abouts: Sequence[About], empty: Mapping[str, Tensor]):
        self.files, self.abouts, self.empty = list(files), list(abouts), dict(empty)
        # Clips of a batch must have the same things.
        self.frame_masks = all(about.frame_masks for about in self.abouts)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        about = self.abouts[index]
        tensors = {key: kept for path in self.files[index] for key, kept in _kept(path, about.name).items()}
        plain = ("latents", "mask_latents", "frames", "text", "boxes", "phrases", "control", "open")
        sample: Any = {key: tensors[key] for key in plain if key in tensors}
        masks = ("rom_mask", "frame_masks") if self.frame_masks else ("rom_mask",)
        sample |= {key: tensors[key].float() / 255 for key in masks}
        sample |= {"caption": about.caption, "name": about.name}
        if told := told_in(tensors):
            sample |= {"told": told, "untold": told_in({**tensors, **self.empty})}
        else:
            sample["empty_text"] = self.empty["text"]
        sample |= {"begins": about.begins} if about.begins is not None else {}
        return sample | ({"things": about.things} if "boxes" in sample else {})

    def batches(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        return bucketed_batches([(len(a.indices), *a.size) for a in self.abouts], batch_size, seed, epoch)


def load_data(
    settings: DataSettings,
    model: IVGModel | ClipEncoder,
    stage: int,
    cache: Path,
    *,
    pixels: bool = False,
    clips: Sequence[TrainingClip] | None = None,
    on_clip: OnClip | None = None,
) -> Data:
    """Makes a data set: finds the clips, checks them, encodes those that are not in the cache yet.

    A clip that cannot be used is left out and named in the report; no other takes its place.

    Args:
        settings: see `DataSettings`.
        model: encodes frames, masks and captions, where it is; a model's stage 1 makes masks if the settings say so.
        stage: 1 also gets the latents of the mask video.
        cache: folder for what is kept, unless the settings name one.
        pixels: also keep the frames themselves, for losses that compare pixels.
        clips: these, in place of those of `settings.source`.
        on_clip: progress; an exception from it stops the work, and what was encoded stays in the cache.

    Returns:
        The clips to train on, those that are held out, and what became of each.

    Raises:
        IVGError: the source is not there, no clip of it can be used, or the disk is full.
    """
    keeper = Keeper(settings, model, stage, cache, pixels)
    settings = keeper.settings
    found = find_clips(settings, clips)
    report, files = Report([], list(found.rejected)), {}
    for number, clip in enumerate(found.clips):
        if on_clip:
            on_clip(number, len(found.clips), clip.name)
        try:
            files[clip.name], about = keeper.clip(clip)
            report.clips.append(about)
        except ClipError as error:
            report.rejected.append(Rejected(clip.name, str(error)))
    for rejected in report.rejected:
        log.warning("Not trained on: %s: %s.", rejected.name, rejected.why.rstrip("."))
    if not report.clips:
        raise IVGError(nothing_left(report.rejected, settings.source))
    report.heldout = choose_heldout([about.name for about in report.clips], settings.heldout)
    empty = _kept(keeper.text_path(""), "the empty caption")

    def part(heldout: bool) -> CachedClips:
        abouts = [about for about in report.clips if (about.name in report.heldout) == heldout]
        return CachedClips([files[about.name] for about in abouts], abouts, empty)

    if stage == 2 and len({about.frame_masks for about in report.clips}) == 2:
        log.warning("Some clips have a mask of each frame and others only one: frame masks are left out for all.")
    return Data(part(False), part(True) if report.heldout else None, report)


def _as_needed(settings: DataSettings, encoder: ClipEncoder) -> DataSettings:
    """A model that reads no masks needs none, so none are looked for."""
    return settings if encoder.takes_mask else replace(settings, masks="white")


def nothing_left(rejected: list[Rejected], source: str) -> str:
    """Why there is nothing to train on."""
    if not rejected:
        return f"data: there are no clips in {source}: put videos there, each with its caption in a .txt file."
    first = f"{rejected[0].name}: {rejected[0].why.rstrip('.')}"
    return f"data: none of the {len(rejected)} clips of {source} can be used; the first is {first}."


def survey(
    settings: DataSettings,
    model: IVGModel,
    stage: int,
    *,
    on_clip: OnClip | None = None,
    on_prepared: Callable[[Prepared], None] | None = None,
) -> Report:
    """Looks at every clip as `load_data` does, but encodes and keeps nothing.

    Args:
        settings, model, stage, on_clip: see `load_data`.
        on_prepared: shown each clip that can be used.

    Returns:
        What would become of each clip.

    Raises:
        IVGError: the source is not there, or held-out clips leave none to train on.
    """
    encoder = ModelEncoder(model, stage)
    settings = _as_needed(settings, encoder)
    found = find_clips(settings)
    make_masks, sizes = MaskMaker(settings, stage, encoder), training_sizes(settings, encoder)
    report = Report([], list(found.rejected))
    for number, clip in enumerate(found.clips):
        if on_clip:
            on_clip(number, len(found.clips), clip.name)
        try:
            prepared = prepare(clip, settings, sizes, make_masks)
        except IVGError as error:
            report.rejected.append(Rejected(clip.name, str(error)))
            continue
        report.clips.append(prepared.about)
        if on_prepared:
            on_prepared(prepared)
    report.heldout = choose_heldout([about.name for about in report.clips], settings.heldout)
    return report


def training_sizes(settings: DataSettings, encoder: ClipEncoder) -> list[tuple[int, int]]:
    """The sizes (width, height) that training clips may have."""
    width, height = settings.width or encoder.size[0], settings.height or encoder.size[1]
    return bucket_sizes(width, height, settings.bucket_step) if settings.buckets else [(width, height)]


class ClipError(Exception):
    """One clip cannot be used; the message says why."""


class Keeper:
    """Keeps what an encoder makes of clips and sentences, and knows where it lies.

    Args:
        settings, model, stage, cache, pixels: see `load_data`.
    """

    def __init__(
        self, settings: DataSettings, model: IVGModel | ClipEncoder, stage: int, cache: Path, pixels: bool = False
    ):
        encoder = ModelEncoder(model, stage) if isinstance(model, IVGModel) else model
        settings = _as_needed(settings, encoder)
        self.settings, self.encoder, self.pixels = settings, encoder, pixels
        self.cache = Cache(user_path(settings.cache or cache))
        self.make_masks = MaskMaker(settings, stage, encoder)
        self.sizes = training_sizes(settings, encoder)
        values = asdict(settings)
        self.shaped_by = {key: values[key] for key in SHAPING} | {"sizes": self.sizes, "pixels": pixels}
        self.shaped_by |= encoder.made_by
        self.filters = {key: values[key] for key in FILTERS}
        self.texts: dict[str, Path] = {}

    def clip(self, clip: TrainingClip) -> tuple[tuple[Path, ...], About]:
        """Where the clip's tensors and its texts lie, and what is to be said of it.

        Raises:
            ClipError: it cannot be used. What took work to find out is kept too.
            IVGError: the disk is full.
        """
        refused = None
        try:
            shaped_by = {"clip": clip.media.identity(), "mask": self.make_masks.shaped_by(clip), **self.shaped_by}
            shaped_by |= {"control": clip.control.identity()} if clip.control else {}
            if self.settings.boxes:
                shaped_by["boxes"] = track_identity(clip)
            path = self.cache.path("clip", shaped_by)
            known = self.cache.about(path)
            if known is None:
                refused = self.cache.path("refused", {**shaped_by, **self.filters})
                if (said := self.cache.about(refused)) is not None:
                    raise ClipError(said["why"])
                prepared = prepare(clip, self.settings, self.sizes, self.make_masks, self.encoder.codec.stride)
                prepared.about.sha256 = _hash_of(clip)
            else:
                about = About(**{**known, "name": clip.name, "caption": clip.caption})
                check_motion(about.motion, self.settings)
                about.sha256 = about.sha256 or _hash_of(clip)  # what an older version kept has none
        except (IVGError, OSError) as error:
            if refused is not None and isinstance(error, UnfitError):
                self.cache.write(refused, {}, {"why": str(error)})
            raise ClipError(str(error)) from error
        if known is None:  # outside of the try: a full disk stops the work
            about = prepared.about
            self.cache.write(path, self.encode(prepared), about.to_dict())
        texts = [self.text_path(clip.caption)]
        if self.settings.boxes:
            texts.append(self.phrases_path(about.things))
        return (path, *texts), about

    @torch.no_grad()
    def encode(self, prepared: Prepared) -> dict[str, Tensor]:
        masks = prepared.masks
        tensors = {**self.encoder.clip(prepared), "rom_mask": torch.from_numpy(masks.rom)}
        if masks.frames is not None:
            tensors["frame_masks"] = torch.from_numpy(masks.frames)
        if prepared.boxes is not None:
            tensors["boxes"] = filled_up(torch.from_numpy(prepared.boxes))
        if prepared.control is not None:
            tensors["control"] = torch.from_numpy(prepared.control)
        if self.pixels:
            tensors["frames"] = torch.from_numpy(prepared.frames)
        return tensors

    def text_path(self, caption: str) -> Path:
        if caption not in self.texts:
            path = self.cache.path("text", {"text": caption, "encoder": self.encoder.texts_made_by})
            if self.cache.about(path) is None:
                self.cache.write(path, self.encoder.text(caption), {})
            self.texts[caption] = path
        return self.texts[caption]

    def phrases_path(self, phrases: list[str]) -> Path:
        path = self.cache.path("phrases", {"phrases": phrases, "encoder": self.encoder.texts_made_by})
        if self.cache.about(path) is None:
            self.cache.write(path, {"phrases": filled_up(self.encoder.phrases(phrases))}, {})
        return path


def _hash_of(clip: TrainingClip) -> str:
    return content_hash(clip.media.whole if isinstance(clip.media, Part) else clip.media)


def _kept(path: Path, name: str) -> dict[str, Tensor]:
    kept = Cache.read(path)
    if kept is None:
        raise IVGError(f"{path}, which holds {name} encoded, is gone or damaged: remove it if it is there, and go on.")
    return kept[0]
