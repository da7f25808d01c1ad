"""The node classes, and the entry point that lists them for ComfyUI."""

from comfy_api.latest import ComfyExtension

from .loaders import LoadIVGModel
from .masks import IVGEditMask, RefineMask
from .rom import IVGFallbackRoM, PredictRoMMask
from .sampling import IVGSampler, IVGSamplerOptions
from .scenes import IVGExampleScene

NODES = [
    LoadIVGModel,
    PredictRoMMask,
    IVGFallbackRoM,
    RefineMask,
    IVGEditMask,
    IVGSampler,
    IVGSamplerOptions,
    IVGExampleScene,
]


class IVGExtension(ComfyExtension):
    async def get_node_list(self):
        return NODES


async def comfy_entrypoint() -> ComfyExtension:
    return IVGExtension()
