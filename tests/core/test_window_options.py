"""Windows of time with every other option: windows side by side are clips by themselves, whatever else is asked for.

And long videos of sentences alone; and one frame, which is a video, too.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from box_gates import opened
from sampled import sample

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.errors import IVGError
from ivg_core.media.tracks import Keyframe, Thing, Track
from ivg_core.models.add_gates import with_gates
from ivg_core.models.lora import model_with_lora
from ivg_core.models.text import encode_text
from ivg_core.sampling import ladder
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.prompts import read_schedule

TEXT_TO_VIDEO = Path(__file__).parents[1] / "golden" / "motiondirector" / "training" / "model"
PHOTO = torch.rand(64, 96, 3, generator=torch.Generator().manual_seed(0))
RESTS = Track((Thing("cup", (Keyframe(0, (0.1, 0.2, 0.4, 0.6)), Keyframe(1, (0.1, 0.2, 0.4, 0.6)))),))
SIDE_BY_SIDE = ContextWindows(3, schedule="isolated")
FEW = {"size": (96, 64), "num_inference_steps": 3, "guidance_scale": 2.0}
NOISE = torch.randn(1, 4, 6, 8, 12, generator=torch.Generator().manual_seed(1))


def region(left=16):
    mask = torch.zeros(64, 96)
    mask[24:40, left : left + 16] = 1
    return mask


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch):
    """No sentence is rounded otherwise because of those beside it."""
    monkeypatch.setattr(ladder, "encode_text", lambda model, texts: torch.cat([encode_text(model, [x]) for x in texts]))


@pytest.fixture(scope="module")
def model(tiny_model):
    return replace(tiny_model, unet=opened(with_gates(tiny_model.unet, "carry")))


@pytest.fixture(scope="module")
def of_sentences():
    return load_model(TEXT_TO_VIDEO)


def made(model, action="stir", photo=PHOTO, frames=6, **options):
    given = {"noise": NOISE[:, :, :frames]} if "seed" not in options else {}
    return sample(model, photo, action, num_frames=frames, **(FEW | given | options)).latents


def assert_clips_by_themselves(model, whole, options, actions=("stir", "stir"), masks=(None, None), photo=PHOTO):
    for part, action, mask in zip((slice(0, 3), slice(3, 6)), actions, masks, strict=True):
        own = options if mask is None else options | {"mask": mask}
        alone = made(model, action, photo, 3, noise=NOISE[:, :, part], **own)
        assert torch.equal(whole[:, :, part], alone)


@pytest.mark.parametrize(
    "options",
    [
        {"guidance_interval": (0.0, 0.4)},
        {"cache_every": 2},
        {"cache_every": 3, "guidance_interval": (0.4, 1.0), "solver": "ddim"},
        {"mask": region(), "region": "crop"},
        {"boxes": RESTS, "boxes_scale": 2.0},
        {"mask": region(), "region": "crop", "boxes": RESTS, "cache_every": 2},
        {"mask": region(), "motion_mode": "scaled_by_area", "binarize_mask": True, "t_last": 0},
    ],
)
def test_windows_side_by_side_are_clips_by_themselves(model, options):
    plain = made(model, **options)
    for context in (SIDE_BY_SIDE, replace(SIDE_BY_SIDE, devices=("cpu",))):
        whole = made(model, context=context, **options)
        assert_clips_by_themselves(model, whole, options)
        assert not torch.allclose(whole, plain, atol=1e-3)  # where each frame sees all others


def test_with_a_lora(golden, tiny_model):
    lora = read_lora(golden / "lora_cloneofsimo_r2.pt", tiny_model.unet)
    adapted = model_with_lora(tiny_model, lora)
    whole = made(adapted, context=SIDE_BY_SIDE)
    assert_clips_by_themselves(adapted, whole, {})
    assert not torch.allclose(whole, made(tiny_model, context=SIDE_BY_SIDE), atol=1e-3)


def test_with_a_mask_and_a_sentence_for_each_stretch(model):
    masks = [region(16), region(64)]
    schedule = read_schedule("0: chop | 3: stir")
    whole = made(model, schedule.with_masks(masks), context=SIDE_BY_SIDE, cache_every=2)
    assert_clips_by_themselves(model, whole, {"cache_every": 2}, schedule.sentences, masks)


@pytest.mark.parametrize(
    "options", [{"region": "zoom"}, {"region": "crop", "keep_first_frame": True, "composite": True}]
)
def test_one_window_of_a_part_of_the_picture_is_plain(tiny_model, options):
    small = replace(tiny_model, defaults=replace(tiny_model.defaults, width=48, height=32))
    options |= {"mask": region(), "seed": 1}
    plain = made(small, frames=3, **options)
    assert torch.equal(made(small, frames=3, context=ContextWindows(8, 2), **options), plain)
    several = made(small, frames=5, context=ContextWindows(3, 2, schedule="uniform"), **options)
    assert several.shape == (1, 4, 5, *plain.shape[3:]) and several.isfinite().all()


def test_one_frame_is_a_window(model):
    assert torch.equal(made(model, frames=1, context=ContextWindows()), made(model, frames=1))
    with pytest.raises(IVGError, match=r'"stir" begins at frame 1, and the video has 1 frames'):
        made(model, read_schedule("0: chop | 1: stir"), frames=1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mask": torch.ones(4, 64, 96)}, "mask has 4 frames for 1 photo: give one mask for each photo"),
        ({"noise": NOISE[:, :, :4]}, r"noise has shape \(1, 4, 4, 8, 12\), and this run needs \(1, 4, 6, 8, 12\)"),
        ({"mask": region(), "region": "zoom"}, "Noise cannot be given with region"),
    ],
)
def test_masks_and_noise_of_another_length(model, options, said):
    with pytest.raises(IVGError, match=said):
        made(model, read_schedule("0: chop | 3: stir"), context=ContextWindows(3, 2), **options)


def test_a_long_video_of_sentences_alone(of_sentences):
    """One window is plain; several are clips by themselves, and a second sentence changes its own only."""
    plain = made(of_sentences, "chop", None)
    assert torch.equal(made(of_sentences, "chop", None, context=ContextWindows(6, 2)), plain)
    one, two = (
        made(of_sentences, action, None, context=SIDE_BY_SIDE)
        for action in ("chop", read_schedule("0: chop | 3: stir"))
    )
    assert_clips_by_themselves(of_sentences, one, {}, ("chop", "chop"), photo=None)
    assert_clips_by_themselves(of_sentences, two, {}, ("chop", "stir"), photo=None)
    assert not torch.allclose(one[:, :, 3:], two[:, :, 3:], atol=1e-3)


def test_a_second_sentence_reaches_the_frames_of_its_windows_only(of_sentences):
    """In one step; in several, windows that overlap pass it on."""
    options = {"context": ContextWindows(3, 1), "num_inference_steps": 1}
    one, two = (made(of_sentences, action, None, **options) for action in ("chop", read_schedule("0: chop | 3: stir")))
    changed = (one - two).abs().amax((0, 1, 3, 4)) > 1e-3
    assert changed.tolist() == [False, False, True, True, True, True]  # told stir: the windows of 2-4 and 3-5


def test_sentences_alone_have_no_mask_for_their_stretches(of_sentences):
    with pytest.raises(IVGError, match="without a photo for a mask"):
        made(of_sentences, read_schedule("0: chop | 3: stir").with_masks([None, region()]), None)
