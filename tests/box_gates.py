"""Gates for boxes that do something without a training."""

import torch

from ivg_core.models.unet import IVGUNet


def opened(unet: IVGUNet) -> IVGUNet:
    """The same network with its gates opened, so that boxes show."""
    for name, parameter in unet.named_parameters():
        if name.rpartition(".")[2].startswith("alpha"):
            torch.nn.init.constant_(parameter, 0.5)
    return unet


def text_to_video_network(text_width: int, head_width: int = 8) -> IVGUNet:
    """A tiny network that makes videos of sentences, with random weights that are always the same."""
    torch.manual_seed(0)
    unet = IVGUNet(
        block_out_channels=(32, 32),
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        layers_per_block=1,
        cross_attention_dim=text_width,
        attention_head_dim=head_width,
        photo=False,
    )
    return unet.eval()
