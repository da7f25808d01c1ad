"""The workflows that lend a photo's region of motion to video models; see graphs.py for what describes a graph."""

from __future__ import annotations

from graphs import FIXED, MODEL, OVER_PHOTO, VIDEO, Box, Graph, grouped
from rom_parts import OUTLINE, SENTENCE, Part, ending, framed, joined, region, texts


def ltx_loaders(x: int) -> Part:
    """Model, text encoder and both prompts."""
    boxes, links = texts(x, "t5xxl_fp16.safetensors", "ltxv")
    boxes["checkpoint"] = Box(
        "CheckpointLoaderSimple", (x, 0), (320, 110), {"ckpt_name": "ltx-video-2b-v0.9.safetensors"}, group=MODEL
    )
    return boxes, links


def ltx_video() -> Part:
    """The video that moves only in the region."""
    return (
        {
            "to_video": Box("LTXVImgToVideo", (1720, 0), (300, 230), {"width": 768, "height": 512, "length": 97}),
            "apply": Box("IVGApplyRoM", (1720, 300), (300, 130)),
            "rate": Box("LTXVConditioning", (1720, 500), (300, 80), {"frame_rate": 24.0}),
            "sampler": Box("KSamplerSelect", (2060, 320), (300, 60), {"sampler_name": "euler"}),
            "steps": Box("LTXVScheduler", (2060, 440), (300, 160), {"steps": 30}),
            "sample": Box("SamplerCustom", (2060, 0), (300, 250), {"noise_seed": 1, "cfg": 3.0, **FIXED}),
            "decode": Box("VAEDecode", (2060, 660), (300, 50)),
        },
        [
            "positive.CONDITIONING > to_video.positive",
            "negative.CONDITIONING > to_video.negative",
            "checkpoint.VAE > to_video.vae",
            "photo.IMAGE > to_video.image",
            "photo.IMAGE > apply.image",
            "refine.mask > apply.mask",
            "checkpoint.VAE > apply.vae",
            "to_video.latent > apply.latent",
            "to_video.positive > rate.positive",
            "to_video.negative > rate.negative",
            "to_video.latent > steps.latent",
            "checkpoint.MODEL > sample.model",
            "rate.positive > sample.positive",
            "rate.negative > sample.negative",
            "sampler.SAMPLER > sample.sampler",
            "steps.SIGMAS > sample.sigmas",
            "apply.latent > sample.latent_image",
            "sample.output > decode.samples",
            "checkpoint.VAE > decode.vae",
        ],
    )


def ltx() -> Graph:
    how = (
        "## Region of motion → LTX-Video\n\n*IVG Apply RoM* stands in the latent wire: outside the region LTX gets the "
        "photo as finished, and makes only the rest. Soft mask edges work."
    )
    end = ending("decode.IMAGE", 24.0, 2400)
    return joined(region(how, "*LTXVImgToVideo*"), ltx_loaders(1360), framed(VIDEO, ltx_video()), end)


def wan_21() -> Graph:
    how = (
        "## Region of motion → Wan 2.1 image to video\n\n*IVG Apply RoM* stands in the latent wire: at every step the "
        "sampler puts the photo's latents back outside the region. Wan's own start image stays as it is."
    )
    model = (
        {
            "unet": Box("UNETLoader", (1360, 0), (320, 90), {"unet_name": "wan2.1_i2v_480p_14B_fp16.safetensors"},
                        group=MODEL),
            "vae": Box("VAELoader", (1360, 140), (320, 60), {"vae_name": "wan_2.1_vae.safetensors"}, group=MODEL),
            "vision": Box("CLIPVisionLoader", (1360, 760), (320, 60), {"clip_name": "clip_vision_h.safetensors"},
                          group=MODEL),
            "see": Box("CLIPVisionEncode", (1360, 870), (320, 80), {"crop": "none"}, group=MODEL),
            "shift": Box("ModelSamplingSD3", (2060, 320), (300, 60), {"shift": 8.0}),
            "to_video": Box("WanImageToVideo", (1720, 0), (300, 230), {"width": 832, "height": 480, "length": 81}),
            "apply": Box("IVGApplyRoM", (1720, 300), (300, 130)),
            "sample": Box("KSampler", (2060, 0), (300, 260), {"seed": 1, "cfg": 6.0, "sampler_name": "uni_pc",
                                                               "scheduler": "simple", **FIXED}),
            "decode": Box("VAEDecode", (2060, 440), (300, 50)),
        },
        [
            "unet.MODEL > shift.model",
            "positive.CONDITIONING > to_video.positive",
            "negative.CONDITIONING > to_video.negative",
            "vae.VAE > to_video.vae",
            "photo.IMAGE > to_video.start_image",
            "vision.CLIP_VISION > see.clip_vision",
            "photo.IMAGE > see.image",
            "see.CLIP_VISION_OUTPUT > to_video.clip_vision_output",
            "photo.IMAGE > apply.image",
            "refine.mask > apply.mask",
            "vae.VAE > apply.vae",
            "to_video.latent > apply.latent",
            "shift.MODEL > sample.model",
            "to_video.positive > sample.positive",
            "to_video.negative > sample.negative",
            "apply.latent > sample.latent_image",
            "sample.LATENT > decode.samples",
            "vae.VAE > decode.vae",
        ],
    )  # fmt: skip
    encoder = texts(1360, "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "wan")
    return joined(region(how, "*WanImageToVideo*"), framed(VIDEO, model), encoder, ending("decode.IMAGE", 16.0, 2400))


def wan_22() -> Graph:
    how = (
        "## Region of motion → Wan 2.2 14B, two experts\n\n*IVG Apply RoM to Model* stands in the wire of **each** "
        "expert, and the sampler keeps its latent. (A noise mask would not do here: the second expert would hold the "
        "noisy latents that the first one leaves.)\n\nFor the 4-step LoRAs put *LoraLoaderModelOnly* behind each "
        "*Load Diffusion Model*, and set 4 steps, cfg 1, change of experts at 2."
    )
    expert = {"steps": 20, "cfg": 3.5, "sampler_name": "euler", "scheduler": "simple", "noise_seed": 1, **FIXED}
    model = (
        {
            "high": Box("UNETLoader", (1360, -280), (320, 90),
                        {"unet_name": "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors"}, group=MODEL),
            "low": Box("UNETLoader", (1360, -140), (320, 90),
                       {"unet_name": "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors"}, group=MODEL),
            "vae": Box("VAELoader", (1360, 140), (320, 60), {"vae_name": "wan_2.1_vae.safetensors"}, group=MODEL),
            "high_shift": Box("ModelSamplingSD3", (1720, -280), (300, 60), {"shift": 5.0}),
            "low_shift": Box("ModelSamplingSD3", (1720, -140), (300, 60), {"shift": 5.0}),
            "high_apply": Box("IVGApplyRoMModel", (2060, -280), (300, 60)),
            "low_apply": Box("IVGApplyRoMModel", (2060, -140), (300, 60)),
            "to_video": Box("WanImageToVideo", (1720, 0), (300, 230), {"width": 832, "height": 480, "length": 81}),
            "apply": Box("IVGApplyRoM", (1720, 300), (300, 130)),
            "first": Box("KSamplerAdvanced", (2060, 0), (300, 340),
                         {**expert, "add_noise": "enable", "start_at_step": 0, "end_at_step": 10,
                          "return_with_leftover_noise": "enable"}, "High noise"),
            "second": Box("KSamplerAdvanced", (2060, 420), (300, 340),
                          {**expert, "add_noise": "disable", "start_at_step": 10, "end_at_step": 10000,
                           "return_with_leftover_noise": "disable"}, "Low noise"),
            "decode": Box("VAEDecode", (2060, 840), (300, 50)),
        },
        [
            "high.MODEL > high_shift.model",
            "low.MODEL > low_shift.model",
            "high_shift.MODEL > high_apply.model",
            "low_shift.MODEL > low_apply.model",
            "apply.latent > high_apply.rom",
            "apply.latent > low_apply.rom",
            "positive.CONDITIONING > to_video.positive",
            "negative.CONDITIONING > to_video.negative",
            "vae.VAE > to_video.vae",
            "photo.IMAGE > to_video.start_image",
            "photo.IMAGE > apply.image",
            "refine.mask > apply.mask",
            "vae.VAE > apply.vae",
            "to_video.latent > apply.latent",
            "high_apply.model > first.model",
            "to_video.positive > first.positive",
            "to_video.negative > first.negative",
            "to_video.latent > first.latent_image",
            "low_apply.model > second.model",
            "to_video.positive > second.positive",
            "to_video.negative > second.negative",
            "first.LATENT > second.latent_image",
            "second.LATENT > decode.samples",
            "vae.VAE > decode.vae",
        ],
    )  # fmt: skip
    encoder = texts(1360, "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "wan")
    return joined(region(how, "*WanImageToVideo*"), framed(VIDEO, model), encoder, ending("decode.IMAGE", 16.0, 2400))


def wan_5b_loaders(x: int) -> Part:
    """Model, VAE, text encoder and both prompts."""
    boxes, links = texts(x, "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "wan")
    boxes |= {
        "unet": Box("UNETLoader", (x, 0), (320, 90), {"unet_name": "wan2.2_ti2v_5B_fp16.safetensors"}),
        "vae": Box("VAELoader", (x, 140), (320, 60), {"vae_name": "wan2.2_vae.safetensors"}),
    }
    return grouped(MODEL, boxes), links


def wan_5b_video() -> Part:
    """The video that moves only in the region."""
    return (
        {
            "shift": Box("ModelSamplingSD3", (1720, 500), (300, 60), {"shift": 8.0}),
            "held": Box("IVGApplyRoMModel", (1720, 620), (300, 60)),
            "to_video": Box("Wan22ImageToVideoLatent", (1720, 0), (300, 190),
                            {"width": 1280, "height": 704, "length": 121}),
            "apply": Box("IVGApplyRoM", (1720, 260), (300, 130)),
            "sample": Box("KSampler", (2060, 0), (300, 260), {"seed": 1, "cfg": 5.0, "sampler_name": "uni_pc",
                                                               "scheduler": "simple", **FIXED}),
            "decode": Box("VAEDecode", (2060, 340), (300, 50)),
        },
        [
            "unet.MODEL > shift.model",
            "shift.MODEL > held.model",
            "apply.latent > held.rom",
            "vae.VAE > to_video.vae",
            "photo.IMAGE > to_video.start_image",
            "photo.IMAGE > apply.image",
            "refine.mask > apply.mask",
            "vae.VAE > apply.vae",
            "to_video.LATENT > apply.latent",
            "held.model > sample.model",
            "positive.CONDITIONING > sample.positive",
            "negative.CONDITIONING > sample.negative",
            "to_video.LATENT > sample.latent_image",
            "sample.LATENT > decode.samples",
            "vae.VAE > decode.vae",
        ],
    )  # fmt: skip


def wan_5b() -> Graph:
    how = (
        "## Region of motion → Wan 2.2 5B\n\n*IVG Apply RoM to Model* stands in the model's wire, and the sampler "
        "keeps its latent: this model's noise mask is for whole frames only.\n\nHunyuanVideo works the same way."
    )
    end = ending("decode.IMAGE", 24.0, 2400)
    return joined(region(how, "*Wan22ImageToVideoLatent*"), wan_5b_loaders(1360), framed(VIDEO, wan_5b_video()), end)


def wan_vace() -> Graph:
    how = (
        "## Region of motion → Wan VACE\n\n*IVG Apply RoM (Wan VACE)* makes the control video (the photo, then grey in "
        "the region) and the control masks (white is made anew). **box** gives VACE a box, which it follows better."
    )
    model = (
        {
            "unet": Box("UNETLoader", (1360, 0), (320, 90), {"unet_name": "wan2.1_vace_1.3B_fp16.safetensors"},
                        group=MODEL),
            "vae": Box("VAELoader", (1360, 140), (320, 60), {"vae_name": "wan_2.1_vae.safetensors"}, group=MODEL),
            "apply": Box("IVGApplyRoMVACE", (1720, 0), (300, 220)),
            "to_video": Box("WanVaceToVideo", (1720, 300), (300, 300)),
            "shift": Box("ModelSamplingSD3", (2060, 320), (300, 60), {"shift": 8.0}),
            "sample": Box("KSampler", (2060, 0), (300, 260), {"seed": 1, "cfg": 6.0, "sampler_name": "uni_pc",
                                                               "scheduler": "simple", **FIXED}),
            "trim": Box("TrimVideoLatent", (2060, 440), (300, 60)),
            "decode": Box("VAEDecode", (2060, 560), (300, 50)),
        },
        [
            "photo.IMAGE > apply.image",
            "refine.mask > apply.mask",
            "apply.control_video > to_video.control_video",
            "apply.control_masks > to_video.control_masks",
            "apply.width > to_video.width",
            "apply.height > to_video.height",
            "apply.length > to_video.length",
            "positive.CONDITIONING > to_video.positive",
            "negative.CONDITIONING > to_video.negative",
            "vae.VAE > to_video.vae",
            "unet.MODEL > shift.model",
            "shift.MODEL > sample.model",
            "to_video.positive > sample.positive",
            "to_video.negative > sample.negative",
            "to_video.latent > sample.latent_image",
            "sample.LATENT > trim.samples",
            "to_video.trim_latent > trim.trim_amount",
            "trim.LATENT > decode.samples",
            "vae.VAE > decode.vae",
        ],
    )  # fmt: skip
    encoder = texts(1360, "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "wan")
    return joined(
        region(how, "*IVG Apply RoM (Wan VACE)*"), framed(VIDEO, model), encoder, ending("decode.IMAGE", 16.0, 2400)
    )


def any_video() -> Graph:
    how = (
        "## Region of motion → the video of any model\n\n*IVG Composite RoM* lays a finished video over the still "
        "photo: also one from an API. Here *IVG Sampler* stands for that model; its own composite is switched off.\n\n"
        "Runs offline, but the embedded model knows drawn scenes only. Put your video's frames (*Load Video* → *Get "
        "Video Components*) in its place."
    )
    boxes, links = region(how, "your model", "*action*")
    boxes["ivg"] = Box("LoadIVGModel", (1360, -200), (320, 110), group=VIDEO)
    boxes["sample"] = Box(
        "IVGSampler", (1360, 0), (320, 620), {"action": SENTENCE, "composite": False, **FIXED}, group=VIDEO
    )
    boxes["look"] = Box(
        "IVGPreviewRoM", (1720, 690), (740, 400), OUTLINE, title="Does it stay inside?", group=OVER_PHOTO
    )
    links += [
        "ivg.model > sample.model",
        "photo.IMAGE > sample.image",
        "refine.mask > sample.mask",
        "photo.IMAGE > look.image",
        "refine.mask > look.mask",
        "composite.frames > look.after",
    ]
    end, end_links = ending("sample.frames", 8.0, 1720)
    end["save"] = Box(
        "IVGSaveVideo", (2060, 0), (400, 400), {"filename_prefix": "video/ivg_rom", "format": "gif"}, group=OVER_PHOTO
    )
    return joined((boxes, links), (end, end_links))


GRAPHS = {
    "ivg_15_any_video": any_video,
    "ivg_10_video_ltx": ltx,
    "ivg_11_video_wan21": wan_21,
    "ivg_13_video_wan22_14b": wan_22,
    "ivg_12_video_wan22_5b": wan_5b,
    "ivg_14_video_wan_vace": wan_vace,
}
