"""What nodes need around the library's trainer: its progress and files, weights that can be trained, a run."""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management as mm
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io
from torch import Tensor

from ._edges import to_comfy
from ._model import IVGModelSocket, ManagedModel, on_device
from ._notes import say
from ._ordinary import make_ordinary
from .loras import FOLDER, SUBFOLDER, with_lora
from .optimize import refuse_optimised

if TYPE_CHECKING:
    from ..ivg_core.models.bundle import IVGModel
    from ..ivg_core.training.config import TrainConfig
    from ..ivg_core.training.data.settings import DataSettings
    from ..ivg_core.training.data.sources import TrainingClip

log = logging.getLogger("ivg")

RUNS = "ivg_training"  # in ComfyUI's output folder
SECONDS_BETWEEN_PICTURES = 0.7
PREVIEW_SIZE = (480, 300)  # about as large as a node shows it, so that its text can be read


class TrainingProgress:
    """Moves the node's bar and shows the loss curve in it; stops when the user cancels."""

    def __init__(self, node_id: str, steps: int, run: Path):
        self.bar, self.steps, self.run = comfy.utils.ProgressBar(steps, node_id=node_id), steps, run
        self.history: list[dict[str, float]] = []
        self.shown = 0.0

    def clip(self, done: int, total: int, name: str) -> None:
        """Before each clip is read and encoded."""
        mm.throw_exception_if_processing_interrupted()
        self.bar.update_absolute(done, total)

    def __call__(self, step: int, total: int, figures: dict[str, float]) -> None:
        from ..ivg_core.training.history import draw_curve, read_history

        if not self.history:  # the steps of an earlier run belong to the curve
            self.history = read_history(self.run / "losses.jsonl")[: step - 1]
        self.history.append(figures)
        preview, now = None, time.monotonic()
        if now - self.shown > SECONDS_BETWEEN_PICTURES or step == total:
            self.shown = now
            picture = draw_curve(self.history, total, self._title(step, total), PREVIEW_SIZE)
            preview = ("JPEG", picture, max(picture.size))
        self.bar.update_absolute(step, total, preview)
        mm.throw_exception_if_processing_interrupted()

    def kept(self, save_name: str, loader: str = "IVG Load LoRA") -> str:
        """What is left of a training that was cancelled, as its node says it; `loader` is the node that loads it."""
        file = f"{save_name}.safetensors"
        if not (self.run / file).exists():
            return "Cancelled before the first step: nothing was learned yet."
        when = f"Cancelled after step {len(self.history)}" if self.history else "Cancelled"
        name = os.path.join(SUBFOLDER, file)
        return f"{when}: choose {name} in {loader} (press R to renew the list), or run again with resume on."

    def _title(self, step: int, total: int) -> str:
        recent = [figures["seconds"] for figures in self.history[-20:]]
        each = sum(recent) / len(recent)
        left = each * (total - step)
        rest = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
        return f"step {step} of {total}   loss {self.history[-1]['loss']:.4f}   {each:.2f} s a step, {rest} left"


def training_config(
    model: IVGModel, run: Path, stage: int, steps: int, rank: int, learning_rate: float, hand_loss: float, seed: int
) -> TrainConfig:
    """The settings of the run; whatever the node does not ask for is as in the presets for LoRAs."""
    from ..ivg_core.training.config import TrainConfig
    from ..ivg_core.training.learner import LoRASettings

    if stage == 1:
        losses: dict[str, Any] = {"noise": 1.0, "miou": {"weight": 0.1, "frames": 2}}
        roles = ("spatial", "text", "temporal")  # the sentence decides which thing the mask is of
    else:
        losses = {"noise": 1.0, "motion": 0.001} | ({"hands": hand_loss} if hand_loss else {})
        roles = ("spatial", "temporal")
    return TrainConfig(
        stage=stage,
        out=str(run),
        name=run.name,
        steps=steps,
        learning_rate=learning_rate,
        warmup=min(TrainConfig.warmup, steps - 1),  # a short trial comes to its rate too
        lora={role: LoRASettings(rank=rank) for role in roles},
        losses=losses,
        seed=seed,
        keep_last=1,
        **device_settings(model),
    )


def device_settings(model: IVGModel) -> dict[str, Any]:
    """Where and in which precision a training computes, as settings of `TrainConfig`."""
    device = mm.get_torch_device()
    if device.type == "cpu":
        precision = "fp32"
    elif mm.should_use_bf16(device):
        precision = "bf16"
    else:
        precision = "fp16" if model.dtype == torch.float16 else "fp32"
    on_cpu = device.type == "cpu"
    return {"device": "cpu" if on_cpu else "auto", "precision": precision, "checkpointing": not on_cpu}


def run_training(
    node_id: str,
    managed: ManagedModel,
    config: TrainConfig,
    settings: DataSettings,
    clips: list[TrainingClip] | None,
    resume: bool,
    own_mask: bool,
) -> io.NodeOutput:
    """Trains, keeps what was learned however it ends, and shows what it does.

    Args:
        node_id: of the node that shows the progress.
        managed: the model to build on.
        config: of the run; its folder is the run's, its name the LoRA's.
        settings: of the data.
        clips: what is trained on; None: what the settings' source holds.
        resume: go on with a run of this folder.
        own_mask: the clips bring masks, so that none is imagined.

    Returns:
        The model with the LoRA, its path, the loss curve, a sample and the report.

    Raises:
        IVGError: the model comes from IVG Optimize Model.
    """
    from ..ivg_core.media.video import read_video
    from ..ivg_core.training.backbone import TrainableUNet
    from ..ivg_core.training.data.dataset import load_data
    from ..ivg_core.training.history import draw_curve
    from ..ivg_core.training.trainer import train
    from ..ivg_core.training.validation import write_samples

    refuse_optimised(managed)
    model, run, stage = managed.model, Path(config.out), config.stage
    size = (settings.width or model.defaults.width, settings.height or model.defaults.height)
    progress = TrainingProgress(node_id, config.steps, run)
    networks = 1 if model.rom_unet is not None else 2  # a first stage 1 begins as the stage-2 network
    try:
        # ComfyUI runs nodes in inference mode, whose tensors cannot be trained through.
        with torch.inference_mode(False):
            imagines = settings.masks == "stage1" and not own_mask
            ready = load(managed, 1 if imagines else networks, settings.frames, size)
            data = load_data(
                settings,
                ready,
                stage,
                run / "cache",
                pixels=config.needs_pixels,
                clips=clips,
                on_clip=progress.clip,
            )
            ready = load(managed, networks if stage == 1 else 2, settings.frames, size)
            record = {"data": data.report.to_dict()}
            again = "auto" if resume else None
            done = train(config, ready, data.train, resume=again, on_step=progress, record=record)
    except mm.InterruptProcessingException:
        say(progress.kept(config.name))
        raise
    finally:  # also when it was cancelled
        path = keep(run, config.name)
        mm.soft_empty_cache()
    assert done.lora is not None
    trained = with_lora(managed, done.lora, 1.0)
    ready = load(trained, stage, settings.frames, size)
    backbone, name = TrainableUNet(ready, config), f"step-{done.step:06d}"
    (sample,) = write_samples(backbone, data.train, 1, model.defaults.num_inference_steps, run / "samples", name)
    curve = draw_curve(done.history, config.steps, f"{config.name}: {done.step} steps")
    report = f"{data.report}\n\n{done.step} steps; the LoRA is {path}\n"
    return io.NodeOutput(trained, str(path), picture_of(curve), to_comfy(read_video(sample)[0]), report)


def load(managed: ManagedModel, stage: int, frames: int, size: tuple[int, int]) -> IVGModel:
    """The model with the networks of a stage on their device, as ordinary tensors that can be trained through."""
    # A training step keeps less than the two halves of a guided denoising step do: layers are recomputed.
    model = on_device(managed, stage, torch.empty(size[1], size[0], 3), frames, size, whole=True)
    for network in (model.for_stage(stage), model.vae, model.text_encoder):
        make_ordinary(network)
    return model


def run_folder(save_name: str, resume: bool) -> Path:
    """Where a run of this name keeps its checkpoints.

    Raises:
        IVGError: the name is no file name, or is taken.
    """
    from ..ivg_core.errors import IVGError
    from ..ivg_core.training.resume import checkpoints

    if not re.fullmatch(r"\w[\w .+-]*", save_name):
        raise IVGError(f"The save_name {save_name!r} is no file name: use letters, digits, spaces and . + - _ only.")
    run = Path(folder_paths.get_output_directory()) / RUNS / save_name
    if not resume and checkpoints(run):
        raise IVGError(f"There is a training named {save_name!r} already: switch resume on, or choose another name.")
    return run


def keep(run: Path, save_name: str) -> Path:
    """Copies what was learned so far to where LoRAs are looked for; gives the path there."""
    from ..ivg_core.media.files import atomic_write

    learned = run / f"{save_name}.safetensors"
    path = Path(folder_paths.get_folder_paths(FOLDER)[0]) / SUBFOLDER / learned.name
    if learned.exists():
        with atomic_write(path) as temporary:
            shutil.copyfile(learned, temporary)
        log.info("What was learned is in %s", path)
    return path


def learning_inputs(rank: int, learning_rate: float) -> list:
    """How much a LoRA can hold and how fast it learns, with the values that suit the node's way of learning."""
    return [
        io.Int.Input(
            "rank",
            default=rank,
            min=1,
            max=512,
            tooltip="How much the LoRA can hold; its file and its memory grow with it.",
        ),
        io.Float.Input(
            "learning_rate",
            default=learning_rate,
            min=1e-7,
            max=1.0,
            step=1e-6,
            round=1e-7,
            tooltip="Size of a step. Lower it when the loss curve rises or jumps.",
        ),
    ]


def run_inputs(
    frames: str = "0 takes the model's number.", size: str = "0 takes the model's size.", step: int = 8
) -> list:
    """What every training asks of its clips and its run.

    Args:
        frames, size: what 0 means.
        step: pixels by which sides grow.
    """
    return [
        io.Int.Input(
            "frames",
            default=0,
            min=0,
            max=256,
            tooltip=f"Frames of a training clip, spread evenly over yours. {frames}",
        ),
        io.Int.Input(
            "width",
            default=0,
            min=0,
            max=4096,
            step=step,
            tooltip="Width of training clips; with height it gives their area, and clips keep about their "
            f"shape. {size} Less needs less memory.",
        ),
        io.Int.Input("height", default=0, min=0, max=4096, step=step, tooltip="Height of training clips; see width."),
        # Not `seed`: the interface would draw another number for each run, and no run could be resumed.
        io.Int.Input(
            "training_seed",
            default=0,
            min=0,
            max=0xFFFFFFFF,
            tooltip="The same number gives the same training again.",
        ),
        io.Boolean.Input(
            "resume",
            default=True,
            tooltip="Go on where a run of this name was cancelled, or raise steps to train a finished one "
            "further. Off: begin anew, which needs a name that is not taken.",
        ),
    ]


def run_outputs() -> list:
    """What every training gives."""
    return [
        IVGModelSocket.Output(
            display_name="model",
            tooltip="The model with the LoRA on it, for IVG Sampler or IVG Predict RoM Mask.",
        ),
        *trained_outputs("The LoRA's file, for IVG Load LoRA."),
    ]


def trained_outputs(lora: str) -> list:
    """What every training gives beside its model.

    Args:
        lora: what the LoRA's file is for.
    """
    return [
        io.String.Output(display_name="lora_path", tooltip=lora),
        io.Image.Output(display_name="loss_curve", tooltip="The loss of every step and its running mean."),
        io.Image.Output(
            display_name="validation", tooltip="What the trained model makes of the first clip's first frame."
        ),
        io.String.Output(
            display_name="report", tooltip="Which clips were trained on and which were left out, and why."
        ),
    ]


def picture_of(picture: Any) -> Tensor:
    """A PIL picture as an IMAGE."""
    import numpy as np

    return to_comfy(torch.from_numpy(np.array(picture))[None] / 255)
