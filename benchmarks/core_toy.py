"""Stage 1 overfitted on a toy, by a LoRA on a tiny random network of core's class; run by ComfyUI's Python.

    python benchmarks/core_toy.py COMFYUI [wan22-5b] [wan22-i2v]

Two sentences over one photo send a square to the right or to the left. What learns is our trainer's LoRA; what samples
is core's sampler, with the LoRA's file loaded by core. Prints JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "comfyui"), str(ROOT / "tests")]
WANTED = sys.argv[2:] or ["wan22-5b", "wan22-i2v"]

import rom_in_core  # noqa: E402, F401 (finds ComfyUI and loads the pack)

# isort: split
import comfy.sd  # noqa: E402
import comfy.utils  # noqa: E402
import torch  # noqa: E402
from core_backbone_parts import draw, model, vae  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from ivg_pack.ivg_core.training.batches import ListDataset, Sample  # noqa: E402
from ivg_pack.ivg_core.training.config import LoRASettings, TrainConfig  # noqa: E402
from ivg_pack.ivg_core.training.trainer import train  # noqa: E402
from ivg_pack.nodes._core_backbone import CoreBackbone  # noqa: E402
from ivg_pack.nodes._core_data import mask_video  # noqa: E402
from ivg_pack.nodes.core_rom import mask_video as sampled_mask_video  # noqa: E402

FRAMES, STEPS, DENOISING_STEPS = 9, 2000, 20
SIDES = {"wan22-5b": 64, "wan22-i2v": 32}


class Coarse(nn.Module):
    """A causal video autoencoder that can be written down: a cell keeps 2 x 2 patches of 4 frames.

    Args:
        cell: 8: grey, in 16 channels, as Wan 2.1's; 16: colours, in 48, as Wan 2.2's.
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


def coarse_vae(family: str):
    """Core's VAE object with that network in it."""
    made = vae(family)
    net = Coarse(16 if family == "wan22-5b" else 8)
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


def moving_square(side: int, right: bool) -> tuple[Tensor, Tensor]:
    """A photo (H, W, 3) with a grey square, and the masks (F, H, W) of its way."""
    size, photo, masks = side // 4, torch.full((side, side, 3), 0.2), torch.zeros(FRAMES, side, side)
    middle, begin = slice(side // 2 - size // 2, side // 2 + size // 2), side // 2 - size // 2
    photo[middle, middle] = 0.6
    for frame in range(1, FRAMES):
        x = begin + round(begin * frame / (FRAMES - 1)) * (1 if right else -1)
        masks[frame, middle, max(0, x) : x + size] = 1
    return photo, masks


def sentence(seed: int) -> list:
    """A CONDITIONING as a text encoder would give it."""
    return [[draw(1, 8, 4096, seed=seed), {}]]


SENTENCES = {True: sentence(10), False: sentence(11)}


def sample_of(backbone: CoreBackbone, side: int, right: bool) -> Sample:
    """The clip of one sentence, as training reads it."""
    photo, masks = moving_square(side, right)
    told, untold = (backbone.told(said, photo, FRAMES) for said in (SENTENCES[right], sentence(0)))
    video = backbone.codec.encode(mask_video((masks * 255).byte().numpy(), photo))
    made: Sample = {"latents": video, "mask_latents": video, "frame_masks": masks, "told": told, "untold": untold}
    made |= {"caption": f"right: {right}", "name": f"right: {right}"}
    return made | ({} if told.mask is None else {"open": told.mask[0]})


def iou(found: Tensor, true: Tensor) -> float:
    both, either = (found * true).sum(), (found + true).clamp(max=1).sum()
    return (both / either).item() if either else 1.0


def measure(family: str) -> dict[str, float]:
    """Trains and samples one family."""
    side, began = SIDES[family], time.monotonic()
    dim = 256 if family == "wan22-5b" else 128
    with torch.inference_mode():
        patcher = model(family, layers=3, dim=dim, num_heads=dim // 128, ffn_dim=2 * dim)
        make_legible(patcher)
        codec = coarse_vae(family)
    backbone = CoreBackbone(patcher, codec)
    clips = [sample_of(backbone, side, right) for right in (True, False)]
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            stage=1, out=folder, steps=STEPS, batch_size=8, learning_rate=4e-3, schedule="cosine", warmup=50,
            betas=(0.9, 0.99), weight_decay=0, device="cpu", text_dropout=0, save_every=0, name="toy",
            lora={role: LoRASettings(rank=64) for role in ("spatial", "text")},
            losses={"noise": 1.0, "miou": {"weight": 0.1, "frames": 1, "min_snr": 0.2}},
        )  # fmt: skip
        done = train(config, backbone, ListDataset(clips * 4), on_step=tell)
        tensors = comfy.utils.load_torch_file(str(done.path), safe_load=True)
    with torch.inference_mode():
        loaded, _ = comfy.sd.load_lora_for_models(patcher, None, tensors, 1.0, 0)
        found = {"seconds": time.monotonic() - began, "noise_loss": done.history[-1]["noise"]}
        for who, network in (("with", loaded), ("without", patcher)):
            for right in (True, False):
                photo, masks = moving_square(side, right)
                video, _ = sampled_mask_video(
                    network, codec, SENTENCES[right], sentence(0), photo, 1, DENOISING_STEPS, 1.0, (side, side), FRAMES,
                    None, "1",
                )  # fmt: skip
                shown = (video.mean(-1) >= 0.5).float()[1:]
                way = "right" if right else "left"
                found[f"rom_{who}_{way}"] = iou(shown.amax(0), masks.amax(0))
                found[f"frames_{who}_{way}"] = sum(map(iou, shown, masks[1:])) / len(shown)
    return found


def tell(step: int, total: int, figures: dict[str, float]) -> None:
    if step % 100 == 0:
        print(f"step {step}/{total} noise {figures['noise']:.3f}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(json.dumps({family: measure(family) for family in WANTED}))
