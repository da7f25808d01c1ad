"""The wiring of the Apply RoM nodes; what core's real models and samplers make of it: tests/comfyui."""

import logging
import types

import pytest
import torch
import torch.nn.functional as F

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.nodes.apply_rom import IVGApplyRoM, IVGApplyRoMModel, IVGApplyRoMVACE

PHOTO = torch.rand(1, 48, 64, 3, generator=torch.Generator().manual_seed(0))
MASK = torch.zeros(1, 48, 64)
MASK[:, 16:24, 24:32] = 1  # one cell of 8 pixels


class MeanVAE:
    """Latents that are the mean colours of cells and frames, four channels: enough to see what is encoded."""

    def __init__(self, cell=8, stride=4, video=True):
        self.cell, self.stride, self.video = cell, stride, video

    def spacial_compression_encode(self):
        return self.cell

    def temporal_compression_decode(self):
        return self.stride if self.video else None

    def encode(self, pixels):
        cells = F.avg_pool2d(pixels.movedim(-1, 1), self.cell)  # (F, 3, h, w)
        cells = torch.cat([cells, cells[:, :1]], 1)
        return cells[:: self.stride].movedim(0, 1)[None] if self.video else cells


def empty(frames=3):
    return {"samples": torch.zeros(1, 4, frames, 6, 8), "type": "wan"}


def apply(latent=None, photo=PHOTO, mask=MASK, vae=None, grow=1):
    return IVGApplyRoM.execute(photo, mask, vae or MeanVAE(), latent or empty(), grow).args


def test_the_photo_is_held_still_and_the_region_open():
    latent, shown = apply()
    assert latent["type"] == "wan" and latent["samples"].shape == (1, 4, 3, 6, 8)
    assert torch.allclose(latent["samples"][0, :3, 2], F.avg_pool2d(PHOTO[0].movedim(-1, 0), 8), atol=1e-6)
    noise_mask = latent["noise_mask"]
    assert noise_mask.shape == (1, 1, 3, 6, 8) and torch.equal(noise_mask[0, 0], shown)
    assert noise_mask[0, 0, 0].eq(0).all() and noise_mask[0, 0, 1].sum() == 9


def test_a_batch_of_latents_is_filled():
    latent, _ = apply({"samples": torch.zeros(2, 4, 3, 6, 8)})
    assert latent["samples"].shape == (2, 4, 3, 6, 8) and torch.equal(latent["samples"][0], latent["samples"][1])


def test_frames_encoded_one_by_one():
    latent, shown = apply({"samples": torch.zeros(5, 4, 6, 8)}, vae=MeanVAE(video=False), grow=0)
    assert latent["samples"].shape == (5, 4, 6, 8) and latent["noise_mask"].shape == (5, 1, 6, 8)
    assert shown.sum() == 4 and torch.equal(latent["samples"][0], latent["samples"][4])


@pytest.mark.parametrize("form", [(1, 1, 3, 1, 1), (1, 1, 3, 6, 8), (3, 6, 8)])
def test_what_was_locked_stays_locked(form):
    """As LTXVImgToVideo and LTXVAddGuide lock frames: in any of the forms core takes."""
    locked = torch.ones(form)
    locked.view(3, -1)[2] = 0
    came = {"samples": torch.full((1, 4, 3, 6, 8), 7.0), "noise_mask": locked}
    latent, _ = apply(came)
    assert latent["samples"][:, :, 2].eq(7).all() and not latent["samples"][:, :, :2].eq(7).any()
    assert latent["noise_mask"][:, :, 2].eq(0).all() and latent["noise_mask"][:, :, 1].any()
    assert came["noise_mask"] is locked and came["samples"].eq(7).all()


def test_a_vae_of_another_model_is_named():
    with pytest.raises(IVGError, match="VAE of the video model"):
        apply({"samples": torch.zeros(1, 16, 3, 6, 8)})
    with pytest.raises(IVGError, match="of a video"):
        apply({"samples": torch.zeros(1, 4, 100)})


def test_wan_5b_is_sent_to_the_other_node(caplog):
    class Wide(MeanVAE):
        def encode(self, pixels):
            return super().encode(pixels).repeat(1, 12, 1, 1, 1)

    with caplog.at_level(logging.WARNING, "ivg"):
        apply({"samples": torch.zeros(1, 48, 3, 6, 8)}, vae=Wide())
    assert "IVG Apply RoM to Model" in caplog.text


class Model:
    """What the node uses of ComfyUI's ModelPatcher."""

    def __init__(self):
        self.after_guidance = []

    def clone(self):
        return Model()

    def set_model_sampler_post_cfg_function(self, function):
        self.after_guidance.append(function)


def test_the_model_moves_only_the_region():
    rom, _ = apply(grow=0)
    model = Model()
    patched = IVGApplyRoMModel.execute(model, rom)[0]
    assert not model.after_guidance and len(patched.after_guidance) == 1
    denoised = torch.full((2, 4, 3, 6, 8), 5.0)
    inner = types.SimpleNamespace(process_latent_in=lambda latent: 2 * latent)
    held = patched.after_guidance[0]({"denoised": denoised, "model": inner})
    free = rom["noise_mask"].expand_as(denoised) == 1
    assert held[free].eq(5).all() and torch.equal(held[~free], (2 * rom["samples"]).expand_as(denoised)[~free])
    with pytest.raises(IVGError, match="goes to the sampler"):
        patched.after_guidance[0]({"denoised": denoised[:, :, :2], "model": inner})


def test_a_latent_without_a_mask_is_refused():
    with pytest.raises(IVGError, match="rom"):
        IVGApplyRoMModel.execute(Model(), empty())


def test_vace_hands_on_its_size():
    video, masks, width, height, length = IVGApplyRoMVACE.execute(PHOTO, MASK, 64, 48, 9, True).args
    assert (width, height, length) == (64, 48, 9)
    assert video.shape == (9, 48, 64, 3) and masks.shape == (9, 48, 64) and masks.sum() == 8 * 64
