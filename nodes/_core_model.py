"""An IVG network as ComfyUI's own MODEL: the one that IVG_MODEL holds, under core's call, conditions and schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import comfy.conds
import comfy.latent_formats
import comfy.model_base
import comfy.model_sampling
import comfy.patcher_extension
import comfy.supported_models_base
import comfy.utils
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..ivg_core.errors import IVGError
from ..ivg_core.models.unet import IVGUNet
from ..ivg_core.sampling.solver import Solver, make_solver
from ._castable import tell_device
from ._notes import told_plainly

if TYPE_CHECKING:
    from ._model import ManagedModel

# Bytes of activations = this * latent cells * channels of the first level * bytes of a number. Fitted to the 9 GB that
# the authors report for 512 x 512 x 16 in fp16, less the weights.
ACTIVATIONS_PER_CELL = 56
# Core's own cumulative alpha where a schedule ends in pure noise, whose sigma would be infinite.
LEAST_ALPHA = 4.9e-8
# At sigma_max itself core starts with more noise than a checkpoint's schedule has, which it tells by 1e-5.
BELOW_MOST = 1 - 3e-5

# What a network was trained to predict, as checkpoints name it -> core's arithmetic for it.
PREDICTIONS = {
    "epsilon": comfy.model_sampling.EPS,
    "v_prediction": comfy.model_sampling.V_PREDICTION,
    "sample": comfy.model_sampling.X0,
}

# Below so many steps diffusers' DPM-Solver++ takes its last one by first order, and core does so only if it ends at 0.
FEW_STEPS = 15


class _CoreCalled(IVGUNet):
    """The network with core's call beside its own."""

    def forward(self, sample, timestep, *told, context=None, control=None, transformer_options=None, **named) -> Tensor:
        if transformer_options is None:
            return super().forward(sample, timestep, *told, **named)
        with told_plainly():
            _check_patches(transformer_options)
        kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL  # what caches hang on
        wrappers = comfy.patcher_extension.get_all_wrappers(kind, transformer_options)
        told = (context, *(named.get(name) for name in ("condition_latent", "mask", "motion")))
        call = comfy.patcher_extension.WrapperExecutor.new_class_executor(self._compute, self, wrappers)
        return call.execute(sample, timestep, *told, transformer_options)

    def _compute(self, sample, timestep, *told) -> Tensor:
        return super().forward(sample, timestep, *told[:-1])


_CoreCalled.__name__ = IVGUNet.__name__  # diffusers writes it into config.json


def _check_patches(options: dict[str, Any]) -> None:
    patches = [
        name for kind in ("patches", "patches_replace") for name, found in options.get(kind, {}).items() if found
    ]
    if patches:
        raise IVGError(
            f"An IVG model's attention and blocks cannot be patched ({', '.join(patches)}): take out the node that "
            "does so, such as PerturbedAttentionGuidance, FreeU, HyperTile or PatchModelAddDownscale."
        )


class _Latents(comfy.latent_formats.SD15):
    latent_dimensions = 3


class _Config(comfy.supported_models_base.BASE):
    unet_config = {"disable_unet_model_creation": True}
    unet_extra_config: dict = {}
    latent_format = _Latents


class Picture(comfy.conds.CONDRegular):
    """What is told of the picture, (B, C, 1, h, w): the same for all frames, cut like the noise to an area of it."""

    def process_cond(self, batch_size, area=None, **named):
        cond = self.cond
        if area is not None:  # sizes of the axes over time and picture, then where they begin
            sides = len(area) // 2
            for axis in (-2, -1):
                cond = cond.narrow(axis, area[2 * sides + axis], area[sides + axis])
        return self._copy_with(comfy.utils.repeat_to_batch_size(cond, batch_size))


class IVGNative(comfy.model_base.BaseModel):
    """A UNet as core holds it; `diffusion_model` is the network that was given, and no copy.

    The conditioning tells it `ivg_photo` (B, 4, 1, h, w) as the VAE gives it, `ivg_mask` (B, 1, 1, h, w) as the network
    reads it, and `ivg_motion`, a number.

    Args:
        unet: of an IVG model. Any other is held as well, and can be called by the library only.
        scaling_factor: latents of the VAE are multiplied by it.
    """

    def __init__(self, unet: nn.Module, scaling_factor: float):
        network: Any = unet
        # FreeU asks for the width before it patches what is then refused
        config = _Config(_Config.unet_config | {"model_channels": network.config["block_out_channels"][0]})
        config.latent_format.scale_factor = scaling_factor
        super().__init__(config, comfy.model_base.ModelType.EPS)
        if type(unet) is IVGUNet:
            unet.__class__ = _CoreCalled
        self.diffusion_model = unet.eval()

    def extra_conds(self, **told):
        """The conditions of one side of the guidance.

        Raises:
            IVGError: there is no photo among them, or there is a ControlNet.
        """
        if told.get("control") is not None:  # which core would run first, on what it cannot read
            with told_plainly():
                raise IVGError(
                    "An IVG model follows no ControlNet: take the ControlNet out of this model's conditioning."
                )
        found = super().extra_conds(**told)
        if told.get("ivg_photo") is None:
            with told_plainly():
                raise IVGError(
                    "An IVG model needs the photo in both conditionings: lead positive and negative through IVG Image "
                    "to Video, and take its latent."
                )
        size, device = told["noise"].shape[-2:], told["device"]
        photo = comfy.utils.common_upscale(
            self.process_latent_in(told["ivg_photo"])[:, :, 0], size[1], size[0], "bilinear", "disabled"
        )
        found["condition_latent"] = Picture(photo[:, :, None].to(device))
        mask = told.get("ivg_mask")
        if mask is None:
            mask = torch.ones(1, 1, 1, *size)
        elif mask.shape[-2:] != size:
            mask = interpolate(mask[:, :, 0], size, mode="bilinear")[:, :, None]
        found["mask"] = Picture(mask.to(device))
        if told.get("ivg_motion") is not None:
            found["motion"] = comfy.conds.CONDRegular(torch.tensor([told["ivg_motion"]], device=device))
        return found

    def resize_cond_for_context_window(self, cond_key, cond_value, *rest, **named):
        """Photo, mask, motion and text hold for every window."""
        return cond_value

    def memory_required(self, input_shape, cond_shapes=None):
        """Bytes that a call with latents (B, C, F, h, w) takes beside the weights."""
        cells = input_shape[0] * math.prod(input_shape[2:])
        network: Any = self.diffusion_model
        return ACTIVATIONS_PER_CELL * cells * network.config["block_out_channels"][0] * self.get_dtype().itemsize


def core_model(managed: ManagedModel, stage: int) -> Any:
    """The network of a stage as a MODEL, with the LoRAs and the schedule that it has in an IVG_MODEL.

    Raises:
        IVGError: there is none for this stage, or one that core's samplers cannot tell what it needs.
    """
    from .optimize import is_optimised

    network, patcher = managed.model.for_stage(stage), managed.of_stage(stage)
    if not (isinstance(network, IVGUNet) and network.takes_mask):
        raise IVGError(
            f'The model "{managed.model.name}" is no IVG model that animates a photo, so ComfyUI\'s samplers cannot '
            "run it: give it to IVG's own nodes."
        )
    if is_optimised(network, patcher):
        raise IVGError(
            "A model from IVG Optimize Model stays with IVG's own nodes: take the one that goes into that node, and "
            "compile it by TorchCompileModel if you wish."
        )
    made = patcher.clone()
    made.add_object_patch("model_sampling", sampling_of(managed))
    if managed.again is not None:
        made.cached_patcher_init = (_core_model_anew, (managed.again, stage))
    return made


def _core_model_anew(again: Callable[[], ManagedModel], stage: int, disable_dynamic: bool = False) -> Any:
    # core's way to have a model on another GPU as well; the patches come from the one that it is for
    return core_model(again(), stage)


def sampling_of(managed: ManagedModel) -> Any:
    """Core's `model_sampling` with the noise levels and the kind of prediction of a model's own schedule."""
    model = managed.model
    solver = make_solver(model.scheduler_config, 2)
    bases = (comfy.model_sampling.ModelSamplingDiscrete, PREDICTIONS[solver.prediction_type])
    sampling = type("IVGModelSampling", bases, {})()
    sampling.num_timesteps = len(solver.alphas_cumprod)
    alphas = solver.alphas_cumprod.double().clamp(min=LEAST_ALPHA)
    sampling.set_sigmas(((1 - alphas) / alphas).sqrt())
    sampling.scheduler_config, sampling.defaults = model.scheduler_config, model.defaults
    return sampling


def core_sigmas(sampling: Any, steps: int, solver: str, denoise: float = 1.0) -> Tensor:
    """The noise levels of a solver's steps, (steps + 1,), descending.

    Args:
        sampling: a MODEL's `model_sampling`.
        steps: how many; 0: as the model was made for.
        solver: of the pack: "dpm++2m" is core's dpmpp_2m, "ddim" its euler, "lcm" its lcm.
        denoise: below 1, the last `steps` of so many more.

    Raises:
        IVGError: it is another model's, or its schedule has fewer steps.
    """
    if not hasattr(sampling, "scheduler_config"):
        raise IVGError(
            "This MODEL is none of IVG, or another node has exchanged its schedule: connect the MODEL of IVG Model "
            "Parts, without a ModelSampling node between."
        )
    steps = steps or sampling.defaults.num_inference_steps
    own = make_solver(sampling.scheduler_config, max(steps, int(steps / denoise)), solver)  # type: ignore[arg-type]
    sigmas = sampling.sigmas[own.timesteps.long()].cpu()
    most = sampling.sigmas[-1].item() * BELOW_MOST
    return torch.cat([sigmas.clamp(max=most), _last_level(own, solver)])[-steps - 1 :]


def _last_level(own: Solver, name: str) -> Tensor:
    """The noise level (1,) at which the last step of a solver ends, as near as core's sampler can follow it."""
    if name == "lcm" or (name == "dpm++2m" and len(own) < FEW_STEPS):
        return torch.zeros(1)
    alpha = own.alphas_cumprod[:1]
    if name == "ddim":  # which goes even steps, and need not come down to the last level
        below = int(own.timesteps[-1]) - len(own.alphas_cumprod) // len(own)
        alpha = own.alphas_cumprod[below, None] if below >= 0 else own.scheduler.final_alpha_cumprod.reshape(1)
    return ((1 - alpha) / alpha).sqrt()


def held(unet: nn.Module, scaling_factor: float) -> IVGNative:
    """A UNet under core's wing, which from now on says that it is where core computes with it."""
    holder = IVGNative(unet, scaling_factor)
    if isinstance(unet, IVGUNet):
        tell_device(unet, holder)
    return holder
