"""Write the workflows of core_training_graphs.py and their thumbnails, as make_workflows.py does for the others.

    COMFYUI_PATH=… PYTHONPATH=.:tests python tests/comfyui/make_core_workflows.py [--only NAME …] [--shots FOLDER]

They run with a tiny transformer in the place of the model's file, and with the nodes of tiny_core in those of VAE and
text encoder. What these make shows nothing, so the thumbnails show loss curves, and photo and region of a drawn scene.
ivg_37… loads what ivg_36… has trained. --newer writes nothing: it opens and runs the files in the newer look.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from core_training_graphs import GRAPHS
from make_wan import write_wan
from make_workflows import ROOT, build, labelled, laid_over, picture_of, thumbnail
from PIL import Image, ImageOps
from rom_parts import empty_models, name_models
from tour import films, hand_clip, hand_photo, interface_of, set_widgets
from training_graphs import halves

from comfy_harness import ComfyClient, installed_comfyui
from comfy_harness.browser import ComfyBrowser

SCENES = dict(zip(GRAPHS, (20, 21, 22), strict=True))
#: Puts nodes in the places of others, whose first output alone is used.
EXCHANGE = """(kinds) => {
  const graph = window.app.graph;
  for (const node of graph.nodes.filter((one) => one.type in kinds)) {
    const made = window.LiteGraph.createNode(kinds[node.type]);
    graph.add(made);
    made.pos = [...node.pos];
    for (const id of [...node.outputs[0].links]) {
      const link = graph.links.get ? graph.links.get(id) : graph.links[id];
      made.connect(0, graph.getNodeById(link.target_id), link.target_slot);
    }
    graph.remove(node);
  }
}"""
TINY = {"VAELoader": "TinyCoreVAE", "CLIPLoader": "TinyCoreCLIP"}
#: What makes a run short, by node.
SHORT = {
    "IVGTrainCoreLoRA": {"steps": 24, "learning_rate": 0.004, "width": 128, "height": 128},
    "IVGPredictRoMCore": {"steps": 2, "width": 64, "height": 64, "length": 9},
    "Wan22ImageToVideoLatent": {"width": 64, "height": 64, "length": 9},
    "KSampler": {"steps": 2},
}


def tiny_models(folder: Path) -> dict[str, Path]:
    """The models that the workflows name: empty files, but for a tiny transformer."""
    models = empty_models(folder)
    write_wan(models["diffusion_models"] / "wan2.2_ti2v_5B_fp16.safetensors", 48)
    return models


def run_tiny(browser: ComfyBrowser, photo: str) -> dict:
    """Run what is on the canvas with tiny networks."""
    browser.evaluate(EXCHANGE, TINY)
    for kind, values in {**SHORT, "LoadImage": {"image": photo}}.items():
        set_widgets(browser, kind, **values)
    return browser.run(timeout=900)


def drawn(seed: int) -> tuple[Image.Image, Image.Image]:
    """A drawn scene, and the same with its region of motion."""
    clip = hand_clip(seed)
    photo = Image.fromarray(clip.frames[0])
    return photo, laid_over(photo, Image.fromarray(np.asarray(clip.rom).max(0)))


def write(name: str, browser: ComfyBrowser) -> dict[str, str]:
    """Build a workflow and save it; the node id of each box."""
    workflow, ids = build(browser, GRAPHS[name]())
    name_models(workflow)
    target = ROOT / "workflows" / f"{name}.json"
    target.write_text(json.dumps(workflow, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return ids


def picture(name: str, client: ComfyClient, ids: dict[str, str]) -> Image.Image:
    """The thumbnail, after a run."""
    photo, region = drawn(SCENES[name])
    if "curve" not in ids:
        return thumbnail(photo, region)
    (curve,) = client.last_outputs()[ids["curve"]]["images"]
    return halves(ImageOps.invert(picture_of(client, curve)), region if "predict" in ids else photo)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these alone")
    parser.add_argument("--shots", type=Path, help="folder for screenshots, as they open and after a run")
    parser.add_argument("--newer", action="store_true", help="the newer look, only to be looked at")
    options = parser.parse_args()
    found = installed_comfyui()
    if found is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    look = "nodes2" if options.newer else "classic"
    with tempfile.TemporaryDirectory() as folder:
        photo = hand_photo(Path(folder))
        server = interface_of(look, found, tiny_models(Path(folder) / "models"), (photo, *films(Path(folder))))
        server.packs.append(Path(__file__).resolve().with_name("tiny_core"))
        with server, ComfyBrowser(server.url, viewport=(2000, 1000), expect_extensions=["ivg"]) as browser:
            client = ComfyClient(server.url)
            for name in options.only or GRAPHS:
                ids = {} if options.newer else write(name, browser)
                target = ROOT / "workflows" / f"{name}.json"
                print(name, browser.load(target), flush=True)
                if options.shots:
                    browser.fit()
                    browser.screenshot(options.shots / f"{name}_{look}.png")
                outcome = run_tiny(browser, photo.name)
                print(name, outcome["status"], outcome["error"] or "", flush=True)
                if options.shots:
                    browser.fit()
                    browser.screenshot(options.shots / f"{name}_{look}_run.png")
                if ids and outcome["status"] == "success":
                    labelled(picture(name, client, ids), name).save(target.with_suffix(".jpg"), quality=88)


if __name__ == "__main__":
    main()
