"""The node classes, and the entry point that lists them for ComfyUI."""

from comfy_api.latest import ComfyExtension

from .apply_rom import IVGApplyRoM, IVGApplyRoMModel, IVGApplyRoMVACE
from .batch import IVGBatchLoader, IVGBatchSave
from .composite import IVGCompositeRoM
from .download import IVGDownloadModel
from .enrich import IVGEnrichAction
from .evaluate import IVGEvaluate
from .hands import HandKeypoints, IVGAnnotateRoM, IVGHandScore, IVGPickBest
from .loaders import LoadIVGModel
from .loras import IVGLoadLoRA
from .masks import IVGEditMask, RefineMask
from .preview import IVGPreviewRoM
from .rom import IVGFallbackRoM, PredictRoMMask
from .sampling import IVGSampler, IVGSamplerOptions
from .scenes import IVGExampleScene
from .training import TrainIVGLoRA
from .video import IVGSaveVideo

NODES = [
    LoadIVGModel,
    PredictRoMMask,
    IVGFallbackRoM,
    RefineMask,
    IVGEditMask,
    IVGSampler,
    IVGSamplerOptions,
    IVGExampleScene,
    IVGEnrichAction,
    IVGBatchLoader,
    IVGBatchSave,
    IVGDownloadModel,
    IVGApplyRoM,
    IVGApplyRoMModel,
    IVGApplyRoMVACE,
    IVGCompositeRoM,
    IVGPreviewRoM,
    IVGSaveVideo,
    TrainIVGLoRA,
    IVGLoadLoRA,
    HandKeypoints,
    IVGAnnotateRoM,
    IVGHandScore,
    IVGPickBest,
    IVGEvaluate,
]


class IVGExtension(ComfyExtension):
    async def get_node_list(self):
        return NODES


async def comfy_entrypoint() -> ComfyExtension:
    return IVGExtension()
