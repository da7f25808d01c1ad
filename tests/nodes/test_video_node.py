import json
import logging
import pathlib
from fractions import Fraction

import folder_paths
import pytest
import torch
from comfy.cli_args import args
from comfy_api.latest import InputImpl, Types
from PIL import Image

from ivg_pack.ivg_core.media.video import read_video
from ivg_pack.nodes.video import FORMATS, IVGSaveVideo

FRAMES = torch.linspace(0, 1, 4)[:, None, None, None].repeat(1, 16, 24, 3)


def video(audio=None):
    return InputImpl.VideoFromComponents(Types.VideoComponents(images=FRAMES, frame_rate=Fraction(8), audio=audio))


def save(monkeypatch, format, prefix, clip=None):
    monkeypatch.setattr(IVGSaveVideo.hidden, "prompt", {"1": {"class_type": "IVGSaveVideo"}})
    monkeypatch.setattr(IVGSaveVideo.hidden, "extra_pnginfo", {"workflow": {"nodes": []}})
    output = IVGSaveVideo.execute(clip or video(), prefix, format)
    shown = output.ui if isinstance(output.ui, dict) else output.ui.as_dict()
    files = shown.get("files") or shown["images"]
    folder = pathlib.Path(folder_paths.get_output_directory())
    return shown, [folder / file["subfolder"] / file["filename"] for file in files]


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_is_saved_and_shown_as_a_film(monkeypatch, format):
    shown, paths = save(monkeypatch, format, f"test/{format.split()[0]}")
    (film,) = shown["images"]
    assert shown["animated"] == (True,) and film["filename"].endswith((".webm", ".mp4"))
    if format == "png frames":
        assert len(paths) == 4 and len({path.parent for path in paths}) == 1
    elif format == "gif":
        assert [path.suffix for path in paths] == [".gif", ".png"]
    else:
        assert len(paths) == 1 and film["type"] == "output"
    if film["type"] == "temp":
        frames, fps = read_video(pathlib.Path(folder_paths.get_temp_directory()) / film["filename"])
        assert len(frames) == 4 and fps == 8
    assert all(path.is_file() for path in paths)


def test_the_workflow_goes_along_unless_switched_off(monkeypatch):
    _, paths = save(monkeypatch, "png frames", "test/with")
    with Image.open(paths[2]) as picture:
        assert json.loads(picture.text["workflow"]) == {"nodes": []}
        assert json.loads(picture.text["prompt"])["1"]["class_type"] == "IVGSaveVideo"
    monkeypatch.setattr(args, "disable_metadata", True)
    _, paths = save(monkeypatch, "png frames", "test/without")
    with Image.open(paths[2]) as picture:
        assert not picture.text


def test_saving_again_overwrites_nothing(monkeypatch):
    first, second = (save(monkeypatch, "webm", "test/twice")[1][0] for _ in range(2))
    assert first != second and first.is_file() and second.is_file()


def test_sound_is_not_dropped_silently(monkeypatch, caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        save(monkeypatch, "webm", "test/sound", video(audio={"waveform": torch.zeros(1, 1, 8), "sample_rate": 8}))
    assert "sound" in caplog.text
