"""Gen-L-Video's second recording, through the library's own code: tests/golden/check_relatives.py genlvideo."""

import shutil
import sys

import pytest
from glv import FLAT, close
from safetensors.torch import load_file, save_file

from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.generate import Sampling, generate
from ivg_core.sampling.prompts import PromptSchedule, Stretch


def run(folder, monkeypatch):
    import check_relatives

    monkeypatch.setattr(sys, "argv", ["check_relatives.py", "genlvideo", str(folder)])
    return check_relatives.main()


def test_every_number_of_the_folder(glv_more, capsys, monkeypatch):
    failed = run(glv_more.folder, monkeypatch)
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if ":" in line and "left out" not in line]
    assert not failed, out
    assert out.splitlines()[-1] == f"{len(lines)} of {len(lines)} within" and "left out" not in out
    for name in ("wota_odd", "mix: drawn together", "inv: steps", "ctl_down_5", "ctl: decoded frames", "inpctl: steps"):
        assert any(line.startswith(f"{name}: ") for line in lines), name


def test_a_wrong_number_is_told_and_what_lacks_is_named(glv_more, tmp_path, capsys, monkeypatch):
    folder = shutil.copytree(glv_more.folder, tmp_path / "spoilt", ignore=shutil.ignore_patterns("sd2_*", "controlnet"))
    io = load_file(folder / "glv_io.safetensors")
    save_file(
        {name: io[name] for name in ("x", "t", "wota")} | {"wota_1f": io["wota_1f"] + 1e-3},
        folder / "glv_io.safetensors",
    )
    assert run(folder, monkeypatch) == 1
    out = capsys.readouterr().out
    assert "wota_1f: 1.00e-03 (1e-05)  MISSED" in out and out.splitlines()[-1] == "1 of 2 within"
    assert "left out: wota_odd, x_odd" in out and "sd2_depth" in out and "sd1/controlnet" in out


@pytest.mark.parametrize("parity", [False, True])
def test_the_same_by_generate(glv_more, parity):
    mix, io = glv_more.part("mix"), glv_more.io
    starts = [i * mix["T"] // len(mix["prompts"]) for i in range(len(mix["prompts"]))]
    stretches = tuple(Stretch(start, prompt) for start, prompt in zip(starts, mix["prompts"], strict=True))
    video = generate(
        glv_more.backbone("sd2_depth").model,
        None,
        PromptSchedule(stretches, "reference"),
        num_frames=mix["T"],
        noise=io["mix_start"],
        beside=io["mix_depth_latent"],
        how=Sampling(
            num_inference_steps=mix["steps"],
            guidance_scale=mix["g"],
            solver="ddim",
            parity=parity,
            context=ContextWindows(mix["w"], mix["s"], **FLAT),
        ),
    )
    close(video.latents, io["mix_steps"][-1])
