"""A LoRA step on core's class of Wan 2.2 5B at its real widths, by our trainer; run by ComfyUI's Python, see gpu.py.

    python benchmarks/gpu_core.py COMFYUI [--tiny]

Random weights in bfloat16 and in float8, 480 x 832 x 49, rank 32 over all layers that the node trains, the noise loss.
Prints JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
COMFYUI, TINY = sys.argv[1], "--tiny" in sys.argv
sys.path[:0] = [COMFYUI, str(ROOT / "tests" / "comfyui"), str(ROOT / "tests" / "comfy_harness")]

import launch  # noqa: E402
import torch  # noqa: E402

ON_GPU = torch.cuda.is_available()
sys.argv = ["main.py", *([] if ON_GPU else ["--cpu"])]
launch.install()
# No node is loaded: the pack's files are found without its entry, and what reads videos for nodes need not be there.
for name, folder in (("ivg_pack", ROOT), ("ivg_pack.nodes", ROOT / "nodes")):
    package = sys.modules[name] = ModuleType(name)
    package.__path__ = [str(folder)]
sys.modules["comfy_api"] = ModuleType("comfy_api")
sys.modules["comfy_api"].latest = None

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()  # without it --cpu is not read

# isort: split
import comfy.ldm.wan.model  # noqa: E402
import comfy.ldm.wan.vae2_2  # noqa: E402
import comfy.ops  # noqa: E402
import comfy.sd  # noqa: E402
from random_weights import fill  # noqa: E402
from tiny_core import wan_vae  # noqa: E402

from ivg_pack.ivg_core.training.batches import ListDataset  # noqa: E402
from ivg_pack.ivg_core.training.config import LoRASettings, TrainConfig  # noqa: E402
from ivg_pack.ivg_core.training.trainer import train  # noqa: E402
from ivg_pack.nodes._core_backbone import CoreBackbone  # noqa: E402
from ivg_pack.nodes._core_memory import estimate  # noqa: E402

#: The published network, and a small one.
WAN = {"dim": 3072, "ffn_dim": 14336, "num_heads": 24, "num_layers": 30, "in_dim": 48, "out_dim": 48}
SMALL = WAN | {"dim": 128, "ffn_dim": 64, "num_heads": 1, "num_layers": 2}
#: Of the video: frames, height, width; and steps that are trained, of which the first does not count.
FRAMES, HEIGHT, WIDTH, STEPS = (9, 64, 64, 3) if TINY else (49, 480, 832, 4)
#: Tokens of a sentence, as core's text encoder pads it.
WORDS = 8 if TINY else 512
KINDS = {"bf16": torch.bfloat16, "fp8": torch.float8_e4m3fn}


def weights_of(kind: type, **sizes) -> dict[str, torch.Tensor]:
    """Random weights of one of core's networks in bfloat16, in the layout of its files."""
    with torch.device("meta"):
        empty = kind(**sizes)
    return dict(fill(empty, dtype=torch.bfloat16).state_dict())


@torch.inference_mode()
def backbone_of(dtype: torch.dtype) -> CoreBackbone:
    """The model with its VAE, as core's loaders make them of files."""
    shape = {**(SMALL if TINY else WAN), "operations": comfy.ops.disable_weight_init}
    weights = weights_of(comfy.ldm.wan.model.WanModel, **shape)
    model = comfy.sd.load_diffusion_model_state_dict(weights, model_options={"dtype": dtype})
    if TINY:
        return CoreBackbone(model, wan_vae("wan 2.2"))
    sizes = {"dim": 160, "z_dim": 48, "temperal_downsample": [False, True, True]}
    return CoreBackbone(model, comfy.sd.VAE(weights_of(comfy.ldm.wan.vae2_2.WanVAE, **sizes)))


def sentence(seed: int) -> list:
    """A CONDITIONING as a text encoder would give it."""
    return [[torch.randn(1, WORDS, 4096, generator=torch.Generator().manual_seed(seed)), {}]]


def measure(name: str) -> dict[str, float]:
    """Seconds and memory of a step with weights of one kind."""
    backbone = backbone_of(KINDS[name])
    photo = torch.rand(HEIGHT, WIDTH, 3)
    told, untold = (backbone.told(sentence(seed), photo, FRAMES) for seed in (1, 0))
    grid = backbone.codec.grid(FRAMES, (WIDTH, HEIGHT))
    clip = {"latents": torch.randn(48, grid.frames, grid.height, grid.width), "told": told, "untold": untold}
    with tempfile.TemporaryDirectory() as out:
        config = TrainConfig(
            stage=2, out=out, steps=STEPS, warmup=0, save_every=0, losses={"noise": 1.0}, freeze_outside=False,
            device="auto" if ON_GPU else "cpu", lora={role: LoRASettings(rank=32) for role in ("spatial", "text")},
        )  # fmt: skip
        memory = estimate(backbone, config, grid)
        backbone.room = memory.room
        if ON_GPU:
            comfy.model_management.unload_all_models()
            comfy.model_management.soft_empty_cache()
            torch.cuda.reset_peak_memory_stats()
        done = train(config, backbone, ListDataset([{**clip, "caption": "", "name": "clip"}]))
    end = "" if name == "bf16" else f"_{name}"
    figures = {
        f"seconds_a_step{end}": median(step["seconds"] for step in done.history[1:]),
        f"estimated_gib_5b_{name}": (memory.weights + memory.room) / 2**30,
    }
    if ON_GPU:
        figures[f"peak_gib_5b_{name}"] = torch.cuda.max_memory_allocated() / 2**30
    return figures


if __name__ == "__main__":
    found = {"frames": FRAMES, "height": HEIGHT, "width": WIDTH}
    for kind in KINDS:
        found |= measure(kind)
        comfy.model_management.unload_all_models()
    print(json.dumps(found))
