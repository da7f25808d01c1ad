"""The steps of gpu.py that run in a process of their own: what they change or break stays there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu import Figures, Setting
from ivg_core.errors import IVGError

HERE = Path(__file__).parent


def compiled(setting: Setting, _told: Figures) -> Figures:
    """See gpu_compiled.py."""
    return told_by([sys.executable, "-m", "benchmarks.gpu_compiled"], setting)


def any_model(setting: Setting, _told: Figures) -> Figures:
    """See gpu_core.py; nothing where there is no ComfyUI."""
    path = os.environ.get("COMFYUI_PATH")
    if not path:
        print("COMFYUI_PATH is not set: the step of the 5B class is left out.", file=sys.stderr)
        return {}
    return told_by([os.environ.get("COMFYUI_PYTHON", sys.executable), str(HERE / "gpu_core.py"), path], setting)


def told_by(command: list[str], setting: Setting) -> Figures:
    """The figures that a program prints as JSON in its last line.

    Raises:
        IVGError: it failed, or the time was over before it ended.
    """
    command = command + ["--tiny"] * setting.tiny
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=max(1.0, setting.left))
    except subprocess.TimeoutExpired:
        raise IVGError("the time was over before it ended.") from None
    if done.returncode:
        raise IVGError(f"it ended with {done.returncode}, and what it said stands above.")
    return json.loads(done.stdout.splitlines()[-1])
