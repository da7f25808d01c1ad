"""The LoRAs that need few steps: MCM's, as peft itself writes it, and T2V-Turbo's list; and the solver they want."""

import pytest
import torch
from diffusers.models.unets.unet_3d_condition import UNet3DConditionModel
from peft import LoraConfig, get_peft_model
from sampled import sample
from torch import nn

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.errors import IVGError
from ivg_core.models.lora import LAYER_TYPES, applied_lora
from ivg_core.sampling.solver import make_solver


@pytest.fixture(scope="module")
def model(golden):
    return load_model(golden / "tiny_ckpt")


@pytest.fixture(scope="module")
def unet(model):
    return model.unet


def plain_network(unet, **changes) -> UNet3DConditionModel:
    """diffusers' own text-to-video network with our weights."""
    config = {key: unet.config[key] for key in unet.config if key in UNet3DConditionModel.__init__.__annotations__}
    network = UNet3DConditionModel(**{**config, "time_cond_proj_dim": None, **changes})
    missing, _ = network.load_state_dict(
        {k: v for k, v in unet.state_dict().items() if "cond_proj" not in k}, strict=False
    )
    assert all("cond_proj" in key for key in missing)
    return network.eval()


@pytest.mark.parametrize("alpha", [4, 1])
def test_a_peft_folder_does_what_peft_does(tmp_path, unet, alpha):
    network = plain_network(unet)
    targets = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    special = {"down_blocks.0.attentions.0.proj_in": 8}
    config = LoraConfig(r=4, lora_alpha=alpha, target_modules=targets, init_lora_weights=False, alpha_pattern=special)
    adapted = get_peft_model(network, config).eval()
    adapted.save_pretrained(tmp_path)
    merged = adapted.merge_and_unload().state_dict()

    for path in (tmp_path, tmp_path / "adapter_model.safetensors"):
        lora = read_lora(path, unet)
        assert set(lora.layers) == set(targets)
        with applied_lora(unet, lora):
            for name in targets:
                torch.testing.assert_close(
                    unet.get_submodule(name).weight, merged[f"{name}.weight"], atol=1e-5, rtol=1e-5
                )


def test_peft_without_its_config_is_refused(tmp_path, unet):
    adapted = get_peft_model(plain_network(unet), LoraConfig(r=2, target_modules=["to_q"]))
    adapted.save_pretrained(tmp_path)
    config = tmp_path / "adapter_config.json"
    config.write_text("{}")
    with pytest.raises(IVGError, match="lora_alpha"):
        read_lora(tmp_path, unet)
    config.unlink()
    with pytest.raises(IVGError, match=r"adapter_config\.json is missing"):
        read_lora(tmp_path, unet)


def test_a_turbo_list_lands_on_its_layers(tmp_path, unet, caplog):
    network = plain_network(unet, time_cond_proj_dim=256)
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, LAYER_TYPES)}
    halves = {}
    for name, layer in layers.items():
        weight = layer.weight
        down = torch.randn(2, *weight.shape[1:]) if weight.ndim < 5 else torch.randn(2, weight.shape[1], 3, 1, 1)
        halves[name] = (torch.randn(weight.shape[0], 2, *[1] * (weight.ndim - 2)), down)
    torch.save([half for pair in halves.values() for half in pair], tmp_path / "unet_lora.pt")

    lora = read_lora(tmp_path / "unet_lora.pt", unet)
    assert set(lora.layers) == set(layers) - {"time_embedding.cond_proj"}
    assert "how strong to guide" in caplog.text
    for name, (up, down) in lora.layers.items():
        assert torch.equal(up, halves[name][0]) and torch.equal(down, halves[name][1])


def test_lcm_adds_noise_of_its_own_from_the_seed(model):
    photo = torch.rand(64, 64, 3)

    def run(seed):
        said = {"num_frames": 2, "size": (64, 64), "solver": "lcm", "num_inference_steps": 4, "guidance_scale": 1}
        return sample(model, photo, "stir", seed=seed, **said).frames

    first, second = run(3), run([3, 4])
    torch.testing.assert_close(first, second[0], atol=5e-3, rtol=0)  # whatever is made beside it
    assert torch.equal(first, run(3)) and not torch.allclose(second[0], second[1])


def test_lcm_is_diffusers_own(model):
    steps = make_solver(model.scheduler_config, 4, "lcm", seeds=[5])
    assert len(steps) == 4 and steps.timesteps.tolist() == sorted(steps.timesteps.tolist(), reverse=True)
    latents, predicted = torch.randn(2, 1, 4, 2, 8, 8)
    clean = latents
    for step in range(4):
        clean = steps.predict_x0(predicted, latents, step)
        latents = steps.step(predicted, latents, step)
    torch.testing.assert_close(latents, clean, atol=1e-4, rtol=1e-4)  # the last step ends at x0


def test_lcm_knows_how_many_steps_it_was_made_for(model):
    with pytest.raises(IVGError, match="at most 50"):
        make_solver(model.scheduler_config, 51, "lcm")
