"""Write workflows/ivg_rom_*.json and their thumbnails, as make_workflows.py does for the others.

    COMFYUI_PATH=… PYTHONPATH=.:tests python tests/comfyui/make_rom_workflows.py [--newer] [--only NAME …] [--shots DIR]

Those with a model to download are opened with empty files in its place. The thumbnails show photo and region,
of a drawn scene with a hand. --newer writes those that the oldest supported ComfyUI
cannot open; COMFYUI_PATH names a newer one then.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile

import real_graphs
import rom_graphs
from graphs import Graph
from make_workflows import ROOT, build, picture_of, thumbnail
from PIL import Image, ImageDraw, ImageFont
from rom_parts import empty_models, name_models
from tour import hand_photo, set_widgets

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser

GRAPHS = {**real_graphs.GRAPHS, **rom_graphs.GRAPHS}
LABELS = {
    "ivg_rom_real": "your photo",
    "ivg_rom_things_sam3": "SAM3: named things",
    "ivg_rom_draft_wan22_5b": "draft: Wan 2.2 5B",
    "ivg_rom_draft_ltx": "draft: LTX",
    "ivg_rom_draft_ltx2": "draft: LTX-2",
    "ivg_rom_any_video": "any video",
    "ivg_rom_ltx": "LTX",
    "ivg_rom_wan21_i2v": "Wan 2.1",
    "ivg_rom_wan22_i2v": "Wan 2.2 14B",
    "ivg_rom_wan22_5b": "Wan 2.2 5B",
    "ivg_rom_wan_vace": "Wan VACE",
}


def labelled(picture: Image.Image, label: str) -> Image.Image:
    """The picture with a word in its corner: these thumbnails differ in little else."""
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(30)
    left, top, right, bottom = draw.textbbox((14, 12), label, font=font)
    draw.rectangle((left - 8, top - 6, right + 8, bottom + 8), fill=(20, 20, 24))
    draw.text((14, 12), label, font=font, fill=(255, 150, 60))
    return picture


#: Leaves what runs without a download: photo, hands, region, preview. The region is then that of the hands alone.
WITHOUT_MODELS = """() => {
  const graph = window.app.graph, {LiteGraph} = window;
  const keep = ['LoadImage', 'HandKeypoints', 'IVGRoMFromThings', 'IVGRoMFromVideo', 'IVGEditMask', 'RefineMask',
    'IVGPreviewRoM'];
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
    graphs = real_graphs.NEWER if options.newer else GRAPHS
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        photo = hand_photo(folder)
        with (
            ComfyServer(
                found[0], [ROOT], python=found[1], models=empty_models(folder / "models"), inputs=[photo]
            ) as server,
            ComfyBrowser(server.url, viewport=(2000, 1000), expect_extensions=["ivg"]) as browser,
        ):
            for name, describe in graphs.items():
                if not options.only or name in options.only:
                    write(name, describe(), server, browser, photo.name, options.shots)


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
    labelled(thumbnail(whole, tinted), LABELS[name]).save(target.with_suffix(".jpg"), quality=88)


if __name__ == "__main__":
    main()
