"""An IVG model in core's own types, over stand-ins of core's VAE and CLIP: what goes in, and what is refused.

What core itself makes of them is in tests/comfyui/test_model_parts_comfyui.py.
"""

import types

import pytest
import torch
from comfy_execution.utils import CurrentNodeContext
from server import PromptServer

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.models.codec import ImageCodec, fit_size
from ivg_pack.ivg_core.models.text import encode_text
from ivg_pack.ivg_core.sampling.decode import decode_frames
from ivg_pack.ivg_core.sampling.prompts import read_schedule
from ivg_pack.ivg_core.sampling.solver import make_solver
from ivg_pack.ivg_core.sampling.start import still_of
from ivg_pack.nodes._core_model import BELOW_MOST, core_sigmas
from ivg_pack.nodes._core_parts import core_clip, core_vae
from ivg_pack.nodes.core_model import IVGImageToVideo
from ivg_pack.nodes.inflate import IVGEncodeSchedule

PHOTO = torch.rand(1, 48, 64, 3, generator=torch.Generator().manual_seed(0))
WIDGETS = {"motion_strength": 4.0, "frames": 3, "width": 64, "height": 48, "hold_first_frame": True}


def encode(clip, text):
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def tell(model, image=PHOTO, vae=None, **changes):
    clip = core_clip(model)
    said = encode(clip, "the person cuts"), encode(clip, "")
    return IVGImageToVideo.execute(*said, vae or core_vae(model), image, **{**WIDGETS, **changes}).args


@pytest.fixture
def shown(monkeypatch):
    server = PromptServer()
    monkeypatch.setattr(PromptServer, "instance", server)
    with CurrentNodeContext("run", "7"):
        yield server.shown


def test_the_text_encoder_is_the_models_own(model):
    clip = core_clip(model)
    (states, _), *others = encode(clip, "the person (cuts:1.3)")
    assert not others and torch.equal(states, encode_text(model.model, ["the person (cuts:1.3)"]).float())
    assert clip.cond_stage_model is model.patchers["text_encoder"].model
    assert clip.patcher.is_clip and not getattr(model.patchers["text_encoder"], "is_clip", False)


def test_words_that_fall_off_are_named_on_the_node(model, shown):
    encode(core_clip(model), "cut " * 90)
    assert shown[-1][0] == "7" and "this part of it is not used: cut cut" in shown[-1][1]


def test_another_script_is_named_on_the_node(model, shown):
    encode(core_clip(model), "切る")
    assert "The text encoder reads English" in shown[-1][1]
    shown.clear()
    encode(core_clip(model), "")
    assert not any("empty" in text for _, text in shown), "a negative is empty more often than not"


def test_another_layer_is_refused(model):
    clip = core_clip(model)
    clip.layer_idx = -2
    with pytest.raises(IVGError, match="leave CLIP Set Last Layer out"):
        encode(clip, "cut")


def test_the_autoencoder_goes_frame_by_frame(model):
    vae, scale = core_vae(model), model.model.vae.config["scaling_factor"]
    still = still_of(ImageCodec(model.model.vae), PHOTO)
    assert torch.equal(vae.encode(PHOTO) * scale, still)
    latents = still + torch.randn(2, 4, 3, *still.shape[-2:], generator=torch.Generator().manual_seed(0))
    frames = vae.decode(latents / scale)
    assert frames.shape == (2, 3, 48, 64, 3)
    assert torch.allclose(frames, decode_frames(ImageCodec(model.model.vae), latents), atol=1e-5)
    assert vae.patcher is model.patchers["vae"] and vae.first_stage_model.net is model.model.vae
    assert vae.memory_used_decode((1, 4, 90, 6, 8), None) == vae.memory_used_decode((1, 4, 1, 6, 8), None)


@pytest.mark.parametrize(
    ("latents", "said"),
    [(torch.zeros(3, 4, 6, 8), "reads latents of a video"), (torch.full((1, 4, 2, 6, 8), torch.nan), "hold NaN")],
)
def test_what_is_no_latent_of_a_video_is_not_decoded(model, latents, said):
    with pytest.raises(IVGError, match=said):
        core_vae(model).decode(latents)


def test_the_sampler_is_told_what_the_library_tells_its_network(model):
    mask = torch.zeros(1, 48, 64)
    mask[:, 16:32, 16:32] = 1
    positive, negative, latent = tell(model, mask=mask)
    for side in (positive, negative):
        ((_, told),) = side
        assert torch.equal(told["ivg_photo"], core_vae(model).encode(PHOTO)) and told["ivg_motion"] == 4.0
        assert told["ivg_mask"][0, 0, 0].tolist() == torch.eye(6, 8).mul(0).index_put(
            (torch.tensor([2, 2, 3, 3]), torch.tensor([2, 3, 2, 3])), torch.ones(4)
        ).tolist()  # fmt: skip
    assert latent["samples"].shape == (1, 4, 3, 6, 8)
    assert (latent["samples"] == positive[0][1]["ivg_photo"]).all()
    assert latent["noise_mask"].flatten().tolist() == [0, 1, 1]


def test_stage_1_is_not_told_how_much_moves(model):
    (((_, told),), *_) = tell(model, vae=core_vae(model, 1))
    assert "ivg_motion" not in told and "ivg_photo" in told


def test_zeros_mean_what_the_model_was_made_for(model):
    *_, latent = tell(model, frames=0, width=0, height=0)
    defaults, (*_, frames, height, width) = model.model.defaults, latent["samples"].shape
    assert frames == defaults.num_frames
    assert (8 * width, 8 * height) == fit_size(64, 48, defaults.width, defaults.height)
    *_, latent = tell(model, width=32, height=16, hold_first_frame=False)
    assert latent["samples"].shape == (1, 4, 3, 2, 4) and "noise_mask" not in latent


def test_each_photo_of_a_batch_is_told_to_its_own_clip(model):
    photos = torch.cat([PHOTO, PHOTO.flip(2)])
    (((_, told),), _, latent) = tell(model, photos)
    for i, photo in enumerate(photos):
        assert torch.equal(told["ivg_photo"][i : i + 1], core_vae(model).encode(photo[None]))
    assert latent["samples"].shape[0] == latent["noise_mask"].shape[0] == told["ivg_mask"].shape[0] == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vae": types.SimpleNamespace(latent_dim=2)}, "connect the VAE of IVG Model Parts"),
        ({"mask": torch.zeros(1, 48, 64)}, "The mask is empty"),
        ({"width": 36, "height": 48}, "must be multiples of 8"),
    ],
)
def test_what_cannot_work_is_refused(model, changes, said):
    with pytest.raises(IVGError, match=said):
        tell(model, **changes)


def test_the_text_of_another_encoder_is_refused(model):
    other = [[torch.zeros(1, 77, 768), {}]]
    with pytest.raises(IVGError, match="768 numbers wide, and the model reads 32"):
        IVGImageToVideo.execute(other, other, core_vae(model), PHOTO, **WIDGETS)


def sampling(model):
    """The part of core's `model_sampling` that the steps are taken from."""
    config = model.model.scheduler_config
    alphas = make_solver(config, 2).alphas_cumprod
    sigmas = ((1 - alphas) / alphas).sqrt()
    return types.SimpleNamespace(sigmas=sigmas, scheduler_config=config, defaults=model.model.defaults)


@pytest.mark.parametrize(
    ("solver", "steps", "last"),
    [("dpm++2m", 20, "least"), ("dpm++2m", 8, "none"), ("lcm", 8, "none")],
    ids=["dpm++2m", "few steps, of which the last is of first order", "lcm"],
)
def test_steps_end_as_the_solver_does(model, solver, steps, last):
    known = sampling(model)
    sigmas = core_sigmas(known, steps, solver)
    assert len(sigmas) == steps + 1 and sigmas.max() <= known.sigmas[-1] * BELOW_MOST
    assert sigmas[-1].item() == pytest.approx(known.sigmas[0].item() if last == "least" else 0)


def test_a_part_of_a_schedule(model):
    whole, part = core_sigmas(sampling(model), 20, "ddim"), core_sigmas(sampling(model), 10, "ddim", denoise=0.5)
    assert torch.equal(part, whole[-11:])
    assert len(core_sigmas(sampling(model), 0, "ddim")) == model.model.defaults.num_inference_steps + 1


def test_another_model_s_schedule_is_refused():
    with pytest.raises(IVGError, match="none of IVG"):
        core_sigmas(types.SimpleNamespace(sigmas=torch.ones(3)), 3, "ddim")


def test_sentences_over_time_are_for_models_of_pictures(model):
    schedule = read_schedule("0: cut\n2: stir")
    with pytest.raises(IVGError, match="is a video model's, which reads one sentence"):
        IVGEncodeSchedule.execute(core_clip(model), schedule, {"samples": torch.zeros(1, 4, 4, 6, 8)})
