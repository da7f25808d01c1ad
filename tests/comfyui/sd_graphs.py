"""The workflows that make videos by Stable Diffusion, an image model; see graphs.py for what describes a graph."""

from __future__ import annotations

from graphs import DEPTHS, EDITED, FIXED, HOLDS, MODEL, VIDEO, YOUR_VIDEO, Box, Graph, grouped
from rom_parts import Part, note_box

CLIP_FILE, DEPTH_FILE = "my_video.mp4", "my_depth.mp4"
SQUARE = {"upscale_method": "lanczos", "width": 512, "height": 512, "crop": "center"}
SD_15, CANNY = "v1-5-pruned-emaonly-fp16.safetensors", "control_v11p_sd15_canny_fp16.safetensors"
INPAINTING, DEPTH = "512-inpainting-ema.safetensors", "512-depth-ema.safetensors"
AVOID = "blurry, flicker, deformed hands, extra fingers, watermark"
WINDOWS = {"context_length": 16, "context_overlap": 8, "fuse_method": "pyramid"}
LENGTH = (
    "**How long:** as long as your video. *Context Windows* lets Stable Diffusion see 16 frames at a time, so memory "
    "does not grow with the length; a short overlap is faster and shows its seams more.\n\n"
)
CHOOSE = (
    "**Your video:** choose it in *Load Video*, with at most some hundred frames: all are in memory. Its middle is "
    "cut to 512 x 512 in *Upscale Image*; another size (multiples of 64) is set there alone.\n\n"
)
INFLATE = (
    "*IVG Inflate Model* lets the frames see each other, without training. LoRAs for this Stable Diffusion work as "
    "ever.\n\n"
)
UNTRIED = "Tried with random weights only; strength, steps and guidance are the published ones."


def clip(note: str) -> Part:
    """The video that is changed, in the size that the model likes."""
    boxes = grouped(
        YOUR_VIDEO,
        {
            "clip": Box("LoadVideo", (360, 0), (380, 340), {"file": CLIP_FILE}),
            "parts": Box("GetVideoComponents", (360, 420), (380, 90)),
            "frames": Box("ImageScale", (360, 590), (380, 130), SQUARE),
        },
    )
    return {"note": note_box(note, 860), **boxes}, ["clip.VIDEO > parts.video", "parts.images > frames.image"]


def model(file: str, x: int, control: bool = False) -> Part:
    """The checkpoint, inflated and in windows."""
    boxes = {
        "checkpoint": Box("CheckpointLoaderSimple", (x, 0), (320, 110), {"ckpt_name": file}),
        "inflate": Box("IVGInflateModel", (x, 360), (320, 80)),
        "windows": Box("ContextWindowsManual", (x, 520), (320, 210), WINDOWS),
    }
    links = ["checkpoint.MODEL > inflate.model", "inflate.model > windows.model"]
    if control:
        boxes["control"] = Box("ControlNetLoader", (x, 200), (320, 80), {"control_net_name": CANNY})
        links.append("control.CONTROL_NET > inflate.control_net")
    return grouped(MODEL, boxes), links


def said(x: int, **sentences: str) -> Part:
    """Sentences as conditionings."""
    boxes = {
        name: Box("CLIPTextEncode", (x, 200 * i), (320, 140), {"text": text}, name.replace("_", " ").capitalize())
        for i, (name, text) in enumerate(sentences.items())
    }
    return grouped(MODEL, boxes), [f"checkpoint.CLIP > {name}.clip" for name in sentences]


def there_and_back(x: int, forth: str, back: str, steps: dict, guidance: float) -> Part:
    """The video's noise by core's sampler run backwards, and from that the new video.

    Args:
        x: where it begins.
        forth: the box whose positive and negative the way to noise is told.
        back: the same of the way to the video.
        steps: of *BasicScheduler*.
        guidance: of the way to the video.
    """
    alone = {"add_noise": False, **FIXED}
    boxes = {
        "encode": Box("VAEEncode", (x, 0), (260, 80)),
        "euler": Box("KSamplerSelect", (x, 160), (260, 80), {"sampler_name": "euler"}),
        "steps": Box("BasicScheduler", (x, 320), (260, 130), {"scheduler": "ddim_uniform", **steps}),
        "flip": Box("FlipSigmas", (x, 530), (260, 60)),
        "to_noise": Box("SamplerCustom", (x + 300, 0), (300, 240), {**alone, "cfg": 1.0}, "Video to noise"),
        "sample": Box("SamplerCustom", (x + 300, 340), (300, 240), {**alone, "cfg": guidance}, "Noise to video"),
    }
    links = [
        "frames.IMAGE > encode.pixels",
        "checkpoint.VAE > encode.vae",
        "inflate.model > steps.model",
        "steps.SIGMAS > flip.sigmas",
        "flip.SIGMAS > to_noise.sigmas",
        "steps.SIGMAS > sample.sigmas",
        "encode.LATENT > to_noise.latent_image",
        "to_noise.output > sample.latent_image",
    ]
    for name, conditioning in (("to_noise", forth), ("sample", back)):
        links += ["windows.MODEL > {0}.model", "euler.SAMPLER > {0}.sampler"]
        links += ["{1}.positive > {0}.positive", "{1}.negative > {0}.negative"]
        links[-4:] = [link.format(name, conditioning) for link in links[-4:]]
    return grouped(VIDEO, boxes), links


def saved(latent: str, x: int, frames: str = "decode.IMAGE") -> Part:
    """The video, decoded and saved with its sound."""
    boxes = {
        "decode": Box("VAEDecode", (x, 0), (240, 80)),
        "create": Box("CreateVideo", (x, 420), (240, 110)),
        "save": Box("SaveVideo", (x + 280, 0), (400, 460), {"filename_prefix": "video/ivg"}),
    }
    links = [
        f"{latent} > decode.samples",
        "checkpoint.VAE > decode.vae",
        f"{frames} > create.images",
        "parts.audio > create.audio",
        "parts.fps > create.fps",
        "create.VIDEO > save.video",
    ]
    return grouped(VIDEO, boxes), links


def together(picture: str, *parts: Part) -> Graph:
    boxes = {name: box for part, _ in parts for name, box in part.items()}
    return Graph(boxes, [link for _, links in parts for link in links], picture)


def video_to_video() -> Graph:
    note = (
        "## Video → the same video in another look\n\n"
        f"With Stable Diffusion 1.5 and its ControlNet for edges. {INFLATE}"
        "1. *Canny* draws the edges of each frame; the ControlNet holds the new video to them.\n"
        "2. *Video to noise* goes back a part of the way: **denoise** of *BasicScheduler* says how far. 0.2 keeps "
        "nearly everything, 1 keeps only edges and motion.\n"
        "3. *Noise to video* goes forth again with your sentence.\n\n"
        f"{CHOOSE}{LENGTH}"
        "**Other control videos:** put any preprocessor's frames in the place of *Canny*, and its ControlNet in "
        f"*Load ControlNet Model*.\n\n{UNTRIED}"
    )
    controls = {
        "canny": Box("Canny", (1540, 0), (280, 110), {"low_threshold": 0.2, "high_threshold": 0.5}),
        "look": Box("PreviewImage", (1540, 780), (280, 280), title="The edges"),
        "hold_noise": Box("ControlNetApplyAdvanced", (1540, 200), (280, 200), {"strength": 0.6}, "Hold (to noise)"),
        "hold": Box("ControlNetApplyAdvanced", (1540, 490), (280, 200), {"strength": 0.6}, "Hold (to video)"),
    }
    links = ["frames.IMAGE > canny.image", "canny.IMAGE > look.images"]
    for name, (above, below) in {"hold_noise": ("nothing", "nothing"), "hold": ("sentence", "avoid")}.items():
        links += [
            f"{above}.CONDITIONING > {name}.positive",
            f"{below}.CONDITIONING > {name}.negative",
            f"inflate.control_net > {name}.control_net",
            f"canny.IMAGE > {name}.image",
        ]
    return together(
        "look",
        clip(note),
        model(SD_15, 780, control=True),
        said(1160, sentence="a hand made of clay stirs a pot, stop motion", avoid=AVOID, nothing=""),
        (grouped(HOLDS, controls), links),
        there_and_back(1880, "hold_noise", "hold", {"steps": 20, "denoise": 0.4}, 7.5),
        saved("sample.output", 2540),
    )


def edit_anything() -> Graph:
    note = (
        "## Change one thing in a long video\n\n"
        f"With Stable Diffusion 2 for inpainting. {INFLATE}"
        "1. The **mask** says what is painted anew. *Edit mask* paints it on the first frame and holds for all. Where "
        "the thing moves, give a mask a frame in its place: from any node that segments a video by a word (SAM 2 or 3, "
        "Grounding DINO).\n"
        "2. Write what is to be there.\n"
        "3. *ImageCompositeMasked* lays the new frames over your own, so what is not masked stays as it is, to the "
        "pixel.\n\n"
        f"{CHOOSE}{LENGTH}{UNTRIED}"
    )
    masks = {
        "first": Box("ImageFromBatch", (1540, 0), (300, 110)),
        "edit": Box("IVGEditMask", (1540, 200), (300, 340)),
        "told": Box("InpaintModelConditioning", (1540, 620), (300, 160)),
    }
    sampling = {
        "sample": Box("KSampler", (1900, 0), (300, 320), {"steps": 30, "cfg": 7.5, "sampler_name": "ddim", **FIXED}),
        "over": Box("ImageCompositeMasked", (2260, 160), (240, 150)),
    }
    links = [
        "frames.IMAGE > first.image",
        "first.IMAGE > edit.photo",
        "sentence.CONDITIONING > told.positive",
        "avoid.CONDITIONING > told.negative",
        "checkpoint.VAE > told.vae",
        "frames.IMAGE > told.pixels",
        "edit.mask > told.mask",
        "windows.MODEL > sample.model",
        "told.positive > sample.positive",
        "told.negative > sample.negative",
        "told.latent > sample.latent_image",
        "frames.IMAGE > over.destination",
        "decode.IMAGE > over.source",
        "edit.mask > over.mask",
    ]
    return together(
        "edit",
        clip(note),
        model(INPAINTING, 780),
        said(1160, sentence="a red glass bowl", avoid=AVOID),
        ({**grouped(EDITED, masks), **grouped(VIDEO, sampling)}, links),
        saved("sample.LATENT", 2260, "over.IMAGE"),
    )


def scenes_over_depth() -> Graph:
    note = (
        "## One motion, several scenes\n\n"
        f"With Stable Diffusion 2 depth. {INFLATE}"
        "1. **Depth maps** of your video, light is near, as a second video: *Depth video*. Or put any node that "
        "estimates depth behind *Upscale Image*, into **depth** of both *IVG Depth Conditioning*.\n"
        "2. *Video to noise* goes back the whole way, told the depth alone.\n"
        "3. *IVG Prompt Schedule* says from which frame on what is seen, and *Noise to video* makes it.\n\n"
        f"{CHOOSE}{LENGTH}{UNTRIED}"
    )
    deep = {
        "depth_clip": Box("LoadVideo", (360, 830), (380, 340), {"file": DEPTH_FILE}, "Depth video"),
        "depth_parts": Box("GetVideoComponents", (360, 1250), (380, 90)),
        "depth": Box("ImageScale", (360, 1420), (380, 130), SQUARE),
    }
    schedule = {"sentences": "0: a kitchen on a sunny day\n24: a kitchen at night, candle light", "mode": "blend"}
    written = {"schedule": Box("IVGPromptSchedule", (1160, 420), (320, 260), schedule)}
    told = {
        "scenes": Box("IVGEncodeSchedule", (1540, 0), (280, 90)),
        "told_noise": Box("IVGDepthConditioning", (1540, 180), (280, 120), title="Depth (to noise)"),
        "told": Box("IVGDepthConditioning", (1540, 390), (280, 120), title="Depth (to video)"),
    }
    links = [
        "depth_clip.VIDEO > depth_parts.video",
        "depth_parts.images > depth.image",
        "checkpoint.CLIP > scenes.clip",
        "schedule.schedule > scenes.schedule",
        "encode.LATENT > scenes.latent",
        "nothing.CONDITIONING > told_noise.positive",
        "nothing.CONDITIONING > told_noise.negative",
        "scenes.conditioning > told.positive",
        "avoid.CONDITIONING > told.negative",
    ]
    for name in ("told_noise", "told"):
        links += [f"depth.IMAGE > {name}.depth", f"encode.LATENT > {name}.latent"]
    return together(
        "depth",
        clip(note),
        (grouped(YOUR_VIDEO, deep), []),
        model(DEPTH, 780),
        said(1160, nothing="", avoid=AVOID),
        (grouped(MODEL, written) | grouped(DEPTHS, told), links),
        there_and_back(1880, "told_noise", "told", {"steps": 30, "denoise": 1.0}, 12.5),
        saved("sample.output", 2540),
    )


GRAPHS = {
    "ivg_31_video_to_video_sd15": video_to_video,
    "ivg_32_edit_anything_sd2": edit_anything,
    "ivg_33_scenes_over_depth_sd2": scenes_over_depth,
}
