import comfy.model_management as mm
import comfy.utils
import pytest
import torch
from PIL import Image

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.media.images import to_pil
from ivg_pack.nodes._edges import mask_of_each
from ivg_pack.nodes.optimize import IVGOptimizeModel
from ivg_pack.nodes.sampling import IVGSampler, IVGSamplerOptions, video_size

PHOTO = torch.rand(1, 48, 64, 3, generator=torch.Generator().manual_seed(0))
WIDGETS = {
    "action": "the person cuts the carrot", "negative": "", "seed": 3, "frames": 2, "steps": 2, "guidance": 2.0,
    "motion_strength": 5.0, "fps": 8.0, "width": 64, "height": 48, "keep_first_frame": True, "composite": True,
    "feather": 2.0,
}  # fmt: skip


def sample(model, image=PHOTO, **changes):
    return IVGSampler.execute(model, image, **{**WIDGETS, **changes})


def test_a_photo_becomes_a_video(model):
    frames, videos = sample(model).args
    assert len(frames) == len(videos) == 1
    assert frames[0].shape == (2, 48, 64, 3) and frames[0].dtype == torch.float32
    assert torch.allclose(frames[0][0], PHOTO[0], atol=1 / 255)
    components = videos[0].get_components()
    assert torch.equal(components.images, frames[0]) and components.frame_rate == 8


def test_same_seed_same_video(model):
    assert torch.equal(sample(model)[0][0], sample(model)[0][0])
    assert not torch.equal(sample(model)[0][0], sample(model, seed=4)[0][0])


def test_nothing_moves_outside_the_mask(model):
    mask = torch.zeros(1, 48, 64)
    mask[:, 16:32, 16:32] = 1
    (frames,) = sample(model, mask=mask)[0]
    assert torch.allclose(frames[1, :8], PHOTO[0, :8], atol=1 / 255)
    assert not torch.allclose(frames[1, 16:32, 16:32], PHOTO[0, 16:32, 16:32], atol=0.1)


def test_a_batch_of_photos_gives_one_video_each(model):
    photos = torch.cat([PHOTO, PHOTO.flip(2)])
    frames, videos = sample(model, photos).args
    assert len(frames) == len(videos) == 2
    assert torch.equal(frames[0], sample(model)[0][0])
    assert torch.equal(frames[1], sample(model, photos[1:], seed=4)[0][0])


def test_masks_go_to_photos_one_each_or_united():
    masks = torch.eye(3)[:, None].repeat(1, 2, 1)  # (3, 2, 3)
    assert [mask.tolist() for mask in mask_of_each(masks, 3)] == masks.tolist()
    united = mask_of_each(masks, 2)
    assert len(united) == 2 and united[0].min() == 1
    assert mask_of_each(masks, 1)[0].shape == (2, 3)
    assert mask_of_each(masks[0], 1)[0].equal(masks[0])
    assert mask_of_each(None, 2) == [None, None]


@pytest.mark.parametrize(
    ("width", "height", "size"), [(0, 0, None), (64, 0, (64, 48)), (0, 96, (128, 96)), (64, 64, (64, 64))]
)
def test_a_side_that_is_0_follows_from_the_other(width, height, size):
    assert video_size(width, height, PHOTO[0]) == size


def test_zeros_mean_what_the_model_was_made_for(model):
    """The tiny checkpoint's config.yaml says 4 frames, 5 steps."""
    defaults = model.model.defaults
    comfy.utils.ProgressBar.log.clear()
    frames, videos = sample(model, frames=0, steps=0, guidance=0.0, fps=0.0).args
    assert len(frames[0]) == defaults.num_frames
    assert comfy.utils.ProgressBar.log[-1][:2] == (defaults.num_inference_steps, defaults.num_inference_steps)
    assert videos[0].get_components().frame_rate == defaults.fps


def test_progress_with_previews(model):
    comfy.utils.ProgressBar.log.clear()
    sample(model, torch.cat([PHOTO, PHOTO]))
    done = [1, 2, 2, 3, 4, 4]  # the last of each photo shows the result itself
    assert comfy.utils.ProgressBar.log == [(step, 4, True) for step in done]


def test_the_last_preview_is_the_result(model):
    frames = sample(model)[0][0]
    _, picture, side = comfy.utils.ProgressBar.last_preview
    assert picture.size == (side, side * 3 // 4)
    assert picture == to_pil(frames[-1]).resize(picture.size, Image.Resampling.BICUBIC)


def test_cancel_stops_at_the_next_step_and_leaves_nothing_behind(model):
    expected = sample(model)[0][0]
    comfy.utils.ProgressBar.log.clear()
    mm.interrupt_current_processing()
    with pytest.raises(mm.InterruptProcessingException):
        sample(model, steps=20)
    assert not comfy.utils.ProgressBar.log
    assert torch.equal(sample(model)[0][0], expected)


def test_the_networks_are_loaded_by_comfyui(model):
    mm.loads.clear()
    sample(model)
    ((patchers, asked),) = mm.loads
    networks = [next(patcher.model.children()) for patcher in patchers]
    assert networks == [model.model.unet, model.model.vae, model.model.text_encoder]
    assert not asked["force_full_load"] and asked["memory_required"] > 0


def test_weights_that_core_cannot_leave_off_the_device_are_asked_for_whole(model):
    mm.loads.clear()
    sample(IVGOptimizeModel.execute(model, "float8", False)[0])
    assert mm.loads[-1][1]["force_full_load"]


def test_options_defaults_change_nothing(model):
    options = {item.id: item.options["default"] for item in IVGSamplerOptions.GET_SCHEMA().inputs}
    assert torch.equal(sample(model, options=IVGSamplerOptions.execute(**options)[0])[0][0], sample(model)[0][0])
    ddim = IVGSamplerOptions.execute(**{**options, "solver": "ddim"})[0]
    assert not torch.equal(sample(model, options=ddim)[0][0], sample(model)[0][0])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width": 60, "height": 48}, r"60 x 48 .* multiples of 8.*64 x 48"),
        ({"mask": torch.zeros(1, 64, 64)}, r"mask is empty"),
        ({"image": torch.full((1, 48, 64, 3), float("nan"))}, r"NaN"),
    ],
)
def test_bad_input_is_one_clear_sentence(model, changes, sentence):
    with pytest.raises(IVGError, match=sentence) as caught:
        sample(model, **changes)
    assert "\n" not in str(caught.value)


def test_a_mask_of_another_size_is_resized_and_said(model, caplog):
    sample(model, mask=torch.ones(1, 8, 64))
    assert "8" in caplog.text and "mask" in caplog.text.lower()
