"""Frames and masks of other number formats, and none at all, in every node that takes them."""

import pytest
import torch

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.nodes.apply_rom import IVGApplyRoMVACE
from ivg_pack.nodes.composite import IVGCompositeRoM
from ivg_pack.nodes.evaluate import IVGEvaluate
from ivg_pack.nodes.find import OUTLINES, IVGRoMFromVideo
from ivg_pack.nodes.hands import HandKeypoints, IVGAnnotateRoM, IVGHandScore, IVGPickBest
from ivg_pack.nodes.masks import IVGEditMask, RefineMask
from ivg_pack.nodes.preview import LAYOUTS, IVGPreviewRoM
from ivg_pack.nodes.rom import IVGFallbackRoM
from ivg_pack.nodes.window import IVGCropToRoM, IVGStitchRoM

PHOTO = 0.2 + 0.6 * torch.rand(1, 48, 64, 3, generator=torch.Generator().manual_seed(0))
MASK = torch.zeros(1, 48, 64)
MASK[:, 16:32, 20:40] = 1
REFINE = (0.5, 0, 0, False, "as it is", 2, "union", 0.0, 0)


def stitched(images, mask):
    window = IVGCropToRoM.execute(images[:1], mask, "zoom", 32, 32, 8, 0.1)[2]
    return IVGStitchRoM.execute(images[:, :32, :32], window, -1.0, True)[0]


#: Each gives the first output for frames and a mask.
NODES = {
    "composite": lambda images, mask: IVGCompositeRoM.execute(images, images[:1], mask, -1.0, True)[0],
    "composite photo": lambda images, mask: IVGCompositeRoM.execute(images, images[:1], mask, -1.0, True, "photo")[0],
    "preview": lambda images, mask: IVGPreviewRoM.execute(images[:1], mask, 0.5, 2, LAYOUTS[1], images)[0],
    "edit": lambda images, mask: IVGEditMask.execute(images, "", mask)[0],
    "refine": lambda images, mask: RefineMask.execute(mask, *REFINE)[0],
    "fallback": lambda images, mask: IVGFallbackRoM.execute(images, "prior", 0, mask)[0],
    "vace": lambda images, mask: IVGApplyRoMVACE.execute(images, mask, 64, 48, 5, True)[0],
    "crop": lambda images, mask: IVGCropToRoM.execute(images, mask, "zoom", 32, 32, 8, 0.1)[0],
    "stitch": stitched,
    "evaluate": lambda images, mask: IVGEvaluate.execute(images, mask)[1],
    "keypoints": lambda images, mask: HandKeypoints.execute(images, 0.5, 0.5, 2, True, 0.15)[1],
    "annotate": lambda images, mask: IVGAnnotateRoM.execute(images, 0.1, False, 1, False, 0.5, 0.5)[2],
    "score": lambda images, mask: torch.tensor([float(IVGHandScore.execute(images, 0.5, 0.5)[0])]),
    "best": lambda images, mask: IVGPickBest.execute([images])[0],
    "draft": lambda images, mask: IVGRoMFromVideo.execute(
        images, 1.0, 0.15, next(iter(OUTLINES)), 0.02, "hands and things", near=mask
    )[0],
}
FORMATS = {
    "half": lambda x: x.half(),
    "bfloat16": lambda x: x.bfloat16(),
    "bytes": lambda x: (x * 255).round().byte(),
    "alpha": lambda x: torch.cat([x, torch.ones_like(x[..., :1])], -1) if x.ndim == 4 else x,
}


def clip():
    return PHOTO.repeat(3, 1, 1, 1)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", NODES)
def test_every_number_format_means_the_same(name, kind):
    usual = NODES[name](clip(), MASK)
    other = NODES[name](FORMATS[kind](clip()), FORMATS[kind](MASK))
    assert other.dtype == torch.float32 and other.shape == usual.shape
    assert (other - usual).abs().mean() < 0.02


@pytest.mark.parametrize("name", sorted(NODES.keys() - {"refine"}))
def test_no_frames_are_one_sentence(name):
    with pytest.raises(IVGError, match="There are no "):
        NODES[name](clip()[:0], MASK)


@pytest.mark.parametrize("name", sorted(NODES.keys() - {"refine", "fallback"}))
def test_nan_is_refused(name):
    frames = clip()
    frames[:, 3, 3] = float("nan")
    with pytest.raises(IVGError, match="NaN"):
        NODES[name](frames, MASK)


@pytest.mark.parametrize("name", ["refine", "crop", "edit"])
def test_no_masks_are_one_sentence(name):
    with pytest.raises(IVGError, match="There are no "):
        NODES[name](clip(), MASK[:0])
