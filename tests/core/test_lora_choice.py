"""FILE:STRENGTH, as command lines and tables say LoRAs, and several on a model."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from ivg_core.batch.item_lora import ItemLoRA
from ivg_core.batch.journal import DONE, Journal, read_journal
from ivg_core.batch.page import write_page
from ivg_core.batch.table import Item, read_table, write_table
from ivg_core.checkpoints.add_loras import add_loras
from ivg_core.checkpoints.lora_choice import LoRAChoice, read_choice, strengths_of
from ivg_core.checkpoints.lora_files import save_lora
from ivg_core.cli import build_parser, main
from ivg_core.commands.items import item_settings
from ivg_core.commands.shared import load_for_sampling
from ivg_core.errors import IVGError
from ivg_core.models.lora import LoRA

TINY = Path(__file__).parents[1] / "golden" / "tiny_ckpt"
SITE = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.mark.parametrize(
    ("text", "file", "strength"),
    [
        ("a.safetensors", "a.safetensors", None),
        ("a.safetensors:0.8", "a.safetensors", 0.8),
        ("a.safetensors:-1e-1", "a.safetensors", -0.1),
        ("embedded-back:2", "embedded-back", 2),
        ("C:\\x.safetensors", "C:\\x.safetensors", None),
        ("C:\\x.safetensors:0.5", "C:\\x.safetensors", 0.5),
        ("C:x.pt", "C:x.pt", None),
        ("style:2.safetensors", "style:2.safetensors", None),
        ("/mnt/a:b/x", "/mnt/a:b/x", None),
    ],
)
def test_a_strength_may_stand_behind_the_name(text, file, strength):
    assert read_choice(text) == LoRAChoice(file, strength)


def test_a_file_whose_name_ends_so_is_that_file(tmp_path):
    (tmp_path / "x:0.5").write_bytes(b"")
    assert read_choice(f"{tmp_path}/x:0.5").strength is None and read_choice(f"{tmp_path}/y:0.5").strength == 0.5


@pytest.mark.parametrize("strength", ["strong", "nan", "inf", ""])
def test_what_is_no_strength_is_told(strength):
    with pytest.raises(IVGError, match=f"^'{strength}' is no strength: write a.safetensors:0.8"):
        read_choice(f"a.safetensors:{strength}")


def test_a_strength_is_told_once():
    one, two = LoRAChoice("a"), LoRAChoice("b", 0.5)
    assert strengths_of([one, two], None, "--s") == [1.0, 0.5] and strengths_of([one, one], [2.0], "--s") == [2.0, 2.0]
    with pytest.raises(IVGError, match=r"^b has its strength behind its name \(0.5\), and by --s: leave one out"):
        strengths_of([one, two], [1.0], "--s")


# ---- on a model


@pytest.fixture
def files(tmp_path, tiny_model):
    """A file for each stage that changes one layer, and the changes themselves."""
    paths, changes = {}, {}
    for stage in (1, 2):
        rng = torch.Generator().manual_seed(stage)
        rows, columns = tiny_model.unet.get_submodule(SITE).weight.shape
        lora = LoRA({SITE: (torch.randn(rows, 2, generator=rng), torch.randn(2, columns, generator=rng))})
        paths[stage] = save_lora(lora, tmp_path / f"{stage}.safetensors", {"ivg_stage": str(stage)})
        changes[stage] = lora.change(SITE, tiny_model.unet.get_submodule(SITE).weight)
    return paths, changes


@pytest.fixture
def both_stages(tiny_model):
    return replace(tiny_model, rom_unet=copy.deepcopy(tiny_model.unet))


def weights(model):
    return [net if net is None else net.get_submodule(SITE).weight for net in (model.rom_unet, model.unet)]


@pytest.mark.parametrize("order", [(1, 2, 2, 1), (2, 1, 1, 2)])
def test_each_is_added_to_the_stage_of_its_file_in_any_order(order, files, both_stages):
    paths, changes = files
    rom, video = (weight.clone() for weight in weights(both_stages))
    worn = weights(add_loras(both_stages, [(paths[stage], 0.1 * (n + 1)) for n, stage in enumerate(order)]))
    for found, before, stage in ((worn[0], rom, 1), (worn[1], video, 2)):
        strength = sum(0.1 * (n + 1) for n, each in enumerate(order) if each == stage)
        torch.testing.assert_close(found, before + strength * changes[stage])
    assert torch.equal(weights(both_stages)[1], video)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_stage_1_that_is_made_is_made_of_stage_2_as_it_was(order, files, tiny_model):
    paths, changes = files
    video = weights(tiny_model)[1].clone()
    assert tiny_model.rom_unet is None
    worn = weights(add_loras(tiny_model, [(paths[stage], 1.0) for stage in order]))
    torch.testing.assert_close(worn[0], video + changes[1])
    torch.testing.assert_close(worn[1], video + changes[2])
    with ItemLoRA(tiny_model) as lora:
        item = weights(lora.model_for(Item(paths[1], "stir", loras=tuple((paths[stage], 1.0) for stage in order))))
        torch.testing.assert_close(item, worn)
    assert torch.equal(weights(tiny_model)[1], video)


def test_on_a_model_of_stage_1_alone_there_is_no_place_for_stage_2(files, both_stages):
    with pytest.raises(IVGError, match=r"is for stage 2, the video, and the model .* has stage 1 alone: take a LoRA"):
        add_loras(replace(both_stages, unet=None), [(files[0][2], 1.0)])


# ---- on the command line


def parsed(command, *words):
    model = ["--model", TINY, "--rom-model", TINY]
    return build_parser().parse_args([str(word) for word in (command, *model, *words)])


COMMANDS = {
    "generate": ["--image", "a.png", "--prompt", "stir", "--out", "a.mp4"],
    "predict-mask": ["--image", "a.png", "--prompt", "stir", "--out", "a.png"],
    "batch": ["--out", "unused"],
    "how-to": ["--out", "unused"],
    "invert": ["a.mp4", "--out", "a.safetensors"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_samples_takes_several(command, files):
    paths, changes = files
    words = ["--lora", f"{paths[2]}:0.5", "--lora", paths[2], "--lora", f"{paths[1]}:-1"]
    before, worn = (load_for_sampling(parsed(command, *COMMANDS[command], *loras)) for loras in ([], words))
    torch.testing.assert_close(weights(worn)[1], weights(before)[1] + 1.5 * changes[2])
    torch.testing.assert_close(weights(worn)[0], weights(before)[0] - changes[1])


def run(capsys, *words):
    """What a command says that cannot be done."""
    assert main([str(word) for word in words]) == 2
    return capsys.readouterr().err


def test_a_stage_that_is_not_made_takes_none(files, tmp_path, capsys):
    Image.new("RGB", (64, 32), "orange").save(tmp_path / "a.png")
    paths, model = files[0], ["--model", TINY, "--rom-model", TINY, "--frames", 3, "--steps", 1, "--size", "64x32"]
    scene = ["--image", tmp_path / "a.png", "--prompt", "stir", *model]
    said = run(capsys, "predict-mask", *scene, "--out", tmp_path / "m.png", "--lora", paths[2])
    assert said == (
        f"error: --lora: {paths[2]} is for stage 2, the video, and all that is made here is the mask video: leave it "
        "out.\n"
    )
    words = ["generate", *scene, "--out", tmp_path / "v.gif", "--lora", paths[1]]
    assert "stage 1, the mask video, and all that is made here is the video" in run(
        capsys, *words, "--fallback", "white"
    )
    masks = []
    for loras in ([], ["--lora", f"{paths[1]}:30"]):
        assert main([*map(str, ["predict-mask", *scene, "--out", tmp_path / "m.png", "--threshold", 0.5, *loras])]) == 0
        masks.append((tmp_path / "m.png").read_bytes())
    assert masks[0] != masks[1]


def test_what_cannot_be_read_is_told_before_the_model_is_loaded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ivg_core.commands.shared.load", None)
    Image.new("RGB", (64, 32), "orange").save(tmp_path / "a.png")
    words = ["predict-mask", "--image", tmp_path / "a.png", "--prompt", "stir", "--out", tmp_path / "m.png"]
    assert "--lora: 'x' is no strength: write a.pt:0.8." in run(capsys, *words, "--lora", "a.pt:x")
    assert "error: --lora: there is no file at none.pt: check the path" in run(capsys, *words, "--lora", "none.pt:1")
    said = run(capsys, *words, "--lora", "embedded-back:1", "--lora-strength", 1)
    assert "embedded-back has its strength behind its name (1), and by --lora-strength: leave one out." in said


def test_a_batch_notes_what_it_noted_before(files):
    one, two = ["--lora", "a.pt"], ["--lora", "b.pt:1"]
    noted = [item_settings(parsed("batch", "--out", "unused", *words)) for words in ([], one, one + two)]
    assert [(each["lora"], each["lora_strength"]) for each in noted] == [
        (None, 1.0),
        ("a.pt", 1.0),
        (["a.pt", "b.pt"], [1.0, 1.0]),
    ]


# ---- in tables


@pytest.mark.parametrize(
    "row",
    [
        {"lora": "1.safetensors:0.5 | 2.safetensors"},
        {"lora": ["1.safetensors:0.5", "2.safetensors"]},
        {"lora": ["1.safetensors", "2.safetensors"], "lora_strength": [0.5, 1]},
    ],
)
def test_a_row_has_several(row, files, tmp_path):
    Image.new("RGB", (64, 32), "orange").save(tmp_path / "a.png")
    (tmp_path / "t.json").write_text(json.dumps([{"image": "a.png", "prompt": "stir", **row}]))
    (item,) = read_table(tmp_path / "t.json")
    assert item.loras == ((files[0][1], 0.5), (files[0][2], 1.0))
    assert item.key != replace(item, loras=item.loras[:1]).key
    write_table([item], tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv") == [item]
    with Journal(tmp_path / "out") as journal:
        journal.write(item, DONE, file="a.gif")
    assert read_journal(tmp_path / "out")[item.name].last["lora"] == f"{files[0][1]}:0.5 | {files[0][2]}:1.0"
    assert "1.safetensors:0.5 + 2.safetensors:1.0" in write_page(tmp_path / "out").read_text()
