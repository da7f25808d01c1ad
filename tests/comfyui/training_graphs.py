"""The example workflow for training; see graphs.py for what describes a graph.

    COMFYUI_PATH=… PYTHONPATH=.:tests python tests/comfyui/training_graphs.py [--shots FOLDER]

writes it and its thumbnail, as make_workflows.py does for the others, and screenshots while it trains, after a cancel,
and at the end.
"""

from __future__ import annotations

import argparse
import json
import pathlib

from graphs import CLIP, FIXED, LEARNED, TRAINING, Box, Graph, beginning, grouped
from make_workflows import ROOT, THUMBNAIL, build, labelled, last_frame, picture_of
from PIL import Image, ImageOps

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser

NAME = "ivg_25_train_lora"


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=pathlib.Path, help="folder for the screenshots")
    options = parser.parse_args()
    found = installed_comfyui()
    if found is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    with (
        ComfyServer(found[0], [ROOT], python=found[1]) as server,
        ComfyBrowser(server.url, viewport=(2000, 1000), expect_extensions=["ivg"]) as browser,
    ):
        client = ComfyClient(server.url)
        graph = train_lora()
        workflow, ids = build(browser, graph)
        target = ROOT / "workflows" / f"{NAME}.json"
        target.write_text(json.dumps(workflow, indent=1, ensure_ascii=False) + "\n", "utf-8")
        print(browser.load(target))
        if options.shots:
            browser.evaluate("() => { window.__harness.last = null; window.app.queuePrompt(0); }")
            figures = server.base_dir / "output" / "ivg_training" / "example" / "losses.jsonl"
            while not figures.exists() or len(figures.read_text().splitlines()) < 25:
                browser.page.wait_for_timeout(300)
            browser.fit()
            browser.screenshot(options.shots / "training.png")
            client.interrupt()
            browser.page.wait_for_function("() => window.__harness.last", timeout=120_000)  # it ends with its step
            browser.screenshot(options.shots / "cancelled.png")
        outcome = browser.run(timeout=900)
        print(outcome["status"], outcome["error"] or "")
        if options.shots:
            browser.fit()
            browser.screenshot(options.shots / "done.png")
        if outcome["status"] == "success":
            outputs = client.last_outputs()
            above = ImageOps.invert(picture_of(client, outputs[ids["curve"]]["images"][0]))  # no white rectangle
            below = last_frame(server, outputs[ids["save"]]["images"][0])
            picture = Image.new("RGB", (THUMBNAIL, THUMBNAIL), "white")
            half = (THUMBNAIL, THUMBNAIL // 2)
            picture.paste(above.resize((THUMBNAIL, above.height * THUMBNAIL // above.width), Image.Resampling.LANCZOS))
            lower = below.resize((THUMBNAIL, below.height * THUMBNAIL // below.width), Image.Resampling.LANCZOS)
            picture.paste(lower.crop((0, lower.height - half[1], *lower.size)), (0, half[1]))
            labelled(picture, NAME).save(target.with_suffix(".jpg"), quality=88)


if __name__ == "__main__":
    main()
