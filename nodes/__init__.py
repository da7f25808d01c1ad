"""The node classes, and the entry point that lists them for ComfyUI.

A module that cannot be imported here takes only its own nodes away, and the log says why.
"""

import importlib
import logging

from comfy_api.latest import ComfyExtension

#: Module -> its node classes, in the order in which they are listed.
MODULES = {
    "loaders": ["LoadIVGModel"],
    "rom": ["PredictRoMMask", "IVGFallbackRoM"],
    "masks": ["RefineMask", "IVGEditMask"],
    "sampling": ["IVGSampler", "IVGSamplerOptions"],
    "scenes": ["IVGExampleScene"],
    "enrich": ["IVGEnrichAction"],
    "batch": ["IVGBatchLoader", "IVGBatchSave"],
    "download": ["IVGDownloadModel"],
    "apply_rom": ["IVGApplyRoM", "IVGApplyRoMModel", "IVGApplyRoMVACE"],
    "composite": ["IVGCompositeRoM"],
    "preview": ["IVGPreviewRoM"],
    "video": ["IVGSaveVideo"],
    "training": ["TrainIVGLoRA"],
    "loras": ["IVGLoadLoRA"],
    "hands": ["HandKeypoints", "IVGAnnotateRoM", "IVGHandScore", "IVGPickBest"],
    "evaluate": ["IVGEvaluate"],
}


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
    async def get_node_list(self):
        return NODES


async def comfy_entrypoint() -> ComfyExtension:
    return IVGExtension()
