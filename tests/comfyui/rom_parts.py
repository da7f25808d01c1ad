"""What the workflows that lend the region of motion to other video models have in common, and the models they name."""

from __future__ import annotations

import pathlib

from graphs import FIXED, Box, Graph

WAN_21 = "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files"
WAN_22 = "https://huggingface.co/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files"
#: file → (folder below models, where core's own templates fetch it from)
MODELS = {
    "ltx-video-2b-v0.9.safetensors": ("checkpoints", "https://huggingface.co/Lightricks/LTX-Video/resolve/main"),
    "t5xxl_fp16.safetensors": (
        "text_encoders",
        "https://huggingface.co/comfyanonymous/flux_text_encoders/resolve/main",
    ),
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors": ("text_encoders", f"{WAN_21}/text_encoders"),
    "wan_2.1_vae.safetensors": ("vae", f"{WAN_21}/vae"),
    "wan2.2_vae.safetensors": ("vae", f"{WAN_22}/vae"),
    "clip_vision_h.safetensors": ("clip_vision", f"{WAN_21}/clip_vision"),
    "wan2.1_i2v_480p_14B_fp16.safetensors": ("diffusion_models", f"{WAN_21}/diffusion_models"),
    "wan2.1_vace_1.3B_fp16.safetensors": ("diffusion_models", f"{WAN_21}/diffusion_models"),
    "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors": ("diffusion_models", f"{WAN_22}/diffusion_models"),
    "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors": ("diffusion_models", f"{WAN_22}/diffusion_models"),
    "wan2.2_ti2v_5B_fp16.safetensors": ("diffusion_models", f"{WAN_22}/diffusion_models"),
}
SENTENCE = "The person stirs the pan with the right hand. Static camera."
AVOID = "blurry, distorted hands, extra fingers, moving camera, overexposed, subtitles"
YOURS = (
    "**Your own photo:** put *Load Image* in place of *IVG Example Scene*. For its region paint in *Load Image* (right "
    "click → Open in MaskEditor) and link its MASK to *Refine Mask*, or take any segmentation node.\n\n"
    "**Another size or length:** change it in {where} only.\n\n"
    "**Composite RoM** puts the photo's own pixels back outside the region, and its colours right."
)


def region(how: str, where: str) -> tuple[dict[str, Box], list[str]]:
    """Photo, region of motion and a look at it: the left part of each of these workflows."""
    boxes = {
        "note": Box("MarkdownNote", (0, 0), (320, 620), {"": f"{how}\n\n{YOURS.format(where=where)}"}, "Read me"),
        "ivg": Box("LoadIVGModel", (360, 0), (300, 110)),
        "scene": Box("IVGExampleScene", (360, 200), (300, 320), {"seed": 13, **FIXED}),
        "predict": Box("PredictRoMMask", (700, 0), (300, 620), dict(FIXED)),
        "refine": Box("RefineMask", (1040, 0), (280, 480), {"min_area": 8, "grow": 3}),
        "preview": Box("IVGPreviewRoM", (700, 720), (620, 340)),
    }
    links = [
        "ivg.model > predict.model",
        "scene.image > predict.image",
        "scene.action > predict.action",
        "predict.mask > refine.mask",
        "scene.image > preview.image",
        "refine.mask > preview.mask",
    ]
    return boxes, links


def ending(frames: str, fps: float, x: int) -> tuple[dict[str, Box], list[str]]:
    """The frames over the photo, saved: the right part."""
    boxes = {
        "composite": Box("IVGCompositeRoM", (x, 0), (300, 160)),
        "report": Box("PreviewAny", (x, 240), (300, 120), title="Colour drift"),
        "create": Box("CreateVideo", (x, 440), (300, 80), {"fps": fps}),
        "save": Box("SaveVideo", (x + 340, 0), (400, 400), {"filename_prefix": "video/ivg_rom"}),
    }
    links = [
        f"{frames} > composite.frames",
        "scene.image > composite.image",
        "refine.mask > composite.mask",
        "composite.report > report.source",
        "composite.frames > create.images",
        "create.VIDEO > save.video",
    ]
    return boxes, links


def texts(x: int, encoder: str, kind: str) -> tuple[dict[str, Box], list[str]]:
    """Text encoder and both prompts."""
    boxes = {
        "clip": Box("CLIPLoader", (x, 240), (320, 110), {"clip_name": encoder, "type": kind}),
        "positive": Box("CLIPTextEncode", (x, 410), (320, 130), {"text": SENTENCE}, "What is done"),
        "negative": Box("CLIPTextEncode", (x, 600), (320, 110), {"text": AVOID}, "What should not be seen"),
    }
    return boxes, ["clip.CLIP > positive.clip", "clip.CLIP > negative.clip"]


def joined(*parts: tuple[dict[str, Box], list[str]]) -> Graph:
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
    note = next(node for node in workflow["nodes"] if node["type"] == "MarkdownNote")
    listed = "\n".join(f"- [{name}]({MODELS[name][1]}/{name}) → `models/{MODELS[name][0]}`" for name in names)
    note["widgets_values"][0] += f"\n\n**Models:**\n{listed}"
    return names


def empty_models(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Empty files named as the models, for a ComfyUI that only has to open the workflows."""
    for file, (kind, _) in MODELS.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        (folder / kind / file).touch()
    return {kind: folder / kind for kind, _ in MODELS.values()}
