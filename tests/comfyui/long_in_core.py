"""What core's context windows make of our regions of motion; run by ComfyUI's Python, prints JSON.

    python tests/comfyui/long_in_core.py COMFYUI

With the networks and VAEs of rom_in_core.py.
"""

from __future__ import annotations

import inspect
import json

from rom_in_core import (
    IVGApplyRoM,
    IVGApplyRoMModel,
    IVGApplyRoMVACE,
    LTXVImgToVideo,
    WanImageToVideo,
    WanVaceToVideo,
    compare,
    ltx,
    ltx_vae,
    sample,
    square,
    text,
    wan,
    wan_vae,
    watch,
)

# isort: split
# Only now are core's own modules found.
import torch
from comfy_extras.nodes_context_windows import ContextWindowsManualNode, WanContextWindowsManualNode

FRAMES, WINDOW, OVERLAP = 33, 9, 4  # of Wan: 9 latent frames, in windows of 3 that overlap by 1
#: Whether core cuts with the windows what the model is told beside the latents.
CUTS = "retain_first_frame" in inspect.signature(WanContextWindowsManualNode.execute).parameters


def in_windows(model):
    """As the workflow ivg_17_long_video_wan21 has it."""
    newer = {"freenoise": True, "retain_first_frame": True} if CUTS else {}
    how = ("standard_static", 1, False, "pyramid")
    return WanContextWindowsManualNode.execute(model, WINDOW, OVERLAP, *how, **newer)[0]


def in_latent_windows(model):
    """By the node for every model, which counts latent frames, on their third axis; as that workflow's note says."""
    newer = {"freenoise": True, "cond_retain_index_list": "0", "latent_retain_index_list": "0"} if CUTS else {}
    return ContextWindowsManualNode.execute(model, 3, 1, "standard_static", 1, False, "pyramid", 2, **newer)[0]


def moving_square(height: int, width: int) -> torch.Tensor:
    """A mask a frame: the square goes to the right over the time of the video."""
    mask = square(height, width)
    return torch.cat([mask.roll(frame * width // (2 * FRAMES), -1) for frame in range(FRAMES)])


def held(result, rom, cells) -> dict:
    """`compare`, and how much changes inside in the stillest frame after the first."""
    difference = (result["samples"] - rom["samples"]).abs().amax(1)[0]  # (T, h, w)
    frames = [frame[inside == 1].max().item() for frame, inside in zip(difference[1:], cells[1:], strict=True)]
    return {**compare(result, rom["samples"], cells), "stillest": min(frames)}


def tried(model, positive, negative, latent, rom=None, cells=None) -> dict | str:
    """What comes of sampling (without a region its shape), or what core says of it."""
    try:
        result = sample(model, positive, negative, latent)
    except RuntimeError as error:
        return str(error)
    return held(result, rom, cells) if rom else list(result["samples"].shape)


def photo_told(model, seen, positive) -> list[float]:
    """How far what Wan is told of its first frame is from the photo, in the worst window, and how known that frame is.

    Wan gets 16 channels of noise, 4 that say which frames are known, and 16 of the photo.
    """
    photo = model.model.process_latent_in(positive[0][1]["concat_latent_image"])[:, :, 0]
    firsts = [x[:, 16:, 0] for x, _ in seen]
    return [
        max((first[:, 4:] - photo).abs().max().item() for first in firsts),
        min(first[:, :4].min().item() for first in firsts),
    ]


def misplaced(seen, cells) -> float:
    """How far the timesteps that LTX gets are from the mask of their frames, in the worst of its two windows."""
    # By its length: the first one, and the last one, which gets the photo in the place of the frame before it.
    shown = {3: cells[:3], 4: cells[[0, 2, 3, 4]]}
    shares = [(timestep / timestep.max(), shown[x.shape[2]]) for x, timestep in seen]
    return max((share.flatten(1) - mask.flatten()).abs().max().item() for share, mask in shares)


@torch.inference_mode()
def main() -> dict:
    torch.manual_seed(0)
    found: dict = {"cuts": CUTS}

    photo, vae = torch.rand(1, 50, 70, 3), wan_vae()
    positive, negative, latent = WanImageToVideo.execute(text(), text(), vae, 64, 64, FRAMES, 1, start_image=photo).args
    rom, cells = IVGApplyRoM.execute(photo, moving_square(50, 70), vae, latent, 0).args
    found["frames"] = rom["samples"].shape[2]

    # Text to video: nothing but the region tells the model of the photo.
    model = wan()
    seen = watch(model)
    sampled = sample(in_windows(model), text(), text(), rom)
    found["longest"] = max(x.shape[2] for x, _ in seen)
    found["text_to_video"] = held(sampled, rom, cells)
    before = sample(in_windows(IVGApplyRoMModel.execute(model, rom)[0]), text(), text(), latent)
    behind = sample(IVGApplyRoMModel.execute(in_windows(model), rom)[0], text(), text(), latent)
    found["held"] = held(before, rom, cells)
    found["orders_differ"] = (before["samples"] - behind["samples"]).abs().max().item()

    # Image to video.
    model = wan(in_dim=36)
    seen = watch(model)
    found["image_to_video"] = tried(in_windows(model), positive, negative, rom, rom, cells)
    found["image_to_video_held"] = tried(
        IVGApplyRoMModel.execute(in_windows(model), rom)[0], positive, negative, latent, rom, cells
    )
    found["photo_told"] = photo_told(model, seen, positive) if CUTS else None

    # VACE, and Wan 2.2 5B with the noise mask that core's own node gives it.
    control = IVGApplyRoMVACE.execute(photo, square(50, 70), 64, 64, FRAMES, False)
    positive, negative, latent, _ = WanVaceToVideo.execute(
        text(), text(), vae, 64, 64, FRAMES, 1, 1.0, control_video=control[0], control_masks=control[1]
    ).args
    found["vace"] = tried(in_windows(wan(vace=True)), positive, negative, latent)
    cells = torch.ones(9, 4, 4)
    cells[0], cells[:, 0] = 0, 0
    rom = {"samples": torch.randn(1, 48, 9, 4, 4), "noise_mask": cells[None, None]}
    latent = {"samples": rom["samples"], "noise_mask": cells.amax((1, 2), keepdim=True).expand_as(cells)[None, None]}
    model = IVGApplyRoMModel.execute(in_windows(wan(in_dim=48, out_dim=48)), rom)[0]
    found["wan_5b"] = tried(model, text(), text(), latent, rom, cells)

    # LTX, whose latents have 8 frames each but for the first.
    photo, vae = torch.rand(1, 128, 160, 3), ltx_vae()
    positive, negative, latent = LTXVImgToVideo.execute(text(), text(), photo, vae, 160, 128, FRAMES, 1, 1.0).args
    rom, cells = IVGApplyRoM.execute(photo, moving_square(128, 160), vae, latent, 0).args
    model = ltx()
    seen = watch(model)
    found["ltx"] = tried(in_latent_windows(model), positive, negative, rom, rom, cells)
    found["ltx_misplaced"] = misplaced(seen, cells) if CUTS else None
    empty = {"samples": latent["samples"]}
    found["ltx_held"] = tried(
        IVGApplyRoMModel.execute(in_latent_windows(model), rom)[0], positive, negative, empty, rom, cells
    )
    return found


if __name__ == "__main__":
    print(json.dumps(main()))
