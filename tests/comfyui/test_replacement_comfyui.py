"""A node under an older name runs as the one that took its place, in a ComfyUI that knows node replacement."""

import shutil
import urllib.error

import pytest
from tour import ROOT

from comfy_harness import ComfyClient, ComfyServer, installed_comfyui

FOUND = installed_comfyui()
pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")

RENAMED = {
    "old_node_id": "IVGOldScene",
    "new_node_id": "IVGExampleScene",
    "old_widget_ids": ["number"],
    "input_mapping": [{"new_id": "seed", "old_id": "number"}],
}


def test_a_prompt_with_the_old_name_runs(tmp_path):
    pack = tmp_path / "renamed"
    for name in ("nodes", "ivg_core", "locales", "web"):
        shutil.copytree(ROOT / name, pack / name)
    shutil.copy2(ROOT / "__init__.py", pack)
    listing = pack / "nodes" / "__init__.py"
    text = listing.read_text("utf-8")
    assert "RENAMED: list[dict] = []" in text, "a node was renamed: take that one here"
    listing.write_text(text.replace("RENAMED: list[dict] = []", f"RENAMED = [{RENAMED}]"), "utf-8")
    with ComfyServer(FOUND[0], [pack], python=FOUND[1]) as server:
        client = ComfyClient(server.url)
        assert not server.import_problems()
        try:
            told = client.get("/node_replacements")
        except urllib.error.HTTPError:
            pytest.skip("this ComfyUI does not know node replacement")
        assert [one["new_node_id"] for one in told["IVGOldScene"]] == ["IVGExampleScene"]
        prompt = {
            "scene": {"class_type": "IVGOldScene", "inputs": {"number": 3}, "_meta": {}},
            "show": {"class_type": "PreviewImage", "inputs": {"images": ["scene", 0]}, "_meta": {}},
        }
        result = client.run(prompt, timeout=120)
        assert result.ok, result.errors
        assert result.outputs["show"]["images"]
