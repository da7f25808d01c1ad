"""Text-to-video models of other packs: a real ComfyUI lists them, from the folder that its yaml file names too."""

from pathlib import Path

import pytest

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui

ROOT = Path(__file__).resolve().parents[2]
FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")


def test_they_are_listed_under_the_name_of_their_folder(tmp_path):
    (tmp_path / "zs2_576w").mkdir()
    for file in ("text2video_pytorch_model.pth", "open_clip_pytorch_model.bin"):
        (tmp_path / "zs2_576w" / file).touch()
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1], models={"text2video": tmp_path}) as server:
        inputs = ComfyClient(server.url).node_info()["LoadIVGModel"]["input"]["required"]
    kind, settings = inputs["model_name"]
    assert "text2video/zs2_576w" in (settings["options"] if kind == "COMBO" else kind)
