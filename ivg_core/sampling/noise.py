"""Where the denoising loop begins: the noise, what a clip adds to it, and the photo that shines through it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import IVGError
from ..media.clips import even_indices
from ..models.fingerprint import base_fingerprint
from .solver import Solver, derived_seed

if TYPE_CHECKING:
    from ..models.unet import IVGUNet

log = logging.getLogger("ivg")

MAX_SEED = 2**64 - 1


@dataclass(frozen=True)
class Inverted:
    """The noise from which a model would make a clip again, see `invert`, and what made it."""

    latents: Tensor  # (4, F, h, w) float32, on the CPU
    model: str  # its name
    fingerprint: str  # of its network, see `base_fingerprint`
    prompt: str
    steps: int
    size: tuple[int, int]  # (width, height) of the clip as it was inverted, pixels


@dataclass(frozen=True)
class NoisePrior:
    """How much of the start noise comes from a clip.

    Args:
        inverted: the clip's noise.
        strength: 0..1: 0 is off, 1 nothing but the clip's; 0.1 to 0.5 is usual for the motion of one clip.

    Raises:
        IVGError: another strength.
    """

    inverted: Inverted
    strength: float = 0.3

    def __post_init__(self) -> None:
        _check_strength(self.strength)

    def check(self, unet: IVGUNet, name: str) -> None:
        """Log it if another network than this made the noise.

        Args:
            unet: that will sample.
            name: of its model.

        Raises:
            IVGError: its latents have another number of channels.
        """
        found, wanted = len(self.inverted.latents), unet.config["out_channels"]
        if found != wanted:
            raise IVGError(
                f'The noise prior has {found} channels and the model "{name}" works with {wanted}: invert the clip '
                "with this model."
            )
        if self.inverted.fingerprint != base_fingerprint(unet):
            made_by = self.inverted.model if self.inverted.model != name else "another network of that name"
            log.warning(
                'The noise prior was made by %s, and "%s" samples: its noise means less to another model. Invert the '
                "clip with the same one.",
                made_by,
                name,
            )


def gaussian_noise(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Noise that depends on nothing but the seeds: it is drawn on the CPU, each item by itself.

    Args:
        seeds: one for each item, 0..2^64-1.
        shape: of one item, (4, F, h, w).

    Returns:
        (B, 4, F, h, w) float32 on the CPU.
    """
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def free_noise(seeds: Sequence[int], shape: tuple[int, ...], length: int, stride: int) -> Tensor:
    """Noise of a long video that repeats its first window's, shuffled, so that all windows begin alike.

    Args:
        seeds: one for each item, as `gaussian_noise`; the first window's noise is that of a video of one window.
        shape: of one item, (4, F, h, w).
        length: frames of a window.
        stride: the frames of so many at a time are shuffled, 1..length.

    Returns:
        (B, 4, F, h, w) float32 on the CPU.

    Source: FreeNoise (arXiv 2310.15169).
    """
    channels, frames, height, width = shape
    window = gaussian_noise(seeds, (channels, min(length, frames), height, width))
    return torch.stack([x[:, _repeated(seed, frames, length, stride)] for seed, x in zip(seeds, window, strict=True)])


def _repeated(seed: int, frames: int, length: int, stride: int) -> list[int]:
    """Which frame of the first window's noise each frame has."""
    chance = torch.Generator().manual_seed(derived_seed(seed))
    order = list(range(min(length, frames)))
    while len(order) < frames:
        chunk = order[len(order) - length :][:stride]
        order += [chunk[i] for i in torch.randperm(len(chunk), generator=chance).tolist()]
    return order[:frames]


def mix_noise(inverted: Tensor, noise: Tensor, strength: float) -> Tensor:
    """Noise of which a part comes from a clip; of unit variance, if both are.

    Args:
        inverted: (4, F', h', w') for all items, or (B, 4, F', h', w'); brought to the frames and cells of `noise`.
        noise: (B, 4, F, h, w), Gaussian.
        strength: 0..1; 0 gives `noise` itself.

    Returns:
        (B, 4, F, h, w).

    Raises:
        IVGError: another strength.

    Source: MotionDirector (arXiv 2310.08465), its inference code.
    """
    _check_strength(strength)
    if strength == 0:
        return noise
    return strength**0.5 * fit_noise(inverted.to(noise), *noise.shape[-3:]) + (1 - strength) ** 0.5 * noise


def fit_noise(latents: Tensor, frames: int, height: int, width: int) -> Tensor:
    """Inverted noise (..., F', h', w') at another number of frames and cells, (..., frames, height, width)."""
    # The nearest frames, since a blend of two would have less variance than noise has. Bilinear within a frame takes
    # some too, but the reference does so, and neighbouring cells of inverted noise are alike.
    chosen = latents[..., even_indices(latents.shape[-3], frames, stretch=True), :, :]
    if chosen.shape[-2:] == (height, width):
        return chosen
    flat = chosen.reshape(1, -1, *chosen.shape[-2:])
    resized = interpolate(flat, (height, width), mode="bilinear", align_corners=False)
    return resized.reshape(*chosen.shape[:-2], height, width)


def _check_strength(strength: float) -> None:
    if not 0 <= strength <= 1:
        raise IVGError(f"The strength of the noise prior is {strength}: give 0 (off) to 1 (nothing else).")


def initial_latents(
    solver: Solver, condition_latent: Tensor | None, noise: Tensor, t_last: int | None = None
) -> Tensor:
    """The photo's latent, repeated over the frames and noised. This is the one place where the loop's start is made.

    Args:
        solver: of this run.
        condition_latent: (B, 4, 1, h, w); None: the start is the noise, as without a photo and in SMCD.
        noise: (B, 4, F, h, w), Gaussian.
        t_last: None starts at the noise level of the solver's first timestep. A timestep starts at the product of all
            alphas from there on, which is near the schedule's full noise: the released web app does so, with 0 on its
            first run and afterwards the last timestep of the run before.

    Returns:
        (B, 4, F, h, w).

    Raises:
        IVGError: `t_last` is no timestep.

    Source: paper eq. 1; `DDPM_forward_timesteps` (None) and `DDPM_forward` (`t_last`) of the released code.
    """
    if t_last is not None and not 0 <= t_last < len(solver.alphas):
        raise IVGError(f"t_last is {t_last}: give a timestep of the schedule, 0 to {len(solver.alphas) - 1}.")
    if condition_latent is None:
        return noise
    still = condition_latent.expand_as(noise)
    if t_last is None:
        return solver.add_noise(still, noise, 0)
    alpha = solver.alphas[t_last:].prod().to(still)
    return alpha.sqrt() * still + (1 - alpha).sqrt() * noise


def noise_around(solver: Solver, condition_latent: Tensor, latents: Tensor) -> Tensor:
    """What `initial_latents` would have to be given to begin at these latents: what is left of them without the photo.

    Args:
        solver: an inverse one, see `make_inverse`.
        condition_latent: (B, 4, 1, h, w).
        latents: (B, 4, F, h, w), at the noise level of the solver's last timestep.

    Returns:
        (B, 4, F, h, w).
    """
    alpha = solver.alphas_cumprod[int(solver.timesteps[-1])].to(latents)
    return (latents - alpha.sqrt() * condition_latent) / (1 - alpha).sqrt()
