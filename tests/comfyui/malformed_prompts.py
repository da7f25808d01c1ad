"""API prompts with wrong types and values for our nodes, and what a real ComfyUI makes of them."""

from __future__ import annotations

import dataclasses
import pathlib
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks.kinds.comfy import SEVERAL, TRACK
from comfy_harness import ComfyClient, ComfyServer, RunResult

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAN, INFINITY = float("nan"), float("inf")
#: What stands in the place of a good value; a list of two is a link, as in every API prompt.
VALUES: tuple[Any, ...] = (
    None, "", "x", "nan", "1e999", "-1", [], {}, [1, 2], ["a"], {"a": 1}, {"__value__": [1, 2]}, {"__value__": None},
    True, False, 0, -1, 0.5, 10**9, 2**70,
    -(2**70), NAN, INFINITY, -INFINITY, 1e308, "stir " * 20_000, "\ud800", "a\0b", "/etc/hostname", "/etc",
    "../../../etc/hostname", "..", "C:\\x", "~/x",
    "\\\\nas\\share", "IVGError", ["scene", 0], ["scene", 1], ["scene", 7], ["nobody", 0], ["mask", 0], ["model", 0],
    ["nan", 0], ["huge", 0],
    ["below", 0], ["text", 0], ["options", 0], ["keypoints", 0], ["clip", 0], ["self", 0],
)  # fmt: skip
MISSING = object()
#: What the prompts link to: node id -> node.
SOURCES = {
    "scene": ("IVGExampleScene", {"seed": 3}),
    "image": ("EmptyImage", {"width": 64, "height": 48, "batch_size": 1, "color": 8421504}),
    "frames": ("EmptyImage", {"width": 64, "height": 48, "batch_size": 3, "color": 8421504}),
    "mask": ("SolidMask", {"value": 1.0, "width": 64, "height": 48}),
    "model": ("LoadIVGModel", {"model_name": "tiny", "rom_model": "tiny", "dtype": "fp32"}),
    "clip": ("CreateVideo", {"images": ["frames", 0], "fps": 8.0}),
    "options": ("IVGSamplerOptions", {"solver": "dpm++2m", "motion_mode": "raw", "guidance_start": 0.0,
        "guidance_end": 1.0, "binarize_mask": False, "decode_chunk": 0}),
    "keypoints": ("HandKeypoints", {"image": ["image", 0], "palm_threshold": 0.5, "presence_threshold": 0.5,
        "max_hands": 2, "video": True, "dilate": 0.15}),
    "loader": ("IVGBatchLoader", {"table": "ivg_example", "batch": "odd", "prompts": "", "seeds": "0",
        "mask_folder": ""}),
    "plan": ("IVGPlanSteps", {"text": "stir the pan\nwash it", "steps": "", "how": "rule",
        "local_model": "none in models/LLM", "server_url": "", "server_model": "", "timeout": 1.0, "review": True,
        "read_from": ""}),
    "step": ("IVGStepLoader", {"plan": ["plan", 0], "image": ["image", 0], "name": "odd",
        "after_change": "make later steps anew"}),
    "kept": ("IVGStepSave", {"step": ["step", 5], "frames": ["frames", 0], "fps": 8.0, "pin_colour": True,
        "feather": -1.0}),
    "window": ("IVGCropToRoM", {"image": ["image", 0], "mask": ["mask", 0], "region": "zoom", "width": 64,
        "height": 48, "multiple": 8, "context": 0.1}),
    "track": ("IVGBoxTrack", {"track": TRACK}),
    "latent": ("EmptyLatentImage", {"width": 64, "height": 48, "batch_size": 1}),
    "vae": ("VAELoader", {"vae_name": "pixel_space"}),
    "nan": ("PrimitiveFloat", {"value": NAN}),
    "huge": ("PrimitiveInt", {"value": 10**9}),
    "below": ("PrimitiveInt", {"value": -5}),
    "text": ("PrimitiveString", {"value": "../../../etc/hostname"}),
}  # fmt: skip
SOCKETS = {
    "IMAGE": ["image", 0], "MASK": ["mask", 0], "IVG_MODEL": ["model", 0], "VIDEO": ["clip", 0],
    "POSE_KEYPOINT": ["keypoints", 0],
    "IVG_SAMPLER_OPTIONS": ["options", 0], "IVG_BATCH_ITEM": ["loader", 4], "IVG_WINDOW": ["window", 2],
    "LATENT": ["latent", 0], "IVG_BOX_TRACK": ["track", 0],
    "IVG_PLAN": ["plan", 0], "IVG_STEP": ["step", 5], "IVG_HOW_TO": ["kept", 0],
    "VAE": ["vae", 0],
}  # fmt: skip
SMALL = {"steps": 1, "frames": 2, "width": 64, "height": 48, "length": 5, "rank": 2, "multiple": 8,
    "model_name": "tiny", "rom_model": "tiny",
         "masks": "everything", "hand_loss": 0.0, "action": "stir the pan", "prompt": "stir the pan", "timeout": 1.0,
         "guidance": 1.0, "track": TRACK}  # fmt: skip
#: A real training, a real download, a server to wait for: not by chance.
KEPT = {
    ("TrainIVGLoRA", "steps"),
    ("IVGDownloadModel", "download"),
    ("IVGEnrichAction", "how"),
    ("IVGPlanSteps", "how"),
    ("TrainIVGLoRA", "masks"),
}


def good_prompt(kind: str, info: dict) -> dict:
    """A prompt in which a node is given what it wants, and its first output is looked at."""
    inputs: dict[str, Any] = {}
    for needed in ("required", "optional"):
        for name, (io_type, *options) in info["input"].get(needed, {}).items():
            about = options[0] if options else {}
            default = about.get("default")
            wanted = needed == "required" or io_type in ("IMAGE", "MASK")
            if io_type == "IMAGE" and kind in SEVERAL and name != "image":
                link = ["frames", 0]
            else:
                link = SOCKETS.get(io_type) if isinstance(io_type, str) else None
            if link and wanted and not name.startswith("frames_"):
                inputs[name] = link
            elif link or io_type == "MODEL":  # a real one would have to be downloaded
                continue
            elif name in SMALL:
                inputs[name] = SMALL[name]
            else:
                choices = io_type if isinstance(io_type, list) else about.get("options")
                inputs[name] = default if default is not None else choices[0] if choices else ""
    prompt = {"node": {"class_type": kind, "inputs": inputs}}
    if info["output"]:
        prompt["look"] = {"class_type": "PreviewAny", "inputs": {"source": ["node", 0]}}
    return prompt


def with_sources(prompt: dict) -> dict:
    """The prompt with every node of `SOURCES` that it links to."""
    prompt = {key: {"class_type": node["class_type"], "inputs": dict(node["inputs"])} for key, node in prompt.items()}
    waiting = list(prompt)
    while waiting:
        for value in prompt[waiting.pop()]["inputs"].values():
            if isinstance(value, list) and len(value) == 2 and value[0] in SOURCES and value[0] not in prompt:
                kind, inputs = SOURCES[value[0]]
                prompt[value[0]] = {"class_type": kind, "inputs": inputs}
                waiting.append(value[0])
    return prompt


def odd_prompts(nodes: dict[str, dict], count: int, seed: int = 0) -> Iterator[tuple[str, dict]]:
    """What is odd, and the prompt; the nodes take turns.

    Args:
        nodes: our node classes, as `/object_info` tells them.
        count: how many prompts.
        seed: of everything that is made up.
    """
    kinds = sorted(nodes)
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        kind = kinds[number % len(kinds)]
        prompt = good_prompt(kind, nodes[kind])
        inputs = prompt["node"]["inputs"]
        names = [
            name
            for part in ("required", "optional")
            for name in nodes[kind]["input"].get(part, {})
            if (kind, name) not in KEPT
        ]
        said = []
        for name in rng.sample(names, min(len(names), rng.choice((1, 1, 1, 2)))):
            value = rng.choice((*VALUES, MISSING))
            if value == ["self", 0]:
                value = ["node", 0]
            if value is MISSING:
                inputs.pop(name, None)
            else:
                inputs[name] = value
            said.append(f"{name} = {'(missing)' if value is MISSING else repr(value)[:60]}")
        yield f"{number}: {kind}, {', '.join(said) or 'as it should be'}", with_sources(prompt)


@dataclasses.dataclass
class Ended:
    """How a prompt ended: "rejected", "success", "sentence", "raw", "of others" or "dead", and the text."""

    how: str
    text: str = ""


def ended(result: RunResult, log: str) -> Ended:
    """Whether an error is a sentence of ours, a raw one of ours, or one of ComfyUI's own.

    Args:
        result: of the prompt.
        log: what the server wrote meanwhile.
    """
    text = "; ".join(result.errors)[:400]
    if result.status == "error":
        (error,) = (message["data"] for message in result.messages if message.get("type") == "execution_error")
        if str(error.get("exception_type")).endswith("IVGError"):
            return Ended("sentence", text)
        ours = [
            line for line in error.get("traceback") or [] if str(ROOT) in line or f"custom_nodes/{ROOT.name}" in line
        ]
        return Ended("raw", f"{text} {' '.join(ours[-1].split())[:160]}") if ours else Ended("of others", text)
    if result.status == "rejected":
        raw = f"{ROOT.name}/" in log and "Traceback" in log and "IVGError" not in log
        return Ended("raw" if raw else "rejected", text)
    return Ended("success" if result.status == "success" else "dead", text)


def try_prompts(server: ComfyServer, count: int, seed: int = 0, timeout: float = 60.0) -> list[tuple[str, Ended]]:
    """Queue odd prompts one after the other; after each a good one must run, or the worker is called dead."""
    client = ComfyClient(server.url)
    nodes, tried = client.pack_nodes(ROOT.name), []
    for number, (said, prompt) in enumerate(odd_prompts(nodes, count, seed)):
        before = len(server.log_text())
        try:
            found = ended(client.run(prompt, timeout=timeout), server.log_text()[before:])
        except OSError as error:  # the connection was closed
            found = Ended("dead", str(error))
        well = {"scene": {"class_type": "IVGExampleScene", "inputs": {"seed": number}}}
        well["look"] = {"class_type": "PreviewAny", "inputs": {"source": ["scene", 1]}}
        alive = client.run(well, timeout=timeout)
        tried.append((said, found if alive.ok else Ended("dead", f"{found.how}: {found.text}; then {alive.status}")))
    return tried


def as_text(tried: list[tuple[str, Ended]]) -> str:
    """Counts, and every prompt that ended badly."""
    counts = Counter(found.how for _, found in tried)
    lines = [", ".join(f"{count} {how}" for how, count in counts.most_common())]
    lines += [f"{found.how}: {said}\n    {found.text}" for said, found in tried if found.how in ("raw", "dead")]
    return "\n".join(lines)
