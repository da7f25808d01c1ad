"""A core MODEL and its VAE as a network that our trainer can train by a LoRA beside it.

It is asked in training exactly what core's sampler asks it, and nothing in core is changed: what is put on the network
for a training is taken off again when it ends, however it ends. See `Backbone` in ivg_core/models/backbone.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import comfy.model_management as mm
import comfy.ops
import torch
from torch import Tensor, nn

from ..ivg_core.checkpoints.lora_files import save_lora
from ..ivg_core.errors import IVGError
from ..ivg_core.models.lora import LoRA
from ..ivg_core.models.provenance import Part, Provenance
from ..ivg_core.models.told import Told
from ._compat import supported
from ._core_check import check_bare, family_of
from ._core_condition import known_latents, model_inputs, photo_part, told_of, with_photo
from ._core_decode import CoreCodec
from ._core_fingerprint import fingerprint_of
from ._core_frozen import weightless
from ._core_recompute import blocks_of, recomputed
from ._core_sample import Sampled, sample_frames
from ._core_schedule import CoreSchedule
from ._ordinary import make_ordinary

#: The parts of a block that a LoRA may stand in, by role. A video transformer sees space and time in one.
ROLES = {
    "spatial": {"self_attn", "attn1", "img_attn", "ffn", "ff", "img_mlp", "linear1", "linear2"},
    "text": {"cross_attn", "attn2", "txt_attn", "txt_mlp"},
}


class CoreBackbone:
    """A core video model of one of the families in `_core_check`, for training by a LoRA.

    Args:
        model: a MODEL; training learns on top of the LoRAs that are on it.
        vae: the VAE that belongs to it.
        low, high: the sigmas that are trained, see `CoreSchedule`.
        tell_region: clips are told where they may move, as far as the model can be told, and held still elsewhere.

    Attributes:
        room: bytes on the GPU that a step needs beside the weights.

    Raises:
        IVGError: the model is of another family, something is on it that no training goes through, or the VAE is
            another model's.
    """

    takes_photo, takes_boxes = True, False

    def __init__(
        self,
        model: Any,
        vae: Any,
        low: float = 0.0,
        high: float = 1.0,
        tell_region: bool = False,
    ):
        self.family = family_of(model)
        check_bare(model)
        if getattr(model, "is_dynamic", bool)():  # weights that core moves as it likes while layers are recomputed
            model = model.clone(disable_dynamic=True)
        self.patcher, self.vae, self.room, self.tell_region = model, vae, 0, tell_region
        self.noise, self._trains = (low, high), False
        self.codec = CoreCodec(model, vae, self.family.patch)
        self.schedule = CoreSchedule(lambda: model.get_model_object("model_sampling"), low, high)

    @property
    def name(self) -> str:
        """See `Backbone`."""
        return self.family.name

    @property
    def takes_mask(self) -> bool:
        """See `Backbone`."""
        return self.family.takes_mask

    @property
    def network(self) -> nn.Module:
        """See `Predictor`."""
        return self.patcher.model.diffusion_model

    def told(self, conditioning: list, photo: Tensor, frames: int, mask: Tensor | None = None) -> Told:
        """What sampling would tell the network of one clip; see `photo_part`.

        Args:
            conditioning: a CONDITIONING of one part.
            photo: (H, W, 3), 0..1, of the video's size.
            frames: F of the video.
            mask: (T, h, w) latent cells, 1 = may move; None: everything after the photo is generated.

        Raises:
            IVGError: something in them no training goes through, or the network cannot be told it.
        """
        return with_photo(told_of(conditioning), photo_part(self.family, self.codec, photo, frames, mask))

    def __call__(self, noisy: Tensor, level: Tensor, told: Told, features: Any = None) -> Tensor:
        """See `Predictor`; with gradient inside of `training`.

        Where latents are known the output is what leads back to them, as core's sampler puts them there: nothing is
        learned there.
        """
        model, sigma = self.patcher.model, level.expand(len(noisy))
        known, mask = known_latents(told, noisy)
        asked = noisy
        if known is not None:
            scaled = model.scale_latent_inpaint(
                x=noisy, sigma=sigma, noise=torch.zeros_like(noisy), latent_image=known, denoise_mask=mask
            )
            asked = noisy * mask + scaled * (1 - mask)
        x0 = model.apply_model(asked, sigma, **model_inputs(model, asked, sigma, told, known, mask))
        if known is not None:
            x0 = x0 * mask + known * (1 - mask)
        return self.schedule.output_of(x0, noisy, sigma)

    @contextmanager
    def training(self, device: torch.device) -> Iterator[None]:
        """See `TrainableBackbone`; core decides where its models are loaded.

        Raises:
            IVGError: that is on another kind of device.
        """
        held = self.patcher.load_device
        if held.type != device.type:
            raise IVGError(
                f"ComfyUI computes on {held.type}, and the training is asked to on {device.type}: choose {held.type}."
            )
        model, network, frames = self.patcher.model, self.network, self.vae.first_stage_model
        with torch.inference_mode(False), torch.enable_grad(), ExitStack() as stack:
            stack.callback(self._set_out)
            self._set_up()
            for net in (model, frames):
                stack.enter_context(_frozen(net))
            _make_values_ordinary(model.latent_format)
            stack.enter_context(_in_training())
            stack.enter_context(weightless(network))
            stack.enter_context(recomputed(network))
            yield

    def _set_up(self) -> None:
        whole = supported(mm.load_models_gpu, force_full_load=True)
        with torch.no_grad():
            mm.load_models_gpu([self.patcher, self.vae.patcher], memory_required=self.room, **whole)
        self.patcher.pre_run()
        self._trains = True

    def _set_out(self) -> None:
        self._trains = False
        self.patcher.cleanup()

    def idle(self) -> set[str]:
        """See `TrainableBackbone`."""
        return set()

    def fingerprint(self) -> str:
        """See `TrainableBackbone`; of some values of each weight, as all of them would take a minute."""
        return fingerprint_of(self.patcher)

    @property
    def fps(self) -> float:
        """See `TrainableBackbone`."""
        return self.family.fps

    def sample(self, clip: Any, seed: int, steps: int) -> Tensor:
        """See `TrainableBackbone`; by core's sampler, with the family's usual guidance."""
        shape = torch.Size((1, *clip["latents"].shape))
        how = Sampled(steps, self.family.guidance_scale)
        try:
            return sample_frames(self.patcher, self.vae, clip["told"], clip["untold"], shape, seed, how)
        finally:
            if self._trains:  # core's sampler has let the model go
                self._set_up()

    def sites(self, roles: Iterable[str]) -> dict[str, nn.Module]:
        """See `Backbone`.

        Raises:
            IVGError: a role that a video transformer has not.
        """
        wanted = set(roles)
        if unknown := wanted - set(ROLES):
            raise IVGError(
                f"A video transformer has no layers of the role {', '.join(sorted(unknown))}, as it sees space and "
                f"time in one: choose {' or '.join(ROLES)}."
            )
        parts = set().union(*(ROLES[role] for role in wanted))
        inside = {id(module) for block in blocks_of(self.network) for module in block.modules()}
        return {
            name: module
            for name, module in self.network.named_modules()
            # by its shape: core's quantised layers are no `nn.Linear`
            if id(module) in inside and hasattr(module, "in_features") and parts & set(name.split("."))
        }

    def about(self) -> dict[str, Any]:
        """See `TrainableBackbone`."""
        return {
            "base_class": type(self.patcher.model).__name__,
            "noise_levels": list(self.noise),
            "told_region": self.tell_region,
            "on_top_of_loras": bool(self.patcher.patches),
        }

    def provenance(self) -> Provenance:
        """See `TrainableBackbone`; core does not say from which file a MODEL is."""
        return Provenance((Part("base", self.name),))

    def save_lora(self, lora: LoRA, path: Path) -> None:
        """See `TrainableBackbone`; a file for core's LoraLoaderModelOnly."""
        save_lora(lora, path)

    def save(self, path: Path) -> None:
        """See `TrainableBackbone`.

        Raises:
            IVGError: always.
        """
        raise IVGError(f"{self.name} is trained by a LoRA only: use method lora.")


@contextmanager
def _frozen(net: nn.Module) -> Iterator[None]:
    """Inside the `with` block the weights are ordinary tensors that do not learn; core lets those of a VAE learn."""
    learned = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    modes = {name: module.training for name, module in net.named_modules()}
    make_ordinary(net)
    net.requires_grad_(False)
    try:
        yield
    finally:
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(name in learned)
        for name, module in net.named_modules():
            module.training = modes[name]


def _make_values_ordinary(latent_format: Any) -> None:
    """Gives a latent format, a plain object, means and deviations that autograd takes."""
    for name, value in vars(latent_format).items():
        if isinstance(value, Tensor) and value.is_inference():
            setattr(latent_format, name, value.clone())


@contextmanager
def _in_training() -> Iterator[None]:
    """Inside the `with` block core takes no kernels that have no gradient, and its layers do not look for a cancel.

    An older core has neither. A cancel waits for the end of its step, after which what was learned is kept.
    """
    with ExitStack() as stack:
        for module, name, value in ((mm, "in_training", True), (comfy.ops, "run_every_op", _nothing)):
            if hasattr(module, name):
                stack.callback(setattr, module, name, getattr(module, name))
                setattr(module, name, value)
        yield


def _nothing() -> None:
    pass
