"""Write the workflows for real photos, ivg_01… to ivg_17… and ivg_35…, and their thumbnails, as make_workflows.py does.

    COMFYUI_PATH=… PYTHONPATH=.:tests python tests/comfyui/make_rom_workflows.py [--newer] [--only NAME …] [--shots DIR]

Those with a model to download are opened with empty files in its place. The thumbnails show photo and region,
of a drawn scene with a hand. --newer writes those that the oldest supported ComfyUI
cannot open or run; COMFYUI_PATH names a newer one then.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile

import how_to_graphs
import long_graphs
import real_graphs
import rom_graphs
import window_graphs
from graphs import Graph
from make_workflows import ROOT, build, labelled, picture_of, thumbnail
from rom_parts import empty_models, name_models
from tour import hand_photo, set_widgets

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser

GRAPHS = {**real_graphs.GRAPHS, **rom_graphs.GRAPHS, **window_graphs.GRAPHS, **how_to_graphs.WITH_DOWNLOADS}
NEWER = {**real_graphs.NEWER, **long_graphs.NEWER}
#: Each workflow gets a drawn scene of its own, so that the thumbnails differ.
SCENES = dict(zip(sorted({**GRAPHS, **NEWER}), (*range(10), 11, 12, 13, 14), strict=True))  # no hand is found in 10


#: Leaves what runs without a download: photo, hands, region, preview. The region is then that of the hands alone.
WITHOUT_MODELS = """() => {
  const graph = window.app.graph, {LiteGraph} = window;
  const keep = ['LoadImage', 'HandKeypoints', 'IVGRoMFromThings', 'IVGRoMFromVideo', 'IVGEditMask', 'RefineMask',
    'IVGPreviewRoM', 'IVGPlanSteps', 'IVGStepLoader', 'IVGStepMask'];
  for (const node of [...graph.nodes]) if (!keep.includes(node.type)) graph.remove(node);
  const add = (kind) => { const node = LiteGraph.createNode(kind); graph.add(node); return node; };
  const one = (kind) => graph.nodes.find((node) => node.type === kind);
  const link = (from, output, to, input) => from.connect(from.findOutputSlot(output), to, to.findInputSlot(input));
  const photo = one('LoadImage'), video = one('IVGRoMFromVideo'), things = one('IVGRoMFromThings');
  if (video) {
    const still = add('RepeatImageBatch');
    still.widgets[0].value = 2;
    link(photo, 'IMAGE', still, 'image');
    link(still, 'IMAGE', video, 'frames');
  }
  if (!one('HandKeypoints')) {
    const hands = add('HandKeypoints');
    link(photo, 'IMAGE', hands, 'image');
    link(hands, 'keypoints', things, 'keypoints');
  }
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=pathlib.Path, help="folder for a screenshot of each workflow")
    parser.add_argument("--newer", action="store_true", help="those with nodes of a newer ComfyUI")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these alone")
    options = parser.parse_args()
    found = installed_comfyui()
    if found is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    graphs = NEWER if options.newer else GRAPHS
    graphs = {name: describe for name, describe in graphs.items() if not options.only or name in options.only}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        photos = {name: hand_photo(folder, SCENES[name], f"{name}.png") for name in graphs}
        with (
            ComfyServer(
                found[0], [ROOT], python=found[1], models=empty_models(folder / "models"), inputs=list(photos.values())
            ) as server,
            ComfyBrowser(server.url, viewport=(2000, 1000), expect_extensions=["ivg"]) as browser,
        ):
            for name, describe in graphs.items():
                write(name, describe(), server, browser, photos[name].name, options.shots)


def write(
    name: str, graph: Graph, server: ComfyServer, browser: ComfyBrowser, photo: str, shots: pathlib.Path | None
) -> None:
    """Build a workflow, save it, and run what needs no download for its thumbnail."""
    client = ComfyClient(server.url)
    workflow, ids = build(browser, graph)
    downloads = name_models(workflow)
    target = ROOT / "workflows" / f"{name}.json"
    target.write_text(json.dumps(workflow, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(name, browser.load(target))
    if shots:
        browser.fit()
        browser.screenshot(shots / f"{name}.png")
    if downloads:
        browser.evaluate(WITHOUT_MODELS)
    set_widgets(browser, "LoadImage", image=photo)
    outcome = browser.run(timeout=600)
    print(name, outcome["status"], outcome["error"] or "")
    if shots:
        browser.fit()
        browser.screenshot(shots / f"{name}_run.png")
    outputs = client.last_outputs()
    preview = picture_of(client, outputs[ids["preview"]]["images"][0])
    whole = preview.crop((0, 0, preview.width // 2 - 2, preview.height))
    tinted = preview.crop((preview.width // 2 + 2, 0, *preview.size))
    labelled(thumbnail(whole, tinted), name).save(target.with_suffix(".jpg"), quality=88)


if __name__ == "__main__":
    main()
