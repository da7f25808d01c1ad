"""Write workflows/ivg_rom_*.json and their thumbnails, as make_workflows.py does for the others.

    COMFYUI_PATH=… PYTHONPATH=.:tests python tests/comfyui/make_rom_workflows.py [--shots FOLDER]

Only the one with the embedded model can run without a download; the others are opened with empty files in the place of
the models, and their thumbnails show photo and region.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile

from make_workflows import ROOT, build, last_frame, picture_of, thumbnail
from PIL import Image, ImageDraw, ImageFont
from rom_graphs import GRAPHS
from rom_parts import empty_models, name_models

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser

MODEL_NAMES = {
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


def without_models(browser: ComfyBrowser) -> None:
    """Leave only what runs with the embedded model: photo, region, preview."""
    browser.evaluate(
        """() => {
          const keep = ['LoadIVGModel', 'IVGExampleScene', 'PredictRoMMask', 'RefineMask', 'IVGPreviewRoM'];
          for (const node of [...window.app.graph.nodes]) if (!keep.includes(node.type)) window.app.graph.remove(node);
        }"""
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=pathlib.Path, help="folder for a screenshot of each workflow")
    options = parser.parse_args()
    found = installed_comfyui()
    if found is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    with (
        tempfile.TemporaryDirectory() as folder,
        ComfyServer(found[0], [ROOT], python=found[1], models=empty_models(pathlib.Path(folder))) as server,
        ComfyBrowser(server.url, expect_extensions=["ivg"]) as browser,
    ):
        client = ComfyClient(server.url)
        for name, describe in GRAPHS.items():
            graph = describe()
            workflow, ids = build(browser, graph)
            downloads = name_models(workflow)
            target = ROOT / "workflows" / f"{name}.json"
            target.write_text(json.dumps(workflow, indent=1, ensure_ascii=False) + "\n", "utf-8")
            print(name, browser.load(target))
            browser.fit()
            if options.shots and downloads:
                browser.screenshot(options.shots / f"{name}.png")
            if downloads:
                without_models(browser)
            outcome = browser.run(timeout=600)
            print(name, outcome["status"], outcome["error"] or "")
            outputs = client.last_outputs()
            preview = picture_of(client, outputs[ids["preview"]]["images"][0])
            photo = preview.crop((0, 0, preview.width // 2 - 2, preview.height))
            tinted = preview.crop((preview.width // 2 + 2, 0, *preview.size))
            if downloads:
                square = labelled(thumbnail(photo, tinted), MODEL_NAMES[name])
            else:
                if options.shots:
                    browser.fit()
                    browser.screenshot(options.shots / f"{name}.png")
                (film,) = outputs[ids["save"]]["images"]
                square = labelled(thumbnail(tinted, last_frame(server, film)), MODEL_NAMES[name])
            square.save(target.with_suffix(".jpg"), quality=88)


if __name__ == "__main__":
    main()
