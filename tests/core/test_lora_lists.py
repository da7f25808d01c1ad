"""MotionDirector's LoRA lists: read as its code applies them, refused with what they are, and written for it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora, save_lora
from ivg_core.checkpoints.lora_lists import save_list
from ivg_core.errors import IVGError
from ivg_core.models.lora import LoRA, applied_lora, lora_sites
from ivg_core.models.unet import IVGUNet

GOLDEN = Path(__file__).parents[1] / "golden" / "motiondirector"
META = json.loads((GOLDEN / "meta.json").read_text())
LISTS = {role: GOLDEN / f"lora/checkpoint-3/{role}/lora/3_unet.pt" for role in ("temporal", "spatial")}
TWO_CLIPS = GOLDEN / "lora/multi2/spatial/lora/3_unet.pt"


@pytest.fixture(scope="module")
def io():
    return load_file(GOLDEN / "io.safetensors")


@pytest.fixture(scope="module")
def unet():
    network = IVGUNet.from_config_dict({**META["config"], "photo": False})
    network.load_state_dict({key: t.float() for key, t in load_file(GOLDEN / "unet.safetensors").items()})
    return network.eval()


def stored(path):
    return torch.load(path, weights_only=True)


def refuse(path, unet, *words, **how):
    with pytest.raises(IVGError) as raised:
        read_lora(path, unet, **how)
    said = str(raised.value)
    assert str(path) in said and "\n" not in said and said.endswith("."), said
    assert all(word in said for word in words), said


# ---- which layer is which


@pytest.mark.parametrize("role", ["temporal", "spatial"])
@pytest.mark.parametrize("photo", [False, True])
def test_the_order_of_a_full_network_is_the_references(role, photo):
    with torch.device("meta"):
        network = IVGUNet(photo=photo)
    assert list(lora_sites(network, [role])) == META[f"full_{role}_order"]


def test_a_list_has_the_names_that_the_reference_gives(unet):
    keyed = load_file(GOLDEN / "lora/md_lora_keyed.safetensors")
    for role, path in LISTS.items():
        lora = read_lora(path, unet)
        assert list(lora.layers) == META[f"{role}_order"]
        for name, (up, down) in lora.layers.items():
            assert torch.equal(up, keyed[f"{name}.lora_up.weight"])
            assert torch.equal(down, keyed[f"{name}.lora_down.weight"])


def test_the_folder_of_a_checkpoint_can_be_given(tmp_path, unet):
    assert list(read_lora(LISTS["temporal"].parent, unet).layers) == META["temporal_order"]
    refuse(tmp_path, unet, "no LoRA file in")
    for step in (5, 10):
        (tmp_path / f"{step}_unet.pt").write_bytes(LISTS["temporal"].read_bytes())
    refuse(tmp_path, unet, "2 LoRA files", "10_unet.pt")


@pytest.mark.parametrize("role", ["temporal", "spatial"])
def test_a_network_with_a_photo_takes_them_too(unet, role):
    network = IVGUNet.from_config_dict(META["config"])
    ours, theirs = (read_lora(LISTS[role], one).layers for one in (network, unet))
    assert list(ours) == list(theirs)


# ---- the adapters of several clips


@torch.no_grad()
def test_the_adapters_of_two_clips(unet, io):
    for number in (1, 2):
        with applied_lora(unet, read_lora(TWO_CLIPS, unet, adapter=number)):
            out = unet(io["sample"], io["timestep"], io["ehs"])
        torch.testing.assert_close(out, io[f"multi2_out_s{number - 1}"], atol=1e-5, rtol=0)
    refuse(TWO_CLIPS, unet, "spatial adapters of 2 clips", "adapter 1 to 2", "--lora-adapter")
    for wrong in (0, 3, -1):
        refuse(TWO_CLIPS, unet, f"no adapter {wrong}", "adapters 1 to 2", adapter=wrong)


@torch.no_grad()
def test_adapters_are_mixed_one_upon_the_other():
    folder = GOLDEN / "training"
    about, io = json.loads((folder / "md_meta.json").read_text()), load_file(folder / "md_io.safetensors")
    unet = load_model(folder / "model").unet
    both = [read_lora(folder / "lora/multi2/spatial/lora/4_unet.pt", unet, adapter=number) for number in (1, 2)]
    for name, scales in {"0": (1, 0), "1": (0, 1), "01": (1, 1), "mix": about["multi_mix_scales"]}.items():
        with applied_lora(unet, both[0], scales[0]), applied_lora(unet, both[1], scales[1]):
            out = unet(io["sample"], io["timestep"], io["ehs"])
        torch.testing.assert_close(out, io[f"multi_out_{name}"], atol=1e-5, rtol=0)


def test_a_file_of_one_lora_has_no_second_adapter(tmp_path, unet):
    first = read_lora(LISTS["temporal"], unet, adapter=1)
    assert first.layers.keys() == read_lora(LISTS["temporal"], unet).layers.keys()
    refuse(LISTS["temporal"], unet, "no adapter 2", "one LoRA only", adapter=2)
    named = save_lora(first, tmp_path / "x.safetensors")
    assert read_lora(named, unet, adapter=1).layers.keys() == first.layers.keys()
    refuse(named, unet, "no adapter 2", "one LoRA only", adapter=2)


# ---- what is none


def test_lists_that_are_not_whole(tmp_path, unet):
    path, tensors = tmp_path / "3_unet.pt", stored(LISTS["temporal"])
    torch.save(tensors[:-1], path)
    refuse(path, unet, "is no LoRA")
    torch.save(tensors[:-2], path)
    refuse(path, unet, "has 98 tensors", "100 (MotionDirector, temporal)", "48 (MotionDirector, spatial)")


def test_halves_in_the_wrong_order(tmp_path, unet):
    tensors = stored(LISTS["temporal"])
    turned = [half for up, down in zip(tensors[::2], tensors[1::2], strict=True) for half in (down, up)]
    torch.save(turned, tmp_path / "3_unet.pt")
    refuse(tmp_path / "3_unet.pt", unet, "100 tensors (MotionDirector, temporal)", "down before up")


def test_ranks_that_differ(tmp_path, unet):
    tensors = stored(LISTS["temporal"])
    tensors[4], tensors[5] = tensors[4][:, :2], tensors[5][:2]
    torch.save(tensors, tmp_path / "3_unet.pt")
    refuse(tmp_path / "3_unet.pt", unet, "rank 2 at transformer_in", "rank 4 elsewhere")


def test_a_rank_above_the_size_of_a_layer_is_less_there(tmp_path, unet):
    tensors = []
    for site in lora_sites(unet, ["temporal"]).values():
        rank = min(40, site.in_features, site.out_features)
        tensors += [torch.randn(site.out_features, rank), torch.randn(rank, site.in_features)]
    torch.save(tensors, tmp_path / "3_unet.pt")
    assert list(read_lora(tmp_path / "3_unet.pt", unet).layers) == META["temporal_order"]


@pytest.mark.parametrize("role", ["temporal", "spatial"])
def test_a_list_for_another_width_says_both(tmp_path, unet, role):
    wide = IVGUNet.from_config_dict({**META["config"], "block_out_channels": [64], "photo": True})
    words = ["width 32", "width 64"]
    refuse(LISTS[role], wide, f"MotionDirector, {role}", *words)
    named = save_lora(read_lora(LISTS[role], unet), tmp_path / "x.safetensors")
    refuse(named, wide, *words)


@pytest.mark.parametrize(
    ("role", "clips", "words"),
    [
        ("temporal", 1, ["340 tensors", "MotionDirector's temporal list, of width 320, it has"]),
        ("spatial", 1, ["192 tensors", "MotionDirector's spatial list, of width 320, it has"]),
        ("spatial", 3, ["576 tensors", "MotionDirector's spatial list, of width 320 from 3 clips, it has"]),
        ("text", 1, ["128 tensors", "for another network, it has"]),
    ],
)
def test_a_list_for_a_network_of_other_depth_says_what_it_is(tmp_path, role, clips, words):
    with torch.device("meta"):
        sites = lora_sites(IVGUNet(photo=False), [role]).values()
    tensors = [
        half
        for site in sites
        for _ in range(clips)
        for half in (torch.ones(site.out_features, 1), torch.ones(1, site.in_features))
    ]
    torch.save(tensors, tmp_path / "3_unet.pt")
    deeper = IVGUNet.from_config_dict({**META["config"], "layers_per_block": 4})  # 60 spatial layers, no part of 96
    refuse(tmp_path / "3_unet.pt", deeper, "another network", "of width 32, a list has", *words)


def test_a_list_of_adapters_of_which_one_is_of_another_width(tmp_path, unet):
    tensors = stored(TWO_CLIPS)
    tensors[2] = torch.cat([tensors[2], tensors[2]])
    torch.save(tensors, tmp_path / "3_unet.pt")
    refuse(tmp_path / "3_unet.pt", unet, "later adapter", adapter=1)


# ---- writing


@pytest.mark.parametrize("role", ["temporal", "spatial"])
def test_there_and_back_every_bit_is_the_same(tmp_path, unet, role):
    named = save_lora(read_lora(LISTS[role], unet), tmp_path / "x.safetensors")
    written = save_list(read_lora(named, unet), tmp_path / "y_unet.pt", unet)
    before, after = stored(LISTS[role]), stored(written)
    assert all(isinstance(tensor, torch.nn.Parameter) and tensor.dtype == torch.float32 for tensor in after)
    assert len(before) == len(after) and all(map(torch.equal, before, after))
    again = save_list(read_lora(written, unet), tmp_path / "z_unet.pt", unet)
    assert again.read_bytes() == written.read_bytes()


def test_a_list_says_its_strength_in_its_weights(tmp_path, unet):
    lora = read_lora(LISTS["temporal"], unet)
    names = list(lora.layers)
    lora.scales[names[0]] = 0.5
    lora.layers[names[1]] = tuple(half.half() for half in lora.layers[names[1]])
    written = read_lora(save_list(lora, tmp_path / "x_unet.pt", unet), unet)
    assert not written.scales and torch.equal(written.layers[names[0]][0], lora.layers[names[0]][0] * 0.5)
    assert written.layers[names[1]][0].dtype == torch.float32


def test_missing_layers_and_lower_ranks_are_filled_with_nothing(tmp_path, unet):
    lora = read_lora(LISTS["temporal"], unet)
    names = list(lora.layers)
    del lora.layers[names[0]]
    up, down = lora.layers[names[1]]
    lora.layers[names[1]] = (up[:, :1], down[:1])
    written = read_lora(save_list(lora, tmp_path / "x_unet.pt", unet), unet)
    assert list(written.layers) == names and written.layers[names[1]][0].shape == up.shape
    for name in names:
        weight = unet.get_submodule(name).weight
        wanted = lora.change(name, weight) if name in lora.layers else torch.zeros_like(weight)
        torch.testing.assert_close(written.change(name, weight), wanted)


def test_a_list_holds_one_role(tmp_path, unet):
    temporal, spatial = (read_lora(path, unet) for path in LISTS.values())
    both = LoRA(temporal.layers | spatial.layers)
    with pytest.raises(IVGError, match=r"50 temporal and 24 spatial layers.*--role"):
        save_list(both, tmp_path / "x_unet.pt", unet)
    with pytest.raises(IVGError, match="1 conv layers"):
        save_list(LoRA({"conv_in": (torch.ones(32, 1), torch.ones(1, 36))}), tmp_path / "x_unet.pt", unet)
    assert not (tmp_path / "x_unet.pt").exists()
    written = save_list(both.of_role("spatial", unet), tmp_path / "x_unet.pt", unet)
    assert all(map(torch.equal, stored(written), stored(LISTS["spatial"])))
    with pytest.raises(IVGError, match="no temporal layers, it has 24 spatial"):
        spatial.of_role("temporal", unet)
