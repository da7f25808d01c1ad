"""Every node, run as ComfyUI runs it over the stand-ins of the tests, with what other nodes and widgets may give."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from ivg_core.media.video import write_video

from . import odd
from .case import SECRET, Case, kind, oddity
from .comfy import classes, comfy_folders, good_inputs, image, mask, pack, run, video_of
from .hostile import write_trap

REFUSED = ("one NaN", "all NaN", "none", "one infinity", "minus infinity", "0..255", "0..65535", "1e38")


@kind("nodes", 240)
def tensors_from_other_nodes(rng: random.Random, folder: Path) -> Case:
    """Frames and masks of other number formats, with NaN, with none, of other shapes."""
    comfy_folders(folder)
    sockets = [
        (name, one)
        for name, node in classes().items()
        for one in node.GET_SCHEMA().inputs
        if one.io_type in ("IMAGE", "MASK", "VIDEO")
    ]
    name, socket = rng.choice(sockets)
    node = classes()[name]
    given = good_inputs(node, folder)
    usual = {"IMAGE": lambda: image(3), "MASK": mask, "VIDEO": lambda: image(2)}[socket.io_type]()
    form, value, _ = odd.changed(rng, usual)
    value = video_of(value) if socket.io_type == "VIDEO" else value
    given[socket.id] = [value] if node.GET_SCHEMA().is_input_list else value

    def wrong(_: Any) -> str:
        unread = name == "IVGEnrichAction"  # the template does not look at the photo
        return (
            f"{form} is taken"
            if form in REFUSED and not unread and not (socket.io_type == "MASK" and form == "none")
            else ""
        )

    return Case(f"{name}, {socket.id}: {form}, {_form(value)}", lambda: run(node, given), wrong)


def _form(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


@kind("nodes", 220)
def numbers_from_other_nodes(rng: random.Random, folder: Path) -> Case:
    """A number beyond its widget's range: ComfyUI checks widgets, not what another node gives."""
    comfy_folders(folder)
    widgets = [
        (name, one)
        for name, node in classes().items()
        for one in node.GET_SCHEMA().inputs
        if one.io_type in ("INT", "FLOAT")
    ]
    name, widget = rng.choice(widgets)
    number: Any = odd.number(rng)
    if widget.io_type == "INT" and number == number and abs(number) != float("inf"):
        number = int(number)
    node = classes()[name]
    given = good_inputs(node, folder) | {widget.id: number}
    if name == "TrainIVGLoRA" and widget.id == "steps" and number > 3:
        given["steps"], number = 0, 0
    wrong = lambda _: f"{widget.id} = nan is taken" if number != number else ""  # noqa: E731
    return Case(f"{name}, {widget.id} = {number!r}", lambda: run(node, given), wrong)


@kind("nodes", 140)
def texts_and_choices(rng: random.Random, folder: Path) -> Case:
    """Any text in a text widget, any choice in a list."""
    comfy_folders(folder)
    widgets = [
        (name, one)
        for name, node in classes().items()
        for one in node.GET_SCHEMA().inputs
        if one.io_type in ("STRING", "COMBO", "BOOLEAN")
    ]
    name, widget = rng.choice(widgets)
    value: Any = odd.text(rng)
    if widget.io_type != "STRING":
        value = rng.choice([*(widget.options.get("options") or (True, False)), value, None, 3, ""])
        if value in ("hands", "predicted by stage 1", "hands and arms") and name == "TrainIVGLoRA":
            value = "everything"
    node = classes()[name]
    given = good_inputs(node, folder) | {widget.id: value}
    return Case(f"{name}, {widget.id} = {value!r:.80}", lambda: run(node, given))


#: Text widgets that name a file, a folder or an address; the prefix of *IVG Save Video* is checked by ComfyUI itself.
PATHS_OF = {
    "IVGBatchLoader": ("table", "batch", "mask_folder"), "IVGEditMask": ("image",),
    "TrainIVGLoRA": ("folder", "save_name"), "IVGLoadLoRA": ("lora_path", "lora_name"),
    "LoadIVGModel": ("model_name", "rom_model"),
    "IVGEnrichAction": ("local_model", "server_url"),
    "IVGStepLoader": ("name",), "IVGHowTo": ("font",),
}  # fmt: skip


@kind("nodes", 150)
def paths_that_lead_out(rng: random.Random, folder: Path) -> Case:
    """Absolute paths, `..`, links: a node reads nothing outside of ComfyUI's folders and writes nothing there."""
    inputs = comfy_folders(folder)
    name, ids = rng.choice(list(PATHS_OF.items()))
    widget, secret = rng.choice(ids), folder / SECRET
    target = rng.choice((secret, secret / "photo.png", secret / "table.csv", secret / "a.safetensors", secret / "new"))
    way = rng.choice(("absolute", "dots", "link", "dots inside", "file address", "home"))
    path = {
        "absolute": str(target), "dots": os.path.relpath(target, inputs),
        "link": f"link/{target.name}" if target != secret else "link",
        "dots inside": f"photos/../../../{target.relative_to(folder)}", "file address": f"file://{target}",
        "home": f"~/../..{target}",
    }[way]  # fmt: skip
    node = classes()[name]
    given = good_inputs(node, folder) | {widget: path}
    if widget == "local_model":
        given["how"] = "local model"
    if widget == "server_url":
        given |= {
            "how": "server",
            "server_url": rng.choice(
                ("http://8.8.8.8/", "http://127.0.0.1@8.8.8.8/", "http://198.18.0.1:1", "http://169.254.169.254")
            ),
        }
    if name == "TrainIVGLoRA":
        given.pop("images", None) if widget == "folder" else None
        given.pop("mask", None) if widget == "folder" else None
    before = sorted(found.name for found in secret.rglob("*"))

    def wrong(_: Any) -> str:
        after = sorted(found.name for found in secret.rglob("*"))
        return f"something is written there: {set(after) - set(before)}" if after != before else ""

    harmless = way in ("file address", "home") or (widget in ("save_name", "batch") and target.name != "new")
    return Case(
        f"{name}, {widget} = {way}: {given[widget]!r:.100}",
        lambda: run(node, given),
        wrong,
        success="fine" if harmless else "outside",
    )


@kind("nodes", 60)
def tables_that_lead_out(rng: random.Random, folder: Path) -> Case:
    """A table, a mask folder or a training folder in the input folder whose entries lie elsewhere."""
    import json

    inputs = comfy_folders(folder)
    secret, which = (
        folder / SECRET,
        rng.choice(("image", "mask", "link", "captions", "training list", "masks of a training")),
    )
    path = rng.choice(
        (
            str(secret / "photo.png"),
            os.path.relpath(secret / "photo.png", inputs),
            "link/photo.png",
            "photos/../link/photo.png",
        )
    )
    loader, given = (
        pack().batch.IVGBatchLoader,
        {"table": "t.json", "batch": "b", "prompts": "", "seeds": "0", "mask_folder": ""},
    )
    row = {"image": "photo.png", "prompt": "stir"}
    if which in ("image", "mask"):
        (inputs / "t.json").write_text(json.dumps([row | {which: path}]))
    elif which in ("link", "captions"):
        (inputs / "own").mkdir()
        target = inputs / "own" / "a.png"
        shutil.copy(inputs / "photo.png", target) if which == "captions" else target.symlink_to(secret / "photo.png")
        (inputs / "own" / "a.txt").symlink_to(secret / "photo.txt")
        given["table"] = "own"
    else:
        own = inputs / "own"
        (own / "masks").mkdir(parents=True)
        write_video(image(2), (secret if which == "training list" else own) / "a.mp4", 8)
        (own / "a.txt").write_text("stir")
        if which == "training list":
            (own / "a.mp4").symlink_to(secret / "a.mp4")
        else:
            (own / "masks" / "a.png").symlink_to(secret / "photo.png")
        node = classes()["TrainIVGLoRA"]
        masks = "folder named masks" if which == "masks of a training" else "everything"
        given = good_inputs(node, folder) | {"folder": "own", "masks": masks}
        given = {key: value for key, value in given.items() if key not in ("images", "mask", "video")}
        return Case(f"TrainIVGLoRA, {which}", lambda: run(node, given), success="outside")
    return Case(f"IVGBatchLoader, {which}: {path!r:.80}", lambda: run(loader, given), success="outside")


@kind("nodes", 40)
def files_in_comfyui(rng: random.Random, folder: Path) -> Case:
    """A file of a model or LoRA list that holds code, or nothing."""
    comfy_folders(folder)
    import folder_paths

    name = rng.choice(("a.safetensors", "b.safetensors", "c.SAFETENSORS"))
    path = folder / "comfy" / "loras" / name
    how = rng.choice(("code", "nothing", "text", "cut"))
    if how == "code":
        write_trap(rng, path, folder)
    else:
        content = (folder / "comfy" / "loras" / "a.safetensors").read_bytes()
        path.write_bytes({"nothing": b"", "text": b"stir", "cut": content[:100]}[how])
    if rng.random() < 0.3:
        place = Path(folder_paths.get_folder_paths("ivg")[0]) / f"{folder.name}.safetensors"
        shutil.copy(path, place)
        node = classes()["LoadIVGModel"]
        return Case(
            f"LoadIVGModel of a file with {how}",
            lambda: run(node, {"model_name": place.name, "rom_model": "same as model", "dtype": "fp32"}),
        )
    node = classes()["IVGLoadLoRA"]
    given = good_inputs(node, folder) | {"lora_name": name}
    return Case(f"IVGLoadLoRA of {name} with {how}", lambda: run(node, given))


@kind("nodes", 60)
def keypoints_of_other_nodes(rng: random.Random, folder: Path) -> Case:
    """POSE_KEYPOINT as other packs make it: people without hands, other sizes, nothing, NaN."""
    comfy_folders(folder)
    hand = [float(rng.randrange(60)) for _ in range(63)]
    person = {"hand_left_keypoints_2d": hand, "hand_right_keypoints_2d": None, "pose_keypoints_2d": []}
    frame: dict[str, Any] = {"people": [person], "canvas_width": 64, "canvas_height": 48}
    key = rng.choice(
        ("people", "canvas_width", "canvas_height", "hand_left_keypoints_2d", "hand_right_keypoints_2d", "whole")
    )
    value = rng.choice(
        (odd.value(rng), [], [1.0, 2.0], [float("nan")] * 63, hand[:60], [1e30] * 63, [[1, 2, 3]] * 21, 0)
    )
    if key in person:
        person[key] = value
    elif key != "whole":
        frame[key] = value
    given_points = [frame] if key != "whole" else rng.choice((frame, [], [[]], value, [frame] * 3, [{}]))
    name = rng.choice(("IVGFallbackRoM", "IVGRoMFromThings", "IVGRoMFromVideo"))
    node = classes()[name]
    given = good_inputs(node, folder) | {"keypoints": given_points}
    if name == "IVGFallbackRoM":
        given["method"] = "hands"
    return Case(f"{name}, keypoints with {key} = {value!r:.60}", lambda: run(node, given))


@kind("nodes", 40)
def good_inputs_of_nodes(rng: random.Random, folder: Path) -> Case:
    """Each node with what it wants: it works, and nothing in its outputs is odd."""
    comfy_folders(folder)
    name = rng.choice([name for name in classes() if name not in ("IVGFallbackRoM",)])
    node = classes()[name]
    given = good_inputs(node, folder)
    return Case(
        f"{name} as it should be",
        lambda: run(node, given),
        lambda found: oddity([x for x in found if isinstance(x, Tensor)]),
        good=True,
    )
