"""A walk through every workflow, as a person would do it: drop it on the canvas, press Run, look at the video."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image
from rom_parts import NEWER_IN_CORE, empty_models
from sd_graphs import CLIP_FILE, DEPTH_FILE

from comfy_harness import ComfyClient, ComfyServer
from comfy_harness.browser import ComfyBrowser
from comfy_harness.standin import installed_frontend
from ivg_core.media.video import write_video
from ivg_core.synthetic.clips import DrawnClip, Scene

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
OURS = [path.name for path in (ROOT / "web" / "docs").iterdir()]
MUTED = 2  # a node's mode
#: look -> whether nodes are drawn as HTML ("Nodes 2.0"); that look is the newer interface's.
LOOKS = {"classic": False, "nodes2": True}


def needs_download(path: pathlib.Path) -> bool:
    """Whether a workflow names models that have to be fetched first."""
    return '"directory":' in path.read_text("utf-8")


def all_models(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Empty files in place of the models that workflows name, and a tiny checkpoint of random weights."""
    models = {**empty_models(folder), "ivg": folder / "ivg"}
    models["ivg"].mkdir()
    (models["ivg"] / "tiny").symlink_to(ROOT / "tests" / "golden" / "tiny_ckpt")
    return models


def hand_clip(seed: int = 13) -> DrawnClip:
    """Two frames of a drawn hand, which *IVG Hand Keypoints* finds: the project ships no photo of one."""
    scene = Scene(seed, 768, 512)
    return scene.clip(scene.tasks[1], num_frames=2)


def hand_photo(folder: pathlib.Path, seed: int = 13, name: str = "hands.png") -> pathlib.Path:
    """The first of them, as a file."""
    path = folder / name
    Image.fromarray(hand_clip(seed).frames[0]).save(path)
    return path


def film_and_depth() -> tuple[torch.Tensor, torch.Tensor]:
    """Eight frames (F, H, W, 3) of a drawn hand, and a depth of them: what is lower is nearer."""
    frames = torch.from_numpy(np.concatenate([hand_clip().frames] * 4)) / 255
    near = torch.linspace(0, 1, frames.shape[1])[None, :, None, None].expand_as(frames)
    return frames, near * 0.8 + frames.mean(-1, keepdim=True) * 0.2


def films(folder: pathlib.Path) -> list[pathlib.Path]:
    """Both as the videos that workflows name."""
    paths = [folder / CLIP_FILE, folder / DEPTH_FILE]
    for frames, path in zip(film_and_depth(), paths, strict=True):
        write_video(frames, path, 8)
    return paths


def named(nodes: Iterable[tuple[str, list[str]]]) -> set[str]:
    """The names of node classes, and of their inputs behind a point."""
    return {name for kind, inputs in nodes for name in (kind, *(f"{kind}.{one}" for one in inputs))}


def needs_newer(path: pathlib.Path, client: ComfyClient) -> str:
    """Says which of core's newer nodes and inputs a workflow has and this ComfyUI lacks; empty if none."""
    nodes = json.loads(path.read_text("utf-8"))["nodes"]
    used = named((node["type"], [one["name"] for one in node["inputs"]]) for node in nodes)
    known = client.get("/object_info")
    there = named((kind, [name for group in node["input"].values() for name in group]) for kind, node in known.items())
    missing = sorted(used & NEWER_IN_CORE - there)
    return f"{path.stem} needs a newer ComfyUI, with {', '.join(missing)}" if missing else ""


def interface_of(
    look: str, found: tuple[pathlib.Path, str], models: dict[str, pathlib.Path], inputs: tuple[pathlib.Path, ...] = ()
) -> ComfyServer:
    """A ComfyUI with this pack: classic in its own interface, Nodes 2.0 in the newer one that the tests install."""
    frontend = installed_frontend() if LOOKS[look] else None
    settings = {"Comfy.VueNodes.Enabled": LOOKS[look]}
    return ComfyServer(
        found[0], [ROOT], python=found[1], frontend=frontend, settings=settings, models=models, inputs=inputs
    )


def set_widgets(page: ComfyBrowser, kind: str = "", **values) -> None:
    """Set every widget of these names, in the nodes of one class or in all."""
    page.evaluate(
        """([kind, values]) => {
          for (const node of window.app.graph.nodes)
            for (const widget of node.widgets ?? [])
              if (widget.name in values && (!kind || node.type === kind)) widget.value = values[widget.name];
        }""",
        [kind, values],
    )


def make_short(page: ComfyBrowser, **values) -> None:
    """Let a run be over soon. A second sentence needs a second window of the embedded model's 8 frames."""
    set_widgets(page, **values)
    if page.evaluate("() => window.app.graph.nodes.some((node) => node.type === 'IVGPromptSchedule')"):
        set_widgets(page, "IVGSampler", frames=12)
        set_widgets(page, "IVGPromptSchedule", sentences="0: pick up the cup\n6: pick up the carrot")


def open_workflow(page: ComfyBrowser, path: pathlib.Path, *, older: bool = False) -> list[str]:
    """Drop a workflow on the canvas; gives what is wrong with it. One of an `older` version may have fewer widgets."""
    report = page.drop_workflow(path)
    # Newer versions of core's nodes may have more widgets than the file; ours may not.
    notes = [] if older else [note for note in report.notes if any(f"({kind})" in note for kind in OURS)]
    faults = [*report.missing_nodes, *report.widget_problems, *report.alerts, *notes]
    if report.lost_links:
        faults.append(f"{report.lost_links} links lost")
    submitted = {node["class_type"] for node in page.to_api().values()}
    saved = {node["type"] for node in json.loads(path.read_text("utf-8"))["nodes"] if node.get("mode") != MUTED}
    saved -= {"MarkdownNote"}
    return [*faults, *(f"{kind} would not run" for kind in sorted(saved - submitted))]


def run_workflow(page: ComfyBrowser, seconds: float = 600) -> list[str]:
    """Press Run and look at the page; gives what is wrong with what came."""
    outcome = page.run(timeout=seconds)
    if outcome["status"] != "success":
        return [f"{outcome['status']}: {outcome['error']}"]
    page.fit()
    if not any("Save" in node["class_type"] for node in page.to_api().values()):  # a region alone
        return [] if any(shown["images"] for shown in outcome["shown"].values()) else ["no picture"]
    return [f"no picture in {video['url']}" for video in page.playing() if not (video["size"][0] and video["seconds"])]


def page_faults(page: ComfyBrowser) -> list[str]:
    """Errors that no one caught, and requests to other servers."""
    own = "Cannot read properties of undefined (reading 'id')"  # interface 1.27 does that without any pack
    return [error for error in page.page_errors if error != own] + page.foreign_requests
