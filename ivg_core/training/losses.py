"""What training minimises: the noise, the motion score and, for the stage-1 mask videos, a soft IoU.

Latents are (B, 4, F, h, w), clean unless the name says otherwise.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import mse_loss

from ..errors import IVGError


def latent_motion_score(latents: Tensor) -> Tensor:
    """How much a clip moves: ten times the mean change from frame to frame, summed over the channels.

    Args:
        latents: (B, 4, F, h, w).

    Returns:
        (B,), about 0..20; 0 for a clip of one frame.

    Source: the released code's calculate_latent_motion_score.
    """
    if latents.shape[2] == 1:
        return latents.new_zeros(latents.shape[0])
    change = (latents[:, :, 1:] - latents[:, :, :-1]).abs()  # (B, 4, F - 1, h, w)
    return 10 * change.mean(dim=(2, 3, 4)).sum(dim=1)


def motion_loss(x0_pred: Tensor, motion: Tensor) -> Tensor:
    """Squared distance between the motion score of the predicted clip and the score the model was told.

    Args:
        x0_pred: predicted clean latents (B, 4, F, h, w).
        motion: the score that was told (B,).

    Source: the released code's finetune_unet, which weights it 0.001.
    """
    return mse_loss(latent_motion_score(x0_pred.float()), motion.float())


def freeze_outside(latents: Tensor, condition_latent: Tensor, latent_mask: Tensor) -> Tensor:
    """Holds every frame to the photo outside the mask: this is what gives the mask its meaning.

    Args:
        latents: (B, 4, F, h, w).
        condition_latent: latent of the photo (B, 4, 1, h, w).
        latent_mask: 1 where things may move (B, 1, 1, h, w).

    Returns:
        (B, 4, F, h, w).

    Source: the released code's finetune_unet.
    """
    return condition_latent * (1 - latent_mask) + latents * latent_mask


def predict_x0(noisy: Tensor, model_output: Tensor, alphas_cumprod_t: Tensor, prediction_type: str) -> Tensor:
    """The clean latents that a model output implies.

    Args:
        noisy: x_t (B, 4, F, h, w).
        model_output: what the UNet returned (B, 4, F, h, w).
        alphas_cumprod_t: the schedule's cumulated alphas at each item's timestep (B,).
        prediction_type: "epsilon", "v_prediction" or "sample", as scheduler_config.json says.

    Returns:
        (B, 4, F, h, w).

    Raises:
        IVGError: an unknown prediction type.

    Source: x_t = sqrt(a) x0 + sqrt(1 - a) eps (DDPM, eq. 4); v = sqrt(a) eps - sqrt(1 - a) x0.
    """
    a = alphas_cumprod_t.reshape(-1, 1, 1, 1, 1)
    if prediction_type == "epsilon":
        return (noisy - (1 - a).sqrt() * model_output) / a.sqrt()
    if prediction_type == "v_prediction":
        return a.sqrt() * noisy - (1 - a).sqrt() * model_output
    if prediction_type == "sample":
        return model_output
    raise IVGError(f"Unknown prediction_type {prediction_type!r}: use epsilon, v_prediction or sample.")


def noise_loss(pred: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error between what the UNet predicted and what it should have.

    Args:
        pred: (B, 4, F, h, w).
        target: the noise (or v, or x0) (B, 4, F, h, w).
        weight: (B,), or anything that broadcasts over `pred`; None: every element counts the same.

    Source: paper, L_noise.
    """
    if weight is None:
        return mse_loss(pred.float(), target.float())
    if weight.ndim == 1:
        weight = weight.reshape(-1, 1, 1, 1, 1)
    return (weight * (pred.float() - target.float()).square()).mean()


def soft_iou_loss(generated: Tensor, target: Tensor, paper_norm: bool = False) -> Tensor:
    """One minus the soft intersection over union of two mask videos, frame by frame; two empty frames agree.

    Args:
        generated: (B, L, H, W), 0..1.
        target: (B, L, H, W), 0..1.
        paper_norm: divide the sum over the L frames by L + 1 as printed, so that perfect masks still cost 1 / (L + 1).

    Returns:
        a scalar, 0..1.

    Source: paper eq. 4, which weights it 0.1.
    """
    generated, target = generated.float(), target.float()
    eps = 1e-6
    intersection = (generated * target).sum(dim=(2, 3))  # (B, L)
    union = (generated + target - generated * target).sum(dim=(2, 3))
    iou = (intersection + eps) / (union + eps)
    frames = iou.shape[1]
    return 1 - (iou.sum(dim=1) / (frames + 1 if paper_norm else frames)).mean()
