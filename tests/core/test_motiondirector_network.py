"""The text-to-video network against numbers that MotionDirector's code made."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.errors import IVGError
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.bundle import IVGModel
from ivg_core.models.lora import applied_lora
from ivg_core.models.unet import IVGUNet
from ivg_core.training.batches import Batch
from ivg_core.training.config import LoRASettings, TrainConfig, TrainingPath
from ivg_core.training.learner import Learner, LoRALayers
from ivg_core.training.objective import Denoising, Draw, PathDraw

GOLDEN = Path(__file__).parents[1] / "golden" / "motiondirector"
META = json.loads((GOLDEN / "meta.json").read_text())


@pytest.fixture(scope="module")
def io():
    return load_file(GOLDEN / "io.safetensors")


@pytest.fixture
def unet():
    network = IVGUNet.from_config_dict({**META["config"], "photo": False})
    network.load_state_dict({key: t.float() for key, t in load_file(GOLDEN / "unet.safetensors").items()})
    return network.eval()


@torch.no_grad()
def test_a_text_to_video_network_is_the_reference(unet, io):
    out = unet(io["sample"], io["timestep"], io["ehs"])
    torch.testing.assert_close(out, io["out_base"], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("parity", "name"), [(False, "out_base_1f_gc"), (True, "out_base_1f")])
def test_one_frame_passes_no_layer_over_time(unet, io, parity, name):
    unet.parity = parity
    out = unet(io["sample_1f"], io["timestep"], io["ehs"])
    torch.testing.assert_close(out, io[name], atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("scales", ["0_0", "0_1", "0_0.5", "1_0", "0.7_1"])
def test_released_lists_change_the_network_as_the_reference(unet, io, scales):
    spatial, temporal = (float(scale) for scale in scales.split("_"))
    name = "out_s" + "_t".join(scale.replace(".", "") for scale in scales.split("_"))
    lists = {kind: read_lora(GOLDEN / f"lora/checkpoint-3/{kind}/lora/3_unet.pt", unet) for kind in KINDS}
    with applied_lora(unet, lists["spatial"], spatial), applied_lora(unet, lists["temporal"], temporal):
        out = unet(io["sample"], io["timestep"], io["ehs"])
    torch.testing.assert_close(out, io[name], atol=1e-5, rtol=0)


KINDS = ("spatial", "temporal")
SCHEDULE = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def objective_of(unet, prediction: str, clips: int) -> tuple[Denoising, Learner]:
    """The product's objective over this network, and its LoRA layers with the values of the golden lists."""
    none = {"rom_unet": None, "vae": None, "text_encoder": None, "tokenizer": None}
    model = IVGModel(unet=unet, scheduler_config={**SCHEDULE, "prediction_type": prediction}, **none)
    config = TrainConfig(
        lora={"spatial": LoRASettings(4, per_clip=True), "temporal": LoRASettings(4)},
        paths=[
            TrainingPath({"noise": 1.0}, ["spatial"], frames="one", chance=0.8, name="looks"),
            TrainingPath({"noise": 1.0, "debiased": 1.0}, ["temporal"], ["spatial"], name="motion"),
        ],
    )
    backbone = UNetBackbone(model, 2, codec=SimpleNamespace(cell=8, stride=1))
    layers = LoRALayers(backbone, config.lora, clips=clips)
    folder = GOLDEN / "lora"
    lists = [("temporal", None, read_lora(folder / "checkpoint-3/temporal/lora/3_unet.pt", unet))]
    if clips == 1:
        lists.append(("spatial", 0, read_lora(folder / "checkpoint-3/spatial/lora/3_unet.pt", unet)))
    else:
        path = folder / "multi2/spatial/lora/3_unet.pt"
        lists += [("spatial", k, read_lora(path, unet, adapter=k + 1)) for k in range(clips)]
    for _, clip, lora in lists:
        for site, (up, down) in lora.layers.items():
            layers.layer(site, clip).up.weight.data.copy_(up)
            layers.layer(site, clip).down.weight.data.copy_(down)
    return Denoising(config, backbone), Learner(backbone, layers)


@pytest.mark.parametrize("tag", META["losses"])
def test_the_losses_of_a_step_are_the_references(unet, io, tag):
    said = META["losses"][tag]
    unet.parity = True
    unet.requires_grad_(False)
    clips = 2 if tag.startswith("multi2") else 1
    objective, learner = objective_of(unet, "v_prediction" if tag == "vpred" else "epsilon", clips)
    batch = Batch(latents=io["latents_train"], text=io["ehs"], empty_text=io["ehs"], name=["clip"], caption=[""])
    batch["clips"] = [int(tag[-1])] if clips == 2 else [0]
    looks = PathDraw("ran_idx_spatial" in said, said.get("ran_idx_spatial", 0))
    motion = PathDraw(said["loss_temporal_total"] is not None, anchor=said.get("ran_idx_temporal", 0))
    no = torch.zeros(1, dtype=torch.bool)
    draw = Draw(torch.tensor([said["timestep"]]), io[f"{tag}.noise"], no, no, [looks, motion])
    fixed = (lambda noisy, *_: io["pred_fixed"][:, :, : noisy.shape[2]]) if tag.startswith("formula") else learner
    with learner.lora.attached(unet):
        loss, figures = objective.loss(fixed, batch, draw, torch.Generator())
        if looks.taken:
            assert figures["looks_noise"].item() == pytest.approx(said["loss_spatial"], abs=1e-5)
        if motion.taken:
            total = figures["motion_noise"] + figures["motion_debiased"]
            assert total.item() == pytest.approx(said["loss_temporal_total"], abs=1e-5)
        if tag == "eps":
            loss.backward()
            first = learner.lora.layer(META["temporal_order"][0]).up.weight.grad
            torch.testing.assert_close(first, io["eps.grad_first_temporal_up"], atol=1e-6, rtol=0)


def test_a_folder_of_diffusers_without_a_photo_input_loads():
    model = load_model(GOLDEN / "training" / "model")
    assert not model.takes_photo
    assert "conv_in2.weight" not in model.unet.state_dict()


def test_it_is_no_stage_1():
    with pytest.raises(IVGError, match="predicts no masks"):
        load_model("embedded", rom=GOLDEN / "training" / "model")
