"""Features of frames for FID, from the Inception network that all published figures use."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

from ...errors import IVGError
from ...finite import check_read

BATCH = 16  # frames at once


class InceptionFeatures:
    """The 2048 pooled features of TensorFlow's Inception, as torch-fidelity builds it.

    Args:
        path: its weights in the layout of pytorch-fid and torch-fidelity, which is the same file.
        device: where it runs.

    Raises:
        IVGError: torch-fidelity is not installed, or the file holds something else.
    """

    def __init__(self, path: Path, device: torch.device | str = "cpu"):
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise IVGError('needs the library torch-fidelity, pip install "comfy-ivg[metrics]"') from error
        try:
            # torch-fidelity reads it again, and with an older torch would run code in it: see first that there is none
            torch.load(path, map_location="cpu", weights_only=True)
            self.network = FeatureExtractorInceptionV3("fid", ["2048"], feature_extractor_weights_path=str(path))
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
            raise IVGError(f"{path} does not hold the weights of FID's Inception: download it again.") from error
        check_read(self.network.state_dict(), path)
        self.network = self.network.to(device)
        self.device = device

    @torch.no_grad()
    def __call__(self, frames: Tensor) -> Tensor:
        """Frames (F, H, W, 3) 0..1 -> features (F, 2048), on the CPU."""
        pictures = (frames.clamp(0, 1) * 255).round().byte().permute(0, 3, 1, 2)  # (F, 3, H, W)
        return torch.cat([self.network(part.to(self.device))[0].cpu() for part in pictures.split(BATCH)])
