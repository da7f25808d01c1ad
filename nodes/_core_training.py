"""A training of a LoRA for a core video model, in ComfyUI's process: its settings, its course, what is made of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management as mm
import comfy.sd
import comfy.utils
import torch
from comfy_api.latest import io
from torch import Tensor

from ..ivg_core.errors import IVGError
from ..ivg_core.models.schedule import seen_through
from ._core_backbone import CoreBackbone
from ._core_data import SIZE, CoreEncoder
from ._core_memory import estimate, is_out_of_memory, too_little
from ._edges import to_comfy
from ._notes import say, show
from ._training import TrainingProgress, keep, picture_of

if TYPE_CHECKING:
    from ..ivg_core.training.config import TrainConfig
    from ..ivg_core.training.data.settings import DataSettings
    from ..ivg_core.training.data.sources import TrainingClip
    from ..ivg_core.training.sample import Sample

log = logging.getLogger("ivg")

#: Frames of a clip when nobody names a number, and steps of the sample at the end.
FRAMES, SAMPLE_STEPS = 33, 20
#: Losses that look at pixels decode a part of the picture of so many pixels each way.
CROP = 256
#: At less than this signal-to-noise ratio the predicted picture shows neither masks nor hands.
MIN_SNR = 0.2


def core_config(
    run: Path, backbone: CoreBackbone, stage: int, steps: int, rank: int, learning_rate: float, inside: float,
    hand_loss: float, seed: int,
) -> TrainConfig:  # fmt: skip
    """The settings of a run: the paper's losses of its stage, over all layers that see space, time and text.

    A decoder that does not go through the latent frames in order would decode the whole clip, with gradient, at each
    step: with one, stage 1 goes without the loss on its masks. An expert for high noise never shows masks or hands.
    """
    from ..ivg_core.training.config import LoRASettings, TrainConfig

    schedule = backbone.schedule
    shows = bool(seen_through(schedule.signal(torch.tensor([schedule.at(0)])), MIN_SNR))
    if stage == 2 and hand_loss and not shows:
        log.warning("Hands cannot be seen in so much noise (noise_from), so hand_loss is left out.")
    looked_at = {"frames": 1, "min_snr": MIN_SNR, "crop": CROP}
    losses: dict[str, Any] = {"noise": {"weight": 1.0, "inside": inside if stage == 2 else 1.0}}
    if stage == 1 and shows and backbone.codec.in_order:
        losses["miou"] = {"weight": 0.1, **looked_at}
    if stage == 2 and shows and hand_loss:
        losses["hands"] = {"weight": hand_loss, **looked_at}
    return TrainConfig(
        stage=stage,  # type: ignore[arg-type]
        out=str(run),
        name=run.name,
        steps=steps,
        learning_rate=learning_rate,
        warmup=min(TrainConfig.warmup, steps - 1),  # a short trial comes to its rate too
        lora={role: LoRASettings(rank=rank) for role in ("spatial", "text")},
        losses=losses,
        text_dropout=0.1,
        seed=seed,
        keep_last=1,
        device="cpu" if mm.get_torch_device().type == "cpu" else "auto",
    )


def data_settings(backbone: CoreBackbone, **asked: Any) -> DataSettings:
    """The settings of the clips, in numbers that the model's latents hold.

    Raises:
        IVGError: a size that the model cannot make.
    """
    from ..ivg_core.training.data.settings import DataSettings
    from ..ivg_core.training.data.transform import whole_latents

    codec, frames = backbone.codec, asked["frames"] or FRAMES
    whole = max(whole_latents(frames, codec.stride), 1 + codec.stride)
    if whole != frames:
        log.warning("Clips have %d frames in place of %d, as the model's latents hold so many.", whole, frames)
    width, height = asked["width"] or SIZE[0], asked["height"] or SIZE[1]
    codec.grid(whole, (width, height))
    return DataSettings(**{**asked, "frames": whole, "width": width, "height": height, "bucket_step": codec.step})


def run_core_training(
    node_id: str,
    backbone: CoreBackbone,
    clip: Any,
    config: TrainConfig,
    settings: DataSettings,
    clips: list[TrainingClip] | None,
    resume: bool,
    clip_vision: Any = None,
) -> io.NodeOutput:
    """Trains, keeps what was learned however it ends, and shows what it does.

    Args:
        node_id: of the node that shows the progress.
        backbone: the model to build on.
        clip: its text encoder.
        config: of the run; its folder is the run's, its name the LoRA's.
        settings: of the data, see `data_settings`.
        clips: what is trained on; None: what the settings' source holds.
        resume: go on with a run of this folder.
        clip_vision: see `CoreEncoder`.

    Returns:
        The model with the LoRA, its path, the loss curve, a sample and the report.

    Raises:
        IVGError: something that the user can mend, or too little memory.
    """
    from ..ivg_core.training.data.dataset import load_data
    from ..ivg_core.training.history import draw_curve
    from ..ivg_core.training.trainer import train

    run, device = Path(config.out), backbone.patcher.load_device
    memory = estimate(backbone, config, backbone.codec.grid(settings.frames, (settings.width, settings.height)))
    backbone.room = memory.room
    takes = " ".join(filter(None, (str(memory), too_little(memory, device))))
    say(takes)
    show([takes])  # before the hours that it takes; what is said stands there at the end only
    progress = TrainingProgress(node_id, config.steps, run)
    try:
        with torch.inference_mode(False):
            encoder = CoreEncoder(backbone, clip, config.stage, clip_vision)
            pixels = config.needs_pixels
            kept = run / "cache"
            data = load_data(settings, encoder, config.stage, kept, pixels=pixels, clips=clips, on_clip=progress.clip)
            record = {"data": data.report.to_dict()}
            again = "auto" if resume else None
            done = train(config, backbone, data.train, resume=again, on_step=progress, record=record)
    except mm.InterruptProcessingException:
        say(progress.kept(config.name, "LoraLoaderModelOnly"))
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise IVGError(_what_to_lower(config, settings)) from error
        raise
    finally:  # also when it was cancelled
        path = keep(run, config.name)
        mm.soft_empty_cache()
    trained, _ = comfy.sd.load_lora_for_models(
        backbone.patcher, None, comfy.utils.load_torch_file(str(path), safe_load=True), 1.0, 0
    )
    curve = picture_of(draw_curve(done.history, config.steps, f"{config.name}: {done.step} steps"))
    report = f"{data.report}\n\n{memory}\n\n{done.step} steps; the LoRA is {path}\n"
    sample = sample_of(trained, backbone, data.train[0], config.seed)
    return io.NodeOutput(trained, str(path), curve, curve if sample is None else sample, report)


def sample_of(trained: Any, backbone: CoreBackbone, clip: Sample, seed: int) -> Tensor | None:
    """What the trained model makes of a clip's photo and sentence, as an IMAGE; None, with a word, where it cannot."""
    if backbone.noise != (0.0, 1.0):
        say("An expert that knows a part of the noise makes no video alone, so there is no sample of it.")
        return None
    try:
        return to_comfy(CoreBackbone(trained, backbone.vae).sample(clip, seed, SAMPLE_STEPS))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        say("There is too little memory for a sample; the LoRA is whole.")
        return None


def _what_to_lower(config: TrainConfig, settings: DataSettings) -> str:
    """What helps where memory was not enough, the greatest first."""
    ways = ["set hand_loss to 0"] if "hands" in config.losses else []
    if settings.frames > FRAMES // 2:
        ways.append(f"lower frames ({settings.frames})")
    ways += [f"lower width and height ({settings.width} x {settings.height})", "load the model in float8"]
    return f"A training step needs more memory than there is. In this order: {', '.join(ways)}."
