"""Stage 1 overfitted on a toy, by a LoRA on a tiny random network of core's class; run by ComfyUI's Python.

    python benchmarks/core_toy.py COMFYUI [wan22-5b] [wan22-i2v]

Two sentences over one photo send a square to the right or to the left. A base that knows nothing is no base: first all
of its weights learn the two videos, as a real one has learned videos. Then our trainer's LoRA learns the mask videos.
What samples is core's sampler, with the LoRA's file loaded by core. Prints JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

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

from ivg_pack.ivg_core.evaluate.metrics.motion import mask_iou  # noqa: E402
from ivg_pack.ivg_core.training.batches import ListDataset, collate  # noqa: E402
from ivg_pack.ivg_core.training.config import LoRASettings, TrainConfig  # noqa: E402
from ivg_pack.ivg_core.training.objective import Denoising  # noqa: E402
from ivg_pack.ivg_core.training.sample import Sample  # noqa: E402
from ivg_pack.ivg_core.training.trainer import train  # noqa: E402
from ivg_pack.nodes import _core_backbone  # noqa: E402
from ivg_pack.nodes._core_backbone import CoreBackbone  # noqa: E402
from ivg_pack.nodes._core_data import mask_video  # noqa: E402
from ivg_pack.nodes.core_rom import mask_video as sampled_mask_video  # noqa: E402

FRAMES, STEPS, DENOISING_STEPS = 9, 1000, 20
BASE_STEPS, BASE_RATE = 1000, 1e-3
SIDES = {"wan22-5b": 64, "wan22-i2v": 32}
CELLS = {"wan22-5b": 16, "wan22-i2v": 8}


def moving_square(side: int, right: bool) -> tuple[Tensor, Tensor]:
    """A video (F, H, W, 3) of a grey square on its way, and its masks (F, H, W)."""
    size, video, masks = side // 4, torch.full((FRAMES, side, side, 3), 0.2), torch.zeros(FRAMES, side, side)
    middle, begin = slice(side // 2 - size // 2, side // 2 + size // 2), side // 2 - size // 2
    for frame in range(FRAMES):
        x = begin + round(begin * frame / (FRAMES - 1)) * (1 if right else -1)
        masks[frame, middle, max(0, x) : x + size] = 1
    video[masks > 0] = 0.4  # by itself no mask, which is white
    return video, masks


def sentence(seed: int) -> list:
    """A CONDITIONING as a text encoder would give it."""
    return [[draw(1, 8, 4096, seed=seed), {}]]


SENTENCES = {True: sentence(10), False: sentence(11)}


def sample_of(backbone: CoreBackbone, side: int, right: bool) -> Sample:
    """The clip of one sentence, as training reads it."""
    video, masks = moving_square(side, right)
    told, untold = (backbone.told(said, video[0], FRAMES) for said in (SENTENCES[right], sentence(0)))
    latents, of_masks = (
        backbone.codec.encode(frames) for frames in (video, mask_video((masks * 255).byte().numpy(), video[0]))
    )
    made: Sample = {"latents": latents, "mask_latents": of_masks, "frame_masks": masks, "told": told, "untold": untold}
    made |= {"caption": f"right: {right}", "name": f"right: {right}"}
    return made | ({} if told.mask is None else {"open": told.mask[0]})


def learn_videos(backbone: CoreBackbone, clips: list[Sample]) -> None:
    """All weights of the network learn the clips themselves."""
    objective = Denoising(TrainConfig(stage=2, losses={"noise": 1.0}, text_dropout=0, freeze_outside=False), backbone)
    network, batch = backbone.network, collate(clips * 4)
    whole = [
        patch.object(_core_backbone, name, lambda _network: nullcontext()) for name in ("weightless", "recomputed")
    ]
    with whole[0], whole[1], backbone.training(torch.device("cpu")):
        network.requires_grad_(True)
        optimizer = torch.optim.AdamW(network.parameters(), lr=BASE_RATE)
        for step in range(BASE_STEPS):
            optimizer.param_groups[0]["lr"] = BASE_RATE * min(1, (step + 1) / 50) * (1 - step / BASE_STEPS)
            loss, _ = objective(
                lambda noisy, levels, told, _voices: backbone(noisy, levels, told),
                batch,
                torch.Generator().manual_seed(10**6 + step),
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            tell(step + 1, BASE_STEPS, {"noise": loss.item()})


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
    learn_videos(backbone, clips)
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            stage=1, out=folder, steps=STEPS, batch_size=8, learning_rate=2e-3, schedule="cosine", warmup=50,
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
                drawn, masks = moving_square(side, right)
                video, _ = sampled_mask_video(
                    network, codec, SENTENCES[right], sentence(0), drawn[0], 1, DENOISING_STEPS, 1.0, (side, side),
                    FRAMES, None, "1",
                )  # fmt: skip
                shown, masks = (video.mean(-1) >= 0.5).float()[1:], masks[1:]
                way = "right" if right else "left"
                found[f"rom_{who}_{way}"] = mask_iou(shown.amax(0), masks.amax(0))
                found[f"frames_{who}_{way}"] = sum(map(mask_iou, shown, masks)) / len(shown)
    return found


def tell(step: int, total: int, figures: dict[str, float]) -> None:
    if step % 100 == 0:
        print(f"step {step}/{total} noise {figures['noise']:.3f}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(json.dumps({family: measure(family) for family in WANTED}))
