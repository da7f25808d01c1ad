import comfy.model_management as mm
import comfy.utils
import pytest
import torch

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.rom.preview import draw_tint
from ivg_pack.nodes.rom import IVGFallbackRoM, PredictRoMMask

PHOTOS = torch.rand(2, 48, 64, 3, generator=torch.Generator().manual_seed(0))
WIDGETS = {
    "action": "the person cuts the carrot", "seed": 3, "steps": 2, "guidance": 1.0, "threshold": 0.4, "min_area": 1,
    "close": 0, "frames": 2,
}  # fmt: skip


def predict(model, image=PHOTOS[:1], **changes):
    return PredictRoMMask.execute(model, image, **{**WIDGETS, **changes})


def test_a_photo_gets_a_region(model):
    output = predict(model)
    mask, frame_masks, preview = output.args
    assert mask.shape == (1, 48, 64) and frame_masks.shape == (2, 48, 64) and preview.shape == (1, 48, 64, 3)
    assert torch.equal(mask[0], frame_masks.amax(0))
    assert torch.equal(preview[0], draw_tint(PHOTOS[0], mask[0]))
    assert torch.equal(output.ui.values[0], preview)


def test_a_batch_gets_a_region_each(model):
    mask, frame_masks, preview = predict(model, PHOTOS).args
    assert mask.shape == (2, 48, 64) and frame_masks.shape == (4, 48, 64) and len(preview) == 2
    assert torch.equal(mask[1], predict(model, PHOTOS[1:], seed=4)[0][0])


def test_progress_is_sent_without_previews_that_would_hide_the_result(model):
    comfy.utils.ProgressBar.log.clear()
    predict(model)
    assert comfy.utils.ProgressBar.log == [(1, 2, False), (2, 2, False)]


def test_cancel(model):
    mm.interrupt_current_processing()
    with pytest.raises(mm.InterruptProcessingException):
        predict(model)


def test_only_the_networks_of_this_stage_are_loaded(model):
    mm.loads.clear()
    predict(model)
    assert [next(patcher.model.children()) for patcher in mm.loads[0][0]] == [
        model.model.rom_unet, model.model.vae, model.model.text_encoder
    ]  # fmt: skip


def test_without_stage_1_weights_the_ways_round_it_are_named(model_without_rom):
    with pytest.raises(IVGError, match=r"no stage-1 weights.*rom_model.*IVG Fallback RoM \(white, prior, hands\)"):
        predict(model_without_rom)


def test_fallback_white():
    assert torch.equal(IVGFallbackRoM.execute(PHOTOS, "white", 0)[0], torch.ones(1, 48, 64))


def test_fallback_prior():
    masks = torch.zeros(4, 24, 32)
    masks[0] = 1
    assert torch.allclose(IVGFallbackRoM.execute(PHOTOS, "prior", 0, masks=masks)[0], torch.full((1, 48, 64), 0.25))


def test_fallback_hands():
    corners = [(8.0, 8.0), (16.0, 8.0), (16.0, 16.0), (8.0, 16.0)]
    points = [value for i in range(21) for value in (*corners[i % 4], 1.0)]
    person = {"hand_left_keypoints_2d": points, "hand_right_keypoints_2d": [0.0] * 63}
    keypoints = [{"canvas_width": 32, "canvas_height": 24, "people": [person]}]  # half the photo's size
    mask = IVGFallbackRoM.execute(PHOTOS, "hands", 2, keypoints=keypoints)[0][0]
    assert mask[24, 24] == 1 and mask[24, 15] == 1 and mask[24, 12] == 0 and mask[24, 40] == 0
    wider = IVGFallbackRoM.execute(PHOTOS, "hands", 125, keypoints=keypoints, unit="1/1000 of the width")[0][0]
    assert torch.equal(wider, IVGFallbackRoM.execute(PHOTOS, "hands", 8, keypoints=keypoints)[0][0])  # 1/8 of 64


@pytest.mark.parametrize(
    ("method", "inputs", "sentence"),
    [
        ("prior", {}, "connect a batch of masks"),
        ("hands", {}, "connect IVG Hand Keypoints"),
        ("hands", {"keypoints": [{"canvas_width": 1, "canvas_height": 1, "people": []}]}, "No hand"),
    ],
)
def test_a_fallback_never_becomes_another_one(method, inputs, sentence):
    with pytest.raises(IVGError, match=sentence):
        IVGFallbackRoM.execute(PHOTOS, method, 2, **inputs)
