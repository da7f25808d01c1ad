"""A LoRA for one row of a table: read, put on the model for its item, and taken off again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from ivg_core.batch.journal import DONE, FAILED, read_journal
from ivg_core.batch.run import BatchSettings, run_batch
from ivg_core.batch.table import Item, read_table, write_table
from ivg_core.checkpoints.add_loras import read_lora_for
from ivg_core.checkpoints.lora_files import read_lora, save_lora
from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.media.video import read_video
from ivg_core.models.lora import LoRA, model_with_lora
from ivg_core.sampling.settings import Sampling

TINY = Path(__file__).parents[1] / "golden" / "tiny_ckpt"
QUICK = BatchSettings(
    num_frames=2,
    how=Sampling(num_inference_steps=1, keep_first_frame=True, composite=True),
    size=(64, 32),
    fallback="white",
    format=".gif",
)


@pytest.fixture
def folder(tmp_path, tiny_model):
    """Three photos and two LoRAs that change much."""
    for name, colour in (("a", "orange"), ("b", "green"), ("c", "blue")):
        Image.new("RGB", (64, 32), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "loras").mkdir()
    for seed in (1, 2):
        rng = torch.Generator().manual_seed(seed)
        layers = {"conv_out": (torch.randn(4, 2, 1, 1, generator=rng), torch.randn(2, 32, 3, 3, generator=rng))}
        save_lora(LoRA(layers), tmp_path / "loras" / f"{seed}.safetensors")
    return tmp_path


def table(folder, text):
    (folder / "t.csv").write_text(text)
    return read_table(folder / "t.csv", keep_faulty=True)


# ---- the table


def test_a_row_names_a_lora_and_its_strength(folder):
    items = table(
        folder,
        "image,prompt,lora,lora_strength\na.png,stir,loras/1.safetensors,0.5\nb.png,stir,loras/1.safetensors,\n"
        "c.png,stir,,0.5\n",
    )
    lora = folder / "loras/1.safetensors"
    assert [item.loras for item in items] == [((lora, 0.5),), ((lora, 1.0),), ()]
    assert not any(item.fault for item in items)


@pytest.mark.parametrize("strength", [0.5, "0.5", ["0.5"]])
def test_json_has_numbers_for_strengths(folder, strength):
    row = {"image": ["a.png", "b.png"], "prompt": "stir", "lora": "loras/1.safetensors", "lora_strength": strength}
    (folder / "t.json").write_text(json.dumps([row]))
    assert [item.loras[0][1] for item in read_table(folder / "t.json")] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"lora": "x", "lora_strength": "strong"}, "'strong' is no lora_strength"),
        ({"lora": "x", "lora_strength": "nan"}, "'nan' is no lora_strength"),
        ({"lora": "xx:strong"}, "'strong' is no strength: write xx:0.8"),
        ({"lora": "xx:1", "lora_strength": 1}, "by lora_strength: leave one out"),
        ({"lora": "x", "lora_strength": [1, 2]}, "lora_strength has 2 values for 1 LoRAs"),
        ({"lora": 3}, "lora"),
    ],
)
def test_an_odd_row_fails_alone(folder, row, words):
    rows = [{"image": "a.png", "prompt": "stir"}, {"image": "b.png", "prompt": "stir", **row}]
    (folder / "t.json").write_text(json.dumps(rows))
    good, bad = read_table(folder / "t.json", keep_faulty=True)
    assert not good.fault and words in bad.fault and "entry 2" in bad.fault
    with pytest.raises(IVGError, match=words):
        read_table(folder / "t.json")


def test_an_item_is_another_one_with_another_lora(folder):
    photo, lora = folder / "a.png", folder / "loras/1.safetensors"
    plain, whole = Item(photo, "stir"), Item(photo, "stir", loras=((lora, 1.0),))
    keys = {item.key for item in (plain, whole, replace(whole, loras=((lora, 0.5),)))}
    lora.write_bytes((folder / "loras/2.safetensors").read_bytes())
    assert len(keys | {replace(whole).key}) == 4


def test_items_without_a_lora_keep_the_names_that_they_had(folder):
    Image.new("RGB", (2, 2), "red").save(folder / "d.bmp")  # the same bytes whatever the version of the library
    assert Item(folder / "d.bmp", "stir", 7).name == "d_s7_e93f2ae572"


def test_a_table_is_written_with_them(folder):
    items = table(folder, "image,prompt,lora,lora_strength\na.png,stir,loras/1.safetensors,0.5\nb.png,stir,,\n")
    write_table(items, folder / "other.csv")
    again = read_table(folder / "other.csv")
    assert [(item.key, item.loras) for item in again] == [(item.key, item.loras) for item in items]


def test_who_finds_a_lora_can_be_told(folder):
    (folder / "t.csv").write_text("image,prompt,lora\na.png,stir,one\nb.png,stir,two\n")

    def find(name):
        if name == "two":
            raise IVGError("There is no LoRA two.")
        return folder / "loras/1.safetensors"

    good, bad = read_table(folder / "t.csv", keep_faulty=True, find_lora=find)
    assert (
        good.loras == ((folder / "loras/1.safetensors", 1.0),) and "no LoRA two" in bad.fault and "row 3" in bad.fault
    )


# ---- the loop


def test_each_item_is_made_with_its_own_and_the_model_is_left_as_it_was(folder, tiny_model, monkeypatch):
    items = table(
        folder,
        "image,prompt,lora,lora_strength\na.png,stir,loras/1.safetensors,0.5\nb.png,stir,loras/1.safetensors,0.5\n"
        "c.png,stir,loras/2.safetensors,1\na.png,stir,,\nb.png,stir,loras/none.safetensors,1\nc.png,stir,,\n",
    )
    read = []
    monkeypatch.setattr(
        "ivg_core.batch.item_lora.read_lora_for",
        lambda model, path: read.append(path.name) or read_lora_for(model, path),
    )
    before = {key: tensor.clone() for key, tensor in tiny_model.unet.state_dict().items()}
    done = run_batch(tiny_model, items, folder / "out", QUICK)
    assert (done.done, done.failed) == (5, 1)
    assert read == ["1.safetensors", "2.safetensors", "none.safetensors"]  # neighbours share one
    assert all(torch.equal(tensor, before[key]) for key, tensor in tiny_model.unet.state_dict().items())
    states = read_journal(folder / "out")
    assert states[items[4].name].status == FAILED and "no LoRA file at" in states[items[4].name].last["error"]
    assert states[items[0].name].last["lora_strength"] == 0.5 and "lora" not in states[items[3].name].last
    page = (folder / "out" / "index.html").read_text()
    assert "1.safetensors × 0.5" in page

    for item in items[:4]:  # each is what a batch of it alone makes with that model
        model = tiny_model
        for path, strength in item.loras:
            model = model_with_lora(tiny_model, read_lora(path, tiny_model.unet), strength)
        alone = Item(item.image, item.prompt, item.seed)
        run_batch(model, [alone], folder / f"alone {item.name}", QUICK)
        made, wanted = (
            read_video(place)[0]
            for place in (folder / "out" / f"{item.name}.gif", folder / f"alone {item.name}" / f"{alone.name}.gif")
        )
        assert torch.equal(made, wanted)
    plain, changed = (read_video(folder / "out" / f"{items[n].name}.gif")[0] for n in (3, 0))
    assert not torch.equal(plain, changed)


def test_a_cancelled_run_takes_it_off(folder, tiny_model):
    items = table(folder, "image,prompt,lora\na.png,stir,loras/1.safetensors\n")
    before = tiny_model.unet.conv_out.weight.clone()

    def stop(*_):
        assert not torch.equal(tiny_model.unet.conv_out.weight, before)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(tiny_model, items, folder / "out", QUICK, on_step=stop)
    assert torch.equal(tiny_model.unet.conv_out.weight, before)


def test_the_journal_of_a_stranger_may_hold_anything(folder, tiny_model):
    items = table(folder, "image,prompt,lora\na.png,stir,loras/1.safetensors\n")
    run_batch(tiny_model, items, folder / "out", QUICK)
    journal = folder / "out" / "results.jsonl"
    last = json.loads(journal.read_text().splitlines()[-1])
    assert last["status"] == DONE
    with open(journal, "a") as file:
        file.write(json.dumps({**last, "name": "x", "lora": 5}) + "\n")
    assert list(read_journal(folder / "out")) == [items[0].name]


def test_the_video_says_which(folder, tiny_model):
    items = table(folder, "image,prompt,lora,lora_strength\na.png,stir,loras/1.safetensors,0.5\n")
    run_batch(tiny_model, items, folder / "out", replace(QUICK, format=".mp4"))
    written = (folder / "out" / f"{items[0].name}.mp4").read_bytes()
    assert b"1.safetensors" in written and b"lora_strength" in written


def test_float8_takes_no_lora_of_a_row(folder, capsys):
    table(folder, "image,prompt,lora\na.png,stir,loras/1.safetensors\n")
    words = ["batch", "--table", folder / "t.csv", "--model", TINY, "--float8", "--out", folder / "out"]
    assert main([str(word) for word in words]) == 2
    assert "leave out --float8" in capsys.readouterr().err
