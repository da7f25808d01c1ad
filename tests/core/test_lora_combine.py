"""Several LoRAs as one: the same change of the network, at any rank that is told with its error."""

import pytest
import torch

from ivg_core.checkpoints.lora_files import read_lora, save_lora
from ivg_core.errors import IVGError
from ivg_core.models.lora import LoRA, applied_lora
from ivg_core.models.lora_combine import combine_loras, reduce_rank

ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn1."
KERNEL = "down_blocks.0.resnets.0.conv1"
MIXED = "conv_out"


def made(unet, seed, names, rank=3, flat=False, **metadata):
    rng = torch.Generator().manual_seed(seed)
    layers = {}
    for name in names:
        weight = unet.get_submodule(name).weight
        up, down = (
            torch.randn(weight.shape[0], rank, generator=rng),
            torch.randn(rank, *weight.shape[1:], generator=rng),
        )
        if weight.ndim > 2 and not flat:
            up = up.view(*up.shape, *[1] * (weight.ndim - 2))
        layers[name] = (up, down.flatten(1) if flat else down)
    return LoRA(layers, {names[0]: 0.5}, metadata)


@pytest.fixture
def unet(tiny_model):
    return tiny_model.unet


@pytest.fixture
def three(unet):
    q, k, v = (ATTENTION + end for end in ("to_q", "to_k", "to_v"))
    return [
        made(unet, 0, [q, k, KERNEL, MIXED]),
        made(unet, 1, [k, v, KERNEL], rank=2),
        made(unet, 2, [v, MIXED], flat=True),
    ]


def weights(unet, *loras_and_strengths):
    """The weights with the first of these on, then the next …"""
    if not loras_and_strengths:
        return {key: tensor.clone() for key, tensor in unet.state_dict().items()}
    (lora, strength), *rest = loras_and_strengths
    with applied_lora(unet, lora, strength):
        return weights(unet, *rest)


def same(one, other, within=1e-5):
    for key, tensor in one.items():
        torch.testing.assert_close(tensor, other[key], atol=within, rtol=0)


def test_one_lora_for_three_is_all_three_one_upon_the_other(tmp_path, unet, three):
    strengths = [0.7, -0.4, 1.5]
    wanted = weights(unet, *zip(three, strengths, strict=True))
    combined = combine_loras(three, strengths)
    same(weights(unet, (combined, 1.0)), wanted)
    ranks = {name: down.shape[0] for name, (_, down) in combined.layers.items()}
    assert ranks == {ATTENTION + "to_q": 3, ATTENTION + "to_k": 5, KERNEL: 5, MIXED: 6, ATTENTION + "to_v": 5}
    again = read_lora(save_lora(combined, tmp_path / "x.safetensors"), unet)
    same(weights(unet, (again, 1.0)), wanted)


def test_a_rank_that_is_enough_loses_nothing(unet, three):
    combined = combine_loras(three, [1, 1, 1])
    reduced = reduce_rank(combined, 6)
    assert (reduced.error, reduced.worst_error, reduced.worst_layer) == (0, 0, "")
    for name, halves in combined.layers.items():
        assert all(map(torch.equal, halves, reduced.lora.layers[name]))


def test_the_error_that_is_told_is_the_error(unet, three):
    combined = combine_loras(three, [1, 0.5, 1])
    combined.scales[KERNEL] = 2.0
    reduced = reduce_rank(combined, 3)
    assert {down.shape[0] for _, down in reduced.lora.layers.values()} == {3}
    lost, whole, errors = 0.0, 0.0, {}
    for name in combined.layers:
        weight = unet.get_submodule(name).weight
        before = combined.change(name, weight)
        difference = float((reduced.lora.change(name, weight) - before).norm())
        errors[name] = difference / float(before.norm())
        lost, whole = lost + difference**2, whole + float(before.norm()) ** 2
        best = torch.linalg.svdvals(before.flatten(1).double())
        assert difference <= float(best[3:].square().sum().sqrt()) + 1e-4  # no other of rank 3 is nearer
    assert reduced.error == pytest.approx((lost / whole) ** 0.5, rel=1e-4)
    assert reduced.worst_layer == max(errors, key=errors.get) and errors[ATTENTION + "to_q"] < 1e-6
    assert reduced.worst_error == pytest.approx(errors[reduced.worst_layer], rel=1e-4)


def test_the_same_motion_twice_needs_no_higher_rank(unet):
    lora = made(unet, 0, [ATTENTION + "to_q", KERNEL])
    reduced = reduce_rank(combine_loras([lora, lora], [0.5, 0.5]), 3)
    assert reduced.error < 1e-7
    same(weights(unet, (reduced.lora, 1.0)), weights(unet, (lora, 1.0)))


def test_a_lora_of_zeros_can_be_reduced(unet):
    name = ATTENTION + "to_q"
    reduced = reduce_rank(LoRA({name: (torch.zeros(32, 4), torch.zeros(4, 32))}), 2)
    assert reduced.error == reduced.worst_error == 0 and reduced.lora.layers[name][1].shape == (2, 32)


def test_a_lora_at_strength_0_is_left_out(unet, three):
    combined = combine_loras(three, [1, 0, 0])
    assert combined.layers.keys() == three[0].layers.keys()
    same(weights(unet, (combined, 1.0)), weights(unet, (three[0], 1.0)))


def test_what_a_combination_says_of_itself(unet):
    about = {"ivg_stage": "1", "ivg_zero_terminal_snr": "true", "ivg_prompt": "stir"}
    pair = [made(unet, seed, [KERNEL], **about) for seed in (0, 1)]
    said = combine_loras(pair, [1, 1]).metadata
    assert said.keys() == {"ivg_stage", "ivg_zero_terminal_snr", "ivg_provenance", "licence"}
    assert (said["ivg_stage"], said["ivg_zero_terminal_snr"]) == ("1", "true")


@pytest.mark.parametrize(
    ("other", "words"),
    [({"ivg_stage": "1"}, "different stages"), ({"ivg_zero_terminal_snr": "true"}, "zero terminal SNR")],
)
def test_what_cannot_be_combined(unet, other, words):
    with pytest.raises(IVGError, match=words):
        combine_loras([made(unet, 0, [KERNEL]), made(unet, 1, [KERNEL], **other)], [1, 1])


def test_kernels_told_in_two_ways_are_not_joined(unet):
    spread = LoRA({KERNEL: (torch.ones(32 * 3, 2), torch.ones(2, 32 * 3))})  # stable_lora's
    with pytest.raises(IVGError, match="different sizes"):
        combine_loras([made(unet, 0, [KERNEL]), spread], [1, 1])
