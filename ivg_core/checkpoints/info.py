"""What a checkpoint is, what it lacks, what one may do with it and how much memory it takes; nothing is loaded."""

from __future__ import annotations

import weakref
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..errors import IVGError
from ..media.tracks import MOST_THINGS
from ..models.bundle import ModelDefaults
from ..models.codec import check_size, frames_at_once
from ..models.grounding import sees_photo
from ..models.inflated import InflatedUNet
from ..models.provenance import LORA_KEY, Provenance, stated_licence
from .image_models import LICENCE, ONE_SHOT_UNET, POSE_KIND, image_kind
from .layout import Layout, find_checkpoint, read_layout
from .load import empty_component
from .lora_notes import lora_notes
from .networks import adapt_weights, compare_keys
from .weights import is_safetensors, read_metadata

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    from ..models.unet import IVGUNet

NON_COMMERCIAL = (
    "not stated. The published checkpoints grew out of zeroscope, whose weights are CC-BY-NC-4.0: "
    "treat this one as non-commercial unless its authors told you otherwise."
)


#: Of a clip that memory is planned for; hours of video.
MOST_FRAMES = 10**6


@dataclass
class ComponentReport:
    """One network of a checkpoint."""

    name: str
    file: str = ""
    tensors: int = 0
    parameters: int = 0
    dtype: str = ""
    problem: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass
class CheckpointReport:
    """Everything `python -m ivg_core info` says.

    Args:
        path: what was looked at.
        kind: one sentence, what it is.
        usable: whether `load_model` would load it.
        components: its networks.
        missing: parts it lacks.
        licence: what its weights may be used for.
        defaults: the settings it was made for.
        memory: dtype -> what a run of one clip takes.
        measure: (width, height, frames) of that clip.
        notes: anything else worth knowing.
        card: the model card, where the file carries one.
        made_of: a line for each thing that went into the weights, where the file says so.
    """

    path: str
    kind: str
    usable: bool = False
    components: list[ComponentReport] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    licence: str = ""
    defaults: ModelDefaults = field(default_factory=ModelDefaults)
    memory: dict[str, MemoryPlan] = field(default_factory=dict)
    measure: tuple[int, int, int] = (0, 0, 0)
    notes: list[str] = field(default_factory=list)
    card: str = ""
    made_of: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.path, f"  {self.kind}"]
        for part in self.components:
            head = f"  {part.name:<13} {part.parameters:>13,} parameters  {part.tensors:>5} tensors  {part.dtype}"
            lines += [f"{head}  {Path(part.file).name}", *(f"  {'':<13} {note}" for note in part.notes)]
            if part.problem:
                lines.append(f"  {'':<13} {part.problem}")
        if self.missing:
            lines.append(f"  missing       {', '.join(self.missing)}")
        if self.components:
            d = self.defaults
            settings = f"{d.width}x{d.height}, {d.num_frames} frames, {d.num_inference_steps} steps"
            lines.append(f"  made for      {settings}, guidance {d.guidance_scale:g}, {d.fps} fps")
        if self.licence:
            lines.append(f"  licence       {self.licence}")
        lines += [f"  {'' if i else 'made of':<13} {line}" for i, line in enumerate(self.made_of)]
        for dtype, plan in self.memory.items():
            parts = f"weights {_size(plan.weights)}, denoising {_size(plan.denoise)}, decoding {_size(plan.decode)}"
            lines.append(f"  memory        {_size(plan.peak)} in {dtype}: {parts}")
        if self.memory:
            width, height, frames = self.measure
            lines.append(f"  {'':<13} for one clip of {width}x{height}, {frames} frames, all networks on the device")
        return "\n".join([*lines, *(f"  note          {note}" for note in self.notes)])


def inspect_checkpoint(
    source: str | Path, size: tuple[int, int] | None = None, num_frames: int | None = None
) -> CheckpointReport:
    """Looks into a checkpoint without loading it.

    Args:
        source: "embedded", a folder or a file; of any kind, the report says what it is.
        size: (width, height) of the clip whose memory is counted, multiples of 8; None: what it was made for.
        num_frames: of that clip; None: what it was made for.

    Raises:
        IVGError: there is nothing at that path, or no clip of that size can be made.
    """
    path = find_checkpoint(source)
    try:
        layout = read_layout(path)
        components = [_inspect_component(layout, name) for name in layout.networks()]
    except IVGError as error:
        return _no_checkpoint(path, str(error))
    missing, defaults = layout.missing_parts(), layout.defaults
    width, height = check_size(size or (defaults.width, defaults.height))
    measure = (width, height, defaults.num_frames if num_frames is None else num_frames)
    if not 1 <= measure[2] <= MOST_FRAMES:
        raise IVGError(f"A clip of {num_frames} frames cannot be planned for: give 1 to {MOST_FRAMES}.")
    usable = not missing and not any(part.problem for part in components)
    return CheckpointReport(
        path=str(path),
        kind=_kind(layout),
        usable=usable,
        components=components,
        missing=missing,
        licence=layout.licence or (LICENCE if layout.is_image_model else NON_COMMERCIAL),
        defaults=defaults,
        memory=_memory(layout, components, measure) if usable else {},
        measure=measure,
        notes=_notes(layout),
        card=layout.metadata.get("card", ""),
        made_of=layout.provenance.lines() if layout.provenance else [],
    )


def _no_checkpoint(path: Path, kind: str) -> CheckpointReport:
    """What can be said of something else; LoRA files and gates state their licence and what they are made of."""
    header: dict[str, str] = {}
    with suppress(IVGError, OSError, ValueError):
        header = read_metadata(path) if path.is_file() and is_safetensors(path) else {}
    made_of = Provenance.from_json(header.get(LORA_KEY))
    notes = lora_notes(header)
    return CheckpointReport(
        path=str(path),
        kind="a LoRA" if notes else kind,
        licence=stated_licence(header),
        made_of=made_of.lines() if made_of else [],
        notes=notes,
    )


def _inspect_component(layout: Layout, name: str) -> ComponentReport:
    path = layout.weights[name][0]
    try:
        infos = layout.tensors(name)
        network = empty_component(layout, name)
    except IVGError as error:
        return ComponentReport(name, str(path), problem=str(error))
    dtypes = Counter(info.dtype for info in infos.values())
    shapes = {key: torch.empty(info.shape, device="meta") for key, info in infos.items()}
    weights = adapt_weights(name, shapes, network)
    report = compare_keys(network, weights)
    config = layout.configs[name]
    notes = []
    if name in ("unet", "rom_unet") and config.get("gates"):
        notes.append(f'follows boxes: gates "{config["gates"]}"')
    if config.get("_class_name") == ONE_SHOT_UNET:
        notes.append(f"{config.get('clips')} clips, each with a LoRA of rank {config.get('clip_rank')}")
    if name in ("unet", "rom_unet") and layout.takes_photo and not sees_photo(config):
        if not config.get("motion_mask", False):
            notes.append("its config says motion_mask false: masks have no effect")
        if not config.get("motion_strength", False):
            notes.append("its config says motion_strength false: the motion strength has no effect")
        if infos.get("conv_in.weight") and infos["conv_in.weight"].shape[1] == 5:
            notes.append("in_channels 5: without a mask it runs with an all-white one")
    return ComponentReport(
        name=name,
        file=str(path),
        tensors=len(weights),
        parameters=sum(tensor.numel() for tensor in weights.values()),
        dtype=", ".join(dtype for dtype, _ in dtypes.most_common()),
        problem=f"does not fit its config: {report}" if report else "",
        notes=notes,
    )


def _kind(layout: Layout) -> str:
    if sees_photo(layout.configs.get("unet", {})):
        return "A model of SMCD (Animate Your Motion): it makes videos of a photo, a sentence and a track of boxes."
    if layout.follows_pose:
        return POSE_KIND
    if layout.is_image_model:
        return image_kind(layout.configs["unet"])
    if not layout.takes_photo:
        return (
            "A text-to-video model (ModelScope, zeroscope): it makes videos of sentences, without a photo, and "
            "trainings of IVG begin from it (init-model)."
        )
    stages = {"unet": "stage 2 (photo, action and mask to video)", "rom_unet": "stage 1 (photo and action to mask)"}
    found = " and ".join(text for name, text in stages.items() if name in layout.networks())
    where = "one file" if layout.path.is_file() else "folder"
    return f"An IVG checkpoint ({where}) with {found or 'no UNet'}."


def _notes(layout: Layout) -> list[str]:
    scheduler: dict[str, Any] = layout.scheduler_config or {}
    notes = [f"trained with {scheduler.get('prediction_type', 'epsilon')} prediction"]
    if layout.domain:
        notes.append(f"knows only {layout.domain.kind}: what it makes of other pictures means nothing")
    if scheduler and "timestep_spacing" not in scheduler:
        notes.append("its scheduler names no timestep_spacing: the solver's default is used, as in the released code")
    stage2 = layout.takes_photo and not sees_photo(layout.configs.get("unet", {}))
    if stage2 and "rom_unet" not in layout.networks():
        notes.append('no stage-1 weights: the mask comes from you, from rom=…, or from "white", "prior", "hands"')
    return notes


def _memory(layout: Layout, components: list[ComponentReport], measure: tuple[int, int, int]) -> dict[str, MemoryPlan]:
    width, height, num_frames = measure
    half = plan_memory(
        cast(Any, empty_component(layout, "unet" if "unet" in layout.networks() else "rom_unet")),
        cast(Any, empty_component(layout, "vae")),
        sum(part.parameters for part in components),
        width=width,
        height=height,
        num_frames=num_frames,
        guided=layout.defaults.guidance_scale > 1,
        dtype=torch.float16,
    )
    return {"float32": MemoryPlan(2 * half.weights, 2 * half.denoise, 2 * half.decode), "float16": half}


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count > 1e8 else f"{count / 1e6:.0f} MB"


TEXT_TOKENS = 77


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes that a run takes, all networks being on the device.

    Args:
        weights: of all networks.
        denoise: beside them at the largest moment of a denoising step.
        decode: beside them while frames are decoded.
    """

    weights: int
    denoise: int
    decode: int

    @property
    def peak(self) -> int:
        return self.weights + max(self.denoise, self.decode)


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that come to life inside the `with` block, and their peak.

    What exists before (weights, inputs) and what a kernel uses for itself while it runs is not counted.

    Attributes:
        now: bytes alive.
        peak: most bytes that were alive at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.known.update(_storages((args, kwargs)))
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            if storage not in self.known:
                self.known.add(storage)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._free, storage.nbytes()).atexit = False
        return result

    def _free(self, size: int) -> None:
        self.now -= size


def _storages(values: Any) -> list[Any]:
    return [x.untyped_storage() for x in tree_leaves(values) if isinstance(x, Tensor)]


@torch.no_grad()
def plan_memory(
    unet: IVGUNet | InflatedUNet,
    vae: AutoencoderKL,
    parameters: int,
    *,
    width: int,
    height: int,
    num_frames: int,
    guided: bool = True,
    dtype: torch.dtype = torch.float16,
) -> MemoryPlan:
    """Count what a run of one clip takes.

    Args:
        unet: on the meta device; it is given weights without numbers, so throw it away afterwards.
        vae: likewise.
        parameters: of all networks that are loaded.
        width, height: of the video in pixels.
        num_frames: F of the video.
        guided: whether both predictions of guidance are computed in one batch.
        dtype: of the weights.
    """
    cell = 2 ** (len(vae.config["block_out_channels"]) - 1)
    rows, columns = height // cell, width // cell
    batch = 2 if guided else 1
    with FakeTensorMode(allow_non_fake_inputs=True):
        _fill(unet, dtype)
        _fill(vae, dtype)

        def empty(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=dtype)

        latents = torch.empty(batch, 4, num_frames, rows, columns)  # float32 lies beside what the network computes
        told = {"condition_latent": empty(batch, 4, 1, rows, columns)} if unet.takes_photo else {}
        if unet.takes_mask:
            told |= {"mask": empty(batch, 1, 1, rows, columns), "motion": torch.empty(batch)}
        if isinstance(unet, InflatedUNet) and unet.beside_channels:
            told["beside"] = empty(batch, unet.beside_channels, num_frames, rows, columns)
        if unet.takes_boxes:
            told["boxes"] = torch.empty(batch, num_frames, MOST_THINGS, 5)
            told["phrases"] = empty(batch, 1, MOST_THINGS, unet.config["cross_attention_dim"])
        with LiveBytes() as denoise:
            unet(
                latents.to(dtype),
                torch.tensor(500),
                empty(batch, TEXT_TOKENS, unet.config["cross_attention_dim"]),
                **told,
            )
        with LiveBytes() as decode:
            vae.decode(empty(min(num_frames, frames_at_once(rows, columns)), 4, rows, columns), return_dict=False)
    return MemoryPlan(parameters * dtype.itemsize, denoise.peak, decode.peak)


def _fill(network: nn.Module, dtype: torch.dtype) -> None:
    """Weights without numbers; the meta device itself would choose another kind of attention than a real one."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    network.load_state_dict({name: torch.empty(shape, dtype=dtype) for name, shape in shapes.items()}, assign=True)
    network.eval()
