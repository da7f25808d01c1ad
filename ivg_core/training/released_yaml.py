"""The authors' yaml, and animate-anything's, from which it comes: read as settings of ours, each key told.

Source: example/train_mask_motion.yaml of both repositories, and what their train.py does with each key.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..errors import IVGError
from ..settings import nearest

log = logging.getLogger("ivg")

#: Keys that stand in every one of their yamls and in none of ours.
MARKS = ("pretrained_model_path", "train_data", "dataset_types")

#: Their key -> ours, where the value is the same.
SAME = {
    "pretrained_model_path": "model",
    "output_dir": "out",
    "learning_rate": "learning_rate",
    "adam_weight_decay": "weight_decay",
    "max_grad_norm": "clip",
    "train_batch_size": "batch_size",
    "gradient_accumulation_steps": "accumulation",
    "max_train_steps": "steps",
    "checkpointing_steps": "save_every",
    "validation_steps": "validation.every",
    "lr_warmup_steps": "warmup",
    "gradient_checkpointing": "checkpointing",
    "trainable_modules": "trainable",
    "seed": "seed",
}
#: Their key -> what becomes of it here, where more is to be done than to copy it; see `_rest`.
TURNED = {
    "train_data": "`data`: `video_json` or `json_path` is `source`, `video_dir` `videos`, `n_sample_frames` `frames`; "
    "what stands in their code and not in the yaml is added: `frame_sampling: released`, `min_motion: 50`, "
    "`buckets: false`. "
    "Passed over, as their code does: `use_bucketing`, `return_mask`, `return_motion`, `sample_start_idx`",
    "dataset_types": "what is read of `train_data`: `video_json`, `video_blip`, `folder` or `single_video`",
    "extra_train_data": "one source is read: put several lists into one",
    "motion_mask": "`freeze_outside`",
    "motion_strength": "`losses.motion`, 0.001 as in their code, or 0",
    "mixed_precision": "`precision`: no -> fp32",
    "use_8bit_adam": "`optimizer`: adamw8bit",
    "use_offset_noise": "`noise_offset`, with `offset_noise_strength`",
    "offset_noise_strength": "`noise_offset`, where `use_offset_noise` is true",
    "lr_scheduler": "`schedule`: constant or cosine, both after the warm-up",
    "adam_beta1": "`betas`",
    "adam_beta2": "`betas`",
    "use_unet_lora": "`method: lora`, of spatial and temporal layers; theirs takes others (see `convert-lora`)",
    "lora_rank": "`lora.spatial.rank` and `lora.temporal.rank`, where `use_unet_lora` is true",
    "lora_unet_dropout": "`lora.spatial.dropout` and `lora.temporal.dropout`, where `use_unet_lora` is true",
    "validation_data": "`validation.sample_steps` from `num_inference_steps`; the rest are options of `generate`",
}
#: Their key -> why it is passed over.
PASSED = {
    "rescale_schedule": "does nothing in their code; `zero_terminal_snr` is what it was meant to do",
    "cache_latents": "their code for it was taken out; latents are always kept here",
    "cached_latent_dir": "as `cache_latents`; `data.cache` names the folder",
    "extend_dataset": "for several data sets, of which one is read here",
    "train_text_encoder": "their train.py keeps it frozen whatever it says, as it is here",
    "trainable_text_modules": "the text encoder is frozen",
    "extra_text_encoder_params": "the text encoder is frozen",
    "text_encoder_gradient_checkpointing": "the text encoder is frozen",
    "text_encoder_lora_modules": "the text encoder is frozen",
    "use_text_lora": "the text encoder is frozen; `lora.text` changes how the network hears it",
    "lora_text_dropout": "the text encoder is frozen",
    "extra_unet_params": "`learning_rate` and `weight_decay` hold for all that is trained",
    "not_trainable_modules": "does nothing in their code",
    "unet_lora_modules": "`lora` names roles of layers",
    "lora_version": "a LoRA is written as safetensors with named keys; `convert-lora` writes lists",
    "lora_path": "`generate --lora`",
    "save_lora_for_webui": "not written here",
    "only_lora_for_webui": "not written here",
    "save_pretrained_model": "a full training writes the whole model, a LoRA its file",
    "resume_from_checkpoint": "skips steps in their code and loads nothing; `--resume auto` goes on",
    "resume_step": "see `resume_from_checkpoint`",
    "enable_xformers_memory_efficient_attention": "PyTorch's own attention is used",
    "enable_torch_2_attn": "PyTorch's own attention is used",
    "in_channels": "read from the checkpoint",
    "scale_lr": "`learning_rate` is taken as it stands",
    "logger_type": "`log: tensorboard`",
    "shuffle": "clips are always shuffled",
    "kwargs": "what their code was started with",
}
#: Keys of `train_data` -> ours in `data`.
DATA = {
    "video_json": "source",
    "json_path": "source",
    "path": "source",
    "single_video_path": "source",
    "video_dir": "videos",
    "single_video_prompt": "caption",
    "width": "width",
    "height": "height",
    "n_sample_frames": "frames",
    "fps": "fps",
}
#: Which key of `train_data` a kind of data set is read from.
KINDS = {
    "video_json": "video_json",
    "video_blip": "json_path",
    "json": "json_path",
    "folder": "path",
    "single_video": "single_video_path",
}
DATA_PASSED = (
    "use_bucketing", "return_mask", "return_motion", "sample_start_idx", "fallback_prompt", "preprocessed",
    "vid_data_key", "text_encoder", "frame_step", "sample_frame_rate",
)  # fmt: skip


def is_released(values: Mapping[str, Any]) -> bool:
    """Whether a yaml is one of theirs."""
    return any(key in values for key in MARKS)


def from_released(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The settings of ours that mean what one of their yamls does; what is passed over is told as a note.

    Frames are chosen, clips left out and pictures cut as their code does. The masks' folder stands in their code and
    not in the yaml: `data.masks` says where they are, or hands are looked for.

    Args:
        values: of their yaml.
        where: for messages: the file.

    Returns:
        Keys of `TrainConfig`, for stage 2, which alone their train.py trains.

    Raises:
        IVGError: a key that neither code knows, or more data sets than one.
    """
    known = {**SAME, **TURNED, **PASSED}
    for key in values:
        if key not in known:
            raise IVGError(f"{where}: the authors' yaml has no key {key!r}{nearest(str(key), known)}")
    ours: dict[str, Any] = {"stage": 2, "method": "full", "name": "ivg-stage2-full", "text_dropout": 0.15}
    ours |= {"network_dropout": True, "weight_decay": 0.01, "warmup": 20, "learning_rate": 5e-6, "batch_size": 1}
    for key, mine in SAME.items():
        if values.get(key) is not None:
            section, _, name = mine.rpartition(".")
            (ours.setdefault(section, {}) if section else ours)[name] = values[key]
    ours |= _rest(values, ours, where)
    passed = [f"{key} ({PASSED[key]})" for key in values if key in PASSED and values[key] not in (None, False, [], {})]
    if passed:
        log.warning("%s is the authors' yaml. Passed over: %s.", where, "; ".join(passed))
    log.warning(
        "%s: as in their code, clips with a motion score below 50 are left out and the last frames are taken "
        "(data.min_motion, data.frame_sampling). Masks stand in their code: data.masks=FOLDER gives them, or hands are "
        "looked for.",
        where,
    )
    return ours


def _rest(values: Mapping[str, Any], ours: dict[str, Any], where: str) -> dict[str, Any]:
    rest: dict[str, Any] = {"data": _data(values, where), "freeze_outside": bool(values.get("motion_mask", False))}
    rest["losses"] = {"noise": 1.0, "motion": 0.001 if values.get("motion_strength") else 0.0}
    rest["precision"] = {"no": "fp32", None: "fp32", False: "fp32"}.get(
        values.get("mixed_precision"), values.get("mixed_precision")
    )
    if values.get("use_8bit_adam"):
        rest["optimizer"] = "adamw8bit"
    if values.get("use_offset_noise") and not values.get("rescale_schedule"):
        rest["noise_offset"] = values.get("offset_noise_strength", 0.1)
    rest["schedule"] = "cosine" if "cosine" in str(values.get("lr_scheduler", "")) else "constant"
    rest["betas"] = [values.get("adam_beta1", 0.9), values.get("adam_beta2", 0.999)]
    if values.get("use_unet_lora"):
        one = {"rank": values.get("lora_rank", 16), "dropout": values.get("lora_unet_dropout", 0.1)}
        rest |= {"method": "lora", "name": "ivg-stage2", "lora": {"spatial": one, "temporal": one}}
        ours.pop("trainable", None)
    shown = values.get("validation_data")
    steps = shown.get("num_inference_steps") if isinstance(shown, Mapping) else None
    if steps is not None:
        rest["validation"] = {**ours.get("validation", {}), "sample_steps": steps}
    return rest


def _data(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    kinds, told = values.get("dataset_types") or [], values.get("train_data") or {}
    if not isinstance(told, Mapping):
        raise IVGError(f"{where}: train_data is {told!r}, but a section belongs there.")
    if not isinstance(kinds, list):
        raise IVGError(f"{where}: dataset_types is {kinds!r}, but a list belongs there.")
    if values.get("extra_train_data") or len(kinds) > 1:
        raise IVGError(
            f"{where} names several data sets, and one source is read here: put their lists into one .json list, or "
            "leave the others out (`extra_train_data`, and all but one of `dataset_types`)."
        )
    if kinds and kinds[0] not in KINDS:
        raise IVGError(f"{where}: dataset_types is {kinds[0]!r}, which cannot be read here; {', '.join(KINDS)} can.")
    data: dict[str, Any] = {"frame_sampling": "released", "buckets": False, "min_motion": 50.0}
    data |= {"width": 256, "height": 256, "frames": 16, "fps": 8.0}
    for key, value in told.items():
        if key not in DATA and key not in DATA_PASSED:
            known = [*DATA, *DATA_PASSED]
            raise IVGError(f"{where}: the authors' train_data has no key {key!r}{nearest(str(key), known)}")
        if key in DATA and value is not None and (DATA[key] != "source" or not kinds or KINDS[kinds[0]] == key):
            data[DATA[key]] = value
    return data


def key_table() -> str:
    """Each key of their yaml and what it is here, in Markdown."""
    rows = ["| their key | here |", "|---|---|"]
    rows += [f"| `{key}` | `{mine}` |" for key, mine in SAME.items()]
    rows += [f"| `{key}` | {words} |" for key, words in TURNED.items()]
    rows += [f"| `{key}` | passed over: {why} |" for key, why in PASSED.items()]
    return "\n".join(rows) + "\n"
