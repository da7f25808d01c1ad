"""Take the picture of each help page, web/docs/<NodeId>/node.webp: the node in the real interface, after it has run.

    COMFYUI_PATH=… PYTHONPATH=.:tests python tests/comfyui/make_help_pictures.py [SCENE …]

All of them, or those of the scenes that are named (see help_graphs.py). It takes some minutes without a GPU.
"""

from __future__ import annotations

import argparse
import io
import pathlib
import tempfile

import torch
from help_graphs import CLIP, SCENES, TEXT_MODEL, Scene
from make_workflows import ROOT, build
from PIL import Image
from rom_parts import empty_models

from comfy_harness import ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser
from ivg_core.media.video import write_video
from ivg_core.synthetic.clips import Scene as DrawnScene

NAME = "node.webp"
QUALITY = 84
MARGIN = 12  # pixels around the nodes
VIEW = (1500, 1300)
#: Where the upper left corner of the nodes comes to lie: clear of the interface's bars.
CORNER = (160, 160)
SETTINGS = {
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Locale": "en",
}
#: Makes nodes as large as asked.
RESIZE = """(sizes) => {
  for (const [id, size] of Object.entries(sizes)) {
    const node = window.__harness.node(id), least = node.computeSize();
    node.setSize([Math.max(size[0], least[0]), Math.max(size[1], least[1])]);
  }
}"""
#: Films stand still near their end, without the controls that would lie over them.
HOLD_FILMS = """async () => {
  for (const film of document.querySelectorAll('video')) {
    film.controls = false;
    film.pause();
    if (film.duration) film.currentTime = 0.85 * film.duration;
  }
}"""
#: Moves the canvas so that the nodes lie at the corner, in their own size; gives their rectangle on the page.
SHOW = """([ids, corner]) => {
  const boxes = ids.map((id) => {
    const node = window.__harness.node(id), title = window.LiteGraph.NODE_TITLE_HEIGHT;
    return [node.pos[0], node.pos[1] - title, node.pos[0] + node.size[0], node.pos[1] + node.size[1]];
  });
  const [left, top] = [0, 1].map((k) => Math.min(...boxes.map((box) => box[k])));
  const [right, bottom] = [2, 3].map((k) => Math.max(...boxes.map((box) => box[k])));
  const canvas = window.app.canvas, page = canvas.canvas.getBoundingClientRect();
  canvas.deselectAll();
  canvas.ds.scale = 1;
  canvas.ds.offset[0] = corner[0] - left;
  canvas.ds.offset[1] = corner[1] - top;
  canvas.setDirty(true, true);
  return {x: page.x + corner[0], y: page.y + corner[1], width: right - left, height: bottom - top};
}"""


def take(browser: ComfyBrowser, ids: list[str]) -> Image.Image:
    """The nodes with a little margin, pixel for pixel."""
    area = browser.evaluate(SHOW, [ids, CORNER])
    browser.page.wait_for_timeout(900)
    clip = {
        "x": area["x"] - MARGIN,
        "y": area["y"] - MARGIN,
        "width": area["width"] + 2 * MARGIN,
        "height": area["height"] + 2 * MARGIN,
    }
    return Image.open(io.BytesIO(browser.page.screenshot(clip=clip))).convert("RGB")


def picture(browser: ComfyBrowser, name: str, scene: Scene) -> None:
    """Build a scene's graph, run it and take its pictures."""
    _, ids = build(browser, scene.graph)
    browser.evaluate(RESIZE, {ids[box]: size for box, size in scene.sizes.items()})
    if scene.runs:
        outcome = browser.run(timeout=900)
        if outcome["status"] != "success":
            raise SystemExit(f"{name}: {outcome}")
        browser.page.wait_for_timeout(1500)
        browser.evaluate(HOLD_FILMS)
    for node, boxes in scene.pictures.items():
        target = ROOT / "web" / "docs" / node / NAME
        take(browser, [ids[box] for box in boxes]).save(target, "WEBP", quality=QUALITY, method=6)
        print(f"{name}: {target.relative_to(ROOT)}, {target.stat().st_size / 1024:.0f} KB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", help="which: " + ", ".join(SCENES))
    options = parser.parse_args()
    if unknown := set(options.scenes) - SCENES.keys():
        raise SystemExit(f"No such scene: {', '.join(sorted(unknown))}. There are {', '.join(SCENES)}.")
    found = installed_comfyui()
    if found is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    with tempfile.TemporaryDirectory() as folder:
        base, models = pathlib.Path(folder, "base"), pathlib.Path(folder, "models")
        (base / "input").mkdir(parents=True)
        drawn = DrawnScene(3, 256, 192)
        clip = drawn.clip(drawn.tasks[1], num_frames=8)
        write_video(torch.from_numpy(clip.frames) / 255, base / "input" / CLIP, 8)
        places = {**empty_models(models), "ivg": models / "ivg"}
        places["ivg"].mkdir()
        (places["ivg"] / TEXT_MODEL).symlink_to(ROOT / "tests" / "golden" / "motiondirector" / "training" / "model")
        with (
            ComfyServer(found[0], [ROOT], python=found[1], base_dir=base, models=places, settings=SETTINGS) as server,
            ComfyBrowser(server.url, viewport=VIEW, expect_extensions=["ivg"]) as browser,
        ):
            for name in options.scenes or SCENES:
                picture(browser, name, SCENES[name])


if __name__ == "__main__":
    main()
