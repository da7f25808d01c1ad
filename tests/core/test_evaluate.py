"""`evaluate` on drawn clips with tiny random networks: pairing, figures, confidence, report."""

import csv
import json
import logging
import math
import re

import pytest
import torch
from metric_clips import SCENES, clip_of, clips_in, mask_of, write_folders
from metric_networks import write_blip, write_clip, write_egovlp, write_i3d

from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.evaluate.bootstrap import estimate_distance, estimate_mean
from ivg_core.evaluate.clips import load_clip, pair_clips
from ivg_core.evaluate.families import METRICS, Features
from ivg_core.evaluate.run import ALL, INTENSIVE, evaluate_methods
from ivg_core.media.images import save_png
from ivg_core.media.video import write_video


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("evaluate"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory, golden):
    folder = tmp_path_factory.mktemp("weights")
    write_clip(folder / "clip", golden / "tiny_ckpt" / "tokenizer")
    write_blip(folder / "blip")
    write_egovlp(folder / "egovlp.pth")
    write_i3d(folder / "i3d_torchscript.pt")
    return folder


@pytest.fixture(scope="module")
def result(folders, weights):
    return evaluate_methods({"copied": clips_in(folders, "copied"), "wrong": clips_in(folders, "wrong")}, weights)


def test_every_metric_has_a_figure_or_a_reason(result):
    for key in METRICS:
        measured = any(key in row for row in result.table[ALL].values())
        assert measured or result.missing[key].startswith(("needs ", "has a value on none")), key
    assert {"clip_to_truth", "fvd", "egovlp", "clip_consecutive", "clip_to_text", "blip"} <= result.table[ALL][
        "copied"
    ].keys()


def test_the_truth_itself_is_best(result):
    copied, wrong = result.table[ALL]["copied"], result.table[ALL]["wrong"]
    assert copied["psnr"].value > 40 > 20 > wrong["psnr"].value
    assert copied["fvd"].value == pytest.approx(0, abs=1e-6) and wrong["fvd"].value > 1e-3
    assert copied["clip_to_truth"].value == pytest.approx(100, abs=1e-2) and wrong["clip_to_truth"].value < 100
    assert copied["egovlp"].value == pytest.approx(1, abs=1e-4)
    assert copied["motion_precision"].value == 1 and copied["background_stillness"].value == 1
    assert wrong["motion_precision"].value < 0.8
    assert "rom_iou" not in copied and 0 < wrong["rom_iou"].value < 1
    assert "rom_iou" not in result.missing
    assert "copied: not all 3 clips have a value for RoM IoU (0)." in result.notes


def test_figures_are_means_over_clips_with_an_interval(result):
    values = [clip["ssim"] for clip in result.values["wrong"].values()]
    figure = result.table[ALL]["wrong"]["ssim"]
    assert figure.value == pytest.approx(sum(values) / 3) and figure.clips == 3
    assert min(values) <= figure.low <= figure.value <= figure.high <= max(values)


def test_the_motion_intensive_tenth_has_the_largest_regions(result):
    assert result.subsets == {ALL: list(SCENES), INTENSIVE: ["tap"]}
    assert result.table[INTENSIVE]["wrong"]["ssim"].value == result.values["wrong"]["tap"]["ssim"]
    assert math.isnan(result.table[INTENSIVE]["wrong"]["ssim"].low)


def test_without_weights_and_truth_it_says_what_it_lacks(folders, tmp_path):
    result = evaluate_methods({"copied": pair_clips(folders / "copied")[:1]}, tmp_path)
    assert "needs the true clips: give --truth" in result.missing["psnr"]
    for key in ("clip_to_text", "blip"):
        assert str(tmp_path) in result.missing[key] and "give --prompts" in result.missing[key]
    assert "needs Regions of Motion" in result.missing["motion_precision"]
    assert "fid" in result.missing and "fvd" in result.missing


def test_clips_too_short_for_fvd(folders, weights, tmp_path):
    write_video(clip_of(0, frames=8), tmp_path / "carrot.mp4", 8)
    result = evaluate_methods({"short": pair_clips(tmp_path, folders / "truth")}, weights)
    assert "at least 10 frames, these have 7" in result.missing["fvd"]
    assert "fvd" not in result.table[ALL]["short"] and "psnr" in result.table[ALL]["short"]


def test_only_the_latter_frames_count(folders):
    clip = load_clip(clips_in(folders, "copied")[0])
    assert len(clip.frames) == 11 and len(clip.latter) == len(clip.truth) == 10
    assert torch.equal(clip.latter, clip.frames[1:])


def test_clips_of_another_length_and_size_are_made_to_fit(folders, tmp_path, caplog):
    long = clip_of(0, frames=21)[:, ::2, ::2]
    write_video(long, tmp_path / "carrot.mp4", 8)
    with caplog.at_level(logging.WARNING, "ivg"):
        clip = load_clip(pair_clips(tmp_path, folders / "truth", masks=folders / "masks")[0])
    assert clip.latter.shape == clip.truth.shape == (10, 24, 32, 3) and clip.mask.shape == (24, 32)
    assert "carrot has 21 frames, its true clip 11: 11 compared" in caplog.text
    assert (clip.frames[0] - long[0]).abs().max() < 0.1 and (clip.frames[-1] - long[-1]).abs().max() < 0.1


def test_the_released_layout_is_read(folders, tmp_path):
    out = tmp_path / "result" / "carrot"
    write_video(clip_of(0), out / "0.gif", 8)
    write_video(clip_of(0), out / "0..mp4", 8)
    save_png(mask_of(0), out / "0_mask.png")
    test = tmp_path / "test"
    write_video(clip_of(0), test / "target" / "carrot.mp4", 8)
    (source,) = pair_clips(tmp_path / "result", test, folders / "prompt.json", folders / "masks")
    assert source.name == "carrot" and source.video.name == "0..mp4" and source.truth.parent.name == "target"
    assert source.prompt == "stir the carrot" and source.own_mask.name == "0_mask.png"


def test_several_clips_of_a_scene_from_a_batch(folders, tmp_path):
    for seed in range(2):
        write_video(clip_of(0), tmp_path / f"carrot_s{seed}_0123456789.mp4", 8)
        save_png(mask_of(0), tmp_path / f"carrot_s{seed}_0123456789_mask.png")
    found = pair_clips(tmp_path, folders / "truth")
    assert [source.name for source in found] == ["carrot (1)", "carrot (2)"]
    assert all(source.truth and source.own_mask for source in found)


def test_scenes_that_do_not_match_are_said(folders, tmp_path, caplog):
    write_video(clip_of(0), tmp_path / "spoon.mp4", 8)
    with pytest.raises(IVGError, match=r"none of the scenes .* such as spoon"):
        pair_clips(tmp_path, folders / "truth")
    write_video(clip_of(0), tmp_path / "carrot.mp4", 8)
    with caplog.at_level(logging.WARNING, "ivg"):
        assert [source.truth is None for source in pair_clips(tmp_path, folders / "truth")] == [False, True]
    assert "lacks 1 scenes" in caplog.text and "spoon" in caplog.text


def test_a_clip_that_cannot_be_read_ends_it(folders, tmp_path):
    (tmp_path / "carrot.mp4").write_bytes(b"half a download")
    with pytest.raises(IVGError, match=r"carrot\.mp4 cannot be read"):
        evaluate_methods({"broken": pair_clips(tmp_path, masks=folders / "masks")})


def test_intervals_of_means_cover_what_they_should():
    """Of intervals around means of 40 clips with mean 0.5, about 95 % hold 0.5."""
    noise = torch.Generator().manual_seed(0)
    draws = [torch.rand(40, generator=noise).tolist() for _ in range(60)]
    hits = sum(e.low <= 0.5 <= e.high for e in (estimate_mean(draw, rounds=200) for draw in draws))
    assert hits >= 52
    assert estimate_mean([1.0, float("nan"), 3.0]).value == 2 and estimate_mean([1.0, float("nan")]).clips == 1
    with pytest.raises(IVGError, match="none of the clips"):
        estimate_mean([float("nan")])


def test_intervals_of_distances():
    noise = torch.Generator().manual_seed(0)
    clips = [Features(torch.randn(8, 4, generator=noise), torch.randn(8, 4, generator=noise) + 1) for _ in range(12)]
    estimate = estimate_distance(clips, rounds=50)
    assert 3 < estimate.low < estimate.high < 7 and estimate.clips == 12


def test_the_command_writes_the_report(folders, tmp_path, capsys):
    for number, scene in enumerate(SCENES[:2]):
        clip = clip_of(number, frames=4)
        write_video(clip, tmp_path / "truth" / f"{scene}.mp4", 8)
        write_video(clip, tmp_path / "copied" / f"{scene}.mp4", 8)
        write_video(0.5 * clip, tmp_path / "wrong" / f"{scene}.gif", 8)
    out = tmp_path / "report"
    words = ["evaluate", "--out", out, "--truth", tmp_path / "truth", "--masks", folders / "masks"]
    words += ["--generated", f"copied={tmp_path / 'copied'}", "--generated", tmp_path / "wrong"]
    assert main([str(word) for word in words]) == 0
    assert "motion precision ↑" in capsys.readouterr().out

    everything = json.loads((out / "results.json").read_text())
    assert set(everything["metrics_computed"]).isdisjoint(
        key for key in everything["metrics_missing"] if key in ("fid", "fvd", "egovlp", "blip")
    )
    assert everything["table"][ALL]["copied"]["ssim"]["clips"] == 2
    rows = list(csv.DictReader((out / "results.csv").open()))
    (row,) = (r for r in rows if (r["subset"], r["method"], r["metric"]) == (ALL, "wrong", "ssim"))
    assert float(row["value"]) == pytest.approx(everything["table"][ALL]["wrong"]["ssim"]["value"], rel=1e-5)
    assert any(r["metric"] == "fid" and "needs" in r["not computed"] for r in rows)
    clips = list(csv.DictReader((out / "clips.csv").open()))
    assert [(r["method"], r["clip"]) for r in clips[:2]] == [("copied", scene) for scene in SCENES[:2]]
    markdown = (out / "results.md").read_text()
    assert (
        "- FID: needs" in markdown and "- CLIP to truth, CLIP consecutive: needs" in markdown and "**1.000" in markdown
    )

    page = (out / "index.html").read_text()
    links = re.findall(r'src="([^"]+)"', page)
    assert len(links) == 2 * (1 + 3 * 2) and all((out / link).is_file() for link in links)
    assert "http" not in page.split("Not computed")[0]


def test_two_methods_of_one_name_are_refused(folders, tmp_path, capsys):
    words = ["evaluate", "--out", tmp_path, "--generated", folders / "copied", "--generated", folders / "copied"]
    assert main([str(word) for word in words]) == 2
    assert "NAME=FOLDER" in capsys.readouterr().err


def test_help_names_the_networks(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    told = capsys.readouterr().out
    assert "i3d_torchscript.pt" in told and "BSD-3-Clause" in told and "--masks" in told
