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
from core_backbone_parts import draw, model  # noqa: E402
from core_coarse_parts import coarse_vae, make_legible  # noqa: E402
from torch import Tensor  # noqa: E402

from ivg_pack.ivg_core.training.batches import ListDataset, Sample  # noqa: E402
from ivg_pack.ivg_core.training.config import LoRASettings, TrainConfig  # noqa: E402
from ivg_pack.ivg_core.training.trainer import train  # noqa: E402
from ivg_pack.nodes._core_backbone import CoreBackbone  # noqa: E402
from ivg_pack.nodes._core_data import mask_video  # noqa: E402
from ivg_pack.nodes.core_rom import mask_video as sampled_mask_video  # noqa: E402

FRAMES, STEPS, DENOISING_STEPS = 9, 2000, 20
SIDES = {"wan22-5b": 64, "wan22-i2v": 32}
CELLS = {"wan22-5b": 16, "wan22-i2v": 8}


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
        codec = coarse_vae(family, CELLS[family])
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
