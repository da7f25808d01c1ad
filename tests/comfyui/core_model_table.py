"""Core's nodes that take a MODEL, or what it is told, and what they do to one of IVG Model Parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CHANGES, SAME = "changes", "same"


@dataclass(frozen=True)
class Row:
    """A node in the list.

    Args:
        where: comfy_extras/nodes_<where>.py, or "" for nodes.py.
        does: "changes" the video, leaves it the "same", or words of the sentence with which it stops.
        inputs: what it is given beside its own defaults; a word in capitals is a thing of the bench.
        becomes: what of the sampling its first output is.
        steps: of the sampling.
    """

    where: str
    does: str
    inputs: dict[str, Any] = field(default_factory=dict)
    becomes: str = "model"
    steps: int = 3


def of_model(where: str, does: str, **inputs: Any) -> Row:
    return Row(where, does, {"model": "MODEL", **inputs})


def guider(does: str, where: str = "custom_sampler", **inputs: Any) -> Row:
    return Row(where, does, {"model": "MODEL", **inputs}, "guider")


def steps(does: str, where: str = "custom_sampler", **inputs: Any) -> Row:
    return Row(where, does, inputs, "sigmas")


def told(does: str, **inputs: Any) -> Row:
    """A node of nodes.py that makes a conditioning of one."""
    return Row("", does, {"conditioning": "POSITIVE", **inputs}, "positive")


def latent(does: str, where: str = "", **inputs: Any) -> Row:
    return Row(where, does, {"samples": "LATENT", **inputs}, "latent")


PATCHED = "An IVG model's attention and blocks cannot be patched"
CONTROLLED = "An IVG model follows no ControlNet"

NODES: dict[str, Row] = {
    "LoraLoaderModelOnly": of_model("", CHANGES, lora_name="all.safetensors"),
    "LoraLoader": of_model("", CHANGES, clip="CLIP", lora_name="all.safetensors"),
    "LoraLoaderBypass": of_model("lora_debug", CHANGES, clip="CLIP", lora_name="all.safetensors"),
    "LoraLoaderBypassModelOnly": of_model("lora_debug", CHANGES, lora_name="all.safetensors"),
    "CreateHookLoraModelOnly": Row("hooks", CHANGES, {"lora_name": "all.safetensors"}, "hooks"),
    "RescaleCFG": of_model("model_advanced", CHANGES),
    "ModelSamplingDiscrete": of_model("model_advanced", CHANGES, sampling="v_prediction", zsnr=True),
    "ModelSamplingContinuousEDM": of_model("model_advanced", CHANGES),
    "ModelSamplingContinuousV": of_model("model_advanced", CHANGES),
    "ModelSamplingSD3": of_model("model_advanced", CHANGES),
    "ModelComputeDtype": of_model("model_advanced", CHANGES, dtype="bf16"),
    "ModelNoiseScale": of_model("model_advanced", "set_parameters"),
    "ModelAttentionBackend": of_model("model_advanced", SAME),
    "TorchCompileModel": of_model("torch_compile", SAME, backend="eager"),
    "EasyCache": Row("easycache", CHANGES, {"model": "MODEL"}, steps=12),
    "LazyCache": Row("easycache", CHANGES, {"model": "MODEL"}, steps=12),
    "ContextWindowsManual": of_model("context_windows", SAME, dim=2),
    "WanContextWindowsManual": of_model("context_windows", SAME, context_length=81),
    "APG": of_model("apg", CHANGES),
    "CFGZeroStar": of_model("cfg", CHANGES),
    "CFGNorm": of_model("cfg", CHANGES),
    "CFGOverride": of_model("custom_sampler", CHANGES),
    "TCFG": of_model("tcfg", CHANGES),
    "RenormCFG": of_model("lumina2", CHANGES),
    "Mahiro": of_model("mahiro", CHANGES),
    "FreSca": of_model("fresca", CHANGES, freq_cutoff=1),
    "Epsilon Scaling": of_model("eps", CHANGES),
    "TemporalScoreRescaling": of_model("eps", CHANGES),
    "VideoLinearCFGGuidance": of_model("video_model", CHANGES),
    "VideoTriangleCFGGuidance": of_model("video_model", CHANGES),
    "DifferentialDiffusion": of_model("differential_diffusion", SAME),
    "PerpNeg": of_model("perpneg", CHANGES, empty_conditioning="SILENT"),
    "PerpNegGuider": guider(CHANGES, "perpneg", positive="POSITIVE", negative="NEGATIVE", empty_conditioning="SILENT"),
    "CFGGuider": guider(SAME, cfg=7.0, positive="POSITIVE", negative="NEGATIVE"),
    "BasicGuider": guider(CHANGES, conditioning="POSITIVE"),
    "DualCFGGuider": guider(CHANGES, cond1="POSITIVE", cond2="POSITIVE", negative="NEGATIVE"),
    "DualModelGuider": guider(CHANGES, model_negative="MODEL", positive="POSITIVE", negative="NEGATIVE"),
    "LatentOperationSharpen": Row("latent", "Padding size", {}, "operation"),
    "LatentOperationTonemapReinhard": Row("latent", CHANGES, {}, "operation"),
    "ModelMergeSimple": Row("model_merging", CHANGES, {"model1": "MODEL", "model2": "STAGE 1", "ratio": 0.5}),
    "ModelMergeSubtract": Row("model_merging", CHANGES, {"model1": "MODEL", "model2": "STAGE 1"}),
    "ModelMergeAdd": Row("model_merging", CHANGES, {"model1": "MODEL", "model2": "STAGE 1"}),
    "ModelMergeBlocks": Row(
        "model_merging", CHANGES, {"model1": "MODEL", "model2": "STAGE 1", "input": 0.5, "middle": 0.5, "out": 0.5}
    ),
    "ModelSave": Row("model_merging", SAME, {"model": "MODEL"}, "file"),
    "CheckpointSave": Row("model_merging", SAME, {"model": "MODEL", "clip": "CLIP", "vae": "VAE"}, "file"),
    "VAESave": Row("model_merging", SAME, {"vae": "VAE"}, "file"),
    "CLIPSave": Row("model_merging", SAME, {"clip": "CLIP"}, "file"),
    "LoraSave": Row("lora_extract", SAME, {"model_diff": "MODEL"}, "file"),
    "HyperTile": of_model("hypertile", PATCHED),
    "TomePatchModel": of_model("tomesd", PATCHED),
    "PerturbedAttentionGuidance": of_model("pag", PATCHED),
    "SelfAttentionGuidance": of_model("sag", PATCHED),
    "FreeU": of_model("freelunch", PATCHED),
    "FreeU_V2": of_model("freelunch", PATCHED),
    "PatchModelAddDownscale": of_model("model_downscale", PATCHED),
    "UNetSelfAttentionMultiply": of_model("attention_multiply", CHANGES, q=2.0),
    "UNetCrossAttentionMultiply": of_model("attention_multiply", CHANGES, q=2.0),
    "UNetTemporalAttentionMultiply": of_model("attention_multiply", SAME, self_temporal=2.0),
    "CLIPAttentionMultiply": Row("attention_multiply", CHANGES, {"clip": "CLIP", "q": 2.0}, "clip"),
    "NAGuidance": of_model("nag", PATCHED),
    "SkipLayerGuidanceDiT": of_model("slg", PATCHED, start_percent=0.0, end_percent=1.0),
    "SkipLayerGuidanceDiTSimple": of_model("slg", PATCHED),
    "SkipLayerGuidanceSD3": of_model("sd3", PATCHED, start_percent=0.0, end_percent=1.0),
    "ScaleROPE": of_model("rope", SAME),
    "wanBlockSwap": of_model("nop", SAME),
    "MultiGPU_WorkUnits": of_model("multigpu", SAME),
    "SelectModelDevice": of_model("multigpu", SAME),
    "ControlNetApply": told(CONTROLLED, control_net="CONTROL", image="PHOTO", strength=1.0),
    "ControlNetApplyAdvanced": Row(
        "",
        CONTROLLED,
        {"positive": "POSITIVE", "negative": "NEGATIVE", "control_net": "CONTROL", "image": "PHOTO"},
        "both",
    ),
    "ConditioningSetArea": told(CHANGES, width=64, height=64),
    "ConditioningSetAreaPercentage": told("out of range", width=0.5, height=0.5),
    "ConditioningSetAreaPercentageVideo": Row(
        "video_model", CHANGES, {"conditioning": "POSITIVE", "width": 0.5, "height": 0.5, "temporal": 0.5}, "positive"
    ),
    "ConditioningSetAreaStrength": told(SAME, strength=0.5),
    "ConditioningSetMask": told(CHANGES, mask="MASK"),
    "ConditioningSetTimestepRange": told(CHANGES, start=0.5, end=1.0),
    "ConditioningMultiply": told(CHANGES, multiplier=0.5),
    "ConditioningZeroOut": told(CHANGES),
    "ConditioningCombine": Row("", CHANGES, {"conditioning_1": "POSITIVE", "conditioning_2": "NEGATIVE"}, "positive"),
    "ConditioningConcat": Row(
        "", CHANGES, {"conditioning_to": "POSITIVE", "conditioning_from": "NEGATIVE"}, "positive"
    ),
    "ConditioningAverage": Row(
        "",
        CHANGES,
        {"conditioning_to": "POSITIVE", "conditioning_from": "NEGATIVE", "conditioning_to_strength": 0.5},
        "positive",
    ),
    "InpaintModelConditioning": Row(
        "",
        SAME,
        {
            "positive": "POSITIVE",
            "negative": "NEGATIVE",
            "vae": "VAE",
            "pixels": "PHOTO",
            "mask": "MASK",
            "noise_mask": True,
        },
        "both",
    ),
    "SetLatentNoiseMask": latent(CHANGES, mask="MASK"),
    "RepeatLatentBatch": latent(CHANGES, amount=2),
    "LatentFromBatch": latent(SAME),
    "LatentUpscale": latent(CHANGES, width=128, height=96, upscale_method="bilinear"),
    "LatentUpscaleBy": latent(CHANGES, scale_by=1.5, upscale_method="bilinear"),
    "EmptyLatentImage": Row("", CHANGES, {"width": 96, "height": 64}, "latent"),
    "EmptyHunyuanLatentVideo": Row("hunyuan", CHANGES, {"width": 96, "height": 64, "length": 13}, "latent"),
    "LatentCut": latent(CHANGES, "latent", dim="t", amount=2),
    "LatentConcat": Row("latent", CHANGES, {"samples1": "LATENT", "samples2": "LATENT", "dim": "t"}, "latent"),
    "BasicScheduler": steps(SAME, scheduler="simple", model="MODEL", steps=3),
    "SDTurboScheduler": steps(CHANGES, model="MODEL"),
    "BetaSamplingScheduler": steps(CHANGES, model="MODEL", steps=3),
    "KarrasScheduler": steps(CHANGES, steps=3),
    "AlignYourStepsScheduler": steps(CHANGES, "align_your_steps", steps=3),
    "GITSScheduler": steps(CHANGES, "gits", steps=3),
}
