"""IVG Optimize Model in a real ComfyUI: both ways, once and again with another seed, beside the model as it was."""

import copy
import re
import shutil

import pytest
from test_comfyui import FOUND, ROOT, prompt, saved_video

from comfy_harness import ComfyClient, ComfyServer

pytestmark = pytest.mark.skipif(FOUND is None, reason="no ComfyUI: name its folder in COMFYUI_PATH")

LORA = "stir.pt"
WORN = {"lora_name": LORA, "strength": 10.0}
COMPILED = re.compile(r"Compiled \d+ pieces of the network in \d+ s")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = tmp_path_factory.mktemp("ivg")
    (models / "tiny").symlink_to(ROOT / "tests" / "golden" / "tiny_ckpt")
    loras = tmp_path_factory.mktemp("loras")
    shutil.copy(ROOT / "tests" / "golden" / "lora_cloneofsimo_r2.pt", loras / LORA)
    with ComfyServer(FOUND[0], [ROOT], python=FOUND[1], models={"ivg": models, "loras": loras}) as server:
        yield server


@pytest.fixture
def videos(server):
    """Runs the model as it is made and as it was, in one graph: (what ran and was said, video, video as it was)."""
    client = ComfyClient(server.url)

    def run(seed: int, weights: str, compile: bool, lora: bool = False):
        nodes = prompt(sample__seed=seed, sample__keep_first_frame=False, sample__composite=False)
        del nodes["predict"]
        widgets = {"weights": weights, "compile": compile}
        nodes["optimize"] = {"class_type": "IVGOptimizeModel", "inputs": {"model": ["load", 0], **widgets}}
        nodes["plain"] = copy.deepcopy(nodes["sample"])
        nodes["sample"]["inputs"]["model"] = ["optimize", 0]
        if lora:
            nodes["lora"] = {"class_type": "IVGLoadLoRA", "inputs": {"model": ["load", 0], **WORN}}
            for name in ("optimize", "plain"):
                nodes[name]["inputs"]["model"] = ["lora", 0]
        for name in ("sample", "plain"):
            video = {"video": [name, 1], "filename_prefix": f"test/{name}", "format": "auto", "codec": "auto"}
            nodes[f"save_{name}"] = {"class_type": "SaveVideo", "inputs": video}
        del nodes["save"]
        result = client.run(nodes, timeout=900)
        assert result.ok, result.errors
        return result, *(saved_video(server, {name: result.outputs[f"save_{name}"]})[0] for name in ("sample", "plain"))

    return run


def psnr(video, other):
    return -10 * (video - other).square().mean().log10().item()


def test_weights_in_8_bits(videos):
    result, first, plain = videos(1, "float8", False)
    assert "MB as they came in" in result.notes["optimize"]
    again, second, plain_second = videos(2, "float8", False)
    assert "optimize" not in again.executed
    assert psnr(first, plain) > 25 and psnr(second, plain_second) > 25
    assert psnr(plain, plain_second) < 25  # or these would say nothing


def test_a_lora_before_it_is_merged(videos):
    *_, bare = videos(1, "float8", False)
    _, first, worn = videos(1, "float8", False, lora=True)
    assert psnr(worn, bare) + 5 < psnr(first, worn)


def test_a_second_run_compiles_nothing(videos):
    result, first, plain = videos(3, "as loaded", True)
    assert "first run" in result.notes["optimize"] and COMPILED.search(result.notes["sample"])
    again, second, plain_second = videos(4, "as loaded", True)
    assert "optimize" not in again.executed and not COMPILED.search(again.notes["sample"])
    assert psnr(first, plain) > 40 and psnr(second, plain_second) > 40
    assert not COMPILED.search(result.notes["plain"])
