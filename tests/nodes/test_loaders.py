import json
import os
import pathlib

import comfy.model_management as mm
import folder_paths
import pytest
import torch
from safetensors.torch import save_file

from ivg_pack.ivg_core.checkpoints import embedded, gates, load
from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.nodes import loaders

EMPTY_FILE = {"unet.conv_in.weight": torch.zeros(1)}


@pytest.fixture
def models(monkeypatch, tmp_path):
    """An empty models/ivg."""
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "ivg", ([str(tmp_path / "ivg")], {".safetensors"}))
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "text2video", ([str(tmp_path / "text2video")], set()))
    return tmp_path / "ivg"


def touch(path: pathlib.Path, text: str = "{}") -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_models_are_folders_and_single_files(models):
    touch(models / "IVG.1.0" / "unet" / "config.json")
    touch(models / "IVG.1.0" / "unet" / "diffusion_pytorch_model.safetensors")
    touch(models / "theirs" / "half" / "model_index.json")  # a download that stopped early
    touch(models / "small.safetensors")
    touch(models / "notes.txt")
    assert list(loaders.find_models()) == ["IVG.1.0", "small.safetensors", "theirs/half"]
    options = {item.id: item.options["options"] for item in loaders.LoadIVGModel.GET_SCHEMA().inputs}
    assert options["model_name"] == [loaders.EMBEDDED, "IVG.1.0", "small.safetensors", "theirs/half"]
    assert options["rom_model"][0] == loaders.SAME_MODEL


def test_text_to_video_models_are_found_where_other_packs_have_them(models):
    theirs = models.parent / "text2video"
    files = (
        "text2video_pytorch_model.pth",
        "VQGAN_autoencoder.pth",
        "open_clip_pytorch_model.bin",
        "configuration.json",
    )
    for file in files:
        touch(theirs / "zs2_576w" / file)
        touch(models / "modelscope" / file)
        touch(theirs / file)  # without a folder of their own
    touch(theirs / "zeroscope_v2_576w" / "unet" / "config.json")
    touch(theirs / "zeroscope_v2_576w" / "zs2_XL" / files[0])
    touch(theirs / "more" / "mine.pth")
    touch(theirs / "more" / "VQGAN_autoencoder.safetensors")
    assert loaders.find_models() == {
        "modelscope": str(models / "modelscope"),
        "text2video/more/mine.pth": str(theirs / "more" / "mine.pth"),
        "text2video/text2video_pytorch_model.pth": str(theirs / files[0]),
        "text2video/zeroscope_v2_576w": str(theirs / "zeroscope_v2_576w"),
        "text2video/zs2_576w": str(theirs / "zs2_576w"),
    }
    assert loaders.find_rom_models() == []  # nor is a pickle opened for it
    assert loaders.path_of("text2video/zs2_576w") == str(theirs / "zs2_576w")


def test_a_name_in_models_ivg_is_never_taken_by_the_other_folder(models):
    ours, theirs = (models / "text2video" / "a.safetensors", models.parent / "text2video" / "a.safetensors")
    for path in (ours, theirs):
        touch(path)
    assert loaders.path_of("text2video/a.safetensors") == str(ours)


def test_parts_may_lie_where_comfyui_has_text_encoders(models, monkeypatch, tmp_path):
    found = {}
    monkeypatch.setattr(load, "load_model", lambda source, **options: found.update(options, source=source))
    monkeypatch.setattr(loaders, "manage", lambda model, again: model)
    touch(models.parent / "text2video" / "zs2" / "text2video_pytorch_model.pth")
    loaders.LoadIVGModel.execute("text2video/zs2", loaders.SAME_MODEL, "fp32")
    places = [place for kind in ("text_encoders", "vae") for place in folder_paths.get_folder_paths(kind)]
    assert found["beside"] == places and found["source"].endswith("zs2")


def test_parts_may_lie_in_any_folder_below_text2video(models):
    """SMCD's are ModelScope's, of which a user may have fetched these two files alone."""
    theirs = models.parent / "text2video"
    for file in ("smcd/pytorch_model_1.bin", "base/VQGAN_autoencoder.pth", "more/open_clip_pytorch_model.bin"):
        touch(theirs / file)
    touch(theirs / ".cache" / "VQGAN_autoencoder.pth")  # half a download
    assert {*loaders.places_of_parts()} >= {str(theirs / "base"), str(theirs / "more")}
    assert not {*loaders.places_of_parts()} & {str(theirs / "smcd"), str(theirs / ".cache")}


def test_only_what_holds_stage_1_weights_is_offered_for_the_mask(models):
    stage1 = EMPTY_FILE | {"rom_unet.conv_in.weight": torch.zeros(1)}
    models.mkdir(parents=True)
    save_file(stage1, models / "trained.safetensors")
    save_file(EMPTY_FILE, models / "video.safetensors")
    touch(models / "damaged.safetensors", "no header")
    touch(models / "IVG.1.0" / "unet" / "diffusion_pytorch_model.safetensors")
    for part in ("unet", "rom_unet"):
        touch(models / "mine" / part / "diffusion_pytorch_model.safetensors")
    assert loaders.find_rom_models() == ["mine", "trained.safetensors"]
    options = {item.id: item.options["options"] for item in loaders.LoadIVGModel.GET_SCHEMA().inputs}
    assert options["rom_model"] == [loaders.SAME_MODEL, "mine", "trained.safetensors"]
    assert loaders.LoadIVGModel.validate_inputs("video.safetensors") is True  # a saved workflow may name it


def test_gates_for_boxes_are_offered_as_such_and_not_as_a_model(models, monkeypatch, tmp_path):
    monkeypatch.setattr(embedded, "EMBEDDED_GATES", tmp_path / "gates.safetensors")
    models.mkdir(parents=True)
    save_file(EMPTY_FILE, models / "mine.safetensors")
    save_file(EMPTY_FILE, models / "gates.safetensors", {"format": gates.FORMAT})
    (models / "gone.safetensors").symlink_to(models / "nowhere")

    def offered() -> dict[str, list[str]]:
        options = {item.id: item.options["options"] for item in loaders.LoadIVGModel.GET_SCHEMA().inputs}
        return {name: options[name][1:] for name in ("model_name", "boxes_model")}

    both = ["gone.safetensors", "mine.safetensors"]
    assert offered() == {"model_name": both, "boxes_model": ["gates.safetensors"]}
    assert loaders.gates_of("gates.safetensors") == str(models / "gates.safetensors")
    save_file(EMPTY_FILE, embedded.EMBEDDED_GATES, {"format": gates.FORMAT})
    assert offered() == {"model_name": both, "boxes_model": [loaders.EMBEDDED_BOXES, "gates.safetensors"]}
    monkeypatch.setattr(loaders, "LARGEST_GATES", 10)  # a large file is not even opened
    monkeypatch.setattr(gates, "read_metadata", None)
    assert offered()["boxes_model"] == [loaders.EMBEDDED_BOXES]


def test_a_changed_file_is_loaded_anew(models):
    weights = touch(models / "IVG.1.0" / "unet" / "model.safetensors")
    choice = {"model_name": "IVG.1.0", "rom_model": loaders.SAME_MODEL, "dtype": "auto"}
    before = loaders.LoadIVGModel.fingerprint_inputs(**choice)
    assert loaders.LoadIVGModel.fingerprint_inputs(**choice) == before
    assert json.dumps(before)  # ComfyUI compares and stores it
    os.utime(weights, ns=(1, 1))
    assert loaders.LoadIVGModel.fingerprint_inputs(**choice) != before


def test_a_model_that_is_gone_is_named(models):
    with pytest.raises(IVGError, match=r"no IVG model 'gone' in .*ivg"):
        loaders.path_of("gone")


def test_folders_of_extra_model_paths_are_kept(models, monkeypatch, tmp_path):
    """ComfyUI enters those of the yaml file first, with an empty set of extensions that means every file."""
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "ivg", ([str(tmp_path / "elsewhere")], set()))
    touch(tmp_path / "elsewhere" / "mine.safetensors")
    loaders.register_folder()
    paths, extensions = folder_paths.folder_names_and_paths["ivg"]
    assert len(paths) == 2 and extensions == {".safetensors"}
    assert "mine.safetensors" in loaders.find_models()


def test_text2video_of_extra_model_paths_is_kept(monkeypatch, tmp_path):
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "text2video", ([str(tmp_path / "elsewhere")], {".pth"}))
    touch(tmp_path / "elsewhere" / "mine.pth")
    loaders.register_folder()
    paths, extensions = folder_paths.folder_names_and_paths["text2video"]
    assert paths[1:] == [str(pathlib.Path(folder_paths.models_dir) / "text2video")]
    assert extensions == {".pth"}  # another pack's lists stay what they are
    assert "text2video/mine.pth" in loaders.find_models()


@pytest.mark.parametrize(
    ("choice", "fp16", "bf16", "dtype"),
    [
        ("auto", False, False, torch.float32),
        ("auto", True, True, torch.float16),
        ("auto", False, True, torch.bfloat16),
        ("fp32", True, True, torch.float32),
        ("bf16", True, True, torch.bfloat16),
        ("fp16", False, False, torch.float32),  # said, see below
    ],
)
def test_dtype_follows_comfyui(monkeypatch, caplog, choice, fp16, bf16, dtype):
    monkeypatch.setattr(mm, "should_use_fp16", lambda device: fp16)
    monkeypatch.setattr(mm, "should_use_bf16", lambda device: bf16)
    assert loaders.choose_dtype(choice) == dtype
    assert ("fp16" in caplog.text) == (choice == "fp16")
