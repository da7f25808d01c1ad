"""LoadIVGModel, and where it looks for models."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import comfy.model_management as mm
import folder_paths
import torch
from comfy_api.latest import io

from ._compat import found_by, supported
from ._model import IVGModelSocket, ManagedModel, manage
from ._notes import noted

log = logging.getLogger("ivg")

FOLDER = "ivg"
TEXT_TO_VIDEO = "text2video"  # where users of other packs keep ModelScope's and zeroscope's files
EMBEDDED = "embedded (tiny, offline)"
SAME_MODEL = "same as model"
NO_BOXES, EMBEDDED_BOXES = "none", "embedded (of the embedded model)"
#: Bytes. A larger file is a whole model: it need not be opened to list it.
LARGEST_GATES = 10**9
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def register_folder() -> None:
    """Make models/ivg and models/text2video known to ComfyUI, beside any folder that extra_model_paths.yaml names."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
    paths, extensions = folder_paths.folder_names_and_paths[FOLDER]
    folder_paths.folder_names_and_paths[FOLDER] = (paths, set(extensions) | {".safetensors"})
    folder_paths.add_model_folder_path(TEXT_TO_VIDEO, os.path.join(folder_paths.models_dir, TEXT_TO_VIDEO))


def find_models() -> dict[str, str]:
    """Name -> path of every checkpoint and all gates below models/ivg and, as text2video/…, below models/text2video."""
    found: dict[str, str] = {}
    for kind, prefix in ((FOLDER, ""), (TEXT_TO_VIDEO, f"{TEXT_TO_VIDEO}/")):
        for root in folder_paths.get_folder_paths(kind):
            for path in _checkpoints_below(root):
                found.setdefault(prefix + os.path.relpath(path, root).replace(os.sep, "/"), path)
    return dict(sorted(found.items()))


def _walk(root: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk` without unfinished downloads."""
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield folder, folders, files


def _checkpoints_below(root: str) -> Iterator[str]:
    from ..ivg_core.checkpoints.original import part_of
    from ..ivg_core.checkpoints.smcd import looks_like_smcd

    for folder, folders, files in _walk(root):
        parts = {file: part_of(file) for file in files}
        # An unfinished download counts too: loading it tells what is missing.
        whole = "unet" in folders or "model_index.json" in files or "unet" in parts.values() or looks_like_smcd(files)
        if folder != root and whole:
            folders.clear()
            yield folder
        else:
            weights = (file for file in files if file.endswith((".safetensors", ".pth")))
            yield from (os.path.join(folder, file) for file in weights if parts[file] in ("", "unet"))


def find_rom_models() -> list[str]:
    """The names of those that hold stage-1 weights."""
    from ..ivg_core.checkpoints.layout import has_stage1

    return [name for name, path in find_models().items() if has_stage1(path)]


def find_gates() -> list[str]:
    """The names of gates for boxes: the embedded model's, if they are installed, and every file below models/ivg."""
    from ..ivg_core.checkpoints.embedded import EMBEDDED_GATES

    own = [EMBEDDED_BOXES] if EMBEDDED_GATES.is_file() else []
    return own + [name for name, path in find_models().items() if _is_of_gates(path)]


def _is_of_gates(path: str) -> bool:
    from ..ivg_core.checkpoints.gates import holds_gates

    return os.path.isfile(path) and os.path.getsize(path) < LARGEST_GATES and holds_gates(path)


def gates_of(name: str) -> str | None:
    """What `load_model` takes for a choice of boxes_model.

    Raises:
        IVGError: nothing of that name lies there any more.
    """
    if name == NO_BOXES:
        return None
    return "embedded" if name == EMBEDDED_BOXES else path_of(name)


def path_of(name: str) -> str:
    """The path behind a name of the list.

    Raises:
        IVGError: nothing of that name lies there any more.
    """
    from ..ivg_core.errors import IVGError

    if name == EMBEDDED:
        return "embedded"
    models = find_models()
    if name not in models:
        places = " or ".join(place for kind in (FOLDER, TEXT_TO_VIDEO) for place in folder_paths.get_folder_paths(kind))
        raise IVGError(f"There is no IVG model {name!r} in {places}: put it there, or choose another one.")
    return models[name]


def places_of_parts() -> list[str]:
    """Where the text encoder and the autoencoder of a model may lie, beside its own folder: SMCD's are ModelScope's."""
    from ..ivg_core.checkpoints.original import part_of

    own = [place for kind in ("text_encoders", "vae") for place in folder_paths.get_folder_paths(kind)]
    below = (found for root in folder_paths.get_folder_paths(TEXT_TO_VIDEO) for found in _walk(root))
    return own + [folder for folder, _, files in below if {"vae", "text_encoder"} & {part_of(file) for file in files}]


def state_of(path: str) -> list[tuple[str, int, int]]:
    """File, time and size of everything at a path: differs as soon as anything there was changed."""
    files = [os.path.join(folder, file) for folder, _, names in os.walk(path) for file in names] or [path]
    stats = [(file, os.stat(file)) for file in sorted(files) if os.path.exists(file)]
    return [(file, stat.st_mtime_ns, stat.st_size) for file, stat in stats]


def choose_dtype(name: str) -> torch.dtype:
    """The dtype behind a choice of the list; `auto` is what ComfyUI thinks best for this device."""
    device = mm.get_torch_device()
    good = {"fp16": mm.should_use_fp16(device), "bf16": mm.should_use_bf16(device), "fp32": True}
    if name == "auto":
        return DTYPES[next(short for short in good if good[short])]
    if not good[name]:
        log.warning("LoadIVGModel: this device is no good at %s, so the model is loaded in fp32.", name)
        name = "fp32"
    return DTYPES[name]


class LoadIVGModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        names = [name for name, path in find_models().items() if not _is_of_gates(path)]
        return io.Schema(
            node_id="LoadIVGModel",
            display_name="IVG Load Model",
            category="IVG/model",
            **found_by("load checkpoint", "animate photo", "image to video", "i2v"),
            description="Loads an IVG model: the tiny one that ships with this pack, or one from models/ivg "
            "(a checkpoint folder with unet/, vae/, text_encoder/ …, or a one-file .safetensors). Also text-to-video "
            "models of the same kind (ModelScope, zeroscope) and SMCD's, from there or from models/text2video.",
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=[EMBEDDED, *names],
                    default=EMBEDDED,
                    tooltip="The model. Folders and files in models/ivg and models/text2video are listed here; the "
                    "embedded one needs no download and knows only drawn kitchen scenes of 192 x 128 pixels.",
                ),
                io.Combo.Input(
                    "rom_model",
                    options=[SAME_MODEL, *find_rom_models()],
                    default=SAME_MODEL,
                    tooltip="Where the stage-1 weights come from, which IVG Predict RoM Mask needs. Checkpoints that "
                    "hold some are listed here; none were ever published, so they come from a training of yours.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=["auto", *DTYPES],
                    default="auto",
                    tooltip="Precision of the weights. auto takes what ComfyUI prefers on this device (fp16 on most "
                    "GPUs, fp32 on a CPU).",
                    **supported(io.Combo.Input, advanced=True),
                ),
                io.Combo.Input(
                    "boxes_model",
                    options=[NO_BOXES, *find_gates()],
                    default=NO_BOXES,
                    optional=True,
                    tooltip="Gates with which the model follows a box track, whose first box lies around the thing as "
                    "the photo shows it. Files of them in models/ivg are listed; models that follow boxes by "
                    "themselves (SMCD) need none.",
                ),
            ],
            outputs=[
                IVGModelSocket.Output(
                    display_name="model", tooltip="The loaded model, for IVG Predict RoM Mask and IVG Sampler."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, rom_model):
        """Older workflows may name a checkpoint that is not in the list: loading it says what it lacks."""
        return True

    @classmethod
    def fingerprint_inputs(cls, model_name, rom_model, dtype, boxes_model=NO_BOXES):
        inside = (EMBEDDED, SAME_MODEL, NO_BOXES, EMBEDDED_BOXES)
        names = [name for name in (model_name, rom_model, boxes_model) if name not in inside]
        return [state_of(path_of(name)) for name in names]

    @classmethod
    @noted
    def execute(cls, model_name, rom_model, dtype, boxes_model=NO_BOXES) -> io.NodeOutput:
        from ..ivg_core.checkpoints.load import load_model

        path, precision = path_of(model_name), choose_dtype(dtype)
        rom = None if rom_model == SAME_MODEL else path_of(rom_model)
        boxes, beside = gates_of(boxes_model), places_of_parts()

        def load() -> ManagedModel:
            # ComfyUI runs nodes in inference mode; weights made there could never be trained.
            with torch.inference_mode(False):
                model = load_model(path, dtype=precision, device="cpu", rom=rom, boxes=boxes, beside=beside)
            return manage(model, load)

        return io.NodeOutput(load())


register_folder()
