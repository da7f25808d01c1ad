"""The settings of a training: read from yaml, checked key by key, with every mistake named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import IVGError
from ..media.targets import user_path
from ..media.text import read_text
from ..models.add_gates import VISUAL_WIDTHS
from ..plugins import is_loaded, load_plugins
from ..settings import check_ranges, from_mapping, nearest, read_yaml
from .released_yaml import from_released, is_released

PRESETS = Path(__file__).parent / "presets"

#: What stands for several parts of `trainable`: what IVG's released yaml trains, and SMCD's two stages.
TRAINABLE = {
    "released": ("attn1", ".attentions", "attn2", "conv_in", "temp_conv", "motion"),
    "boxes": ("position_net", ".fuser."),
    "photo": ("conv_in.", ".fuser.cross_", ".fuser.v_", "temp_attentions.*.transformer_blocks", "visual_encoder"),
}

MANY, LEAST, ALMOST_ALL = 10**9, 1e-12, 0.999999  # what lies beyond is a slip of the pen
RATE = (LEAST, 10)
RANGES: dict[str, tuple[float, float]] = {
    "steps": (1, MANY),
    "batch_size": (1, 4096),
    "accumulation": (1, 10**5),
    "learning_rate": RATE,
    "warmup": (0, MANY),
    "betas": (0, ALMOST_ALL),
    "weight_decay": (0, 10),
    "clip": (0, MANY),
    "ema": (0, ALMOST_ALL),
    "seed": (0, 2**63 - 1),
    "clip_rank": (0, 4096),
    "text_dropout": (0, 1),
    "clip_dropout": (0, 1),
    "boxes_dropout": (0, 1),
    "photo_dropout": (0, 1),
    "seen_dropout": (0, 1),
    "from_photo": (0, 1),
    "noise_offset": (0, 10),
    "min_snr": (LEAST, MANY),
    "save_every": (0, MANY),
    "keep_last": (1, MANY),
}
LORA_RANGES = {"rank": (1, 4096), "alpha": (LEAST, MANY), "dropout": (0, ALMOST_ALL), "learning_rate": RATE}
VALIDATION_RANGES = {"every": (0, MANY), "draws": (1, 10**4), "samples": (0, 10**4), "sample_steps": (1, 1000)}


@dataclass
class LoRASettings:
    """The LoRA of one role.

    Args:
        rank: of the change; clipped to the layer's own size.
        alpha: the change counts alpha / rank; None: as much as the rank, a factor of 1.
        dropout: share of the layer's input that the LoRA does not see, 0..1.
        learning_rate: None takes the training's.
        per_clip: each clip has one of its own, which is heard with that clip alone and written to a file of its own.
    """

    rank: int = 16
    alpha: float | None = None
    dropout: float = 0.0
    learning_rate: float | None = None
    per_clip: bool = False


@dataclass
class ValidationSettings:
    """What is measured beside the training.

    Args:
        every: optimiser steps between measurements, 0 = never; the last step is always measured.
        draws: noise and timesteps per held-out clip; the same at every measurement.
        samples: held-out clips that are also sampled and written as videos.
        sample_steps: denoising steps of a sample.
    """

    every: int = 0
    draws: int = 8
    samples: int = 0
    sample_steps: int = 12


@dataclass
class TrainingPath:
    """One of several ways through the network in each step, with its own losses; all of them share noise and optimiser.

    Args:
        losses: as `TrainConfig.losses`.
        learns: roles of the LoRA that are added and learned.
        sounds: roles that are added as they are; roles in neither are silent. One that learns in another path sounds
            in those steps only in which that path is taken.
        frames: "all", or "one" frame of the clip, drawn anew each step, by itself: without the photo and without the
            layers over time.
        chance: share of the steps in which it is taken, 0..1.
        flip: share of the steps in which the one frame is mirrored and encoded anew, 0..1.
        name: put before the names of its figures.

    Source: MotionDirector (arXiv 2310.08465), which learns what things look like on single frames and how they move
        on whole clips.
    """

    losses: dict[str, Any]
    learns: list[str]
    sounds: list[str] = field(default_factory=list)
    frames: Literal["all", "one"] = "all"
    chance: float = 1.0
    flip: float = 0.0
    name: str = ""


@dataclass
class TrainConfig:
    """One training. Every preset is a yaml of these keys.

    Args:
        stage: 1 learns the mask video, 2 the video.
        method: "lora" learns small additions to a frozen network, "full" changes the network itself.
        model: "embedded", a checkpoint folder or a one-file model.
        out: folder of the run: checkpoints, samples, log, result.
        name: of the result, `<out>/<name>.safetensors` (LoRA) or the folder `<out>/<name>` (full).
        data: handed to the data side as it is.
        steps: optimiser steps in all, those of an earlier run included.
        batch_size: clips at once on one process.
        accumulation: batches whose gradients are averaged before a step.
        learning_rate: peak.
        schedule: "constant" or "cosine" (to a tenth), after the warm-up.
        warmup: steps over which the rate rises from 0.
        optimizer: "adamw" or "adamw8bit" (needs the package bitsandbytes and a GPU).
        betas, weight_decay: AdamW's.
        clip: largest norm of the gradient, 0 = no limit.
        device: "auto" (what accelerate finds) or "cpu".
        precision: "fp32", "bf16" or "fp16": what the network computes in. Trained weights are always kept in float32.
        checkpointing: recompute activations in the backward pass: less memory, a third more time, same result.
        network_dropout: the network's own dropout (0.1 in temporal convolutions) is active.
        ema: decay of the averaged weights, which are then the result; 0 = no average.
        seed: of everything that is drawn.
        lora: role ("spatial", "temporal", "text", "conv") -> its settings; roles that are not named stay as they are.
        trainable: for method "full": parts of the names of weights, in which * stands for anything, or keys of
            `TRAINABLE`; empty trains everything.
        gates: for method "full": the network first gets gates for boxes, closed, where it has none: "boxes"; for a
            text-to-video model "boxes_photo", whose gates also see the photo; for a model of IVG "carry", which a small
            network learns to follow sooner.
        visual_widths: channels of the four levels of the encoder that shows the photo to new gates.
        clip_rank: for method "full" and an image model: tune it to one video, which `data.stride` cuts into clips that
            overlap. The network first gets layers over time, and of this rank a LoRA for each clip; 0 = neither.
        control_net: for an image model: the T2I-Adapter or ControlNet that holds it to `data.control` while it learns:
            its folder or file; it stays as it is. "" = none.
        losses: name -> weight, or -> a mapping with `weight` and the loss's own options.
        paths: in place of `losses`, for a LoRA whose roles learn in different ways; see `TrainingPath`.
        text_dropout: share of clips whose text is left out, so that guidance works.
        clip_dropout: share of clips without the LoRA of their own, where the network has some.
        boxes_dropout: share of clips whose boxes are left out, so that they can be guided by.
        photo_dropout: share of clips without the photo beside the frames, where the network has it there.
        seen_dropout: share of clips whose gates see no photo, where the network has such.
        freeze_outside: stage 2: hold the target still outside the mask, which gives the mask its meaning.
        from_photo: share of clips that begin as sampling begins: much noise on the photo in place of the clip.
        noise_offset: strength of a noise that is one number a frame and channel; 0 = none.
        min_snr: gamma of min-SNR weighting of the noise loss (5 is usual); None = none.
        parity: as MotionDirector's code does, with `checkpointing`: each path's roles step before the next path's
            gradient is taken, and layers are recomputed with the new weights. With method "full", as Gen-L-Video's
            does: a weight without a gradient in a step, as of another clip's LoRA, is moved on by its momentum. To
            compare with them, and for nothing else.
        zero_terminal_snr: the last timestep becomes pure noise. Needs a model that predicts v; sampling then follows.
        prediction: for method "full": learn this prediction type in place of the model's.
        save_every: steps between checkpoints, 0 = only at the end or when stopped.
        keep_last: checkpoints kept, at least 1.
        validation: see `ValidationSettings`.
        tensorboard: the same as log: tensorboard.
        log: where the figures are shown beside `<out>/losses.jsonl`: "tensorboard" (files in `<out>/log`; the package
            tensorboard) or "wandb" (Weights & Biases, which gets figures and settings, no clips; the package wandb).
            "" = nowhere else.
        plugins: files of Python whose losses are named above, see `read_config`; who calls from Python imports them.
    """

    stage: Literal[1, 2] = 2
    method: Literal["lora", "full"] = "lora"
    model: str = "embedded"
    out: str = "out/train"
    name: str = "ivg-lora"
    data: dict[str, Any] = field(default_factory=dict)
    steps: int = 500
    batch_size: int = 1
    accumulation: int = 1
    learning_rate: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = 20
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    clip: float = 1.0
    device: Literal["auto", "cpu"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    checkpointing: bool = False
    network_dropout: bool = False
    ema: float = 0.0
    seed: int = 0
    lora: dict[str, LoRASettings] = field(
        default_factory=lambda: {"spatial": LoRASettings(), "temporal": LoRASettings()}
    )
    trainable: list[str] = field(default_factory=list)
    gates: str = ""
    visual_widths: list[int] = field(default_factory=lambda: list(VISUAL_WIDTHS))
    clip_rank: int = 0
    control_net: str = ""
    losses: dict[str, Any] = field(default_factory=dict)
    paths: list[TrainingPath] = field(default_factory=list)
    text_dropout: float = 0.15
    clip_dropout: float = 0.4
    boxes_dropout: float = 0.1
    photo_dropout: float = 0.25
    seen_dropout: float = 0.1
    freeze_outside: bool = True
    from_photo: float = 0.0
    noise_offset: float = 0.0
    min_snr: float | None = None
    parity: bool = False
    zero_terminal_snr: bool = False
    prediction: Literal["epsilon", "v_prediction"] | None = None
    save_every: int = 100
    keep_last: int = 2
    validation: ValidationSettings = field(default_factory=ValidationSettings)
    tensorboard: bool = False
    log: Literal["", "tensorboard", "wandb"] = ""
    plugins: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.losses and not self.paths:  # the paper's, and the released code's motion score
            self.losses = {"noise": 1.0, "miou": 0.1} if self.stage == 1 else {"noise": 1.0, "motion": 0.001}
        if self.tensorboard and not self.log:
            self.log = "tensorboard"
        _check(self)

    def all_paths(self) -> list[TrainingPath]:
        """The paths of each step; one through which everything learns, if none are named."""
        return self.paths or [TrainingPath(self.losses, list(self.lora))]

    @property
    def needs_pixels(self) -> bool:
        """Whether the clips' frames are needed beside their latents."""
        from .losses import needs_pixels

        return any(needs_pixels(path.losses) or path.flip for path in self.all_paths())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in a yaml."""
        return asdict(self)


def read_config(
    path: str | Path,
    overrides: Mapping[str, Any] | None = None,
    assignments: Sequence[tuple[str, str]] = (),
    plugins: Sequence[str | Path] = (),
) -> TrainConfig:
    """Reads the settings of a training.

    Args:
        path: a yaml file, or the name of a preset; also the authors' own yaml, see `released_yaml`.
        overrides: keys that replace the file's.
        assignments: the same from a command line: `("lora.spatial.rank", "8")`, the values read as yaml.
        plugins: files of Python with losses of your own, which are imported first, and kept in the settings. One that
            only the yaml names is not run: it may be another's.

    Returns:
        The settings, checked.

    Raises:
        IVGError: no such file, no yaml, an unknown key (with the nearest that exists), a value of the wrong kind,
            settings that exclude each other, or a plugin that the yaml needs and that is not given here.
    """
    file = PRESETS / f"{path}.yaml" if str(path) in presets() else user_path(path)
    if not file.is_file():
        raise IVGError(f"There is no {file}: give a yaml file, or a preset: {', '.join(presets())}.")
    text = read_text(file)
    try:
        values = read_yaml(text)
    except ValueError as error:
        raise IVGError(f"{file} is no yaml of settings ({error}): mend that line.") from error
    if not isinstance(values, Mapping):
        raise IVGError(f"{file} holds no settings: write lines such as `steps: 500`.")
    if is_released(values):
        values = from_released(values, str(file))
    values = {**values, **(overrides or {})}
    assigned = dict(values)
    for key, text in assignments:
        _assign(assigned, key, text)
    _run_plugins(assigned, plugins, file)
    where = str(file)
    if assignments and _is_sound(values, where):  # what is wrong then, if anything, was not written there
        where = ", ".join(f"{key}={text}" if len(text) < 40 else key for key, text in assignments)
    return from_mapping(TrainConfig, assigned, where)


def _is_sound(values: Mapping[str, Any], where: str) -> bool:
    try:
        from_mapping(TrainConfig, values, where)
    except IVGError:
        return False
    return True


def _run_plugins(values: dict[str, Any], given: Sequence[str | Path], file: Path) -> None:
    run = load_plugins(given)
    named = values.get("plugins") or []
    for plugin in named if isinstance(named, list) else []:
        if not (isinstance(plugin, str) and is_loaded(plugin)):
            raise IVGError(
                f"{file} needs the plugin {plugin}, which is a program: look at it, then allow it with --plugin "
                f'{plugin} (plugins=["{plugin}"]).'
            )
    if run:
        values["plugins"] = run


def _assign(values: dict[str, Any], key: str, text: str) -> None:
    *path, last = key.split(".")
    for name in path:
        inner = values.get(name)
        if inner is not None and not isinstance(inner, Mapping):
            inner = {"weight": inner} if path[0] == "losses" else {}
        values[name] = values = dict(inner or {})
    try:
        values[last] = read_yaml(text)
    except ValueError as error:
        raise IVGError(f"{key}={text} is no value: {error}.") from error


def presets() -> list[str]:
    """The trainings that are ready to use.

    Returns:
        Names of the presets that ship with the library, as `read_config` takes them.
    """
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def check_name(name: str) -> None:
    """Lets pass a name for the result, which becomes that of a file in the run's folder.

    Raises:
        IVGError: it is none, or leads elsewhere.
    """
    if not name.strip(" .") or set(name) & set('/\\:*?"<>|\0\n\r\t') or len(name.encode(errors="replace")) > 200:
        raise IVGError(
            f"name is {name!r}: give the result a name of at most 200 bytes, without a folder and without "
            '/ \\ : * ? " < > |; the folder is out.'
        )


def _check(config: TrainConfig) -> None:
    from ..models.lora import ROLES
    from .losses import make_losses

    check_ranges(config, RANGES)
    check_ranges(config.validation, VALIDATION_RANGES, "validation.")
    check_name(config.name)
    user_path(config.out), user_path(config.model), user_path(config.control_net)
    for role, settings in config.lora.items():
        if role not in ROLES:
            raise IVGError(f"lora: there is no role {role!r}{nearest(role, ROLES)}")
        check_ranges(settings, LORA_RANGES, f"lora.{role}.")
    if config.method == "lora" and not config.lora:
        raise IVGError("A LoRA needs at least one role under lora: spatial, temporal, text or conv.")
    if config.method == "lora" and config.trainable:
        raise IVGError("trainable belongs to method full; a LoRA chooses its layers by role under lora: remove one.")
    if config.method == "lora" and config.gates:
        raise IVGError("A LoRA cannot give a network gates: remove gates, or use method full.")
    if config.method == "lora" and config.clip_rank:
        raise IVGError("A LoRA cannot give a network others for its clips: remove clip_rank, or use method full.")
    if config.data.get("control") and not config.control_net:
        raise IVGError("data: control is what a control_net follows: name one (a T2I-Adapter), or remove control.")
    if config.gates and config.stage == 1:
        raise IVGError("Stage 1 predicts the mask and follows no boxes: remove gates, or train stage 2.")
    if config.method == "lora" and config.prediction:
        raise IVGError("A LoRA cannot change what the model predicts: remove prediction, or use method full.")
    if config.method == "lora" and all(settings.per_clip for settings in config.lora.values()):
        raise IVGError("lora: every role is per_clip, so nothing would be learned of all clips: leave it off for one.")
    if config.parity and ((config.method == "lora" and not config.paths) or config.accumulation > 1):
        raise IVGError("parity steps path by path: give paths, and accumulation 1.")
    if config.paths and (config.losses or config.method != "lora"):
        raise IVGError("paths hold the losses of a LoRA: remove losses, and use method lora.")
    if all(path.chance < 1 for path in config.all_paths()):
        raise IVGError("paths: in some steps none would be taken, so nothing learned: give one of them chance 1.")
    for path in config.all_paths():
        make_losses(path.losses, config.stage)
        check_ranges(path, {"chance": (LEAST, 1), "flip": (0, 1)}, "paths: ")
        if path.flip and (path.frames != "one" or config.stage == 1):
            raise IVGError("paths: flip mirrors one frame of stage 2's video: set frames: one, or remove flip.")
        for role in (*path.learns, *path.sounds):
            if config.method == "lora" and role not in config.lora:
                raise IVGError(f"paths: there is no role {role!r} under lora{nearest(role, config.lora)}")
