"""All numbers of SMCD in one folder, through the library's own code: tests/golden/check_relatives.py smcd."""

import json
import sys

import pytest
import smcd_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return smcd_folder.numbers(tmp_path_factory.mktemp("smcd") / "folder")


def test_the_script_checks_the_folder_and_names_what_it_lacks(folder, capsys, monkeypatch):
    import check_relatives

    monkeypatch.setattr(sys, "argv", ["check_relatives.py", "smcd", str(folder)])
    assert check_relatives.main() == 0, capsys.readouterr().out
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "11 of 11 within"
    assert any(line.startswith("not in the folder, left out: unet_full") for line in lines)
    for name in ("tokens of boxes", "3 steps: loss", "what is trained", "141 first gradients", "prediction afterwards"):
        assert any(line.startswith(f"{name}: ") for line in lines), name


def test_sampling_and_calls_are_checked_where_the_folder_holds_them(folder, tmp_path):
    """With numbers that the library made: a folder that the reference made is not here."""
    import check_smcd
    import torch
    from safetensors.torch import load_file, save_file

    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "checkpoint-1").symlink_to(folder / "checkpoint-60000")
    meta = json.loads((folder / "smcd_meta.json").read_text())
    meta["sample"] = {"steps": 4, "guidance": 7.5}
    meta["sample_timesteps"] = [751, 501, 251, 1]
    meta["sample6_timesteps_reference"] = [997, 831, 665, 499, 333, 167, 1]
    meta["sample_imgfree"] = {"guidance": 7.5, "img_free": 2.0}
    (whole / "smcd_meta.json").write_text(json.dumps(meta))
    io = load_file(folder / "smcd_io.safetensors") | {"sample_noise": torch.randn(1, 4, 5, 8, 8)}
    missing = ("sample_steps", "sample6_last", "sample_imgfree_as_coded_last", "unet_full", "unet_2_objects")
    save_file(io | {name: torch.zeros(1) for name in missing}, whole / "smcd_io.safetensors")
    checks = [*check_smcd.SMCD(whole).calls(), *check_smcd.SMCD(whole).sampling()]
    assert [check.name for check in checks] == [
        "unet_full",
        "unet_2_objects",
        "4 steps",
        "7 steps for 6",
        "guided by the photo, coded",
    ]
    assert not any(check.within for check in checks)  # of another shape


def test_a_wrong_number_is_told_and_fails(folder, tmp_path, capsys, monkeypatch):
    import check_relatives
    from safetensors.torch import load_file, save_file

    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    (spoilt / "checkpoint-1").symlink_to(folder / "checkpoint-60000")
    meta = json.loads((folder / "smcd_meta.json").read_text())
    del meta["train"]
    (spoilt / "smcd_meta.json").write_text(json.dumps(meta))
    io = load_file(folder / "smcd_io.safetensors")
    save_file(io | {"visual_tokens": io["visual_tokens"] + 1e-3}, spoilt / "smcd_io.safetensors")
    monkeypatch.setattr(sys, "argv", ["check_relatives.py", "smcd", str(spoilt)])
    assert check_relatives.main() == 1
    out = capsys.readouterr().out
    assert "tokens of the photo: 1.00e-03 (1e-05)  MISSED" in out and "left out: the training" in out
