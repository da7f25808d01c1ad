"""Checkpoints of Stable Diffusion with random weights, in core's own layout; run by ComfyUI's Python.

    python tests/comfyui/make_sd.py COMFYUI FOLDER

Writes checkpoints/ and controlnet/ below FOLDER, about 3 GB: text encoders and autoencoder are of full size, as core
builds no other; the UNets have few levels.
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(sys.argv.pop(2))

import rom_in_core  # noqa: E402, F401  finds ComfyUI and loads the pack

# isort: split
import comfy.ldm.models.autoencoder  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.utils  # noqa: E402
import torch  # noqa: E402
from inflated_parts import control_weights, random_weights, sd_weights, text_weights  # noqa: E402
from sd_graphs import CANNY, DEPTH, INPAINTING, SD_15  # noqa: E402

COEFFICIENTS = {"ch": 128, "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0}
COEFFICIENTS |= {"double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3}


def autoencoder() -> dict[str, torch.Tensor]:
    network = comfy.ldm.models.autoencoder.AutoencoderKL(ddconfig=COEFFICIENTS, embed_dim=4)
    return random_weights(network)


def write(name: str, two: bool, channels: int, shared: dict[str, torch.Tensor]) -> None:
    """One checkpoint, as `comfy.sd.save_checkpoint` names its tensors, in half precision."""
    unet = sd_weights(two, in_channels=channels)
    saved = comfy.sd.load_diffusion_model_state_dict(dict(unet)).model
    whole = saved.state_dict_for_saving(text_weights(two), dict(shared), None)
    path = FOLDER / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    comfy.utils.save_torch_file({key: value.half().contiguous() for key, value in whole.items()}, str(path))
    print(path, flush=True)


def main() -> None:
    shared = autoencoder()
    write(SD_15, False, 4, shared)
    write(INPAINTING, True, 9, shared)
    write(DEPTH, True, 5, shared)
    path = FOLDER / "controlnet" / CANNY
    path.parent.mkdir(parents=True, exist_ok=True)
    comfy.utils.save_torch_file({key: value.half() for key, value in control_weights().items()}, str(path))
    print(path)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
