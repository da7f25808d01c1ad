"""The example workflows that train core's own video models and use what they learned; see graphs.py.

`make_core_workflows.py` writes them.
"""

from __future__ import annotations

import dataclasses
from pathlib import PurePosixPath

from graphs import CLEAN, FIXED, LEARNED, MODEL, ONE_PHOTO, REGION, THINGS, TRAINING, VIDEO, Box, Graph, grouped
from rom_graphs import wan_5b_loaders, wan_5b_video
from rom_parts import MY_ROM, OUTLINE, PHOTO, SENTENCE, Part, ending, framed, joined, moved, note_box, photo_and_hands
from sd_graphs import CLIP_FILE

YOUR_CLIPS = (
    "**Your clips:** choose one in *Load Video* and write into **prompt** what happens in it. Or take *Load Video* out "
    "and name a folder in **folder**, each clip with its sentence in a `.txt` file of the same name. A still camera, "
    "one action, hands in sight: masks are made from the hands. Something else moves? See **masks**.\n\n"
    "**Cancel** keeps what was learned; run again to go on.\n\n"
    "**Memory of the training:** all of the model at once, and on top what the node says when it begins. Too much? {}"
)


def training(settings: dict) -> Part:
    """The loaders, and the training on one clip with its loss curve."""
    boxes, links = wan_5b_loaders(360)
    boxes |= grouped(
        TRAINING,
        {
            "film": Box("LoadVideo", (720, 0), (380, 340), {"file": CLIP_FILE}),
            "curve": Box("PreviewImage", (720, 480), (380, 320), title="Loss"),
            "train": Box("IVGTrainCoreLoRA", (1140, 0), (420, 1160), {"prompt": SENTENCE, **settings}),
        },
    )
    links += [
        "film.VIDEO > train.video",
        "unet.MODEL > train.model",
        "vae.VAE > train.vae",
        "clip.CLIP > train.clip",
        "train.loss_curve > curve.images",
    ]
    return boxes, links


def predicted(at: tuple[int, int], model: str) -> Part:
    """A photo's region of motion by a model with what stage 1 learned, and the empty sentence."""
    boxes = {
        "empty": Box("CLIPTextEncode", (at[0], at[1]), (320, 110), {"text": ""}, "Empty sentence"),
        "predict": Box("IVGPredictRoMCore", (at[0], at[1] + 190), (320, 620), dict(FIXED)),
    }
    links = [
        "clip.CLIP > empty.clip",
        f"{model} > predict.model",
        "vae.VAE > predict.vae",
        "positive.CONDITIONING > predict.positive",
        "empty.CONDITIONING > predict.negative",
        "photo.IMAGE > predict.image",
    ]
    return boxes, links


def train_rom() -> Graph:
    note = (
        "## Teach Wan 2.2 5B where a photo will move\n\n"
        "1. **IVG Train RoM LoRA** learns from clips and their sentences to make the mask video of what moves (stage "
        "1). The loss curve grows in the node; *Save Video* keeps what it makes of the clip's first frame.\n"
        "2. **IVG Predict RoM (any model)** asks the trained model about another photo: choose it in *Load Image*, and "
        "write your sentence into *What is done*.\n"
        "3. Later open *ivg_37_predict_rom_any_model*, which loads the file from `models/loras/ivg`.\n\n"
        f"{YOUR_CLIPS.format('Lower **frames** to 17, then **width** and **height**.')}\n\n"
        "One clip: 300 to 1000 steps. A folder: 2000 and more."
    )
    boxes, links = training({"save_name": PurePosixPath(MY_ROM).stem, "steps": 500})
    del boxes["negative"]
    links.remove("clip.CLIP > negative.clip")
    asked, asked_links = predicted((1960, 0), "train.model")
    asked |= {
        "photo": Box("LoadImage", (1600, 0), (320, 320), {"image": PHOTO}),
        "create": Box("CreateVideo", (2320, 0), (300, 80), {"fps": 24.0}),
        "save": Box("SaveVideo", (2320, 160), (400, 400), {"filename_prefix": "video/ivg_validation"}),
    }
    asked_links += ["train.validation > create.images", "create.VIDEO > save.video"]
    whole = joined(({"note": note_box(note)}, []), (boxes, links), (grouped(LEARNED, asked), asked_links))
    return dataclasses.replace(whole, picture="curve")


def predict_rom() -> Graph:
    note = (
        "## Where will it move? Asked of Wan 2.2 5B\n\n"
        "1. *LoraLoaderModelOnly* puts on the model what *ivg_36_train_rom_wan22_5b* has learned: choose your file.\n"
        "2. **IVG Predict RoM (any model)** makes the mask video of the sentence *What is done*; the union of its "
        "frames is the region of motion.\n"
        "3. **IVG Apply RoM** and **IVG Apply RoM to Model** let the model move only there. The video is made "
        "**without** that LoRA, which makes masks.\n"
        "4. **IVG Composite RoM** puts the photo's own pixels back outside the region.\n\n"
        "**Your photo:** choose it in *Load Image*, and write your sentence into *What is done*.\n\n"
        "**Too large or too small a region?** Change **threshold**, or **grow** of *IVG Refine Mask*.\n\n"
        "**Another model for the video:** take its part from *ivg_10_video_ltx* to *ivg_14_video_wan_vace*."
    )
    boxes, links = wan_5b_loaders(700)
    boxes["lora"] = Box("LoraLoaderModelOnly", (700, 790), (320, 90), {"lora_name": MY_ROM}, group=MODEL)
    region, region_links = predicted((1060, 0), "lora.MODEL")
    region |= {
        "refine": Box("RefineMask", (1420, 0), (280, 480), {**CLEAN, "grow": 15}),
        "preview": Box("IVGPreviewRoM", (1060, 900), (640, 340), OUTLINE),
    }
    boxes |= {
        "note": note_box(note),
        "photo": Box("LoadImage", (360, 0), (300, 320), {"image": PHOTO}, group=ONE_PHOTO),
        **grouped(REGION, region),
    }
    links += [
        "unet.MODEL > lora.model",
        *region_links,
        "predict.mask > refine.mask",
        "photo.IMAGE > preview.image",
        "refine.mask > preview.mask",
    ]
    video = moved(framed(VIDEO, wan_5b_video()), 60)
    return joined((boxes, links), video, ending("decode.IMAGE", 24.0, 2480))


def train_hands() -> Graph:
    lower = "Set **hand_loss** to 0, then lower **frames** to 17, then **width** and **height**."
    note = (
        "## Teach Wan 2.2 5B an action, and hands that keep their shape\n\n"
        "1. **IVG Train RoM LoRA** learns from clips and their sentences (stage 2). The region of motion counts "
        "**inside** times as much as the rest, **hand_loss** looks at the joints of the hands, and with "
        "**tell_region** the clip is held still outside the region.\n"
        "2. *KSampler* makes a video of your photo with what was learned, in the region of its hands only: *IVG Apply "
        "RoM to Model*. Choose the photo in *Load Image*, and write your sentence into *What is done*.\n"
        "3. Later put *LoraLoaderModelOnly* with the file from `models/loras/ivg` in the training's place.\n\n"
        f"{YOUR_CLIPS.format(lower)}\n\n"
        "**A photo without hands?** Make its region as *ivg_37_predict_rom_any_model* does."
    )
    settings = {
        "save_name": "my_hands",
        "stage": "2: the video",
        "steps": 1000,
        "inside": 3.0,
        "hand_loss": 1.0,
        "tell_region": True,
    }
    boxes, links = moved(photo_and_hands(), 1240)
    boxes |= grouped(
        THINGS,
        {
            "hands": dataclasses.replace(boxes["hands"], at=(1960, 0), group=""),
            "things": Box("IVGRoMFromThings", (2300, 0), (300, 440)),
            "refine": Box("RefineMask", (2640, 0), (280, 480), {**CLEAN, "grow": 15}),
            "preview": Box("IVGPreviewRoM", (2300, 560), (620, 340), OUTLINE),
        },
    )
    links += [
        "photo.IMAGE > things.image",
        "hands.keypoints > things.keypoints",
        "things.mask > refine.mask",
        "photo.IMAGE > preview.image",
        "refine.mask > preview.mask",
    ]
    video, video_links = moved(framed(VIDEO, wan_5b_video()), 1260)
    video_links[video_links.index("unet.MODEL > shift.model")] = "train.model > shift.model"
    end = ending("decode.IMAGE", 24.0, 3680)
    note_part: Part = ({"note": note_box(note)}, [])
    return joined(note_part, training(settings), (boxes, links), (video, video_links), end)


GRAPHS = {
    "ivg_36_train_rom_wan22_5b": train_rom,
    "ivg_37_predict_rom_any_model": predict_rom,
    "ivg_38_train_hands_wan22_5b": train_hands,
}
