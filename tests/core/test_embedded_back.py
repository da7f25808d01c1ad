"""The embedded model's LoRA: found by its name, small, and with it the hand goes back to rest."""

import pytest
import torch

from ivg_core.batch.table import read_table
from ivg_core.checkpoints.embedded import EMBEDDED_LORAS
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.cli import build_parser
from ivg_core.commands.shared import load_for_sampling
from ivg_core.models.lora import model_with_lora
from ivg_core.sampling.generate import generate
from ivg_core.sampling.settings import RAW
from ivg_core.synthetic.plans import BACK, drawn_plan

NAME = "embedded-back"


@pytest.fixture(scope="module")
def model():
    return load_model("embedded")


def test_it_is_small_and_says_what_it_is(model):
    assert EMBEDDED_LORAS[NAME].stat().st_size < 4e6
    lora = read_lora(NAME, model.unet)
    assert {half.dtype for halves in lora.layers.values() for half in halves} == {torch.float16}
    assert "MIT" in lora.metadata["licence"] and "drawn plans" in lora.metadata["card"] and lora.stage == 2
    assert not any("/" in text for text in lora.metadata.values()), "no path of the machine that it was made on"


def test_the_command_line_and_tables_know_its_name(model, tmp_path):
    words = ["generate", "--image", "a.png", "--prompt", "stir", "--out", "a.mp4"]
    layer = next(iter(read_lora(NAME, model.unet).layers))
    plain, told = (
        load_for_sampling(build_parser().parse_args([*words, *more])).unet.get_submodule(layer).weight
        for more in ((), ("--lora", NAME))
    )
    assert not torch.equal(plain, told)
    table = tmp_path / "t.csv"
    table.write_text(f"image,prompt,lora\na.png,stir,{NAME}\nb.png,stir,mine.safetensors\n")
    assert [item.loras[0][0] for item in read_table(table)] == [EMBEDDED_LORAS[NAME], tmp_path / "mine.safetensors"]


def test_the_hand_goes_back(model):
    step = drawn_plan(500_001, 1)[0]
    clip = step.clip()
    photo = torch.from_numpy(clip.frames[0]).float() / 255
    away = torch.from_numpy((clip.hands[7] > 127) & (clip.rom[-1] < 128))  # covered by the hand until it goes back
    exact = torch.from_numpy(clip.frames[-1]).float() / 255
    left = {}
    for name, used in (("without", model), ("with", model_with_lora(model, read_lora(NAME, model.unet)))):
        mask = torch.from_numpy(clip.rom_mask).float()
        frames = generate(used, photo, step.task.text, mask=mask, num_frames=8 + BACK, seed=0, how=RAW).frames
        there = (frames[7] - exact)[away].abs().mean()
        assert there > 0.1, "the hand was there"
        left[name] = (frames[-1] - exact)[away].abs().mean() / there
    assert left["with"] < 0.5 < 0.7 < left["without"]
