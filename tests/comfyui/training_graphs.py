"""The example workflows that train; see graphs.py for what describes a graph.

    COMFYUI_PATH=… PYTHONPATH=.:tests python tests/comfyui/training_graphs.py [NAME …] [--shots FOLDER]

writes them and their thumbnails, as make_workflows.py does for the others, and screenshots: at the end, and of those
that show a loss curve also while they train and after a cancel.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from graphs import CLIP, FIXED, LEARNED, TRAINING, Box, Graph, beginning, grouped
from make_workflows import ROOT, THUMBNAIL, build, labelled, last_frame, picture_of, thumbnail
from motion_graphs import GRAPHS as MOTION_GRAPHS
from PIL import Image, ImageOps

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser


def train_lora() -> Graph:
    note = (
        "## Teach it an action\n\n"
        "1. **IVG Train LoRA** learns from the clip and its sentence. The loss curve grows in the node.\n"
        "2. **Cancel** whenever you like: what was learned is kept, and the next run goes on from there.\n"
        "3. The last **IVG Sampler** uses what was learned.\n\n"
        "Runs offline: the first *IVG Sampler* stands in for your clip.\n\n"
        "**Your own clip:** connect *Load Video* to **video** (and nothing to **images** and **mask**), and write what "
        "happens in it into **prompt**. Or write a folder of clips into **folder**, each with its sentence in a `.txt` "
        "file of the same name. Set **steps** to 500.\n\n"
        "Later: *IVG Load LoRA* loads the file from `models/loras/ivg`."
    )
    boxes = beginning(note, seed=13)
    boxes |= grouped(
        CLIP,
        {
            "predict": Box("PredictRoMMask", (730, 0), (320, 690), dict(FIXED)),
            "clip": Box("IVGSampler", (1090, 0), (320, 690), dict(FIXED), "Your clip (stand-in)"),
        },
    )
    learning = {"save_name": "example", "steps": 60, "hand_loss": 0}
    boxes["train"] = Box("TrainIVGLoRA", (1450, 0), (420, 820), learning, group=TRAINING)
    boxes |= grouped(
        LEARNED,
        {
            "curve": Box("PreviewImage", (1910, 0), (420, 320), title="Loss"),
            "sample": Box("IVGSampler", (1910, 380), (320, 690), dict(FIXED), "With what was learned"),
            "save": Box("SaveVideo", (2280, 380), (400, 400), {"filename_prefix": "video/ivg-lora"}),
        },
    )
    return Graph(
        boxes=boxes,
        links=[
            "scene.action > sentence.source",
            "model.model > predict.model",
            "model.model > clip.model",
            "model.model > train.model",
            "scene.image > predict.image",
            "scene.image > clip.image",
            "scene.image > sample.image",
            "scene.action > predict.action",
            "scene.action > clip.action",
            "scene.action > train.prompt",
            "scene.action > sample.action",
            "predict.mask > clip.mask",
            "predict.mask > train.mask",
            "predict.mask > sample.mask",
            "clip.frames > train.images",
            "train.model > sample.model",
            "train.loss_curve > curve.images",
            "sample.video > save.video",
        ],
        picture="curve",
    )


GRAPHS = {"ivg_25_train_lora": train_lora, **MOTION_GRAPHS}


def halves(above: Image.Image, below: Image.Image) -> Image.Image:
    """A loss curve as a whole above the lower part of a frame, where the hands are."""
    picture = Image.new("RGB", (THUMBNAIL, THUMBNAIL), "white")
    half = (THUMBNAIL, THUMBNAIL // 2)
    picture.paste(above.resize((THUMBNAIL, above.height * THUMBNAIL // above.width), Image.Resampling.LANCZOS))
    lower = below.resize((THUMBNAIL, below.height * THUMBNAIL // below.width), Image.Resampling.LANCZOS)
    picture.paste(lower.crop((0, lower.height - half[1], *lower.size)), (0, half[1]))
    return picture


def shoot_training(browser: ComfyBrowser, server: ComfyServer, client: ComfyClient, run: str, shots: Path) -> None:
    """Screenshots while it trains and after a cancel."""
    browser.evaluate("() => { window.__harness.last = null; window.app.queuePrompt(0); }")
    figures = server.base_dir / "output" / "ivg_training" / run / "losses.jsonl"
    while not figures.exists() or len(figures.read_text().splitlines()) < 25:
        browser.page.wait_for_timeout(300)
    browser.fit()
    browser.screenshot(shots / f"{run}_training.png")
    client.interrupt()
    browser.page.wait_for_function("() => window.__harness.last", timeout=120_000)  # it ends with its step
    browser.screenshot(shots / f"{run}_cancelled.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which: " + ", ".join(GRAPHS))
    parser.add_argument("--shots", type=Path, help="folder for the screenshots")
    options = parser.parse_args()
    if unknown := set(options.names) - GRAPHS.keys():
        raise SystemExit(f"No such workflow: {', '.join(sorted(unknown))}. There are {', '.join(GRAPHS)}.")
    found = installed_comfyui()
    if found is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    with (
        ComfyServer(found[0], [ROOT], python=found[1]) as server,
        ComfyBrowser(server.url, viewport=(2000, 1000), expect_extensions=["ivg"]) as browser,
    ):
        client = ComfyClient(server.url)
        for name in options.names or GRAPHS:
            graph = GRAPHS[name]()
            workflow, ids = build(browser, graph)
            target = ROOT / "workflows" / f"{name}.json"
            target.write_text(json.dumps(workflow, indent=1, ensure_ascii=False) + "\n", "utf-8")
            print(name, browser.load(target), flush=True)
            run = graph.boxes["train"].widgets["save_name"]
            if options.shots and graph.picture == "curve":
                shoot_training(browser, server, client, run, options.shots)
            outcome = browser.run(timeout=900)
            print(name, outcome["status"], outcome["error"] or "", flush=True)
            if options.shots:
                browser.fit()
                browser.screenshot(options.shots / f"{name}.png")
            if outcome["status"] == "success":
                outputs = client.last_outputs()
                above = picture_of(client, outputs[ids[graph.picture]]["images"][0])
                below = last_frame(server, outputs[ids["save"]]["images"][0])
                inverted = graph.picture == "curve"  # no white rectangle
                whole = halves(ImageOps.invert(above), below) if inverted else thumbnail(above, below)
                labelled(whole, name).save(target.with_suffix(".jpg"), quality=88)


if __name__ == "__main__":
    main()
