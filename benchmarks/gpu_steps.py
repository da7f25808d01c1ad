"""The steps of gpu.py on this project's own networks, the most wanted first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from benchmarks.clock import alternate, elapsed
from benchmarks.fast_full_size import decided, times_faster
from benchmarks.full_size import SCHEDULER
from benchmarks.gpu import Figures, Setting, Step, free, model_of, peak_gib
from benchmarks.gpu_golden import golden
from benchmarks.gpu_lora import lora_step
from benchmarks.gpu_profile import shares_of_time
from benchmarks.gpu_programs import any_model, compiled
from benchmarks.hands import compare, drawn_clip
from benchmarks.memory import GIB, plan
from benchmarks.speed import Bare, Loop, ratios, shares, wins
from ivg_core.hands.detector import load_palm_net
from ivg_core.hands.landmarks import CROP, load_landmark_net
from ivg_core.hands.tracker import HandTracker
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.generate import generate
from ivg_core.sampling.loop import sample_latents
from ivg_core.sampling.settings import RAW, Sampling
from ivg_core.sampling.solver import make_solver

CPU = torch.device("cpu")


def pixels(setting: Setting) -> tuple[int, int]:
    """(width, height) of the video."""
    return 8 * setting.size.width, 8 * setting.size.height


def exact(setting: Setting, _told: Figures) -> Figures:
    """The loop beside diffusers' and the released one, and beside what a matrix product reaches."""
    loop = Loop(setting.size, setting.device, setting.dtype)
    with tempfile.TemporaryDirectory() as folder:
        figures = ratios(loop, setting.rounds, Path(folder))
    size, side = setting.size, 256 if setting.tiny else 8192
    figures |= {"frames": size.frames, "steps": size.steps, "rounds": setting.rounds}
    return figures | shares(loop, figures["seconds_exact"], side)


def memory(setting: Setting, _told: Figures) -> Figures:
    """The most that making one video takes, text encoder and decoding included, beside what `info` predicts."""
    model, (width, height) = model_of(setting), pixels(setting)
    free()
    photo, how = torch.rand(height, width, 3), replace(RAW, num_inference_steps=2)
    generate(model, photo, "the person stirs the pan", num_frames=setting.size.frames, size=(width, height), how=how)
    figures = peak_gib(setting, "peak_gib_512x512x16")
    if figures:
        text = sum(weights.nbytes for weights in model.text_encoder.parameters())
        predicted = (plan(320, 512, 512, 16, setting.dtype).peak + text) / GIB
        figures |= {"predicted_gib_512x512x16": predicted}
        figures |= {"error_512x512x16": predicted / figures["peak_gib_512x512x16"] - 1}
    return figures


def fast(setting: Setting, told: Figures) -> Figures:
    """The fast modes, decoding included, over exact sampling and so over the released code."""
    size = setting.size
    whole = decided(size.steps)
    figures = times_faster(model_of(setting), pixels(setting), size.frames, size.steps, setting.rounds, whole)
    for name in ("fast", "fast_crop"):
        figures[f"ratio_{name}_vs_exact"] = figures[f"times_faster_{name}"]
        if "ratio_exact_vs_released" in told:
            figures[f"ratio_{name}_vs_released"] = figures[f"times_faster_{name}"] * told["ratio_exact_vs_released"]
    return figures


def hands(setting: Setting, _told: Figures) -> Figures:
    """The hand networks on 16 pictures at once, and hands found in 16 frames, beside this machine's CPU, by a clock."""
    views, crops = torch.rand(16, 3, 192, 192), torch.rand(16, 3, CROP, CROP)
    clip = drawn_clip(1, 128, 128, 2) if setting.tiny else drawn_clip(1, 512, 512, 16)
    seconds: dict[str, dict[str, float]] = {}
    found = {}
    for name, device in (("gpu", setting.device), ("cpu", CPU)):
        pairs = ((load_palm_net(device), views.to(device)), (load_landmark_net(device=device), crops.to(device)))
        tracker = HandTracker(device)
        runs = {"networks": partial(run_each, pairs), "detect": partial(tracker.detect, clip)}
        timed = {key: partial(elapsed, run, device) for key, run in runs.items()}
        seconds[name] = alternate(timed, setting.rounds)
        found[name] = tracker.detect(clip)
    apart, missed, added = compare(found["gpu"], found["cpu"])
    return {
        "hands_ratio_gpu_vs_cpu": seconds["cpu"]["networks"] / seconds["gpu"]["networks"],
        "hands_detect_ratio_gpu_vs_cpu": seconds["cpu"]["detect"] / seconds["gpu"]["detect"],
        "hands_seconds_a_frame_gpu": seconds["gpu"]["detect"] / len(clip),
        "hands_seconds_a_frame_cpu": seconds["cpu"]["detect"] / len(clip),
        "hands_largest_px": float(apart.max()) if len(apart) else 0.0,
        "hands_only_on_one": missed + added,
        "cpu_threads": torch.get_num_threads(),
    }


def run_each(pairs: Iterable[tuple[torch.nn.Module, torch.Tensor]]) -> None:
    """Shows each network its pictures."""
    for network, pictures in pairs:
        network(pictures)


def profile(setting: Setting, _told: Figures) -> Figures:
    """Where the time of one guided call goes; the longest operations are listed in profile.txt."""
    loop = Loop(setting.size, setting.device, setting.dtype)
    return shares_of_time(loop.call, setting.device, setting.out / "profile.txt")


def windows(setting: Setting, _told: Figures) -> Figures:
    """One step of 160 frames in windows of time beside one of 16: memory beyond the weights, and time of a window."""
    size, context = setting.size, ContextWindows()
    loop, how = Loop(size, setting.device, setting.dtype), Sampling(context=context)

    def step(noise: torch.Tensor) -> None:
        rungs, solver = [(1.0, loop.ladder[-1][1])], make_solver(SCHEDULER, 1)
        sample_latents(Bare(loop.unet), rungs, how, solver, size.frames, noise)

    figures: Figures = {}
    few, many = size.frames, 10 * size.frames
    for frames in (few, many):
        noise = torch.randn(1, 4, frames, size.height, size.width, device=setting.device)
        free()
        before = torch.cuda.memory_allocated() / GIB if setting.device.type == "cuda" else 0.0
        took = alternate({"step": loop.timed(partial(step, noise))}, setting.rounds)["step"]
        figures[f"seconds_a_window_{frames}"] = took / len(context.spans(frames, size.frames))
        figures |= {name: peak - before for name, peak in peak_gib(setting, f"windows_peak_gib_{frames}").items()}
    figures["windows_time_ratio"] = figures[f"seconds_a_window_{many}"] / figures[f"seconds_a_window_{few}"]
    if f"windows_peak_gib_{many}" in figures:
        figures["windows_peak_ratio"] = figures[f"windows_peak_gib_{many}"] / figures[f"windows_peak_gib_{few}"]
    return figures


def channels_last(setting: Setting, _told: Figures) -> Figures:
    """What it would give to keep flat convolutions in the layout that GPUs like better; not used by the project."""
    loop = Loop(setting.size, setting.device, setting.dtype)
    plain = alternate({"plain": loop.timed(loop.exact)}, setting.rounds)["plain"]
    for layer in loop.unet.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.to(memory_format=torch.channels_last)
    last = alternate({"last": loop.timed(loop.exact)}, setting.rounds)["last"]
    return {"ratio_channels_last_vs_exact": plain / last}


def undone(setting: Setting, _told: Figures) -> Figures:
    """What each exact win gives here."""
    return wins(Loop(setting.size, setting.device, setting.dtype), setting.rounds)


STEPS = (
    Step("golden", golden),
    Step("exact", exact),
    Step("memory", memory),
    Step("lora_step", lora_step),
    Step("fast", fast),
    Step("hands", hands),
    Step("profile", profile),
    Step("any_model", any_model, "any_model_gpu"),
    Step("compiled", compiled),
    Step("windows", windows),
    Step("channels_last", channels_last),
    Step("undone", undone),
)
