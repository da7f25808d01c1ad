"""Tensors as networks have them, with the channels first, are told in one sentence wherever pictures are taken."""

from functools import cache

import numpy as np
import pytest
import torch

import ivg_core as ivg
from ivg_core.errors import IVGError
from ivg_core.hands.score import score_hands
from ivg_core.hands.tracker import HandTracker
from ivg_core.media.video import write_video
from ivg_core.rom.find import find_rom, hands_in
from ivg_core.sampling.edit import SourceVideo

PHOTO, FRAMES = torch.rand(3, 48, 64), torch.rand(5, 3, 48, 64)
MASK = torch.ones(48, 64)
GOOD = torch.rand(48, 64, 3)


@cache
def tracker():
    return HandTracker()


ENTRIES = {
    "generate": lambda model, x: ivg.generate(model, x, "stir"),
    "generate, a batch": lambda model, x: ivg.generate(model, [GOOD, x], "stir"),
    "predict_rom": lambda model, x: ivg.predict_rom(model, x, "stir"),
    "predict_regions": lambda model, x: ivg.predict_regions(model, x, ivg.read_schedule("0: stir")),
    "generate_chain": lambda model, x: ivg.generate_chain(model, x, "stir", num_frames=2),
    "find_rom": lambda model, x: find_rom(x, MASK),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("kind", ["tensor", "array"])
def test_photos(tiny_model, entry, kind):
    photo = PHOTO.numpy() if kind == "array" else PHOTO
    said = r"channel-first, as \(3, 48, 64\): give \(height, width, 3\), which is x\.(permute|transpose)\(1, 2, 0\)\.$"
    with pytest.raises(IVGError, match=said) as error:
        ENTRIES[entry](tiny_model, photo)
    turned = "transpose" if kind == "array" else "permute"
    assert f"x.{turned}(1, 2, 0)" in str(error.value)
    assert PHOTO.permute(1, 2, 0).shape == np.transpose(PHOTO.numpy(), (1, 2, 0)).shape == (48, 64, 3)


@pytest.mark.parametrize("batch", [FRAMES, FRAMES.half(), (FRAMES * 255).byte()])
def test_batches_of_photos(tiny_model, batch):
    with pytest.raises(IVGError, match="channel-first"):
        ivg.generate(tiny_model, batch, "stir")
    with pytest.raises(IVGError, match=r"as \(1, 3, 48, 64\): give \(frames, height, width, 3\)"):
        ivg.generate(tiny_model, batch[:1], "stir")


@pytest.mark.parametrize(
    "call",
    [
        lambda x: write_video(x, "v.mp4", 8),
        lambda x: score_hands(x, tracker()),
        lambda x: find_rom(GOOD, MASK, draft=x),
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_frames(call, channels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = r"channel-first, as \(5, \d, 48, 64\): give \(frames, height, width, 3\), which is x\.permute\(0, 2, 3, 1\)"
    with pytest.raises(IVGError, match=said):
        call(torch.rand(5, channels, 48, 64))
    assert not list(tmp_path.iterdir())


def test_hands_of_a_photo():
    with pytest.raises(IVGError, match="channel-first"):
        hands_in(PHOTO)


def test_a_source_video(glv_more):
    from ivg_core.checkpoints.load import load_model

    model = load_model(glv_more.folder / "sd1")
    with pytest.raises(IVGError, match="frames of the source video came channel-first"):
        ivg.generate(model, None, "stir", source=SourceVideo(FRAMES, 1.0))


@pytest.mark.parametrize("shape", [(3, 48, 64), (4, 48, 64)])
def test_a_mask_of_several_channels(tiny_model, shape):
    with pytest.raises(IVGError, match=r"channel-first or as several, \(\d, 48, 64\): give \(height, width\)"):
        find_rom(GOOD, torch.ones(shape))


@pytest.mark.parametrize("call", [lambda x: ivg.refine_mask(x), lambda x: find_rom(GOOD, x)])
def test_masks(call):
    with pytest.raises(IVGError, match=r"channel-first, as \(5, 1, 48, 64\): give .*, which is x\.amax\(1\)\."):
        call(torch.ones(5, 1, 48, 64))


def test_pictures_of_three_columns_are_not_taken_for_channels(tiny_model):
    """What can be read the usual way is."""
    from ivg_core.media.images import to_image

    assert to_image(torch.rand(3, 3, 3)).shape == (3, 3, 3) and to_image(torch.rand(3, 64, 3)).shape == (3, 64, 3)
