"""Prompts that train a tiny core model and ask it, and the clips for them; for test_core_training_comfyui.py."""

from __future__ import annotations

import pathlib
import shutil

import torch
from PIL import Image

from ivg_core.media.video import write_video
from ivg_core.synthetic.clips import Scene

FIVE_B, TO_VIDEO = "tiny_5b.safetensors", "tiny_t2v.safetensors"
SENTENCE = "Pick up the cup."
ODD = (237, 151)  # width and height of a photo


def write_clips(folder: pathlib.Path) -> None:
    """A clip in which hands are found, one without hands, and a photo of an odd shape."""
    scene = Scene(13, 768, 512)
    drawn = torch.from_numpy(scene.clip(scene.tasks[1], 9).frames).float() / 255
    write_video(drawn, folder / "clips" / "hand.mp4", 8)
    (folder / "clips" / "hand.txt").write_text(SENTENCE)
    slope = torch.linspace(0, 1, 128)[None, None, :, None].expand(9, 128, 128, 3).clone()
    slope[:, 40:80] = torch.linspace(0, 1, 9)[:, None, None, None]
    write_video(slope, folder / "no_hand" / "slope.mp4", 8)
    (folder / "no_hand" / "slope.txt").write_text(SENTENCE)
    shutil.copytree(folder / "clips", folder / "no_sentence")
    (folder / "no_sentence" / "hand.txt").unlink()
    Image.fromarray((drawn[0, : ODD[1], : ODD[0]] * 255).byte().numpy()).save(folder / "odd.png")


def as_prompt(nodes: dict[str, tuple[str, dict]]) -> dict:
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


def loaders() -> dict[str, tuple[str, dict]]:
    """What every graph begins with."""
    return {
        "unet": ("UNETLoader", {"unet_name": FIVE_B, "weight_dtype": "default"}),
        "vae": ("TinyCoreVAE", {"kind": "wan 2.2"}),
        "clip": ("TinyCoreCLIP", {}),
    }


def training(beside: dict | None = None, **changes) -> dict:
    """The folder of clips through IVGTrainCoreLoRA, its pictures and report shown."""
    widgets = {
        "model": ["unet", 0], "vae": ["vae", 0], "clip": ["clip", 0], "prompt": "", "save_name": "rom",
        "stage": "1: the mask", "steps": 4, "rank": 4, "learning_rate": 5e-2, "inside": 2.0, "hand_loss": 1.0,
        "masks": "hands", "folder": "clips", "noise_from": 0.0, "noise_to": 1.0, "tell_region": False,
        "on_top_of_loras": False, "frames": 9, "width": 64, "height": 64, "training_seed": 0, "resume": True,
    }  # fmt: skip
    nodes = {
        **loaders(),
        "train": ("IVGTrainCoreLoRA", {**widgets, **changes}),
        "curve": ("PreviewImage", {"images": ["train", 2]}),
        "validation": ("PreviewImage", {"images": ["train", 3]}),
        "report": ("PreviewAny", {"source": ["train", 4]}),
    }
    return as_prompt({**nodes, **(beside or {})})


def sampling(model: str = "unet") -> dict[str, tuple[str, dict]]:
    """The photo through core's KSampler."""
    return {
        "photo": ("LoadImage", {"image": "odd.png"}),
        "positive": ("CLIPTextEncode", {"clip": ["clip", 0], "text": SENTENCE}),
        "negative": ("CLIPTextEncode", {"clip": ["clip", 0], "text": ""}),
        "to_video": (
            "Wan22ImageToVideoLatent",
            {
                "vae": ["vae", 0], "width": 64, "height": 64, "length": 9, "batch_size": 1,
                "start_image": ["photo", 0],
            },
        ),
        "sample": (
            "KSampler",
            {
                "model": [model, 0], "positive": ["positive", 0], "negative": ["negative", 0],
                "latent_image": ["to_video", 0], "seed": 1, "steps": 2, "cfg": 2.0, "sampler_name": "euler",
                "scheduler": "simple", "denoise": 1.0,
            },
        ),
        "decode": ("VAEDecode", {"samples": ["sample", 0], "vae": ["vae", 0]}),
        "save": ("PreviewImage", {"images": ["decode", 0]}),
    }  # fmt: skip


def predicting(model: str, **changes) -> dict[str, tuple[str, dict]]:
    """The photo's region of motion by a model with a LoRA of stage 1, as pictures."""
    widgets = {
        "model": [model, 0], "vae": ["vae", 0], "positive": ["positive", 0], "negative": ["negative", 0],
        "image": ["photo", 0], "seed": 1, "steps": 2, "guidance": 0.0, "width": 64, "height": 64, "length": 9,
        "threshold": 0.5,
    }  # fmt: skip
    names = ("photo", "positive", "negative")
    return {
        **{name: node for name, node in sampling().items() if name in names},
        "predict": ("IVGPredictRoMCore", {**widgets, **changes}),
        "region": ("MaskToImage", {"mask": ["predict", 0]}),
        "frame_regions": ("MaskToImage", {"mask": ["predict", 1]}),
        "mask": ("PreviewImage", {"images": ["region", 0]}),
        "frame_masks": ("PreviewImage", {"images": ["frame_regions", 0]}),
    }


def with_lora(name: str = "rom") -> dict[str, tuple[str, dict]]:
    loaded = {"lora_name": f"ivg/{name}.safetensors", "strength_model": 1.0}
    return {"lora": ("LoraLoaderModelOnly", {"model": ["unet", 0], **loaded})}


def still_clip() -> dict[str, tuple[str, dict]]:
    repeated = {"image": ["photo", 0], "amount": 9}
    return {"photo": sampling()["photo"], "still": ("RepeatImageBatch", repeated)}
