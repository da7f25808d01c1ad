"""Write workflows/*.json and their thumbnails: build each graph in the real interface, save it, run it.

    COMFYUI_PATH=… PYTHONPATH=.:tests python tests/comfyui/make_workflows.py [--only NAME …] [--shots FOLDER]

Use the oldest supported ComfyUI (see pyproject.toml) with its own interface: files that a newer one saved need not open
in an older one.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import pathlib

import boxes_graphs
import graphs
import over_time_graphs
import sampler_graphs
from graphs import BLUE, BUILD, GREEN, ORANGE, YELLOW, Graph
from PIL import Image, ImageDraw, ImageFont

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui
from comfy_harness.browser import ComfyBrowser
from ivg_core.media.images import to_pil
from ivg_core.media.video import read_video

ROOT = pathlib.Path(__file__).resolve().parents[2]
GRAPHS = {**graphs.GRAPHS, **boxes_graphs.GRAPHS, **over_time_graphs.GRAPHS, **sampler_graphs.GRAPHS}
THUMBNAIL = 384  # pixels, square
OLDER_WINDOWS = 7  # widgets of core's context windows in 0.3.64
#: Workflow -> what its thumbnail says, and the colour of its kind.
LABELS = {
    "ivg_01_real_photo": ("your photo", ORANGE),
    "ivg_02_real_photo_sam3": ("your photo: SAM3", ORANGE),
    "ivg_03_draft_wan22_5b": ("draft: Wan 2.2 5B", YELLOW),
    "ivg_04_draft_ltx": ("draft: LTX", YELLOW),
    "ivg_05_draft_ltx2": ("draft: LTX-2", YELLOW),
    "ivg_10_video_ltx": ("LTX", GREEN),
    "ivg_11_video_wan21": ("Wan 2.1", GREEN),
    "ivg_12_video_wan22_5b": ("Wan 2.2 5B", GREEN),
    "ivg_13_video_wan22_14b": ("Wan 2.2 14B", GREEN),
    "ivg_14_video_wan_vace": ("Wan VACE", GREEN),
    "ivg_15_any_video": ("any video", GREEN),
    "ivg_16_full_detail_wan22_5b": ("full detail", GREEN),
    "ivg_17_long_video_wan21": ("Wan 2.1: long", GREEN),
    "ivg_20_drawn_photo_to_video": ("photo + sentence", BLUE),
    "ivg_21_few_words_to_video": ("a few words", BLUE),
    "ivg_22_paint_the_mask": ("paint the mask", BLUE),
    "ivg_23_mask_from_elsewhere": ("mask from elsewhere", BLUE),
    "ivg_24_many_videos": ("many videos", BLUE),
    "ivg_25_train_lora": ("train a LoRA", BLUE),
    "ivg_26_motion_from_clips": ("motion from clips", BLUE),
    "ivg_27_motion_in_my_photo": ("motion in my photo", BLUE),
    "ivg_28_box_track": ("box track", BLUE),
    "ivg_29_long_video": ("long video", BLUE),
    "ivg_30_two_actions": ("two actions", BLUE),
    "ivg_31_video_to_video_sd15": ("SD: video to video", GREEN),
    "ivg_32_edit_anything_sd2": ("SD: edit anything", GREEN),
    "ivg_33_scenes_over_depth_sd2": ("SD: scenes, depth", GREEN),
    "ivg_34_how_to": ("photo + steps", BLUE),
    "ivg_35_how_to_wan22_5b": ("steps: Wan 2.2 5B", GREEN),
    "ivg_36_train_rom_wan22_5b": ("train the region", GREEN),
    "ivg_37_predict_rom_any_model": ("region, any model", GREEN),
    "ivg_38_train_hands_wan22_5b": ("train the hands", GREEN),
    "ivg_39_ksampler_windows": ("KSampler, windows", BLUE),
    "ivg_40_sampler_custom": ("SamplerCustom", BLUE),
}


def build(browser: ComfyBrowser, graph: Graph) -> tuple[dict, dict[str, str]]:
    """The workflow's JSON, as the interface saves it, and the node id of each box."""
    browser.open()  # what an earlier graph's nodes showed would be shown again by this one's
    boxes = {name: dataclasses.asdict(box) for name, box in graph.boxes.items()}
    ids = browser.evaluate(BUILD, [boxes, graph.links, graph.groups()])
    browser.fit()
    return browser.to_workflow(), ids


def fill_newer_windows(workflow: dict) -> None:
    """Core's context windows with the widgets that only newer ones have; older ones pass over them."""
    for node in workflow["nodes"]:
        if node["type"] == "ContextWindowsManual" and len(node["widgets_values"]) == OLDER_WINDOWS:
            node["widgets_values"] += sampler_graphs.NEWER_WINDOWS


def picture_of(client: ComfyClient, file: dict) -> Image.Image:
    """A preview; where it is transparent (a mask's way of showing) it is tinted orange."""
    picture = Image.open(io.BytesIO(client.view(file))).convert("RGBA")
    whole = picture.convert("RGB")
    tinted = Image.blend(whole, Image.new("RGB", whole.size, (255, 115, 13)), 0.55)
    return Image.composite(whole, tinted, picture.getchannel("A"))


def last_frame(server: ComfyServer, file: dict) -> Image.Image:
    """The last frame of a saved video."""
    frames, _ = read_video(server.base_dir / file["type"] / file["subfolder"] / file["filename"])
    return to_pil(frames[-1])


def thumbnail(above: Image.Image, below: Image.Image) -> Image.Image:
    """Where it moves above, the last frame below: of each the lower part, where the hands are."""
    picture = Image.new("RGB", (THUMBNAIL, THUMBNAIL))
    for row, half in enumerate((above, below)):
        width, height = half.size
        lower = half.crop((0, max(0, height - width // 2), width, height))
        lower = lower.resize((THUMBNAIL, THUMBNAIL // 2), Image.Resampling.LANCZOS)
        picture.paste(lower, (0, row * THUMBNAIL // 2))
    return picture


def labelled(picture: Image.Image, name: str) -> Image.Image:
    """The thumbnail of a workflow with what it is for at its foot: the interface shows a file name alone.

    Not at its head, where newer interfaces put a word of their own.
    """
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(30)
    label, colour = LABELS[name]
    place = (14, THUMBNAIL - 46)
    left, top, right, bottom = draw.textbbox(place, label, font=font)
    draw.rectangle((left - 8, top - 6, right + 8, bottom + 8), fill=(20, 20, 24))
    draw.rectangle((left - 8, top - 11, right + 8, top - 6), fill=colour)
    draw.text(place, label, font=font, fill="white")
    return picture


def laid_over(photo: Image.Image, mask: Image.Image) -> Image.Image:
    """The photo, orange where the mask is white."""
    orange = Image.blend(photo, Image.new("RGB", photo.size, (255, 115, 13)), 0.55)
    return Image.composite(orange, photo, mask.convert("L").resize(photo.size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these alone")
    parser.add_argument("--shots", type=pathlib.Path, help="folder for a screenshot of each workflow after its run")
    options = parser.parse_args()
    found = installed_comfyui()
    if found is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    with ComfyServer(found[0], [ROOT], python=found[1]) as server:
        client = ComfyClient(server.url)
        with ComfyBrowser(server.url, expect_extensions=["ivg"]) as browser:
            for name in options.only or GRAPHS:
                graph = GRAPHS[name]()
                workflow, ids = build(browser, graph)
                fill_newer_windows(workflow)
                target = ROOT / "workflows" / f"{name}.json"
                target.parent.mkdir(exist_ok=True)
                target.write_text(json.dumps(workflow, indent=1, ensure_ascii=False) + "\n", "utf-8")
                print(name, browser.load(target))
                outcome = browser.run(timeout=600)
                print(name, outcome["status"], outcome["error"] or "")
                if options.shots:
                    browser.fit()
                    browser.screenshot(options.shots / f"{name}.png")
                if outcome["status"] == "success":
                    outputs = client.last_outputs()
                    above = picture_of(client, outputs[ids[graph.picture]]["images"][0])
                    if graph.boxes[graph.picture].kind == "RefineMask":  # shows its mask alone
                        above = laid_over(picture_of(client, outputs[ids["scene"]]["images"][0]), above)
                    below = last_frame(server, outputs[ids["save"]]["images"][0])
                    labelled(thumbnail(above, below), name).save(target.with_suffix(".jpg"), quality=88)


if __name__ == "__main__":
    main()
