"""The graphs that show the nodes for core's own video models on their help pages; see graphs.py. They only stand there.

No weights of such a model lie on the machine that takes the pictures.
"""

from __future__ import annotations

import dataclasses

from graphs import FIXED, Box, Graph
from rom_graphs import wan_5b_loaders
from rom_parts import PHOTO, SENTENCE, texts

#: What a LoRA is called in these pictures.
LEARNED = "my_rom"


def train_core() -> Graph:
    """Wan 2.2 5B with its VAE and text encoder, and the training over a folder."""
    loaders, _ = wan_5b_loaders(0)
    settings = {
        "prompt": SENTENCE,
        "save_name": LEARNED,
        "folder": "my_clips",
        "masks": "hands and arms",
        "steps": 2000,
    }
    boxes = {name: dataclasses.replace(loaders[name], group="") for name in ("unet", "vae", "clip")}
    boxes["train"] = Box("IVGTrainCoreLoRA", (380, 0), (420, 660), settings)
    links = ["unet.MODEL > train.model", "vae.VAE > train.vae", "clip.CLIP > train.clip"]
    return Graph(boxes, links, picture="train")


def predict_core() -> Graph:
    """The same model with the LoRA on it, and the photo whose region it predicts."""
    boxes, links = wan_5b_loaders(0)
    boxes = {name: dataclasses.replace(box, group="") for name, box in boxes.items()}
    boxes["negative"] = dataclasses.replace(boxes["negative"], widgets={"text": ""}, title="Empty")
    boxes |= {
        "lora": Box("LoraLoaderModelOnly", (380, 0), (300, 90), {"lora_name": f"ivg/{LEARNED}.safetensors"}),
        "photo": Box("LoadImage", (380, 160), (300, 320), {"image": PHOTO}),
        "predict": Box("IVGPredictRoMCore", (740, 0), (340, 360), {"seed": 1, **FIXED}),
    }
    links += [
        "unet.MODEL > lora.model",
        "lora.MODEL > predict.model",
        "vae.VAE > predict.vae",
        "positive.CONDITIONING > predict.positive",
        "negative.CONDITIONING > predict.negative",
        "photo.IMAGE > predict.image",
    ]
    return Graph(boxes, links, picture="predict")


def concat_core() -> Graph:
    """Wan 2.1 with a LoRA that was trained to be told the region, and the node behind WanImageToVideo."""
    boxes, links = texts(0, "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "wan")
    boxes = {name: dataclasses.replace(box, group="") for name, box in boxes.items()}
    boxes |= {
        "vae": Box("VAELoader", (0, 140), (320, 60), {"vae_name": "wan_2.1_vae.safetensors"}),
        "unet": Box("UNETLoader", (0, 0), (320, 90), {"unet_name": "wan2.1_i2v_480p_14B_fp16.safetensors"}),
        "lora": Box("LoraLoaderModelOnly", (740, 260), (320, 90), {"lora_name": f"ivg/{LEARNED}.safetensors"}),
        "photo": Box("LoadImage", (0, 800), (320, 320), {"image": PHOTO}),
        "region": Box("LoadImageMask", (0, 1200), (320, 320), {"image": PHOTO}),
        "to_video": Box("WanImageToVideo", (380, 0), (300, 230), {"width": 832, "height": 480, "length": 81}),
        "apply": Box("IVGApplyRoMConcat", (740, 0), (320, 170)),
        "sample": Box("KSampler", (1120, 0), (300, 260), {"seed": 1, "cfg": 6.0, **FIXED}),
    }
    links += [
        "unet.MODEL > lora.model",
        "lora.MODEL > sample.model",
        "positive.CONDITIONING > to_video.positive",
        "negative.CONDITIONING > to_video.negative",
        "vae.VAE > to_video.vae",
        "photo.IMAGE > to_video.start_image",
        "to_video.positive > apply.positive",
        "to_video.negative > apply.negative",
        "photo.IMAGE > apply.image",
        "region.MASK > apply.mask",
        "vae.VAE > apply.vae",
        "apply.positive > sample.positive",
        "apply.negative > sample.negative",
        "to_video.latent > sample.latent_image",
    ]
    return Graph(boxes, links, picture="apply")
