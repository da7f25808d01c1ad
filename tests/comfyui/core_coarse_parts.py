"""An autoencoder that can be written down, in core's VAE object, and a random Wan through which a picture gets.

Only for scripts that ComfyUI's Python runs, after `rom_in_core` has found ComfyUI.
"""

from __future__ import annotations

import copy

import torch
from core_backbone_parts import vae
from torch import Tensor, nn


class Coarse(nn.Module):
    """A causal video autoencoder that can be written down: a cell keeps 2 x 2 patches of 4 frames.

    Args:
        cell: pixels each way. 8: grey, in 16 channels, as Wan 2.1's; others: colours, in 48, as Wan 2.2's, whose cells
            have 16. With 2 nothing is lost.
    """

    def __init__(self, cell: int):
        super().__init__()
        self.cell, self.colours = cell, 1 if cell == 8 else 3
        self.scale = 3.0 if cell == 8 else 0.7  # black and white stand about 2 apart for the network
        self.anchor = nn.Parameter(torch.zeros(1))

    def encode(self, x: Tensor) -> Tensor:  # (B, 3, F, H, W) -> (B, C, T, h, w)
        x = torch.cat([x[:, :, :1].expand(-1, -1, 4, -1, -1), x[:, :, 1:]], 2)
        x = x.mean(1, keepdim=True) if self.colours == 1 else x
        x = nn.functional.avg_pool3d(x, (1, self.cell // 2, self.cell // 2))
        b, _, f, h, w = x.shape
        x = x.reshape(b, self.colours, f // 4, 4, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
        return self.scale * x.reshape(b, self.colours * 16, f // 4, h // 2, w // 2)

    def decode(self, z: Tensor) -> Tensor:
        b, _, t, h, w = z.shape
        x = (z / self.scale).reshape(b, self.colours, 4, 2, 2, t, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
        x = x.reshape(b, self.colours, 4 * t, 2 * h, 2 * w)
        x = torch.cat([x[:, :, :4].mean(2, keepdim=True), x[:, :, 4:]], 2)
        size = (x.shape[2], h * self.cell, w * self.cell)
        return nn.functional.interpolate(x, size=size, mode="nearest").expand(-1, 3, -1, -1, -1)


def coarse_vae(family: str, cell: int):
    """Core's VAE object of a family with that network in it."""
    made, net = copy.copy(vae(family)), Coarse(cell)  # the family's own stays as it is
    made.first_stage_model = net
    made.patcher = type(made.patcher)(net, made.patcher.load_device, made.patcher.offload_device)
    return made


@torch.no_grad()
def make_legible(patcher) -> None:
    """Gives a random Wan a way from input to output, which a trained one has: its head reads what was embedded."""
    net, rng = patcher.model.diffusion_model, torch.Generator().manual_seed(3)
    into, head = net.patch_embedding.weight, net.head.head.weight  # (dim, C_in, 1, 2, 2), (4 * C_out, dim)
    dim, out = into.shape[0], head.shape[0] // 4
    basis = torch.linalg.qr(torch.randn(dim, dim, generator=rng))[0][:, : 4 * out]  # (dim, 4 * C_out)
    into[:, :out] = basis.reshape(dim, 2, 2, out).permute(0, 3, 1, 2)[:, :, None]
    head.copy_(basis.T)
    for block in net.blocks:
        block.modulation.mul_(0.1)
    net.head.modulation.mul_(0.1)
