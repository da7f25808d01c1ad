"""ComfyUI's folders and inputs for a node, over the stand-ins of the tests."""

from __future__ import annotations

import inspect
import os
import random
import shutil
import sys
import tempfile
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ivg_core.checkpoints.lora_files import save_lora
from ivg_core.errors import IVGError
from ivg_core.media.images import save_png
from ivg_core.models.lora import LoRA

from . import odd
from .case import ROOT, SECRET, TINY
from .files import clip_frames
from .loras import lora_pairs


@lru_cache(1)
def pack() -> ModuleType:
    """The package of the nodes, loaded over the stand-ins."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "nodes")]
    if "ivg_pack" not in sys.modules:
        import conftest  # noqa: F401  (loads the pack as `ivg_pack`)
    import folder_paths

    from ivg_pack import nodes

    folder_paths.folder_names_and_paths["ivg"][0][:] = [tempfile.mkdtemp(prefix="ivg-malformed-models-")]
    Path(folder_paths.get_folder_paths("ivg")[0], "tiny").symlink_to(TINY)
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="ivg-malformed-cache-")
    return nodes


@lru_cache(1)
def model() -> Any:
    return pack().loaders.LoadIVGModel.execute("tiny", "tiny", "fp32")[0]


@lru_cache(1)
def keypoints() -> Any:
    return pack().hands.HandKeypoints.execute(clip_frames(random.Random(0), 2), 0.5, 0.5, 2, True, 0.15)[0]


class MeanVAE:
    """Latents that are the mean colours of cells and frames."""

    def spacial_compression_encode(self) -> int:
        return 8

    def temporal_compression_decode(self) -> int:
        return 4

    def encode(self, pixels: Tensor) -> Tensor:
        cells = torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), 8)
        return torch.cat([cells, cells[:, :1]], 1)[::4].movedim(0, 1)[None]


def comfy_folders(folder: Path) -> Path:
    """ComfyUI's folders for one case, and beside them what is none of its business; gives the input folder."""
    pack()
    import folder_paths

    base, rng = folder / "comfy", random.Random(0)
    folder_paths.base_path = str(base)
    folder_paths.folder_names_and_paths["loras"] = ([str(base / "loras")], {".safetensors"})
    inputs = Path(folder_paths.get_input_directory())
    for place in (inputs / "photos", folder / SECRET):
        place.mkdir(parents=True)
        save_png(odd.photo(rng), place / "photo.png")
        (place / "photo.txt").write_text("stir the pan")
        (place / "table.csv").write_text("image,prompt\nphoto.png,stir the pan\n")
    shutil.copy(inputs / "photos" / "photo.png", inputs / "photo.png")
    (inputs / "masks").mkdir()
    save_png(torch.from_numpy(odd.region()).float(), inputs / "masks" / "photo.png")
    save_lora(LoRA(lora_pairs(rng)), base / "loras" / "a.safetensors")
    shutil.copy(base / "loras" / "a.safetensors", folder / SECRET / "a.safetensors")
    (inputs / "link").symlink_to(folder / SECRET)
    (base / "loras" / "link.safetensors").symlink_to(folder / SECRET / "a.safetensors")
    return inputs


def item_of(folder: Path) -> Any:
    """What IVG Load Batch hands to IVG Save Batch."""
    return pack().batch.IVGBatchLoader.execute("photos", "b", "stir", "0", "")[4]


def plan() -> Any:
    """What IVG Plan Steps hands to IVG Load Step."""
    from ivg_pack.ivg_core.howto.plan import read_plan

    return read_plan("stir the pan [mask white]")


def step() -> Any:
    """What IVG Load Step hands to IVG Save Step."""
    return pack().how_to.IVGStepLoader.execute(plan(), image(), "made", "make later steps anew")[5]


def how_to() -> Any:
    """What IVG Save Step hands to IVG How-to Film."""
    return pack().step_save.IVGStepSave.execute(step(), image(3), 8.0, True, -1.0)[0]


def video_of(frames: Any) -> Any:
    from comfy_api.latest import InputImpl, Types

    return InputImpl.VideoFromComponents(Types.VideoComponents(images=frames, frame_rate=Fraction(8)))


def window() -> Any:
    """What IVG Crop to RoM hands to IVG Stitch RoM."""
    return pack().window.IVGCropToRoM.execute(odd.photo(random.Random(0))[None], mask(), "zoom", 32, 32, 8, 0.1)[2]


def mask() -> Tensor:
    """A MASK, (1, H, W)."""
    return torch.from_numpy(odd.region()).float()[None]


def image(count: int = 1) -> Tensor:
    """An IMAGE of some frames, (B, H, W, 3)."""
    return clip_frames(random.Random(0), count)


SMALL = {
    "steps": 1,
    "frames": 2,
    "guidance": 1.0,
    "width": 64,
    "height": 48,
    "length": 5,
    "multiple": 8,
    "rank": 2,
    "timeout": 1.0,
}
#: A box track, as its editor keeps it.
TRACK = '{"things": [{"phrase": "cup", "keyframes": [{"at": 0, "box": [0.1, 0.2, 0.3, 0.4]}]}]}'
#: Inputs of a node that are not those of its schema's defaults.
ALSO: dict[str, dict[str, Any]] = {
    "LoadIVGModel": {"model_name": "tiny", "rom_model": "tiny"},
    "IVGBatchLoader": {"table": "photos"},
    "TrainIVGLoRA": {"masks": "everything", "hand_loss": 0.0, "prompt": "stir"},
    "IVGNameThings": {"action": "cut the carrot with a knife"},
    "IVGEnrichAction": {"action": "stir the pan"},
    "IVGPlanSteps": {"text": "1. stir the pan\n2. wash it"},
    "IVGLoadLoRA": {"lora_name": "a.safetensors"},
    "IVGBoxTrack": {"track": TRACK},
    "IVGBoxTrackFrom": {"text": TRACK},
}
#: Nodes to which not every picture and mask that they can take is given: of some they take one only.
NOT_ALL = ("IVGPickBest", "IVGEvaluate", "IVGBoxTrackFrom")


def good_inputs(node: Any, folder: Path) -> dict[str, Any]:
    """Inputs with which a node works."""
    made = {
        "IVG_MODEL": model, "IMAGE": lambda: image(3 if node.__name__ in SEVERAL else 1), "MASK": mask,
        "POSE_KEYPOINT": keypoints,
        "VIDEO": lambda: video_of(image(2)), "VAE": MeanVAE, "LATENT": lambda: {"samples": torch.zeros(1, 4, 3, 6, 8)},
        "IVG_BATCH_ITEM": lambda: item_of(folder), "IVG_WINDOW": window, "IVG_SAMPLER_OPTIONS": lambda: None,
        "MODEL": lambda: None, "IVG_PLAN": plan, "IVG_STEP": step, "IVG_HOW_TO": how_to,
    }  # fmt: skip
    given: dict[str, Any] = {}
    for one in node.GET_SCHEMA().inputs:
        if one.id in ALSO.get(node.__name__, {}):
            given[one.id] = ALSO[node.__name__][one.id]
        elif one.io_type in made:
            if not one.optional or (one.io_type in ("IMAGE", "MASK") and node.__name__ not in NOT_ALL):
                given[one.id] = made[one.io_type]()
        else:
            given[one.id] = SMALL.get(one.id, one.options.get("default"))
    if node.GET_SCHEMA().is_input_list:
        given = {key: [value] for key, value in given.items()}
    return given


#: Nodes that want a clip where others want a photo.
SEVERAL = (
    "IVGAnnotateRoM",
    "IVGHandScore",
    "IVGPickBest",
    "IVGEvaluate",
    "IVGRoMFromVideo",
    "IVGCompositeRoM",
    "TrainIVGLoRA",
    "IVGStitchRoM",
    "IVGStepSave",
)
#: They need what only a real ComfyUI has, or a network.
LEFT_OUT = ("IVGApplyRoMModel", "IVGDownloadModel")


@lru_cache(1)
def classes() -> dict[str, Any]:
    return {node.__name__: node for node in pack().NODES if node.__name__ not in LEFT_OUT}


def run(node: Any, given: dict[str, Any]) -> Any:
    """A node's outputs, run as ComfyUI does."""
    checked = getattr(node, "validate_inputs", None)
    if checked is not None:
        wanted = inspect.signature(checked).parameters
        if (said := checked(**{key: value for key, value in given.items() if key in wanted})) is not True:
            raise IVGError(str(said))  # ComfyUI makes a validation error of it
    if hasattr(node, "fingerprint_inputs"):
        node.fingerprint_inputs(**given)
    shown = (
        (Tensor, str) if node.__name__ == "IVGEvaluate" else (Tensor, str, float, int)
    )  # its nan means: not measured
    with torch.inference_mode():
        return [item for item in node.execute(**given).args if isinstance(item, shown)]
