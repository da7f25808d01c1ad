"""The second edition's recipe, at tiny sizes."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ivg_core.hands.landmarks import load_landmark_net
from ivg_core.hands.regions import crop
from ivg_core.synthetic.clips import Scene
from recipes.embedded2 import decoder, prolong
from recipes.embedded2.draw import Folder, Size, draw, save, unpack
from recipes.embedded2.hands import Likeness, cut, look, structure
from recipes.embedded2.loop import fit, store
from recipes.embedded2.parts import build_unet, build_vae
from recipes.embedded2.prolong import without_dropout
from recipes.embedded2.text import labels, texts
from recipes.embedded2.vae import corners, regions, window

SIZE, SMALL = Size(192, 128, 3), Size(96, 64, 5)


def test_a_drawn_scene_comes_back_from_its_file(tmp_path):
    scene = Scene(3, SIZE.width, SIZE.height)
    drawn = draw(scene, SIZE, clips=True)
    save(tmp_path / "clip-000003.npz", drawn)
    folder = Folder(tmp_path, "clip-*.npz")
    (read,) = folder.fresh(5)
    assert not folder.fresh(5)  # each is given out once
    assert (read.frames == drawn.frames).all() and read.texts == drawn.texts
    task = next(task for task in scene.tasks if task.text == drawn.texts[0])
    exact = scene.clip(task, SIZE.frames).rom > 127
    assert (unpack(torch.from_numpy(read.rom[0])).numpy().astype(bool) == exact).all()
    grown = unpack(torch.from_numpy(read.grown)).numpy().astype(bool)
    assert all((bigger >= smaller).all() for bigger, smaller in zip(grown[1:], grown[:-1], strict=True))
    assert (grown[0] >= exact.any(0)).all()


def test_hands_are_cut_and_judged_as_the_library_does():
    drawn = draw(Scene(3, SIZE.width, SIZE.height), SIZE, clips=True)
    frames = torch.from_numpy(drawn.frames).float() / 255
    rois, there = regions(torch.from_numpy(drawn.rois[:, 0]), SIZE)
    index = torch.arange(len(frames))
    torch.testing.assert_close(cut(frames.movedim(-1, 1), rois), crop(frames, index, rois, 224), atol=1e-4, rtol=0)
    net = load_landmark_net()
    true, presence = look(net, frames.movedim(-1, 1), rois)
    weight = there * (presence > 0)
    assert weight.sum() > 0
    same, off, _ = structure(net, frames.movedim(-1, 1), rois, true, weight)
    gone, _, _ = structure(net, torch.full_like(frames, 0.5).movedim(-1, 1), rois, true, weight)
    assert off < 1e-3 and same < 0.3 * gone
    alike = Likeness(net)
    pictures = frames.movedim(-1, 1)
    assert alike(pictures, pictures, rois, weight) < 1e-6 < alike(pictures.flip(-1), pictures, rois, weight)


def test_windows_lie_inside_the_picture():
    picture = torch.arange(SIZE.width * SIZE.height).reshape(1, 1, SIZE.height, SIZE.width).expand(20, -1, -1, -1)
    centre = torch.tensor([[0.0, 0.0], [191.0, 127.0]]).repeat(10, 1)
    corner = corners(centre, 64, SIZE)
    cuts = window(picture, corner, 64)
    assert cuts.shape == (20, 1, 64, 64)
    assert (cuts[:, 0, 0, 0] == corner[:, 1] * SIZE.width + corner[:, 0]).all()


def test_what_a_sentence_says():
    assert labels("push", "cup", "push the blue cup to the left with the right hand")[2:] == [2, 1, 2]


def test_training_ends_by_the_clock_and_goes_on(tmp_path):
    torch.manual_seed(0)
    target = nn.Linear(4, 4).weight.detach()

    def step(network):
        loss = (network.weight - target).square().mean()
        return loss, {"loss_again": loss}

    def run(seconds):
        settings = {"folder": tmp_path, "out": tmp_path, "learning_rate": 0.05, "save_every": 0.05, "warmup": 1}
        now = time.time()
        return fit(
            "toy", nn.Linear(4, 4, bias=False), [(0.5, step), (1.0, step)], start=now, end=now + seconds, **settings
        )

    first = (run(1.0).weight - target).abs().mean()
    assert (tmp_path / "toy.pt").exists() and (tmp_path / "toy-before.safetensors").exists()
    again = (run(1.5).weight - target).abs().mean()
    assert again < max(first, 1e-3) and np.isfinite(float(again))


@pytest.fixture
def on_a_cpu(tmp_path, monkeypatch, capsys):
    """Runs a module of the recipe, at a tiny size, and gives what it said; folders of the pieces and of its work."""
    pieces, work = tmp_path / "pieces", tmp_path / "work"
    pieces.mkdir(), work.mkdir()
    torch.manual_seed(0)
    for name, network in (("vae", build_vae()), ("text", texts(pieces)[1]), ("stage2", build_unet())):
        store(pieces, name, network)

    def run(module, *words):
        common = ["--size", *map(str, SMALL), "--scenes", "16", "--threads", "1", "--out", pieces, "--work", work]
        monkeypatch.setattr("sys.argv", [module.__name__, *map(str, common), *words])
        module.main()
        return capsys.readouterr().out

    return run, pieces, work


def test_on_a_cpu_it_goes_on_where_it_was_stopped(on_a_cpu):
    run, pieces, work = on_a_cpu
    words = ("--batch", "2", "--learning-rate", "0.1", "0.1")
    assert "32 clips" in run(prolong, *words, "--steps", "1")
    assert "stage2-longer: resumed at step 1" in run(prolong, *words, "--steps", "2", "--hand-steps", "1")
    parts = (pieces / "stage2", work / "stage2-longer", work / "stage2-hands")
    before, longer, hands = (load_file(f"{path}.safetensors")["conv_out.bias"] for path in parts)
    assert longer.isfinite().all() and not torch.equal(before, longer) and not torch.equal(longer, hands)
    assert all(module.p == 0 for module in without_dropout(build_unet()).modules() if isinstance(module, nn.Dropout))

    items = prolong.gather(work, pieces, SMALL, 1)
    scene = draw(Scene(prolong.FIRST_SEED + 3, SMALL.width, SMALL.height), SMALL, clips=True, sentences=1)
    latents = items.encoder.pictures(torch.from_numpy(scene.frames).movedim(-1, 1))
    torch.testing.assert_close(items.clip[decoder.row_of(3)], latents, atol=0.02, rtol=0.02)

    assert "decoder: step 1/1" in run(decoder, "--steps", "1", "--learning-rate", "0.1")
    was, now = (load_file(folder / "vae.safetensors") for folder in (pieces, work))
    changed = {key.split(".")[0] for key in was if not torch.equal(was[key], now[key])}
    assert changed == {"decoder", "post_quant_conv"}
