"""Installing the pack replaces nothing in the environment of the ComfyUI that is here; nothing is really installed."""

import json
import subprocess

import pytest
from tour import ROOT

from comfy_harness import installed_comfyui

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")


def test_no_package_would_change(tmp_path):
    python, report = FOUND[1], tmp_path / "report.json"
    command = [python, "-m", "pip", "install", "--dry-run", "--quiet", "--retries", "0", "--report", str(report)]
    done = subprocess.run([*command, "-r", str(ROOT / "requirements.txt")], capture_output=True, text=True)
    if "No matching distribution" in done.stderr or "connection" in done.stderr.lower():
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    listed = subprocess.run([python, "-m", "pip", "list", "--format", "json"], capture_output=True, check=True)
    there = {one["name"].lower().replace("_", "-"): one["version"] for one in json.loads(listed.stdout)}
    would = {
        one["metadata"]["name"].lower().replace("_", "-"): one["metadata"]["version"]
        for one in json.loads(report.read_text())["install"]
    }
    assert not {name: (there[name], version) for name, version in would.items() if name in there}
