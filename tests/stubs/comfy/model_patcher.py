import torch


class ModelPatcher:
    """Holds a network; writes `.device` on it, as ComfyUI's own does."""

    def __init__(self, model: torch.nn.Module, load_device, offload_device, size=0, weight_inplace_update=False):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device
        self.model.device = offload_device
