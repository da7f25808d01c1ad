"""Features of clips for FVD, from the I3D network that StyleGAN-V and most papers since use.

It is published as a program, and no other form of it gives the figures of papers. So this is the one file that is run,
not only read: it must lie in a folder that the user names, and nodes do not come here.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from ...errors import IVGError
from ...finite import check_read

log = logging.getLogger("ivg")

FEWEST_FRAMES = 10  # below that nothing is left after its strides in time


class I3DFeatures:
    """I3D as TorchScript: a program and its weights in one file.

    Args:
        path: the published i3d_torchscript.pt. Its program is run: it must come from a source that is trusted.
        device: where it runs.

    Raises:
        IVGError: the file holds no TorchScript.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu"):
        log.warning("%s is a program, and FVD runs it: it should come from a source that you trust.", path)
        try:
            self.network = torch.jit.load(str(path), map_location=device).eval()
        except RuntimeError as error:
            raise IVGError(f"{path} is no TorchScript file: download it again.") from error
        check_read(self.network.state_dict(), path)
        self.device = device

    @torch.no_grad()
    def __call__(self, frames: Tensor) -> Tensor:
        """A clip (F, H, W, 3) 0..1 -> features (1, 400), on the CPU.

        Raises:
            IVGError: the clip has fewer than 10 frames.
        """
        if len(frames) < FEWEST_FRAMES:
            raise IVGError(f"needs clips of at least {FEWEST_FRAMES} frames, these have {len(frames)}")
        clip = frames.permute(3, 0, 1, 2)[None].float() * 255  # (1, 3, F, H, W), bytes' range: it rescales by itself
        return self.network(clip.to(self.device), rescale=True, resize=True, return_features=True).float().cpu()
