"""`--lora` and its options, `combine-loras`, `convert-lora` to a list, run as people run them."""

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_choice import for_each
from ivg_core.checkpoints.lora_files import read_lora, save_lora
from ivg_core.cli import build_parser, main
from ivg_core.commands.shared import load_for_sampling
from ivg_core.errors import IVGError
from ivg_core.models.lora import LoRA, applied_lora, lora_sites

GOLDEN = Path(__file__).parents[1] / "golden"
MODEL = GOLDEN / "motiondirector" / "training" / "model"
LISTS = GOLDEN / "motiondirector" / "training" / "lora"
TEMPORAL, SPATIAL = (LISTS / f"checkpoint-4/{role}/lora/4_unet.pt" for role in ("temporal", "spatial"))
TWO_CLIPS = LISTS / "multi2/spatial/lora/4_unet.pt"


def run(*words):
    return main([str(word) for word in words])


def options(*words) -> Namespace:
    return build_parser().parse_args([str(word) for word in ("batch", "--out", "unused", "--model", MODEL, *words)])


@pytest.fixture(scope="module")
def unet():
    return load_model(MODEL).unet


def same(one, other, within=1e-6):
    for key, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, other.state_dict()[key], atol=within, rtol=0)


def test_several_loras_at_once_each_as_its_options_say(unet):
    words = ["--lora", TWO_CLIPS, "--lora", TEMPORAL.parent, "--lora-strength", 0.5, "--lora-strength", 2]
    words += ["--lora-adapter", 2, "--lora-adapter", 0, "--lora-temporal", 0.25, "--lora-spatial", 0.5]
    model = load_for_sampling(options(*words))
    spatial, temporal = read_lora(TWO_CLIPS, unet, adapter=2), read_lora(TEMPORAL, unet)
    with applied_lora(unet, spatial, 0.5 * 0.5), applied_lora(unet, temporal, 2 * 0.25):
        same(unet, model.unet)


def test_loras_at_strength_0_change_no_bit(unet):
    for words in (["--lora-strength", 0], ["--lora-temporal", 0], []):
        given = ["--lora", TEMPORAL, *words] if words else []
        same(unet, load_for_sampling(options(*given)).unet, within=0)


def test_an_option_stands_once_or_once_for_each():
    assert for_each("--x", None, 2, 1.0) == [1.0, 1.0] and for_each("--x", [3], 2, 1.0) == [3, 3]
    assert for_each("--x", [3, 4], 2, 1.0) == [3, 4]
    with pytest.raises(IVGError, match="--x has 2 values for 3 LoRAs"):
        for_each("--x", [3, 4], 3, 1.0)


def test_several_clips_in_a_file_are_told(tmp_path, capsys):
    assert run("merge-lora", "--model", MODEL, TWO_CLIPS, "--out", tmp_path / "m.safetensors") == 2
    assert "adapters of 2 clips" in capsys.readouterr().err
    words = ["merge-lora", "--model", MODEL, TWO_CLIPS, "--lora-adapter", 1, "--lora-spatial", 0.5]
    assert run(*words, "--out", tmp_path / "m") == 0


def test_batches_of_an_earlier_version_go_on():
    from ivg_core.batch.run import BatchSettings
    from ivg_core.commands.items import _plain

    settings = BatchSettings(lora=_plain(["a.pt"], None), lora_strength=_plain([0.5], 1.0))
    noted = json.loads(json.dumps(settings.to_dict()))
    assert (noted["lora"], noted["lora_strength"], noted["lora_adapter"]) == ("a.pt", 0.5, 0)
    assert _plain(None, None) is None and _plain(["a", "b"], None) == ["a", "b"]


# ---- combine-loras


def test_combined_they_do_what_both_do(tmp_path, unet, capsys):
    out = tmp_path / "c.safetensors"
    assert (
        run("combine-loras", "--model", MODEL, SPATIAL, TEMPORAL, SPATIAL, "--strengths", 1, 0.5, -3, "--out", out) == 0
    )
    assert "74 layers of rank 6 at most: 1 4_unet.pt + 0.5 4_unet.pt + -3 4_unet.pt" in capsys.readouterr().out
    spatial, temporal = read_lora(SPATIAL, unet), read_lora(TEMPORAL, unet)
    with applied_lora(unet, read_lora(out, unet)):
        weights = {key: tensor.clone() for key, tensor in unet.state_dict().items()}
    with applied_lora(unet, spatial, 1), applied_lora(unet, temporal, 0.5), applied_lora(unet, spatial, -3):
        for key, tensor in unet.state_dict().items():
            torch.testing.assert_close(tensor, weights[key], atol=1e-5, rtol=0)


def test_the_error_of_a_lower_rank_is_said_and_noted(tmp_path, capsys):
    out = tmp_path / "c.safetensors"
    words = ["combine-loras", "--model", MODEL, TWO_CLIPS, TWO_CLIPS, "--out", out]
    words += ["--lora-adapter", 1, "--lora-adapter", 2]
    assert run(*words, "--rank", 4) == 0
    said = capsys.readouterr().out
    assert "rank 4 differs from the whole by " in said and "at worst" in said and "(in " in said
    assert {tensor.shape[0] for key, tensor in load_file(out).items() if "lora_down" in key} == {4}
    with safe_open(out, "pt") as file:
        about = file.metadata()
    assert 0.05 < float(about["ivg_rank_error"]) < float(about["ivg_rank_error_worst"]) < 1
    assert f"by {float(about['ivg_rank_error']):.1%}"[:5] in said
    assert run(*words, "--rank", 8) == 0
    assert "by 0.00%\n" in capsys.readouterr().out


def test_nothing_is_no_lora(tmp_path, capsys):
    words = ["combine-loras", "--model", MODEL, SPATIAL, TEMPORAL, "--out", tmp_path / "c.safetensors"]
    assert run(*words, "--strengths", 0) == 2
    assert "Nothing is left" in capsys.readouterr().err
    assert run(*words, "--strengths", 1, 2, 3) == 2
    assert "--strengths has 3 values for 2 LoRAs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# ---- convert-lora


def test_a_list_goes_there_and_back(tmp_path):
    named, back = tmp_path / "x.safetensors", tmp_path / "y.pt"
    assert run("convert-lora", "--model", MODEL, TEMPORAL, "--out", named) == 0
    assert run("convert-lora", "--model", MODEL, named, "--out", back) == 0
    lists = [torch.load(path, weights_only=True) for path in (TEMPORAL, back)]
    assert len(lists[0]) == len(lists[1]) and all(map(torch.equal, *lists))


def test_a_lora_of_both_roles_is_two_lists(tmp_path, unet, capsys):
    both = LoRA(read_lora(TEMPORAL, unet).layers | read_lora(SPATIAL, unet).layers)
    named = save_lora(both, tmp_path / "x.safetensors")
    words = ["convert-lora", "--model", MODEL, named, "--out", tmp_path / "y.pt"]
    assert run(*words) == 2
    assert "--role temporal or --role spatial" in capsys.readouterr().err
    for role, path in (("temporal", TEMPORAL), ("spatial", SPATIAL)):
        assert run(*words, "--role", role) == 0
        assert all(map(torch.equal, *(torch.load(file, weights_only=True) for file in (tmp_path / "y.pt", path))))
    assert run("convert-lora", "--model", MODEL, named, "--role", "spatial", "--out", tmp_path / "z.safetensors") == 0
    assert read_lora(tmp_path / "z.safetensors", unet).layers.keys() == lora_sites(unet, ["spatial"]).keys()
