"""IVGBatchLoader with a column of LoRAs, and IVGLoadLoRA with a LoRA's parts, as ComfyUI runs them."""

import json
import pathlib

import folder_paths
import pytest
import torch
from comfy_execution.graph_utils import ExecutionBlocker
from PIL import Image

from ivg_pack.ivg_core.checkpoints.embedded import EMBEDDED_LORAS
from ivg_pack.ivg_core.checkpoints.lora_files import read_lora, save_lora
from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.models.lora import LoRA, lora_sites, model_with_lora
from ivg_pack.nodes._model import on_device
from ivg_pack.nodes.batch import IVGBatchLoader, IVGBatchSave
from ivg_pack.nodes.loras import IVGLoadLoRA

LOOKS = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
MOVES = "mid_block.temp_convs.0.conv1.2"


@pytest.fixture(autouse=True)
def loras(tmp_path, monkeypatch, model):
    """models/loras with a LoRA of both parts, and a list of two adapters."""
    folder = tmp_path / "loras"
    (folder / "ivg").mkdir(parents=True)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(folder)], {".safetensors", ".pt"}))
    rng = torch.Generator().manual_seed(0)
    unet, layers = model.model.unet, {}
    for name in (LOOKS, MOVES):
        weight = unet.get_submodule(name).weight
        up = torch.randn(weight.shape[0], 2, *[1] * (weight.ndim - 2), generator=rng)
        layers[name] = (up, torch.randn(2, *weight.shape[1:], generator=rng))
    save_lora(LoRA(layers), folder / "ivg" / "stir.safetensors")
    halves = [
        half
        for site in lora_sites(unet, ["spatial"]).values()
        for _ in range(2)
        for half in (torch.randn(site.out_features, 2), torch.randn(2, site.in_features))
    ]
    torch.save(halves, folder / "9_unet.pt")
    return folder


@pytest.fixture
def table(request):
    """Writes a table of photos into ComfyUI's input folder; what the loader is given."""
    name = request.node.name.replace("[", "_").replace("]", "").replace("/", "_")
    folder = pathlib.Path(folder_paths.get_input_directory()) / name
    folder.mkdir(parents=True)

    def write(*rows):
        for number, _ in enumerate(rows):
            Image.new("RGB", (48, 32), ("red", "green", "blue")[number]).save(folder / f"{number}.png")
        entries = [{"image": f"{number}.png", "prompt": "stir", **row} for number, row in enumerate(rows)]
        (folder / "t.json").write_text(json.dumps(entries))
        return {"table": f"{name}/t.json", "batch": name, "prompts": "", "seeds": "0", "mask_folder": ""}

    return write


def changes(managed, name):
    """How a layer differs from the plain model's when it is at work."""
    on_device(managed, 2, torch.zeros(32, 48, 3), 2)
    return managed.model.unet.get_submodule(name).weight.clone()


# ---- IVGLoadLoRA


@pytest.mark.parametrize(("spatial", "temporal"), [(0.0, 1.0), (0.5, 0.0), (0.3, -0.7), (1.0, 1.0)])
def test_parts_have_strengths_of_their_own(model, loras, spatial, temporal):
    on_device(model, 2, torch.zeros(32, 48, 3), 2)
    plain = {name: changes(model, name) for name in (LOOKS, MOVES)}
    loaded = IVGLoadLoRA.execute(model, "ivg/stir.safetensors", 0.5, spatial=spatial, temporal=temporal)[0]
    lora = read_lora(loras / "ivg/stir.safetensors", model.model.unet)
    for name, factor in ((LOOKS, spatial), (MOVES, temporal)):
        wanted = plain[name] + 0.5 * factor * lora.change(name, plain[name])
        if not factor:
            assert torch.equal(changes(loaded, name), plain[name])
        torch.testing.assert_close(changes(loaded, name), wanted, atol=1e-5, rtol=0)
    assert all(torch.equal(changes(model, name), plain[name]) for name in plain)


def test_both_parts_at_0_are_the_model_itself(model):
    assert IVGLoadLoRA.execute(model, "ivg/stir.safetensors", 1.0, spatial=0.0, temporal=0.0)[0] is model


def test_an_adapter_is_chosen(model, loras):
    with pytest.raises(IVGError, match="spatial adapters of 2 clips"):
        IVGLoadLoRA.execute(model, "9_unet.pt", 1.0)
    first, second = (IVGLoadLoRA.execute(model, "9_unet.pt", 1.0, adapter=number)[0] for number in (1, 2))
    assert not torch.equal(changes(first, LOOKS), changes(second, LOOKS))
    with pytest.raises(IVGError, match="no adapter 3"):
        IVGLoadLoRA.execute(model, "9_unet.pt", 1.0, adapter=3)


def test_the_embedded_models_lora_goes_by_its_name(model, loras, monkeypatch):
    def offered():
        return next(widget.options for widget in IVGLoadLoRA.define_schema().inputs if widget.id == "lora_name")

    monkeypatch.setitem(EMBEDDED_LORAS, "embedded-back", loras / "ivg/stir.safetensors")
    assert offered()["options"][-1] == "embedded-back" and offered()["default"] == "none"
    by_name = IVGLoadLoRA.execute(model, "embedded-back", 0.5)[0]
    assert not torch.equal(changes(by_name, LOOKS), changes(model, LOOKS))
    by_file = IVGLoadLoRA.execute(model, "ivg/stir.safetensors", 0.5)[0]
    assert torch.equal(changes(by_name, LOOKS), changes(by_file, LOOKS))
    same_file = (str(loras / "ivg/stir.safetensors"), (loras / "ivg/stir.safetensors").stat().st_mtime_ns)
    assert IVGLoadLoRA.fingerprint_inputs("embedded-back") == same_file
    monkeypatch.setitem(EMBEDDED_LORAS, "embedded-back", loras / "gone.safetensors")
    assert "embedded-back" not in offered()["options"], "not where it is not installed"


# ---- IVGBatchLoader


def test_a_row_may_name_the_embedded_models_lora(model, loras, table, monkeypatch):
    monkeypatch.setitem(EMBEDDED_LORAS, "embedded-back", loras / "ivg/stir.safetensors")
    loaded = IVGBatchLoader.execute(**table({"lora": "embedded-back"}), model=model)
    assert not torch.equal(changes(loaded[5], LOOKS), changes(model, LOOKS))


def test_the_model_comes_with_the_lora_of_the_row(model, loras, table):
    given = table({"lora": "ivg/stir.safetensors", "lora_strength": 0.5}, {}, {"lora": "gone.safetensors"})
    plain = changes(model, LOOKS)
    lora = read_lora(loras / "ivg/stir.safetensors", model.model.unet)
    wanted = model_with_lora(model.model, lora, 0.5).unet.get_submodule(LOOKS).weight
    with torch.inference_mode():
        first = IVGBatchLoader.execute(**given, model=model)
    torch.testing.assert_close(changes(first[5], LOOKS), wanted, atol=1e-5, rtol=0)
    assert torch.equal(changes(model, LOOKS), plain)
    IVGBatchSave.execute(first[4], first[0].expand(2, -1, -1, -1), 8.0, "gif")
    second = IVGBatchLoader.execute(**given, model=model)
    assert second[5] is model
    IVGBatchSave.execute(second[4], second[0].expand(2, -1, -1, -1), 8.0, "gif")
    with pytest.raises(IVGError, match=r"entry 3: There is no LoRA 'gone\.safetensors' in models/loras"):
        IVGBatchLoader.execute(**given, model=model)


def test_a_lora_for_another_model_fails_with_its_row(model, loras, table):
    save_lora(LoRA({LOOKS: (torch.ones(7, 2), torch.ones(2, 7))}), loras / "wide.safetensors")
    given = table({"lora": "wide.safetensors"}, {})
    loaded = IVGBatchLoader.execute(**given, model=model)
    assert loaded[5] is model and loaded[4].item.image.name == "1.png"
    journal = loaded[4].folder / "results.jsonl"
    failed = [event for event in map(json.loads, journal.read_text().splitlines()) if event["status"] == "failed"]
    assert "does not fit the model" in failed[0]["error"] and failed[0]["lora"].endswith("wide.safetensors")


def test_loras_without_a_model_are_one_sentence(model, table):
    given = table({"lora": "ivg/stir.safetensors"}, {})
    with pytest.raises(IVGError, match=r"1 items of .* have a LoRA, and no model is connected"):
        IVGBatchLoader.execute(**given)


def test_without_loras_no_model_is_needed_until_it_is_used(table):
    loaded = IVGBatchLoader.execute(**table({}))
    assert isinstance(loaded[5], ExecutionBlocker) and "connect one" in loaded[5].message
    assert IVGBatchLoader.fingerprint_inputs(**table({}), model=None)


@pytest.mark.parametrize("way", ["absolute", "dots", "link"])
def test_a_lora_elsewhere_is_not_read(model, loras, table, tmp_path, way):
    secret = tmp_path / "secret.safetensors"
    secret.write_bytes((loras / "ivg/stir.safetensors").read_bytes())
    (loras / "link.safetensors").symlink_to(secret)
    name = {"absolute": str(secret), "dots": "../secret.safetensors", "link": "link.safetensors"}[way]
    loaded = IVGBatchLoader.execute(**table({"lora": name}, {}), model=model)
    assert loaded[4].item.image.name == "1.png"
    said = (loaded[4].folder / "results.jsonl").read_text()
    assert ("which is not in a folder of ComfyUI" if way == "link" else "There is no LoRA") in said
