"""The node classes, and the entry point that lists them for ComfyUI.

A module that cannot be imported here takes only its own nodes away, and the log says why.
"""

import importlib
import logging

from comfy_api.latest import ComfyExtension

from ._compat import register_replacements

#: Module -> its node classes, in the order in which they are listed.
MODULES = {
    "loaders": ["LoadIVGModel"],
    "rom": ["PredictRoMMask", "IVGFallbackRoM"],
    "masks": ["RefineMask", "IVGEditMask"],
    "sampling": ["IVGSampler", "IVGSamplerOptions"],
    "invert": ["IVGInvertVideo"],
    "scenes": ["IVGExampleScene"],
    "enrich": ["IVGEnrichAction"],
    "batch": ["IVGBatchLoader", "IVGBatchSave"],
    "download": ["IVGDownloadModel"],
    "apply_rom": ["IVGApplyRoM", "IVGApplyRoMModel", "IVGApplyRoMVACE"],
    "apply_rom_concat": ["IVGApplyRoMConcat"],
    "composite": ["IVGCompositeRoM"],
    "preview": ["IVGPreviewRoM"],
    "video": ["IVGSaveVideo"],
    "training": ["TrainIVGLoRA"],
    "core_training": ["IVGTrainCoreLoRA"],
    "core_rom": ["IVGPredictRoMCore"],
    "loras": ["IVGLoadLoRA"],
    "hands": ["HandKeypoints", "IVGAnnotateRoM", "IVGHandScore", "IVGPickBest"],
    "evaluate": ["IVGEvaluate"],
    "find": ["IVGNameThings", "IVGRoMFromThings", "IVGRoMFromVideo"],
    "window": ["IVGCropToRoM", "IVGStitchRoM"],
    "text_to_video": ["IVGTextToVideo"],
    "motion": ["IVGMotionClip", "IVGTrainMotion"],
    "tracks": ["IVGBoxTrack", "IVGBoxTrackFrom"],
    "long_video": ["IVGWindows", "IVGPromptSchedule"],
    "plan_steps": ["IVGPlanSteps"],
    "how_to": ["IVGStepLoader"],
    "step_save": ["IVGStepMask", "IVGStepSave"],
    "how_to_film": ["IVGHowTo"],
    "optimize": ["IVGOptimizeModel"],
    "inflate": ["IVGInflateModel", "IVGDepthConditioning", "IVGEncodeSchedule"],
    "core_model": ["IVGModelParts", "IVGImageToVideo", "IVGScheduler"],
}

#: Nodes that were renamed, as keywords of core's `io.NodeReplace`: workflows that hold the old name open with the new
#: one, where ComfyUI can do that. Name every input that the old node had, else its value is lost:
#: {"old_node_id": "IVGOld", "new_node_id": "IVGNew", "old_widget_ids": ["seed"],
#:  "input_mapping": [{"new_id": "image", "old_id": "photo"}, {"new_id": "seed", "old_id": "seed"}]}
RENAMED: list[dict] = []


def load_nodes() -> list[type]:
    """The node classes of every module that can be imported; the others are named in the log."""
    nodes = []
    for module, names in MODULES.items():
        try:
            loaded = importlib.import_module(f".{module}", __name__)
        except Exception as error:  # whatever it is, the other nodes work without it
            logging.getLogger("ivg").error(
                "Comfy-IVG works without %s, which cannot be loaded here: %s: %s (nodes/%s.py)",
                ", ".join(names), type(error).__name__, error, module,
            )  # fmt: skip
        else:
            nodes += [getattr(loaded, name) for name in names]
    return nodes


NODES = load_nodes()


class IVGExtension(ComfyExtension):
    async def on_load(self):  # ComfyUI 0.3.64 never calls it
        await register_replacements(RENAMED)

    async def get_node_list(self):
        return NODES


async def comfy_entrypoint() -> ComfyExtension:
    return IVGExtension()
