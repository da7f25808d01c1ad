"""The recipe of the embedded model, from drawing to the file, with one step of everything."""

import argparse

import pytest
import torch

import ivg_core as ivg
from ivg_core.checkpoints.save import save_file
from recipes.embedded.build import build
from recipes.embedded.clips import DrawnClips, Scenes
from recipes.embedded.parts import FRAMES


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    work = tmp_path_factory.mktemp("embedded")
    steps = {"vae_steps": 1, "decoder_steps": 0, "stage1_steps": (1, 1, 1), "stage2_steps": (1, 1, 1)}
    options = argparse.Namespace(work=work, scenes=6, batch=2, threads=1, **steps)
    return work, build(options), options


def test_the_result_is_one_file_that_generates(built, tmp_path):
    _, model, _ = built
    save_file(model, tmp_path / "tiny.safetensors")
    assert (tmp_path / "tiny.safetensors").stat().st_size < 24 * 2**20
    loaded = ivg.load_model(tmp_path / "tiny.safetensors")
    photo = torch.rand(128, 192, 3)
    how = ivg.Sampling(num_inference_steps=1)
    video = ivg.generate(loaded, photo, "pick up the cup", num_frames=2, how=how, seed=0)
    assert video.frames.shape == (2, 128, 192, 3)
    assert ivg.predict_rom(loaded, photo, "pick up the cup", how=how).mask.shape == (
        128,
        192,
    )


def test_a_second_run_finds_everything_done(built):
    work, model, options = built
    written = {path: path.stat().st_mtime_ns for path in work.glob("scenes/*")}
    again = build(options)
    assert {path: path.stat().st_mtime_ns for path in work.glob("scenes/*")} == written
    for stage in (1, 2):
        ours, theirs = model.for_stage(stage).state_dict(), again.for_stage(stage).state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_every_action_comes_equally_often(built):
    work, model, _ = built
    scenes = Scenes(sorted((work / "latents").iterdir()), sorted((work / "scenes").iterdir()))
    clips = DrawnClips(scenes, model, 1, list(range(FRAMES)))
    verbs = [scenes.texts[scene][row].split()[0] for scene, row in clips.items]
    counts = {verb: verbs.count(verb) for verb in ("pick", "push", "point", "rotate")}  # those drawn
    assert len(set(counts.values())) == 1 and counts["pick"] > 0
    sample = clips[0]
    assert sample["latents"].shape == sample["mask_latents"].shape == (4, FRAMES, 16, 24)
    assert sample["photo"].shape == (4, 1, 16, 24) and sample["frame_masks"].shape == (FRAMES, 128, 192)
    # the region of motion holds what moves in every frame
    assert (sample["rom_mask"] >= sample["frame_masks"].amax(0)).all()
