"""What the user should know stands on the node, in a real ComfyUI and in its page."""

import pytest
from test_comfyui import FOUND, ROOT, prompt
from tour import set_widgets

from comfy_harness import ComfyClient, ComfyServer

pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")

SHOTS = ROOT / "out" / "shots"  # to be looked at
LONG = "stir the pan slowly " * 30
#: Changes of the prompt -> node and words that then stand on it.
NOTES = {
    "empty action": ({"predict__action": " "}, "predict", "The action is empty"),
    "another script": ({"sample__action": "人参を切る"}, "sample", "The text encoder reads English"),
    "too long": ({"sample__action": LONG}, "sample", "longer than the model reads"),
    "one frame": ({"sample__frames": 1}, "sample", "the video is the photo itself"),
    "few frames": ({"predict__frames": 2}, "predict", "sees little of the motion"),
    "a mask of another shape": ({"mask__width": 32}, "sample", "the mask is stretched to fit"),
    "a photo that is stretched": ({"sample__width": 64, "sample__height": 64}, "sample", "the photo is stretched"),
    "a picture it does not know": (
        {"load__model_name": "embedded (tiny, offline)", "load__rom_model": "same as model"},
        "predict",
        "this picture is none of them",
    ),
    "the size": ({}, "sample", "144 x 112, 2 frames at 8 a second, 2 steps, guidance 2."),
    "how much moves": ({}, "predict", "of the photo, from a mask video of 2 frames."),
    "a device that is no good at it": ({"load__dtype": "fp16"}, "load", "no good at fp16"),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    models = tmp_path_factory.mktemp("ivg")
    (models / "tiny").symlink_to(ROOT / "tests" / "golden" / "tiny_ckpt")
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1], models={"ivg": models}) as server:
        yield ComfyClient(server.url)


@pytest.mark.parametrize("name", NOTES)
def test_a_note_stands_on_its_node(client, name):
    changes, node, words = NOTES[name]
    seed = list(NOTES).index(name)  # what has run before would be taken from the cache, without a word
    result = client.run(prompt(**changes, sample__seed=seed, predict__seed=seed), timeout=120)
    assert result.ok, result.errors
    assert words in result.notes[node]
    assert "predict" not in result.previews, "a note is no preview"


def test_the_page_shows_notes_and_takes_old_ones_away(interface):
    page = interface.page
    page.load(GRAPH)
    assert page.run(timeout=240)["status"] == "success"
    assert "it is resized" in note_on(page, "IVGEditMask")
    page.fit()
    page.screenshot(SHOTS / f"{interface.look}_notes.png")
    set_widgets(page, "SolidMask", width=64, height=48)
    assert page.run(timeout=240)["status"] == "success"
    assert note_on(page, "IVGEditMask") == "No notes on this run."


def note_on(page, kind: str) -> str:
    """The text that the page shows on a node once the run has ended; "" where it shows none."""
    page.page.wait_for_timeout(3000)
    return page.evaluate(
        """(kind) => {
          const node = window.app.graph.nodes.find((n) => n.type === kind);
          const shown = node.widgets.filter((w) => ["$$node-text-preview", "ivg_note"].includes(w.name));
          return [...new Set(shown.map((w) => w.value))].join(" / ");
        }""",
        kind,
    )


def api_node(number: int, kind: str, at: tuple[int, int], widgets: list, inputs: list, outputs: list) -> dict:
    return {
        "id": number, "type": kind, "pos": list(at), "size": [300, 200], "flags": {}, "order": number, "mode": 0,
        "inputs": inputs, "outputs": outputs, "properties": {}, "widgets_values": widgets,
    }  # fmt: skip


#: A photo of 64 x 48, and a mask of another size.
GRAPH = {
    "version": 0.4,
    "last_node_id": 3,
    "last_link_id": 2,
    "links": [[1, 1, 0, 3, 0, "IMAGE"], [2, 2, 0, 3, 2, "MASK"]],
    "groups": [],
    "config": {},
    "extra": {},
    "nodes": [
        api_node(1, "EmptyImage", (0, 0), [64, 48, 1, 8930338], [], [{"name": "IMAGE", "type": "IMAGE", "links": [1]}]),
        api_node(2, "SolidMask", (0, 260), [1.0, 32, 32], [], [{"name": "MASK", "type": "MASK", "links": [2]}]),
        api_node(
            3,
            "IVGEditMask",
            (360, 0),
            [""],
            [
                {"name": "photo", "type": "IMAGE", "link": 1},
                {"name": "image", "type": "STRING", "link": None, "widget": {"name": "image"}},
                {"name": "mask", "type": "MASK", "link": 2},
            ],
            [{"name": "mask", "type": "MASK", "links": []}],
        ),
    ],
}
