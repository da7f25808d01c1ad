"""The workflows that find the region of motion of a real photo; see graphs.py for what describes a graph."""

from __future__ import annotations

from graphs import CLEAN, FIXED, MODEL, ONE_PHOTO, REGION, THINGS, VIDEO, Box, Graph, grouped
from graphs import DRAFT as DRAFT_FRAME
from rom_graphs import ltx_loaders, ltx_video, wan_5b_loaders, wan_5b_video
from rom_parts import (
    KEPT,
    NO_HAND,
    OUTLINE,
    PHOTO,
    Part,
    edited,
    ending,
    framed,
    joined,
    moved,
    note_box,
    photo_and_hands,
    texts,
)

CUTS = "The person cuts the carrot with a knife."
OTHERS = (
    "**Other templates**\n"
    "- *ivg_02_real_photo_sam3*: hands and the things of the sentence; 1.7 GB\n"
    "- *ivg_03_draft_wan22_5b*: what moves in a quick draft, then the video; 18 GB, the better one\n"
    "- *ivg_04_draft_ltx*: the same, quicker and coarser; 19 GB\n"
    "- *ivg_10_video_ltx* to *ivg_14_video_wan_vace*, by the model that you have: the video at once"
)


def real() -> Graph:
    note = (
        "## The region of motion of your own photo\n\n"
        "1. **Load Image**: choose your photo; it should show the hands.\n"
        "2. **Run**: *IVG RoM from Things* draws the region around them. No download.\n"
        "3. **Edit mask**: paint what is missing, save, run again.\n\n"
        f"{NO_HAND}\n\n"
        "**Now the video.** The model inside this pack knows drawn scenes only: of a photo it makes a ghost. "
        "Therefore its three nodes below are muted. With a published checkpoint in `models/ivg`, choose it in *IVG "
        "Load Model*, write your sentence into *action*, select the three and press Ctrl+M.\n\n"
        f"{OTHERS}"
    )
    boxes, links = photo_and_hands()
    boxes["note"] = note_box(note)
    boxes |= grouped(
        REGION,
        {
            "things": Box("IVGRoMFromThings", (700, 0), (320, 480)),
            "edit": Box("IVGEditMask", (1060, 0), (320, 480)),
            "preview": Box("IVGPreviewRoM", (1420, 0), (640, 480), OUTLINE, title="The region of motion"),
        },
    )
    boxes |= grouped(
        VIDEO,
        {
            "ivg": Box("LoadIVGModel", (700, 620), (320, 110), muted=True),
            "sample": Box("IVGSampler", (1060, 620), (320, 620), {"action": CUTS, **FIXED}, muted=True),
            "save": Box("SaveVideo", (1420, 620), (400, 400), {"filename_prefix": "video/ivg"}, muted=True),
        },
    )
    links += [
        "photo.IMAGE > things.image",
        "hands.keypoints > things.keypoints",
        "photo.IMAGE > edit.photo",
        "things.mask > edit.mask",
        "photo.IMAGE > preview.image",
        "edit.mask > preview.mask",
        "ivg.model > sample.model",
        "photo.IMAGE > sample.image",
        "edit.mask > sample.mask",
        "sample.video > save.video",
    ]
    return Graph(boxes, links, picture="preview")


def things_sam3() -> Graph:
    note = (
        "## The region of motion from the things of your sentence\n\n"
        "Needs ComfyUI 0.33 or newer (SAM3).\n\n"
        "1. **Load Image**: choose your photo. **IVG Name Things**: write what will be done, in an English sentence, "
        "or your own names into *edited*.\n"
        "2. **Run**: SAM3 finds the hands and the things, and the region goes around all of them.\n"
        "3. **Edit mask**: paint what is missing, save, run again.\n\n"
        "**When:** if a thing must move that the hands do not hold yet. Hands alone need no download: "
        "*ivg_01_real_photo*.\n\n"
        "**Now the video:** open *ivg_12_video_wan22_5b* or another from 10 to 15; put the nodes from *Load Image* "
        "to *IVG Refine Mask* in place of those there (copy, paste), and link the mask of *IVG Refine Mask* to "
        "its *IVG Apply RoM* and *IVG Composite RoM*. To add what moves in a draft, link *near* of *IVG RoM from "
        "Things* to *IVG RoM from Video*."
    )
    finds = {"threshold": 0.5, "refine_iterations": 2, "individual_masks": True}
    boxes = {
        "note": note_box(note),
        **grouped(ONE_PHOTO, {
            "photo": Box("LoadImage", (360, 0), (300, 320), {"image": PHOTO}),
            "sam": Box("CheckpointLoaderSimple", (360, 400), (300, 110),
                       {"ckpt_name": "sam3.1_multiplex_fp16.safetensors"}),
        }),
        **grouped(THINGS, {
            "names": Box("IVGNameThings", (700, 0), (320, 260), {"action": CUTS, "hands": 0}),
            "thing_words": Box("CLIPTextEncode", (700, 380), (320, 110), title="The things"),
            "hand_words": Box("CLIPTextEncode", (700, 560), (320, 110), {"text": "hand:4"}, "The hands"),
            "find_things": Box("SAM3_Detect", (1060, 0), (300, 220), dict(finds), "SAM3 Detect: things"),
            "find_hands": Box("SAM3_Detect", (1060, 320), (300, 220), dict(finds), "SAM3 Detect: hands"),
        }),
        **grouped(REGION, {
            "things": Box("IVGRoMFromThings", (1400, 0), (320, 480)),
            "edit": Box("IVGEditMask", (1760, 0), (300, 440)),
            "refine": Box("RefineMask", (2100, 0), (280, 480), {**CLEAN, "grow": 0}),
            "preview": Box("IVGPreviewRoM", (1400, 580), (660, 400), OUTLINE, title="The region of motion"),
        }),
    }  # fmt: skip
    links = [
        "names.prompt > thing_words.text",
        "sam.CLIP > thing_words.clip",
        "sam.CLIP > hand_words.clip",
        *(
            link
            for what in ("thing", "hand")
            for link in (
                f"sam.MODEL > find_{what}s.model",
                f"photo.IMAGE > find_{what}s.image",
                f"{what}_words.CONDITIONING > find_{what}s.conditioning",
                f"find_{what}s.masks > things.{what}s",
            )
        ),
        "photo.IMAGE > things.image",
        *edited("things"),
    ]
    return Graph(boxes, links, picture="preview")


DRAFT = (
    "## A quick draft → its region of motion → {model}\n\n"
    "1. **Load Image**: choose your photo. **What is done**: write your sentence; keep *Static camera*.\n"
    "2. **Run**: a small draft ({size}, 33 frames, {steps} steps) shows what moves. *IVG RoM from Video* takes the "
    "camera out and keeps what moves near the hands.\n"
    "3. The video follows, and moves only there. Too tight? Paint with *Edit mask*, or raise *grow* of *IVG RoM from "
    "Video*.\n\n"
    "**When:** if hands and things alone are too little: an arm that reaches, a thing that falls. Hands alone: "
    "*ivg_01_real_photo*, no download. {other}\n\n"
    "{how}\n\n"
    "Draft and video have the same shape: change both sizes alike. The numbers of steps are proposals.\n\n"
)


def drafted(note: str, loaders: Part, draft: Part, frames: str, model: Part, right: int = 0) -> Graph:
    """A draft in front of the video: its region, looked at and edited, goes into the video's nodes.

    `right` are the pixels that the draft's own nodes need beside the usual ones.
    """
    boxes, links = photo_and_hands()
    boxes["note"] = note_box(note, 900)
    boxes |= grouped(
        REGION,
        {
            "find": Box("IVGRoMFromVideo", (1400 + right, 0), (300, 480)),
            "edit": Box("IVGEditMask", (1740 + right, 0), (300, 400)),
            "refine": Box("RefineMask", (1740 + right, 480), (300, 480), {**CLEAN, "grow": 0}),
            "preview": Box("IVGPreviewRoM", (1400 + right, 1040), (640, 380), OUTLINE, title="The region of motion"),
        },
    )
    links += [
        f"{frames} > find.frames",
        "photo.IMAGE > find.image",
        "hands.keypoints > find.keypoints",
        *edited("find"),
    ]
    x = 2080 - 1720 + right  # the video's nodes stand further right than without a draft
    loaded, drawn, video = framed(MODEL, loaders), framed(DRAFT_FRAME, draft), framed(VIDEO, moved(model, x))
    return joined((boxes, links), loaded, drawn, video, ending("decode.IMAGE", 24.0, 2400 + x))


def draft_wan_5b() -> Graph:
    how = "*IVG Apply RoM to Model* holds the photo still outside the region."
    other = "*ivg_04_draft_ltx* is quicker, and coarser."
    note = DRAFT.format(model="Wan 2.2 5B", size="640 x 352", steps=10, how=how, other=other)
    note += KEPT.format(where="the last *Wan22ImageToVideoLatent*")
    draft = (
        {
            "draft_latent": Box("Wan22ImageToVideoLatent", (1060, 0), (300, 190),
                                {"width": 640, "height": 352, "length": 33}, "Draft: size"),
            "draft_sample": Box("KSampler", (1060, 260), (300, 260),
                                {"seed": 1, "steps": 10, "cfg": 5.0, "sampler_name": "uni_pc", "scheduler": "simple",
                                 **FIXED}, "Draft: sampler"),
            "draft": Box("VAEDecode", (1060, 570), (300, 50), title="Draft: frames"),
        },
        [
            "vae.VAE > draft_latent.vae",
            "photo.IMAGE > draft_latent.start_image",
            "shift.MODEL > draft_sample.model",
            "positive.CONDITIONING > draft_sample.positive",
            "negative.CONDITIONING > draft_sample.negative",
            "draft_latent.LATENT > draft_sample.latent_image",
            "draft_sample.LATENT > draft.samples",
            "vae.VAE > draft.vae",
        ],
    )  # fmt: skip
    return drafted(note, wan_5b_loaders(700), draft, "draft.IMAGE", wan_5b_video())


def draft_ltx() -> Graph:
    how = "*IVG Apply RoM* gives LTX the photo as finished outside the region."
    other = "*ivg_03_draft_wan22_5b* is slower, and better."
    note = DRAFT.format(model="LTX-Video", size="480 x 320", steps=10, how=how, other=other)
    note += KEPT.format(where="the last *LTXVImgToVideo*")
    draft = (
        {
            "draft_latent": Box("LTXVImgToVideo", (1060, 0), (300, 230),
                                {"width": 480, "height": 320, "length": 33}, "Draft: size"),
            "draft_rate": Box("LTXVConditioning", (700, 760), (320, 80), {"frame_rate": 24.0}, "Draft: rate",
                              group=MODEL),
            "draft_steps": Box("LTXVScheduler", (700, 900), (320, 160), {"steps": 10}, "Draft: steps",
                               group=MODEL),
            "draft_sample": Box("SamplerCustom", (1060, 290), (300, 250), {"noise_seed": 1, "cfg": 3.0, **FIXED},
                                "Draft: sampler"),
            "draft": Box("VAEDecode", (1060, 590), (300, 50), title="Draft: frames"),
        },
        [
            "positive.CONDITIONING > draft_latent.positive",
            "negative.CONDITIONING > draft_latent.negative",
            "checkpoint.VAE > draft_latent.vae",
            "photo.IMAGE > draft_latent.image",
            "draft_latent.positive > draft_rate.positive",
            "draft_latent.negative > draft_rate.negative",
            "draft_latent.latent > draft_steps.latent",
            "checkpoint.MODEL > draft_sample.model",
            "draft_rate.positive > draft_sample.positive",
            "draft_rate.negative > draft_sample.negative",
            "sampler.SAMPLER > draft_sample.sampler",
            "draft_steps.SIGMAS > draft_sample.sigmas",
            "draft_latent.latent > draft_sample.latent_image",
            "draft_sample.output > draft.samples",
            "checkpoint.VAE > draft.vae",
        ],
    )  # fmt: skip
    return drafted(note, ltx_loaders(700), draft, "draft.IMAGE", ltx_video())


LTX2_SIGMAS = "1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0"  # of core's own template


def ltx2_loaders() -> Part:
    """Model, text encoder, both prompts, and what draft and video share: guider, sampler, sigmas, prepared photo."""
    boxes, links = texts(700, "gemma4-12b-with-proj-ltx-2.5-comfy-int8-convrot.safetensors", "ltxv")
    boxes |= {
        "unet": Box("UNETLoader", (700, 0), (320, 90),
                    {"unet_name": "ltx-2.5-22b-distilled-transformer-comfy-int8-convrot.safetensors"}),
        "vae": Box("VAELoader", (700, 770), (320, 60), {"vae_name": "ltx-2.5-video-vae-bf16.safetensors"},
                   "Load VAE: picture"),
        "audio_vae": Box("VAELoader", (700, 890), (320, 60), {"vae_name": "ltx-2.5-audio-vae-bf16.safetensors"},
                         "Load VAE: sound"),
        "rate": Box("LTXVConditioning", (1060, 0), (300, 80), {"frame_rate": 24.0}),
        "guider": Box("LTXVDualCFGGuider", (1060, 150), (300, 110), {"video_cfg": 1.0, "audio_cfg": 1.0}),
        "sampler": Box("KSamplerSelect", (1060, 330), (300, 60), {"sampler_name": "euler_ancestral"}),
        "steps": Box("ManualSigmas", (1060, 460), (300, 60), {"sigmas": LTX2_SIGMAS}, "Steps"),
        "scaled": Box("ResizeImageMaskNode", (1060, 590), (300, 110),
                      {"resize_type": "scale longer dimension", "resize_type.longer_size": 1536,
                       "scale_method": "lanczos"}),
        "prepared": Box("LTXVPreprocess", (1060, 770), (300, 60), {"img_compression": 18}),
    }  # fmt: skip
    links += [
        "positive.CONDITIONING > rate.positive",
        "negative.CONDITIONING > rate.negative",
        "unet.MODEL > guider.model",
        "rate.positive > guider.positive",
        "rate.negative > guider.negative",
        "photo.IMAGE > scaled.input",
        "scaled.resized > prepared.image",
    ]
    return boxes, links


def ltx2_sampled(prefix: str, x: int, y: int, picture: str) -> Part:
    """From a picture's latent with silence beside it through the sampler, and both apart again."""
    title = "Draft: {}" if prefix else "Video: {}"
    names = {name: prefix + name for name in ("noise", "both", "sample", "apart")}
    boxes = {
        names["noise"]: Box("RandomNoise", (x, y), (300, 90), {"noise_seed": 1, **FIXED}, title.format("noise")),
        names["both"]: Box("LTXVConcatAVLatent", (x, y + 160), (300, 50), title=title.format("picture and sound")),
        names["sample"]: Box("SamplerCustomAdvanced", (x, y + 280), (300, 110), title=title.format("sampler")),
        names["apart"]: Box("LTXVSeparateAVLatent", (x, y + 460), (300, 50), title=title.format("picture, sound")),
    }
    links = [
        f"{picture} > {names['both']}.video_latent",
        f"{prefix}silence.Latent > {names['both']}.audio_latent",
        f"{names['noise']}.NOISE > {names['sample']}.noise",
        f"guider.GUIDER > {names['sample']}.guider",
        f"sampler.SAMPLER > {names['sample']}.sampler",
        f"steps.SIGMAS > {names['sample']}.sigmas",
        f"{names['both']}.latent > {names['sample']}.latent_image",
        f"{names['sample']}.output > {names['apart']}.av_latent",
    ]
    return boxes, links


def ltx2_draft() -> Part:
    """A small video of the photo, without a region."""
    boxes, links = ltx2_sampled("draft_", 1400, 600, "draft_latent.latent")
    boxes |= {
        "draft_size": Box("EmptyLTXVLatentVideo", (1400, 0), (300, 130),
                          {"width": 480, "height": 320, "length": 33}, "Draft: size"),
        "draft_latent": Box("LTXVImgToVideoInplace", (1400, 200), (300, 110), title="Draft: photo"),
        "draft_silence": Box("LTXVEmptyLatentAudio", (1400, 410), (300, 110),
                             {"frames_number": 33, "frame_rate": 24.0}, "Draft: sound"),
        "draft": Box("VAEDecode", (1400, 1180), (300, 50), title="Draft: frames"),
    }  # fmt: skip
    links += [
        "vae.VAE > draft_latent.vae",
        "prepared.output_image > draft_latent.image",
        "draft_size.LATENT > draft_latent.latent",
        "audio_vae.VAE > draft_silence.audio_vae",
        "draft_apart.video_latent > draft.samples",
        "vae.VAE > draft.vae",
    ]
    return boxes, links


def ltx2_video() -> Part:
    """The video that moves only in the region, and its sound."""
    boxes, links = ltx2_sampled("", 2060, 0, "apply.latent")
    boxes |= {
        "size": Box("EmptyLTXVLatentVideo", (1720, 0), (300, 130), {"width": 768, "height": 512}, "Video: size"),
        "length": Box("PrimitiveInt", (1720, 200), (300, 90), {"value": 97}, "Video: frames"),
        "to_video": Box("LTXVImgToVideoInplace", (1720, 360), (300, 110), title="Video: photo"),
        "apply": Box("IVGApplyRoM", (1720, 540), (300, 130)),
        "silence": Box("LTXVEmptyLatentAudio", (1720, 740), (300, 110), {"frame_rate": 24.0}, "Video: sound"),
        "decode": Box("VAEDecodeTiled", (2060, 590), (300, 160),
                      {"tile_size": 512, "overlap": 64, "temporal_size": 64, "temporal_overlap": 16}),
        "sound": Box("LTXVAudioVAEDecode", (2060, 820), (300, 50)),
    }  # fmt: skip
    links += [
        "length.INT > size.length",
        "length.INT > silence.frames_number",
        "vae.VAE > to_video.vae",
        "prepared.output_image > to_video.image",
        "size.LATENT > to_video.latent",
        "prepared.output_image > apply.image",
        "refine.mask > apply.mask",
        "vae.VAE > apply.vae",
        "to_video.latent > apply.latent",
        "audio_vae.VAE > silence.audio_vae",
        "apart.video_latent > decode.samples",
        "vae.VAE > decode.vae",
        "apart.audio_latent > sound.samples",
        "audio_vae.VAE > sound.audio_vae",
        "sound.Audio > create.audio",
    ]
    return boxes, links


def draft_ltx2() -> Graph:
    how = (
        "*IVG Apply RoM* stands before picture and sound are joined: outside the region LTX gets the photo as "
        "finished; the sound is made anew.\n\n"
        "Needs ComfyUI 0.33 or newer. Models, sampler and its 8 steps are those of core's template *LTX-2.5: Image to "
        "Video*, here in one stage, without its upscaler and prompt writer. Untried with the real weights: change "
        "steps and sizes as you see fit. At cfg 1 *What should not be seen* counts for nothing."
    )
    other = "For less disk and memory: *ivg_03_draft_wan22_5b* (18 GB), or *ivg_04_draft_ltx* (19 GB), the quickest."
    note = DRAFT.format(model="LTX-2.5, with sound", size="480 x 320", steps=8, how=how, other=other)
    note += KEPT.format(where="*Video: size* and *Video: frames*")
    note += (
        "\n\n**Before the download** accept the licence at [Lightricks/LTX-2.5]"
        "(https://huggingface.co/Lightricks/LTX-2.5), signed in there."
    )
    return drafted(note, ltx2_loaders(), ltx2_draft(), "draft.IMAGE", ltx2_video(), right=340)


GRAPHS = {"ivg_01_real_photo": real, "ivg_03_draft_wan22_5b": draft_wan_5b, "ivg_04_draft_ltx": draft_ltx}
#: With nodes that the oldest supported ComfyUI lacks.
NEWER = {"ivg_02_real_photo_sam3": things_sam3, "ivg_05_draft_ltx2": draft_ltx2}
