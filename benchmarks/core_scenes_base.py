"""A small image-to-video network of core's own class for Wan, trained from nothing on drawn clips."""

from __future__ import annotations

import json
from pathlib import Path

import comfy.ldm.wan.model
import comfy.model_management
import comfy.ops
import comfy.sd
import torch
from core_scenes_drawn import TASKS
from core_scenes_latents import Encoded
from core_scenes_vae import CHANNELS
from safetensors.torch import save_file
from torch import Tensor, nn

from ivg_pack.ivg_core.models.text import encode_text
from ivg_pack.ivg_core.models.told import Told
from ivg_pack.nodes._core_backbone import CoreBackbone
from recipes.embedded.fit import fit

#: Of the second expert of Wan 2.2 I2V 14B, made small. A head is as wide as there.
SHAPE = {"num_heads": 3, "text_dim": 64}
LAYERS, WIDTH, INNER = 5, 192, 576
IN_CHANNELS = 36  # noise, mask, photo
TOKENS = 8  # of a sentence: all of these fit
BATCH, STEPS, RATE = 8, 8000, 8e-4
UNTOLD = 0.1  # share of clips in training whose sentence is left out


def sentences(language, texts: list[str]) -> list:
    """What core's text encoder would give of each, by the embedded model's: CONDITIONINGs of one part."""
    return [[[states[None, :TOKENS].clone(), {}]] for states in encode_text(language, texts)]


def untrained():
    """A MODEL of the shape with random weights, as core's loader makes it."""
    net = comfy.ldm.wan.model.WanModel(
        in_dim=IN_CHANNELS, out_dim=CHANNELS, dim=WIDTH, ffn_dim=INNER, num_layers=LAYERS, **SHAPE,
        operations=comfy.ops.disable_weight_init, device="cpu", dtype=torch.float32,
    )  # fmt: skip
    torch.manual_seed(0)
    for name, weight in net.named_parameters():
        if name.endswith("modulation"):
            nn.init.normal_(weight, std=WIDTH**-0.5)
        elif weight.ndim > 1:
            nn.init.xavier_uniform_(weight.data.flatten(1))
        else:
            nn.init.constant_(weight, float("norm" in name and name.endswith("weight")))
    nn.init.zeros_(net.head.head.weight)
    return comfy.sd.load_diffusion_model_state_dict(net.state_dict(), metadata=_metadata())


def trained_base(folder: Path, vae, language, scenes: Encoded, texts: list[list[str]], steps: int = STEPS):
    """The network as core loads it, trained where it is not in the folder yet.

    Args:
        folder: of its file and the checkpoint of its training.
        vae: the autoencoder.
        language: the model whose text encoder is used.
        scenes, texts: to train on.
        steps: of training.
    """
    path = folder / "base.safetensors"
    if not path.exists():
        backbone = CoreBackbone(untrained(), vae)
        modules = nn.ModuleDict({"net": backbone.network.requires_grad_(True)})
        comfy.model_management.in_training = True  # else core takes kernels that have no gradient
        net = fit("base", modules, _loss(backbone, language, scenes, texts), folder=folder, steps=steps,
                  learning_rate=RATE)["net"]  # fmt: skip
        comfy.model_management.in_training = False
        save_file(net.state_dict(), path, _metadata())
    return comfy.sd.load_diffusion_model(str(path))


def _metadata() -> dict[str, str]:
    return {"config": json.dumps({"transformer": SHAPE})}


def _loss(backbone: CoreBackbone, language, scenes: Encoded, texts: list[list[str]]):
    said = torch.stack([torch.cat([one[0][0] for one in sentences(language, pair)]) for pair in texts])
    nothing = sentences(language, [""])[0][0][0][0]
    opened = torch.ones(1, 1, *scenes.photos.shape[2:])
    opened[:, :, 0] = 0

    def loss_of(_modules, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        scene, task = (torch.randint(most, (BATCH,), generator=generator) for most in (len(texts), TASKS))
        text = said[scene, task]
        text[torch.rand(BATCH, generator=generator) < UNTOLD] = nothing
        told = Told(text, also={"concat_latent_image": scenes.photos[scene], "concat_mask": opened})
        x0, levels = scenes.clips[scene, task], backbone.schedule.draw(BATCH, generator)
        noise = torch.randn(x0.shape, generator=generator)
        made = backbone(backbone.schedule.add_noise(x0, noise, levels), levels, told)
        off = (made - backbone.schedule.target(x0, noise, levels)).square().mean((1, 2, 3, 4))
        noisiest = levels > 0.9
        return off.mean(), {"noisiest": off[noisiest].mean().item() if noisiest.any() else off.mean().item()}

    return loss_of
