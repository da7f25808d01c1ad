"""Box tracks in a real ComfyUI: drawn with the mouse on a photo, and taken from masks, text and core's boxes."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from tour import ROOT

from ivg_core.media.tracks import Keyframe, Thing, Track

SHOTS = ROOT / "out" / "shots"  # to be looked at
START, END = (0.1, 0.2, 0.3, 0.4), (0.6, 0.2, 0.8, 0.4)
CUP = Track((Thing("cup", (Keyframe(0, START), Keyframe(1, END))),))
#: A photo, the editor, and a node that shows its mask; gives the ids of the last two.
BUILD = """() => {
  const app = window.app, made = (kind, x) => {
    const node = window.LiteGraph.createNode(kind);
    node.pos = [x, 100];
    app.graph.add(node);
    return node;
  };
  app.graph.clear();
  const [photo, editor, seen] = [made('LoadImage', 0), made('IVGBoxTrack', 340), made('MaskPreview', 780)];
  photo.widgets.find((w) => w.name === 'image').value = 'hands.png';
  photo.connect(0, editor, editor.findInputSlot('image'));
  editor.connect(1, seen, 0);
  app.canvas.ds.scale = 1;
  app.canvas.centerOnNode(editor);
  app.canvas.setDirty(true, true);
  return [editor.id, seen.id];
}"""
PHOTO_SEEN = """() => {
  const canvas = document.querySelector('.ivg-boxes canvas'), pen = canvas.getContext('2d');
  const pixels = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.filter((value, index) => index % 4 === 3 && value === 255).length > canvas.width * canvas.height / 2;
}"""


def shown(interface, node) -> list[np.ndarray]:
    files = interface.client.last_outputs()[str(node)]["images"]
    return [np.asarray(Image.open(io.BytesIO(interface.client.view(file))).convert("RGB")) for file in files]


def test_a_track_is_drawn_on_the_photo_and_gives_its_region(interface):
    page = interface.page
    editor, seen = page.evaluate(BUILD)
    page.page.wait_for_function(PHOTO_SEEN)  # before any run

    def drag(start, end):
        box = page.page.locator(".ivg-boxes canvas").bounding_box()
        for point, act in ((start, page.page.mouse.down), (end, page.page.mouse.up)):
            page.page.mouse.move(*(box[k] + 6 + share * (box[side] - 12) for k, side, share in
                                   (("x", "width", point[0]), ("y", "height", point[1]))), steps=5)  # fmt: skip
            act()

    drag((0.1, 0.2), (0.3, 0.4))
    page.page.keyboard.type("cup")
    page.page.locator(".ivg-boxes input[type=range]").fill("1")
    drag((0.2, 0.3), (0.7, 0.3))
    outcome = page.run(timeout=120)
    assert outcome["status"] == "success", outcome
    page.fit()
    page.screenshot(SHOTS / f"{interface.look}_box_track.png")
    (cup,) = Track.of_json(json.loads(page.widget(editor, "track"))).things
    assert cup.phrase == "cup" and [key.at for key in cup.keyframes] == [0, 1]
    (mask,) = shown(interface, seen)
    assert mask.shape == (512, 768, 3)
    wanted = np.zeros((512, 768), bool)
    wanted[103:205, 77:614] = True
    assert ((mask[..., 0] > 127) != wanted).mean() < 0.02  # the mouse moves by whole pixels of the screen
    (drawn,) = shown(interface, editor)
    assert drawn.shape == (512, 768, 3)


def test_nothing_drawn_is_told_on_the_node(interface):
    page = interface.page
    page.evaluate(BUILD)
    outcome = page.run(timeout=120)
    assert outcome["status"] == "error" and "Nothing is drawn yet" in outcome["error"]
    page.dismiss_dialogs()


@pytest.fixture
def report(interface):
    """What IVG Convert to Box Track says of some inputs."""

    def run(others=None, **inputs) -> str:
        nodes = {
            "photo": ("EmptyImage", {"width": 200, "height": 100, "batch_size": 1, "color": 0}),
            "convert": ("IVGBoxTrackFrom", {"phrase": "cup", "text": "", **inputs}),
            "said": ("PreviewAny", {"source": ["convert", 1]}),
            **(others or {}),
        }
        result = interface.client.run(
            {name: {"class_type": kind, "inputs": given} for name, (kind, given) in nodes.items()}
        )
        assert result.ok, result.errors
        return "".join(result.outputs["said"]["text"])

    return run


def test_a_track_of_text_and_masks(report):
    way = "cup: goes from 20%, 30% to 70%, 30%"
    assert report(text=CUP.to_json()) == f"{way}, smooth"
    assert report(text="20,20,60,40\n120,20,160,40", image=["photo", 0]) == f"{way}, linear"
    whole = {"mask": ("SolidMask", {"value": 1.0, "width": 20, "height": 10})}
    assert report(whole, masks=["mask", 0]) == "cup: stays at 50%, 50%"


def test_a_track_of_cores_boxes(interface, report):
    if "PrimitiveBoundingBox" not in interface.client.get("/object_info"):
        pytest.skip("this ComfyUI has no boxes")
    given = {"box": ("PrimitiveBoundingBox", {"x": 20, "y": 20, "width": 40, "height": 20})}
    assert report(given, boxes=["box", 0], image=["photo", 0]) == "cup: stays at 20%, 30%"
