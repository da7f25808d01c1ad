"""What TrainIVGLoRA needs around the library's trainer: its progress, clips, files, and weights that can be trained."""

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
from comfy_api.latest import InputImpl
from torch import Tensor, nn

from ._edges import frames_of, masks_of, to_comfy
from ._model import ManagedModel, on_device
from ._paths import readable_tree
from .loras import FOLDER, SUBFOLDER

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

    def kept(self, save_name: str) -> str:
        """What is left of a training that was cancelled, as its node says it."""
        file = f"{save_name}.safetensors"
        if not (self.run / file).exists():
            return "Cancelled before the first step: nothing was learned yet."
        when = f"Cancelled after step {len(self.history)}" if self.history else "Cancelled"
        name = os.path.join(SUBFOLDER, file)
        return f"{when}: choose {name} in IVG Load LoRA (press R to renew the list), or run again with resume on."

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

    device = mm.get_torch_device()
    if device.type == "cpu":
        precision = "fp32"
    elif mm.should_use_bf16(device):
        precision = "bf16"
    else:
        precision = "fp16" if model.dtype == torch.float16 else "fp32"
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
        lora={role: LoRASettings(rank=rank) for role in roles},
        losses=losses,
        device="cpu" if device.type == "cpu" else "auto",
        precision=precision,
        checkpointing=device.type != "cpu",
        seed=seed,
        keep_last=1,
    )


def load(managed: ManagedModel, stage: int, frames: int, size: tuple[int, int]) -> IVGModel:
    """The model with the networks of a stage on their device, as ordinary tensors that can be trained through."""
    # A training step keeps less than the two halves of a guided denoising step do: layers are recomputed.
    model = on_device(managed, stage, torch.empty(size[1], size[0], 3), frames, size)
    for network in (model.for_stage(stage), model.vae, model.text_encoder):
        make_ordinary(network)
    return model


@torch.inference_mode(False)
def make_ordinary(network: nn.Module) -> None:
    """Gives a network weights that autograd takes: those that ComfyUI moved or patched in inference mode are not."""
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter.is_inference():
                setattr(module, name, nn.Parameter(parameter.clone(), requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_inference():
                setattr(module, name, buffer.clone())


def connected_clips(images: Tensor | None, video: Any, mask: Tensor | None, prompt: str, folder: str):
    """The clip that is connected, once for each line of the prompt; None where a folder is named instead.

    Raises:
        IVGError: nothing is given, too much, or no sentence.
    """
    from ..ivg_core.errors import IVGError
    from ..ivg_core.media.clips import MemoryClip, Video
    from ..ivg_core.training.data.sources import TrainingClip

    given = [what for what, there in (("images", images is not None), ("video", video is not None)) if there]
    given += ["folder"] if folder.strip() else []
    if len(given) != 1:
        what = f"{' and '.join(given)} are given" if given else "there are no clips"
        raise IVGError(f"IVG Train LoRA: {what}: connect images or video, or name a folder, one of these.")
    if given == ["folder"]:
        return None
    sentences = list(dict.fromkeys(" ".join(line.split()) for line in prompt.splitlines() if line.strip()))
    if not sentences:
        raise IVGError("IVG Train LoRA: the clip has no sentence: write into prompt what happens in it.")
    if images is not None:
        media: Any = MemoryClip(frames_of(images))
    elif path := file_behind(video):
        media = Video(Path(path))
    else:
        components = video.get_components()
        media = MemoryClip(frames_of(components.images), float(components.frame_rate))
    masks = None if mask is None else masks_of(mask)
    clips: list[TrainingClip] = [
        TrainingClip(f"{given[0]} #{i}" if i > 1 else given[0], media, sentence, masks)
        for i, sentence in enumerate(sentences, 1)
    ]
    return clips


def file_behind(video: Any) -> str | None:
    """The file of a VIDEO that is one as a whole, so that it can be read frame by frame."""
    if not isinstance(video, InputImpl.VideoFromFile):
        return None
    start, duration = getattr(video, "get_active_trim_window", lambda: (0, 0))()
    source = video.get_stream_source()
    return source if isinstance(source, str) and not (start or duration) else None


def folder_of(text: str) -> Path:
    """The folder of clips that the user named: one inside ComfyUI's input folder, or a full path in its folders.

    Raises:
        IVGError: it lies elsewhere, or something in it does.
    """
    return Path(readable_tree(os.path.expanduser(text.strip().strip('"')), "folder"))


def check_clips(settings: DataSettings) -> None:
    """Stop before clips are read that a list names outside ComfyUI's folders.

    Raises:
        IVGError: there is such a clip.
    """
    from ..ivg_core.training.data.sources import find_training_clips

    for clip in find_training_clips(settings).clips:
        if path := getattr(clip.media, "path", None):
            readable_tree(str(path), f"A clip of {os.path.basename(settings.source)}")


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
        log.info("TrainIVGLoRA: what was learned is in %s", path)
    return path


def picture_of(picture: Any) -> Tensor:
    """A PIL picture as an IMAGE."""
    import numpy as np

    return to_comfy(torch.from_numpy(np.array(picture))[None] / 255)
