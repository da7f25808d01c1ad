"""What training asks of a backbone beyond sampling, and the IVG network as the first one that answers."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from ..checkpoints.control_nets import load_control_net
from ..checkpoints.lora_files import save_lora
from ..checkpoints.save import save_folder
from ..errors import IVGError
from ..media.tracks import Track
from ..models.add_gates import with_gates
from ..models.backbone import Backbone, UNetBackbone
from ..models.control import Controlled
from ..models.fingerprint import fingerprint
from ..models.inflated import BESIDE, InflatedUNet
from ..models.lora import LoRA
from ..models.one_shot import OneShotUNet, VideoClips, with_clips
from ..models.provenance import Provenance
from ..models.schedule import DiffusionSchedule
from ..models.told import Told
from .engine import put_back_afterwards
from .record import after_training

if TYPE_CHECKING:
    from ..models.bundle import IVGModel
    from .config import TrainConfig
    from .sample import Sample


class TrainableBackbone(Backbone, Protocol):
    """A network that can be trained, whole or by a LoRA beside it."""

    def training(self, device: torch.device) -> Any:
        """A context in which its networks are on the device and ready to be trained through; put back at its end."""
        ...

    def idle(self) -> set[str]:
        """Names of modules that this training never runs; processes side by side would wait for their gradients."""
        ...

    def fingerprint(self) -> str:
        """A text that differs when the network does, to tell whether a checkpoint belongs to it."""
        ...

    def about(self) -> Mapping[str, Any]:
        """What a LoRA file says about the network that it fits."""
        ...

    def provenance(self) -> Provenance:
        """What the network is made of, before it is trained."""
        ...

    def save_lora(self, lora: LoRA, path: Path) -> None:
        """Writes a LoRA as the users of this network read it."""
        ...

    def save(self, path: Path) -> None:
        """Writes the network with all that goes with it."""
        ...

    @property
    def fps(self) -> float:
        """Frames a second of its videos."""
        ...

    def sample(self, clip: Sample, seed: int, steps: int) -> Tensor:
        """Frames (F, H, W, 3), 0..1, made of a clip's photo, sentence and mask by the network as it is now."""
        ...


class TrainableUNet(UNetBackbone):
    """The IVG network of the stage that is trained.

    Full training works on a copy, so that the model that was given stays as it is; a LoRA never touches its weights.
    Stage 1 begins from stage 2's weights where the model has none of its own.

    Args:
        model: the checkpoint.
        config: stage, method and what changes the noise.
        clips: of the video that an image model is tuned to, for `clip_rank`.

    Raises:
        IVGError: the model cannot be trained like this.
    """

    def __init__(self, model: IVGModel, config: TrainConfig, clips: VideoClips | None = None):
        stage = config.stage
        _check_image_model(model, config)
        if not model.takes_mask and stage == 1:
            raise IVGError(
                f'The model "{model.name}" makes videos of sentences, and stage 1 needs a photo: begin an IVG model '
                "from it with python -m ivg_core init-model, and train that."
            )
        unet = model.rom_unet if stage == 1 and model.rom_unet is not None else model.for_stage(2)
        if clips is not None:
            network = with_clips(unet, clips, config.clip_rank, config.seed)
            model = replace(model, defaults=replace(model.defaults, num_frames=clips.frames))
        elif config.gates:
            network = with_gates(unet, config.gates, config.visual_widths, config.seed)
        else:
            network = copy.deepcopy(unet) if config.method == "full" else unet
        schedule = DiffusionSchedule(model.scheduler_config, config.zero_terminal_snr, config.prediction)
        super().__init__(model, stage, network, schedule)
        self.config = config
        self.controlled = Controlled(self, load_control_net(config.control_net)) if config.control_net else None

    def __call__(self, noisy: Tensor, level: Tensor, told: Told, features: Any = None) -> Tensor:
        """See `Backbone`."""
        ask = super().__call__ if self.controlled is None else self.controlled
        return ask(noisy, level, told, features)

    @property
    def fps(self) -> float:
        """See `TrainableBackbone`."""
        return self.model.defaults.fps

    @contextmanager
    def training(self, device: torch.device) -> Iterator[None]:
        """See `TrainableBackbone`."""
        model, network = self.model, self.network
        with ExitStack() as stack:
            put_back_afterwards(network, stack)
            if self.config.precision == "fp32":
                network.float()
            network.to(device)
            if self.config.checkpointing:
                network.enable_gradient_checkpointing()
            else:
                network.disable_gradient_checkpointing()
            control_nets: list[Any] = [self.controlled.control_net] if self.controlled else []
            for part in (model.vae, model.text_encoder, *control_nets):
                put_back_afterwards(part, stack)
                part.requires_grad_(False).to(device)
            yield

    def idle(self) -> set[str]:
        """See `TrainableBackbone`."""
        config = self.network.config
        if not self.takes_mask:
            return set()
        idle = {"motion_embedding", "conv_in" if config["motion_mask"] else "conv_in2"}
        if self.stage == 1 or not config["motion_strength"]:
            idle.add("time_embedding.cond_proj")
        return idle

    def fingerprint(self) -> str:
        """See `TrainableBackbone`; of all weights."""
        return fingerprint(self.network)

    def about(self) -> dict[str, Any]:
        """See `TrainableBackbone`."""
        keys = ("block_out_channels", "layers_per_block", "attention_head_dim", "cross_attention_dim", "in_channels")
        return {
            "base_geometry": {key: self.network.config[key] for key in keys},
            "prediction_type": self.schedule.prediction_type,
            "zero_terminal_snr": self.schedule.zero_terminal_snr,
        }

    def provenance(self) -> Provenance:
        """See `TrainableBackbone`."""
        return Provenance.of_model(self.model)

    def save_lora(self, lora: LoRA, path: Path) -> None:
        """See `TrainableBackbone`."""
        save_lora(lora, path)

    def save(self, path: Path) -> None:
        """See `TrainableBackbone`; a folder in the published layout."""
        trained = self._current(**{"unet" if self.stage == 2 else "rom_unet": self.network})
        save_folder(after_training(self.provenance(), self.config).onto(trained), path)

    def sample(self, clip: Sample, seed: int, steps: int) -> Tensor:
        """See `TrainableBackbone`."""
        from ..sampling.edit import ControlVideo
        from ..sampling.generate import generate
        from ..sampling.settings import RAW

        _, frames, height, width = clip["latents"].shape
        told: dict[str, Any] = {"image": None}
        if self.takes_photo:
            with torch.no_grad():
                photo = self.codec.decode(clip.get("photo", clip["latents"][:, :1])[None])[0, 0].cpu()  # (H, W, 3)
            told = {"image": photo, "mask": clip.get("rom_mask") if self.stage == 2 and self.takes_mask else None}
        if self.takes_boxes and self.stage == 2 and "boxes" in clip and clip.get("things"):
            told["boxes"] = Track.of_boxes(clip["boxes"], clip["things"])
        if self.controlled:
            told["control"] = ControlVideo(self.controlled.control_net, clip["control"].float() / 255)
        return generate(
            self._current(unet=self.network, rom_unet=self.network),
            action=clip["caption"],
            stage=self.stage,
            num_frames=frames,
            how=replace(RAW, num_inference_steps=steps),
            motion_strength=5.0 if self.stage == 2 else None,
            size=(width * self.codec.cell, height * self.codec.cell),
            seed=seed,
            **told,
        ).frames

    def _current(self, **networks: Any) -> IVGModel:
        return replace(self.model, scheduler_config=self.schedule.scheduler_config, **networks)


def _check_image_model(model: IVGModel, config: TrainConfig) -> None:
    """Lets pass a model that is no image model, or Stable Diffusion that is tuned to a video."""
    image, tuned = isinstance(model.unet, InflatedUNet), isinstance(model.unet, OneShotUNet)
    stable_diffusion = tuned or type(model.unet) is InflatedUNet
    if config.clip_rank and not stable_diffusion:
        raise IVGError(
            f'The model "{model.name}" is no image model: one-shot tuning (clip_rank) is for Stable Diffusion, so load '
            "one, or set clip_rank to 0."
        )
    if not image:
        return
    if not stable_diffusion or not (config.clip_rank or (tuned and config.method == "full")):
        raise IVGError(
            f'The model "{model.name}" is an image model made a video model, and of these only Stable Diffusion can be '
            "trained, tuned to one video: use the preset one-shot, or train an IVG or text-to-video model."
        )
    if beside := model.unet.beside_channels:  # type: ignore[union-attr]
        raise IVGError(
            f'The model "{model.name}" reads {BESIDE[beside]} beside the latents, which a training has not: take '
            "Stable Diffusion 1.5 or 2."
        )
    if config.gates:
        raise IVGError(f'The model "{model.name}" is an image model, which follows no boxes: remove gates.')
