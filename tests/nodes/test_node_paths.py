"""Every node with a path: an absolute one, one with `..`, and a link, all of which lead out of ComfyUI's folders."""

import json
import ntpath
import os
import pathlib
import types

import folder_paths
import pytest
import torch
from PIL import Image

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.nodes import _paths
from ivg_pack.nodes.batch import IVGBatchLoader
from ivg_pack.nodes.loras import IVGLoadLoRA
from ivg_pack.nodes.masks import IVGEditMask

WAYS = ["absolute", "dots", "link"]


@pytest.fixture
def secret(tmp_path):
    """A folder that is none of ComfyUI's, with a photo, a text and a LoRA in it."""
    folder = tmp_path / "secret"
    (folder / "clip").mkdir(parents=True)
    Image.new("RGB", (64, 48), "red").save(folder / "photo.png")
    Image.new("RGB", (64, 48), "red").save(folder / "clip" / "1.png")
    (folder / "photo.txt").write_text("the password")
    (folder / "lora.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "base_path", str(tmp_path / "comfy"))
    return pathlib.Path(folder_paths.get_input_directory())


def name_for(way: str, target: pathlib.Path, inputs: pathlib.Path) -> str:
    """How the user, or a workflow from elsewhere, might name what lies outside."""
    if way == "absolute":
        return str(target)
    if way == "dots":
        return os.path.relpath(target, inputs)
    (inputs / "link").symlink_to(target)
    return "link"


@pytest.mark.parametrize("way", WAYS)
def test_batch_table_and_masks(secret, inputs, way):
    name = name_for(way, secret, inputs)
    with pytest.raises(IVGError, match="which is not in"):
        IVGBatchLoader.execute(name, "b", "stir", "0", "")
    Image.new("RGB", (64, 48)).save(inputs / "a.png")
    with pytest.raises(IVGError, match="which is not in"):
        IVGBatchLoader.execute(".", "b", "stir", "0", name)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("column", ["image", "mask", "boxes"])
def test_a_path_in_a_table(secret, inputs, way, column):
    Image.new("RGB", (64, 48)).save(inputs / "a.png")
    row = {"image": "a.png", "prompt": "stir", column: name_for(way, secret / "photo.png", inputs)}
    (inputs / "t.json").write_text(json.dumps([row]))
    with pytest.raises(IVGError, match="A photo, mask or box track of t"):
        IVGBatchLoader.execute("t.json", "b", "", "0", "")


def test_a_link_among_the_photos_of_a_folder(secret, inputs):
    Image.new("RGB", (64, 48)).save(inputs / "a.png")
    (inputs / "a.txt").symlink_to(secret / "photo.txt")
    with pytest.raises(IVGError, match="which is not in"):
        IVGBatchLoader.execute(".", "b", "", "0", "")


@pytest.mark.parametrize("way", ["absolute", "dots"])
def test_the_results_of_a_batch(secret, inputs, way):
    with pytest.raises(IVGError, match=r"batch is .* which is not in"):
        IVGBatchLoader.execute("example", name_for(way, secret, inputs), "stir", "0", "")


@pytest.mark.parametrize("way", WAYS)
def test_a_painted_mask(secret, inputs, way):
    with pytest.raises(IVGError, match="not in the input folder"):
        IVGEditMask.execute(torch.zeros(1, 48, 64, 3), name_for(way, secret / "photo.png", inputs), None)


@pytest.mark.parametrize("way", WAYS)
def test_a_lora(secret, inputs, way, model):
    with pytest.raises(IVGError, match="lora_path is"):
        IVGLoadLoRA.execute(model, "none", 1.0, name_for(way, secret / "lora.safetensors", inputs))


def test_what_lies_in_comfyui_or_is_named_in_its_yaml_is_read(inputs, tmp_path, monkeypatch):
    elsewhere = tmp_path / "disk" / "clips"
    elsewhere.mkdir(parents=True)
    with pytest.raises(IVGError, match="extra_model_paths"):
        _paths.readable(elsewhere / "a.mp4", "folder")
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "my_clips", ([str(elsewhere)], set()))
    assert _paths.readable(elsewhere / "a.mp4", "folder") == str(elsewhere / "a.mp4")
    assert _paths.readable("a/../b.mp4", "folder") == str(inputs / "b.mp4")
    output = os.path.join(folder_paths.get_output_directory(), "x.png")
    assert _paths.readable(output, "folder") == output


def test_a_folder_of_comfyui_may_itself_be_a_link(tmp_path, monkeypatch):
    (tmp_path / "big_disk").mkdir()
    (tmp_path / "input").symlink_to(tmp_path / "big_disk")
    assert _paths.inside(str(tmp_path / "input"), "a.png", "table") == str(tmp_path / "input" / "a.png")


@pytest.mark.parametrize("name", ["D:\\photos", "\\\\nas\\share\\photos", "C:\\other"])
def test_other_drives_and_shares_of_windows(monkeypatch, name):
    monkeypatch.setattr(_paths, "os", types.SimpleNamespace(path=ntpath))
    with pytest.raises(IVGError, match="which is not in"):
        _paths.inside("C:\\ComfyUI\\input", name, "table")


@pytest.mark.parametrize("name", ["a\0.png", "../\ud800"])
def test_names_that_cannot_be(inputs, name):
    with pytest.raises(IVGError, match="which is not in") as caught:
        _paths.readable(name, "folder")
    assert str(caught.value).encode()
