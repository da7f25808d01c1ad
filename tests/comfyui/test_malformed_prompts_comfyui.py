"""A real ComfyUI is given prompts with wrong types and values: each ends in a sentence, and the next one still runs.

COMFYUI_PATH=… IVG_MALFORMED_PROMPTS=300 pytest -s tests/comfyui/test_malformed_prompts_comfyui.py
"""

import os
import pathlib

import pytest
from malformed_prompts import as_text, try_prompts

from comfy_harness import ComfyServer, installed_comfyui

FOUND = installed_comfyui()
ROOT = pathlib.Path(__file__).resolve().parents[2]
COUNT = int(os.environ.get("IVG_MALFORMED_PROMPTS") or 60)


@pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")
def test_no_prompt_ends_in_a_raw_traceback_of_ours(tmp_path):
    (tmp_path / "ivg").mkdir()
    (tmp_path / "ivg" / "tiny").symlink_to(ROOT / "tests" / "golden" / "tiny_ckpt")
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1], models={"ivg": tmp_path / "ivg"}) as server:
        tried = try_prompts(server, COUNT)
    print(as_text(tried))
    assert len(tried) == COUNT
    assert not [said for said, found in tried if found.how in ("raw", "dead")], as_text(tried)
