"""Write the workflows of Stable Diffusion, and run them with checkpoints of random weights.

    COMFYUI_PATH=… PYTHONPATH=.:tests python tests/comfyui/make_sd_workflows.py MODELS [--shots DIR] [--run]

MODELS is what make_sd.py made. With --run the workflows stay as they are and are only opened and run, in any ComfyUI.
The runs are short and small; their pictures are noise, so the thumbnails show what goes into them.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import tempfile

import torch
from make_workflows import ROOT, build, labelled, laid_over, thumbnail
from PIL import Image
from rom_parts import name_models
from sd_graphs import GRAPHS
from tour import film_and_depth, films, hand_clip, open_workflow, set_widgets

from comfy_harness import ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser
from ivg_core.media.canny import canny_edges
from ivg_core.media.images import to_pil

SHORT = {"width": 64, "height": 64, "steps": 2, "context_length": 4, "context_overlap": 2}
#: Some mask in place of one that is painted.
MASKED = """() => {
  const graph = window.app.graph, edit = graph.nodes.find((node) => node.type === 'IVGEditMask');
  if (!edit) return;
  const made = (kind, values) => {
    const node = window.LiteGraph.createNode(kind);
    graph.add(node);
    for (const widget of node.widgets) if (widget.name in values) widget.value = values[widget.name];
    return node;
  };
  const black = made('SolidMask', {value: 0, width: 64, height: 64});
  const white = made('SolidMask', {value: 1, width: 24, height: 24});
  const both = made('MaskComposite', {x: 20, y: 20, operation: 'add'});
  black.connect(0, both, both.findInputSlot('destination'));
  white.connect(0, both, both.findInputSlot('source'));
  both.connect(0, edit, edit.findInputSlot('mask'));
}"""
SENTENCES = "0: a kitchen on a sunny day\n4: a kitchen at night"


def picture(name: str) -> Image.Image:
    """A thumbnail: a frame above, and what the video is held to below."""
    frames, depth = film_and_depth()
    frame, rom = to_pil(frames[0]), to_pil(torch.from_numpy(hand_clip().rom[0]) / 255)
    below = {"31": to_pil(canny_edges(frames[:1])[0]), "32": laid_over(frame, rom), "33": to_pil(depth[0])}
    return labelled(thumbnail(frame, below[name.split("_")[1]]), name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=pathlib.Path)
    parser.add_argument("--shots", type=pathlib.Path, help="folder for screenshots of each workflow")
    parser.add_argument("--run", action="store_true", help="write nothing")
    options = parser.parse_args()
    found = installed_comfyui()
    if found is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    models = {folder.name: folder for folder in options.models.iterdir()}
    failed = []
    with tempfile.TemporaryDirectory() as name:
        inputs = films(pathlib.Path(name))
        with (
            ComfyServer(found[0], [ROOT], python=found[1], models=models, inputs=inputs) as server,
            ComfyBrowser(server.url, viewport=(2000, 1000), expect_extensions=["ivg"]) as browser,
        ):
            for name, describe in GRAPHS.items():
                target = ROOT / "workflows" / f"{name}.json"
                graph = describe()
                if not options.run:
                    workflow, _ = build(browser, graph)
                    name_models(workflow)
                    picture(name).save(target.with_suffix(".jpg"), quality=88)
                    target.write_text(json.dumps(workflow, indent=1, ensure_ascii=False) + "\n", "utf-8")
                faults = open_workflow(browser, target, older=True)
                if options.shots:
                    browser.fit()
                    browser.screenshot(options.shots / f"{name}.png")
                browser.evaluate(MASKED)
                set_widgets(browser, **SHORT)
                set_widgets(browser, "IVGPromptSchedule", sentences=SENTENCES)
                outcome = browser.run(timeout=900)
                print(name, faults, outcome["status"], outcome["error"] or "", flush=True)
                failed += [name] if faults or outcome["status"] != "success" else []
                if options.shots:
                    browser.fit()
                    browser.screenshot(options.shots / f"{name}_run.png")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
