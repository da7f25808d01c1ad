"""The UNet against the original code's numbers, and what it promises beyond them."""

import json

import pytest
import torch
from safetensors.torch import load_file

from ivg_core.errors import IVGError
from ivg_core.models.unet import IVGUNet

SMALL = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
    "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
    "layers_per_block": 1,
    "cross_attention_dim": 16,
    "attention_head_dim": 8,
    "motion_mask": True,
    "motion_strength": True,
}
CASES = (
    "u_b1_f1", "u_b1_f16", "u_b1_f1_nomask_17x18", "u_b1_f4", "u_cfg_b2_f3_20x12", "u_nomask", "u_nomotion", "u_plain",
    "u_train_b2_f3_17x19",
)  # fmt: skip


def small_unet(**changes) -> IVGUNet:
    torch.manual_seed(0)
    unet = IVGUNet.from_config_dict({**SMALL, **changes}).eval()
    for parameter in unet.parameters():  # fresh networks hide their temporal layers behind zeros
        torch.nn.init.normal_(parameter, std=0.05)
    return unet


def inputs(batch: int = 2, frames: int = 3) -> dict:
    generator = torch.Generator().manual_seed(1)
    return {
        "sample": torch.randn(batch, 4, frames, 8, 6, generator=generator),
        "timestep": torch.randint(0, 1000, (batch,), generator=generator),
        "encoder_hidden_states": torch.randn(batch, 7, 16, generator=generator),
        "condition_latent": torch.randn(batch, 4, 1, 8, 6, generator=generator),
        "mask": torch.rand(batch, 1, 1, 8, 6, generator=generator),
        "motion": 10 * torch.rand(batch, generator=generator),
    }


def test_parameters_have_the_published_names_and_shapes(golden, tiny_model):
    published = json.loads((golden / "unet_state_dict_keys.json").read_text())
    ours = {key: list(tensor.shape) for key, tensor in tiny_model.unet.state_dict().items()}
    assert ours == {key: list(shape) for key, shape in published.items()}


def test_the_published_size_is_the_default():
    with torch.device("meta"):
        unet = IVGUNet(motion_mask=True, motion_strength=True)
    assert sum(parameter.numel() for parameter in unet.parameters()) == 1_413_401_540
    assert len(unet.state_dict()) == 1_487


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_outputs_equal_the_original_ones(golden, tiny_model, case):
    stored = load_file(golden / "unet_io.safetensors")
    call = {key.split(".")[1]: tensor for key, tensor in stored.items() if key.startswith(case + ".")}
    expected = call.pop("out")
    torch.testing.assert_close(tiny_model.unet(**call), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_timestep_may_be_a_number():
    unet, call = small_unet(), inputs()
    expected = unet(**{**call, "timestep": torch.tensor([500, 500])})
    torch.testing.assert_close(unet(**{**call, "timestep": 500}), expected)


@torch.no_grad()
def test_a_mask_batch_is_tiled_whole():
    unet, call = small_unet(), inputs(batch=4)
    masks = call["mask"][:2]
    expected = unet(**{**call, "mask": torch.cat([masks, masks])})
    torch.testing.assert_close(unet(**{**call, "mask": masks}), expected)


@torch.no_grad()
def test_five_input_channels_without_a_mask_mean_an_all_white_one():
    unet, call = small_unet(in_channels=5), inputs()
    white = unet(**{**call, "mask": torch.ones(1, 1, 1, 8, 6)})
    assert torch.equal(unet(**{**call, "mask": None}), white)
    assert not torch.allclose(unet(**call), white)


@torch.no_grad()
def test_a_model_trained_without_mask_or_strength_ignores_them():
    unet, call = small_unet(motion_mask=False, motion_strength=False), inputs()
    assert torch.equal(unet(**call), unet(**{**call, "mask": None, "motion": None}))


@pytest.mark.parametrize("wrong", [{"norm_num_groups": 16}, {"in_channels": 9}])
def test_a_config_of_another_network_is_refused(wrong):
    with pytest.raises(IVGError, match=next(iter(wrong))):
        IVGUNet.from_config_dict({**SMALL, **wrong})


@pytest.mark.parametrize("training", [False, True])
def test_gradient_checkpointing_changes_no_bit(training):
    unet, call = small_unet().train(training), inputs()

    def gradients() -> dict:
        unet.zero_grad()
        torch.manual_seed(5)  # dropout
        unet(**call).square().mean().backward()
        return {name: parameter.grad for name, parameter in unet.named_parameters()}

    plain = gradients()
    unet.enable_gradient_checkpointing()
    checkpointed = gradients()
    unused = {name for name, gradient in plain.items() if gradient is None}
    assert unused == {name for name in plain if name.startswith(("conv_in.", "motion_embedding."))}
    assert all(torch.equal(checkpointed[name], plain[name]) for name in plain.keys() - unused)


def test_gradient_checkpointing_keeps_less_and_covers_the_middle():
    unet, call = small_unet(), inputs()
    runs = []
    unet.mid_block.resnets[0].register_forward_pre_hook(lambda *_: runs.append(1))

    def kept_for_backward() -> int:
        sizes = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = unet(**call).sum()
        kept = sum(sizes.values())
        loss.backward()
        return kept

    plain = kept_for_backward()
    assert len(runs) == 1
    unet.enable_gradient_checkpointing()
    assert kept_for_backward() < plain / 2
    assert len(runs) == 3  # once forward, once more in the backward pass
    unet.disable_gradient_checkpointing()
    assert kept_for_backward() == plain
