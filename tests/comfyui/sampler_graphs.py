"""The workflows that sample an IVG model by core's own samplers; `make_workflows.py` writes them."""

from __future__ import annotations

from graphs import DRAWN_ONLY, FIXED, MODEL, VIDEO, Box, Graph, beginning, grouped, region

WINDOWS = {"context_length": 8, "context_overlap": 4, "dim": 2}
#: What newer ones have more: freenoise, two lists, and what they make of a window's first frame, which ours has not.
NEWER_WINDOWS = (False, "", False, "", False)
PARTS = (
    "**IVG Model Parts** gives the model as ComfyUI's own *MODEL*, *CLIP* and *VAE*; the weights are the same. **IVG "
    "Image to Video** tells the sampler the photo, the region and how much moves, and gives the latent.\n\n"
)
CHANGE = (
    "- **LoRAs:** *LoraLoaderModelOnly* behind *IVG Model Parts*, or *IVG Load LoRA* in front of it.\n"
    "- **VAE Decode** needs the VAE of *IVG Model Parts*: another one decodes only the first frame.\n"
)
END = f"\nThe help of *IVG Model Parts* lists what of ComfyUI works with it.\n\nRuns offline.\n\n{DRAWN_ONLY}"


def told(x: int, frames: int) -> dict[str, Box]:
    """The parts of the model, and what the sampler is told."""
    return grouped(
        MODEL,
        {
            "parts": Box("IVGModelParts", (x, 0), (320, 110)),
            "positive": Box("CLIPTextEncode", (x, 200), (320, 110), title="What is done"),
            "negative": Box("CLIPTextEncode", (x, 400), (320, 110), {"text": ""}, "Negative"),
            "told": Box("IVGImageToVideo", (x + 370, 0), (320, 260), {"frames": frames}),
        },
    )


def saved(x: int) -> dict[str, Box]:
    """What decodes the latent and saves the video."""
    return {
        "decode": Box("VAEDecode", (x, 0), (260, 80)),
        "video": Box("CreateVideo", (x, 180), (260, 100), {"fps": 8}),
        "save": Box("SaveVideo", (x + 310, 0), (400, 400), {"filename_prefix": "video/ivg"}),
    }


LINKS = [
    "scene.action > sentence.source",
    "model.model > predict.model",
    "scene.image > predict.image",
    "scene.action > predict.action",
    "predict.mask > refine.mask",
    "model.model > parts.model",
    "parts.CLIP > positive.clip",
    "parts.CLIP > negative.clip",
    "scene.action > positive.text",
    "positive.CONDITIONING > told.positive",
    "negative.CONDITIONING > told.negative",
    "parts.VAE > told.vae",
    "scene.image > told.image",
    "refine.mask > told.mask",
    "told.positive > sample.positive",
    "told.negative > sample.negative",
    "told.latent > sample.latent_image",
    "decode.IMAGE > video.images",
    "video.VIDEO > save.video",
    "parts.VAE > decode.vae",
]


def ksampler_windows() -> Graph:
    note = (
        "## Our model in ComfyUI's KSampler, in its context windows\n\n"
        f"{PARTS}"
        "**Context Windows** cuts the 24 frames into windows of 8, for which the embedded model was made (16 for the "
        "published ones); each is told the photo, the region and the sentence whole. **dim** has to be 2: there "
        "the frames are. *causal_window_fix*, in newer ones, stays off.\n\n"
        f"{CHANGE}"
        "- **scheduler** of *KSampler*: to have the very steps of *IVG Sampler*, open *ivg_40_sampler_custom*.\n"
        f"{END}"
    )
    sampling = {
        "windows": Box("ContextWindowsManual", (2170, 0), (300, 230), WINDOWS),
        "sample": Box(
            "KSampler",
            (2170, 320),
            (300, 270),
            {**FIXED, "steps": 8, "cfg": 1.0, "sampler_name": "dpmpp_2m", "scheduler": "sgm_uniform"},
        ),
    }
    return Graph(
        boxes=beginning(note, seed=0) | region(730) | told(1430, 24) | grouped(VIDEO, sampling | saved(2520)),
        links=[
            *LINKS,
            "parts.MODEL > windows.model",
            "windows.MODEL > sample.model",
            "sample.LATENT > decode.samples",
        ],
        picture="predict",
    )


def sampler_custom() -> Graph:
    note = (
        "## Our model in ComfyUI's SamplerCustom\n\n"
        f"{PARTS}"
        "**IVG Scheduler** gives the very steps of *IVG Sampler*. Choose the fellow of its **solver** in "
        "*KSamplerSelect*: *dpmpp_2m* for dpm++2m, *euler* for ddim, *lcm* for lcm. Any other sampler of ComfyUI may "
        "stand there too.\n\n"
        f"{CHANGE}"
        "- **cfg** is the guidance; the embedded model was made for 1, the published ones for 9.\n"
        f"{END}"
    )
    sampling = {
        "scheduler": Box("IVGScheduler", (2170, 0), (300, 140)),
        "sampler": Box("KSamplerSelect", (2170, 230), (300, 60), {"sampler_name": "dpmpp_2m"}),
        "sample": Box("SamplerCustom", (2170, 380), (300, 310), {"cfg": 1.0, "noise_seed": 0, **FIXED}),
    }
    return Graph(
        boxes=beginning(note, seed=3) | region(730) | told(1430, 0) | grouped(VIDEO, sampling | saved(2520)),
        links=[
            *LINKS,
            "parts.MODEL > scheduler.model",
            "parts.MODEL > sample.model",
            "scheduler.sigmas > sample.sigmas",
            "sampler.SAMPLER > sample.sampler",
            "sample.output > decode.samples",
        ],
        picture="predict",
    )


GRAPHS = {"ivg_39_ksampler_windows": ksampler_windows, "ivg_40_sampler_custom": sampler_custom}
