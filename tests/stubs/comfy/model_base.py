import enum

import torch


class ModelType(enum.Enum):
    EPS = 1


class BaseModel(torch.nn.Module):
    def __init__(self, model_config, model_type=ModelType.EPS, device=None):
        super().__init__()
        self.model_config, self.latent_format, self.device = model_config, model_config.latent_format, device

    def get_dtype(self):
        return self.diffusion_model.dtype
