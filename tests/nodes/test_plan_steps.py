"""From a text to a plan that is looked through before anything runs behind it."""

import json
import pathlib

import folder_paths
import pytest
import torch
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.utils import CurrentNodeContext
from PIL import Image
from server import PromptServer
from tiny_vlm import make_vlm

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.howto.plan import Plan, Step, read_plan
from ivg_pack.nodes import _language, _notes, plan_steps
from ivg_pack.nodes.plan_steps import IVGPlanSteps

PLAIN = {
    "text": "", "steps": "", "how": "rule", "local_model": _language.NONE, "server_url": "http://127.0.0.1:9/v1",
    "server_model": "", "timeout": 5.0, "review": True, "read_from": "",
}  # fmt: skip
LIST = "# Salad\n1. Peel the carrot (4 s)\n2. Cut it [seed 7]\n"
FREE = "Peel the carrot with care. Then cut it. Serve it at once."


@pytest.fixture
def notes(monkeypatch):
    """What was said on the node."""
    server = PromptServer()
    monkeypatch.setattr(PromptServer, "instance", server)
    monkeypatch.setattr(_notes, "_shown", set())  # of other tests
    with CurrentNodeContext("prompt", "3"):
        yield server.shown


def planned(**widgets):
    return IVGPlanSteps.execute(**{**PLAIN, **widgets})


def test_a_list_goes_on_at_once_and_fills_the_table():
    output = planned(text=LIST)
    assert output[0] == Plan((Step("Peel the carrot", 4.0), Step("Cut it", seed=7)), "Salad")
    assert output[1] == "# Salad\n\n1. Peel the carrot (4 s)\n2. Cut it [seed 7]\n"
    assert read_plan(output.ui["ivg_plan"][0]) == output[0]


def test_the_table_is_the_plan(notes):
    filled = planned(text=LIST)
    table = json.loads(filled.ui["ivg_plan"][0])
    table["steps"][1]["action"] = "Grate it"
    output = planned(text=LIST, steps=json.dumps(table), read_from=filled.ui["ivg_read"][0])
    assert [step.action for step in output[0].steps] == ["Peel the carrot", "Grate it"]
    assert output.ui is None and notes == []  # the table is not written anew, and there is nothing to say


def test_a_text_that_was_changed_since_is_told_of_and_the_table_used(notes):
    filled = planned(text=LIST)
    output = planned(text=LIST + "3. Eat it", steps=filled.ui["ivg_plan"][0], read_from=filled.ui["ivg_read"][0])
    assert len(output[0].steps) == 2
    assert notes == [("3", "The table was not read from this text, and the table is used: press Read the text to read "
                      "it anew.")]  # fmt: skip


def test_free_text_stops_until_it_was_looked_at(notes):
    stopped = planned(text=FREE)
    assert all(isinstance(value, ExecutionBlocker) and value.message is None for value in stopped.args)
    assert notes == [("3", "3 steps were found in the text: look at them in the table, then run again.")]
    again = planned(text=FREE, steps=stopped.ui["ivg_plan"][0], read_from=stopped.ui["ivg_read"][0])
    assert [step.action for step in again[0].steps][1] == "Then cut it."
    assert len(planned(text=FREE, review=False)[0].steps) == 3


def test_a_local_model_is_asked_about_free_text(monkeypatch):
    folder = pathlib.Path(folder_paths.get_folder_paths("LLM")[0]) / "planner"
    make_vlm(folder, "1. Peel the carrot\n2. Cut it", {"": torch.ones(24, 32, 3)})
    asked = []

    def ask(self, instruction, question, image, tokens):
        self._load()
        asked.append((question, image.shape))
        return "1. Peel the carrot\n2. Cut it"

    monkeypatch.setattr(_language._Managed, "ask", ask)
    output = planned(text=FREE, how="local model", local_model="planner", review=False, image=torch.ones(2, 24, 32, 3))
    assert [step.action for step in output[0].steps] == ["Peel the carrot", "Cut it"]
    assert FREE in asked[0][0] and asked[0][1] == (24, 32, 3)


def test_a_managed_model_answers_as_it_does_itself():
    folder = pathlib.Path(folder_paths.get_folder_paths("LLM")[0]) / "asker"
    make_vlm(folder, "hold it", {"red pot": torch.ones(24, 32, 3)})
    managed = _language.chosen_language("local model", "asker", "", "", 1.0)
    given = ("Say what is held.", "hold it", torch.ones(24, 32, 3), 8)
    assert managed.ask(*given) == managed.model.ask(*given)


def test_photos_and_masks_begin_in_the_input_folder(tmp_path):
    inputs = pathlib.Path(folder_paths.get_input_directory())
    (inputs / "plan").mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(inputs / "plan" / "cut.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "cut.png")
    output = planned(text="Peel\nCut [image plan/cut.png] [mask plan/cut.png]")
    assert output[0].steps[1].image == str(inputs / "plan" / "cut.png") == output[0].steps[1].mask
    assert json.loads(output.ui["ivg_plan"][0])["steps"][1]["image"] == "plan/cut.png"
    assert "[image plan/cut.png]" in output[1] or "[mask plan/cut.png]" in output[1]
    for what in ("image", "mask"):
        with pytest.raises(IVGError, match=r"Step 2: its .* not in a folder of ComfyUI's"):
            planned(text=f"Peel\nCut [{what} {tmp_path}/cut.png]")
    with pytest.raises(IVGError, match="Step 2: there is no photo at"):
        planned(text="Peel\nCut [image gone.png]")


@pytest.mark.parametrize(
    ("widgets", "said"),
    [
        ({}, "There are no steps: write what is done into text, or into the table."),
        ({"text": " \n "}, "There are no steps"),
        ({"text": "\n".join(f"{n}. do it" for n in range(1, 201))}, "200 steps, and at most 100"),
        ({"text": "a\n" + "chop " * 500}, "Step 2 .* has 500 words"),
        ({"text": "1. a\n2. b\n2. c"}, "2"),
        ({"steps": '{"steps": [{"action": "a"}, {"action": "b", "seed": "x"}]}'}, "Step 2: seed"),
        ({"steps": '{"steps": [{"action": "a"}, {"action": ""}]}'}, "Step 2 says nothing that is done"),
        ({"steps": '{"steps": [{"action": "a", "seconds": 500}]}'}, "Step 1: seconds is 500"),
        ({"text": FREE, "how": "local model", "local_model": "gone"}, "press R"),
    ],
)
def test_bad_input_is_one_sentence(widgets, said):
    with pytest.raises(IVGError, match=said) as told:
        planned(**widgets)
    assert "\n" not in str(told.value)


def test_the_mark_of_a_text():
    assert plan_steps.mark_of("a b") == plan_steps.mark_of(" a b\n") != plan_steps.mark_of("a  b")
