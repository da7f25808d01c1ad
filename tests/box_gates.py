"""Gates for boxes that do something without a training."""

import torch

from ivg_core.models.unet import IVGUNet


def opened(unet: IVGUNet) -> IVGUNet:
    """The same network with its gates opened, so that boxes show."""
    for name, parameter in unet.named_parameters():
        if name.rpartition(".")[2].startswith("alpha"):
            torch.nn.init.constant_(parameter, 0.5)
    return unet
