"""What the workflows for real photos have in common, and the models that they name."""

from __future__ import annotations

import dataclasses
import pathlib

from graphs import CLEAN, MODEL, ONE_PHOTO, OVER_PHOTO, REGION, SHARES, Box, Graph, grouped

WAN_21 = "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files"
WAN_22 = "https://huggingface.co/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files"
LTX_25 = "https://huggingface.co/Lightricks/LTX-2.5/resolve/main"
#: file → (folder below models, where core's own templates fetch it from, GB)
MODELS = {
    "ltx-video-2b-v0.9.safetensors": ("checkpoints", "https://huggingface.co/Lightricks/LTX-Video/resolve/main", 9.4),
    "t5xxl_fp16.safetensors": (
        "text_encoders",
        "https://huggingface.co/comfyanonymous/flux_text_encoders/resolve/main",
        9.8,
    ),
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors": ("text_encoders", f"{WAN_21}/text_encoders", 6.7),
    "wan_2.1_vae.safetensors": ("vae", f"{WAN_21}/vae", 0.3),
    "wan2.2_vae.safetensors": ("vae", f"{WAN_22}/vae", 1.4),
    "clip_vision_h.safetensors": ("clip_vision", f"{WAN_21}/clip_vision", 1.3),
    "wan2.1_i2v_480p_14B_fp16.safetensors": ("diffusion_models", f"{WAN_21}/diffusion_models", 32.8),
    "wan2.1_vace_1.3B_fp16.safetensors": ("diffusion_models", f"{WAN_21}/diffusion_models", 4.3),
    "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors": ("diffusion_models", f"{WAN_22}/diffusion_models", 14.3),
    "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors": ("diffusion_models", f"{WAN_22}/diffusion_models", 14.3),
    "wan2.2_ti2v_5B_fp16.safetensors": ("diffusion_models", f"{WAN_22}/diffusion_models", 10.0),
    "ltx-2.5-22b-distilled-transformer-comfy-int8-convrot.safetensors": (
        "diffusion_models",
        f"{LTX_25}/diffusion_models",
        21.5,
    ),
    "gemma4-12b-with-proj-ltx-2.5-comfy-int8-convrot.safetensors": (
        "text_encoders",
        f"{LTX_25}/text_encoders",
        15.4,
    ),
    "ltx-2.5-video-vae-bf16.safetensors": ("vae", f"{LTX_25}/vae", 1.5),
    "ltx-2.5-audio-vae-bf16.safetensors": ("vae", f"{LTX_25}/vae", 0.4),
    "v1-5-pruned-emaonly-fp16.safetensors": (
        "checkpoints",
        "https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main",
        2.1,
    ),
    "control_v11p_sd15_canny_fp16.safetensors": (
        "controlnet",
        "https://huggingface.co/comfyanonymous/ControlNet-v1-1_fp16_safetensors/resolve/main",
        0.7,
    ),
    "512-inpainting-ema.safetensors": (
        "checkpoints",
        "https://huggingface.co/stabilityai/stable-diffusion-2-inpainting/resolve/main",
        5.2,
    ),
    "512-depth-ema.safetensors": (
        "checkpoints",
        "https://huggingface.co/stabilityai/stable-diffusion-2-depth/resolve/main",
        5.2,
    ),
    "sam3.1_multiplex_fp16.safetensors": (
        "checkpoints",
        "https://huggingface.co/Comfy-Org/sam3.1/resolve/main/checkpoints",
        1.7,
    ),
}
#: Core's nodes, or inputs of them, that the oldest supported ComfyUI lacks; a workflow with one of them is opened only
#: where it is there.
NEWER_IN_CORE = {
    "WanContextWindowsManual.retain_first_frame",
    "SAM3_Detect",
    "ManualSigmas",
    "ResizeImageMaskNode",
    "LTXVAudioVAEDecode",
    "LTXVConcatAVLatent",
    "LTXVDualCFGGuider",
    "LTXVEmptyLatentAudio",
    "LTXVImgToVideoInplace",
    "LTXVSeparateAVLatent",
}
MY_ROM = "ivg/my_rom.safetensors"  # what a training of stage 1 by its default name leaves among the LoRAs
PHOTO = "example.png"  # lies in the input folder of every ComfyUI
SENTENCE = "The person stirs the pan with the right hand. Static camera."
AVOID = "blurry, distorted hands, extra fingers, moving camera, overexposed, subtitles"
NO_HAND = "No hand in it? Mute *IVG RoM from Things* (Ctrl+M), press *Edit mask* and paint from nothing."
YOURS = (
    "**Your photo:** choose it in *Load Image*, and write your sentence into {sentence}. The region is made around "
    f"its hands. {NO_HAND}\n\n"
    "**Another region:** press *Edit mask* and paint. With the things of the sentence: take it from "
    "*ivg_02_real_photo_sam3*. With what moves in a quick draft: *ivg_03_draft_wan22_5b*, *ivg_04_draft_ltx*.\n\n"
)
KEPT = (
    "**Another size or length:** change it in {where} only.\n\n"
    "**IVG Composite RoM** puts the photo's own pixels back outside the region, and its colours right."
)
OUTLINE = {**SHARES, "contour": 5}
Part = tuple[dict[str, Box], list[str]]


def note_box(text: str, height: int = 760) -> Box:
    return Box("MarkdownNote", (0, 0), (320, height), {"": text}, "Read me")


def photo_and_hands() -> Part:
    """A real photo and its hands."""
    boxes = {
        "photo": Box("LoadImage", (360, 0), (300, 320), {"image": PHOTO}),
        "hands": Box("HandKeypoints", (360, 400), (300, 460), {"video": False}),
    }
    return grouped(ONE_PHOTO, boxes), ["photo.IMAGE > hands.image"]


def region(how: str, where: str, sentence: str = "*What is done*") -> Part:
    """Photo, region of motion around its hands and a look at it: the left part of these workflows."""
    boxes, links = photo_and_hands()
    boxes["note"] = note_box(f"{how}\n\n{YOURS.format(sentence=sentence)}{KEPT.format(where=where)}")
    boxes |= grouped(
        REGION,
        {
            "things": Box("IVGRoMFromThings", (700, 0), (300, 440)),
            "edit": Box("IVGEditMask", (700, 520), (300, 340)),
            "refine": Box("RefineMask", (1040, 0), (280, 480), {**CLEAN, "grow": 15}),
            "preview": Box("IVGPreviewRoM", (700, 960), (620, 340), OUTLINE),
        },
    )
    links += [
        "photo.IMAGE > things.image",
        "hands.keypoints > things.keypoints",
        *edited("things"),
    ]
    return boxes, links


def edited(found: str) -> list[str]:
    """From the box that found the region through editor and *IVG Refine Mask* to the preview."""
    return [
        "photo.IMAGE > edit.photo",
        f"{found}.mask > edit.mask",
        "edit.mask > refine.mask",
        "photo.IMAGE > preview.image",
        "refine.mask > preview.mask",
    ]


def moved(part: Part, x: int) -> Part:
    """The part, so many pixels further right."""
    boxes, links = part
    return {name: dataclasses.replace(box, at=(box.at[0] + x, box.at[1])) for name, box in boxes.items()}, links


def ending(frames: str, fps: float, x: int) -> Part:
    """The frames over the photo, saved: the right part."""
    boxes = {
        "composite": Box("IVGCompositeRoM", (x, 0), (300, 210), SHARES),
    }
    links = [
        f"{frames} > composite.frames",
        "photo.IMAGE > composite.image",
        "refine.mask > composite.mask",
    ]
    saved_boxes, saved_links = saved("composite", fps, (x, 290), "video/ivg_rom")
    return grouped(OVER_PHOTO, {**boxes, **saved_boxes}), links + saved_links


def saved(source: str, fps: float, at: tuple[int, int], prefix: str) -> Part:
    """What the box `source` says of the colours, and its frames as a video; `at` is where the first one stands."""
    x, y = at
    boxes = {
        "report": Box("PreviewAny", (x, y), (300, 120), title="Colour drift"),
        "create": Box("CreateVideo", (x, y + 200), (300, 80), {"fps": fps}),
        "save": Box("SaveVideo", (x + 340, 0), (400, 400), {"filename_prefix": prefix}),
    }
    links = [f"{source}.report > report.source", f"{source}.frames > create.images", "create.VIDEO > save.video"]
    return boxes, links


def texts(x: int, encoder: str, kind: str) -> Part:
    """Text encoder and both prompts."""
    boxes = {
        "clip": Box("CLIPLoader", (x, 240), (320, 110), {"clip_name": encoder, "type": kind}),
        "positive": Box("CLIPTextEncode", (x, 410), (320, 130), {"text": SENTENCE}, "What is done"),
        "negative": Box("CLIPTextEncode", (x, 600), (320, 110), {"text": AVOID}, "What should not be seen"),
    }
    return grouped(MODEL, boxes), ["clip.CLIP > positive.clip", "clip.CLIP > negative.clip"]


def framed(subject: str, part: Part) -> Part:
    """The part in one frame, but for what is in another."""
    boxes, links = part
    return grouped(subject, boxes), links


def joined(*parts: Part) -> Graph:
    boxes = {name: box for part, _ in parts for name, box in part.items()}
    return Graph(boxes, [link for _, links in parts for link in links], picture="preview")


def name_models(workflow: dict) -> list[str]:
    """Write into each loader where its file comes from, so that the interface can offer it, and into the note.

    Returns:
        The files.
    """
    names = []
    for node in workflow["nodes"]:
        files = [value for value in node.get("widgets_values") or [] if value in MODELS]
        if files:
            node["properties"]["models"] = [
                {"name": file, "url": f"{MODELS[file][1]}/{file}", "directory": MODELS[file][0]} for file in files
            ]
        names += files
    if names:
        note = next(node for node in workflow["nodes"] if node["type"] == "MarkdownNote")
        trains = any(node["type"] == "IVGTrainCoreLoRA" for node in workflow["nodes"])
        note["widgets_values"][0] += "\n\n" + needed(names, "Memory otherwise" if trains else "Memory")
    return names


def needed(names: list[str], heading: str = "Memory") -> str:
    """What a note says of the models: where from, where to, and how much of disk and memory they take.

    Args:
        names: files.
        heading: of what is said of memory.
    """
    listed = "\n".join(
        f"- [{name}]({MODELS[name][1]}/{name}), {MODELS[name][2]:g} GB → `models/{MODELS[name][0]}`" for name in names
    )
    sizes = [MODELS[name][2] for name in names]
    one, more = f"one at a time (the largest has {max(sizes):g} GB)", "; the video's size and length add to it"
    memory, more = ("it", "") if len(names) == 1 else (one, more)
    return (
        f"**Models**, {sum(sizes):.1f} GB of disk:\n{listed}\n\n**{heading}:** {memory} must fit into the GPU, or with "
        f"ComfyUI's offloading into RAM, which is slower{more}."
    )


def empty_models(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Empty files named as the models, for a ComfyUI that only has to open the workflows."""
    for file, (kind, *_) in MODELS.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / file).touch()
    (folder / "loras" / MY_ROM).parent.mkdir(parents=True)
    (folder / "loras" / MY_ROM).touch()
    return {kind: folder / kind for kind in (*(kind for kind, *_ in MODELS.values()), "loras")}
