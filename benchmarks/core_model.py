"""An IVG checkpoint as ComfyUI's own MODEL: is what core's samplers make of it what the library makes?

    COMFYUI_PATH=… PYTHONPATH=.:tests python benchmarks/core_model.py

Writes benchmarks/results/core_model.json, all of the embedded model but for the single calls, which the tiny random
checkpoint makes too. Differences of latents are root mean squares as shares of the latents'.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from benchmarks.record import record
from comfy_harness import installed_comfyui, told_by

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    if installed_comfyui() is None:
        raise SystemExit("No ComfyUI: name its folder in COMFYUI_PATH.")
    core = told_by(ROOT / "tests" / "comfyui" / "core_model_in_core.py")
    nodes = told_by(ROOT / "tests" / "comfyui" / "core_model_nodes.py")
    runs, lora, windows = core["runs"], core["lora"], core["windows"]
    does = Counter(found["does"] for found in nodes["nodes"].values())
    figures = {
        "call_difference": max(call["answer"] for call in core["one_call"].values()),
        "euler_rms": runs["euler"]["rms"],
        "dpmpp_2m_rms": runs["dpmpp_2m"]["rms"],
        "dpmpp_2m_frames_db": runs["dpmpp_2m"]["frames"],
        "dpmpp_2m_few_steps_frames_db": runs["few_steps"]["frames"],
        "leading_rms": runs["leading"]["rms"],
        "stage_1_rms": runs["stage_1"]["rms"],
        "seconds_over_generate": runs["dpmpp_2m"]["slower"],
        "generate_before_and_after_equal": int(all(core["shared"]["bytes"])),
        "memory_grown": core["shared"]["grown"],
        "lora_layers": lora["layers"],
        "lora_layers_loaded": lora["loaded"],
        "lora_difference": lora["off"],
        "layers_cast": lora["cast"],
        "layers_cast_difference": lora["partly_off"],
        "windows_equal": int(windows["one_window"] == windows["one_window_long"] == max(windows["told"].values()) == 0),
        "easycache_calls_of_20": core["caches"]["EasyCacheNode"]["calls"],
        "nodes_work": does["changes"],
        "nodes_without_effect": does["same"],
        "nodes_stop": does["stops"],
        "samplers": len(nodes["samplers"]),
        "samplers_fail": sum(map(bool, nodes["samplers"].values())),
    }
    print(record(ROOT / "benchmarks", "core_model", figures).read_text())


if __name__ == "__main__":
    main()
