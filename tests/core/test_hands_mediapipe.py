"""The original as a backend: a clear answer where it is not installed, the same hands where it is."""

import sys
from importlib.metadata import PackageNotFoundError

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.hands import compare, drawn_clip
from ivg_core.cli import main as run
from ivg_core.errors import IVGError
from ivg_core.hands import mediapipe_backend
from ivg_core.hands.networks import ASSETS
from ivg_core.hands.tracker import BACKENDS, HandTracker
from ivg_core.media.images import save_png
from recipes.hand_networks import FILES, convert, main, read_source


def test_without_mediapipe_the_backend_says_what_to_do(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(mediapipe_backend, "version", missing)
    with pytest.raises(IVGError, match=r"not installed.*pip install mediapipe==0\.10\.21"):
        HandTracker(backend="mediapipe")


@pytest.mark.parametrize("found", ["0.10.4", "0.10.30", "1.2.2"])
def test_a_version_without_the_networks_is_refused_by_name(monkeypatch, found):
    monkeypatch.setattr(mediapipe_backend, "version", lambda name: found)
    with pytest.raises(IVGError, match=rf"0\.10\.5 to 0\.10\.21, and mediapipe {found} is installed"):
        HandTracker(backend="mediapipe")


def test_the_commands_offer_what_the_tracker_knows(capsys):
    for name in ("hand-score", "annotate", "find-rom", "generate"):
        with pytest.raises(SystemExit):
            run([name, "--help"])
        assert f"--hand-backend {{{','.join(BACKENDS)}}}" in capsys.readouterr().out


def test_a_command_hands_the_backend_on(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(mediapipe_backend, "version", lambda name: "1.2.2")
    save_png(torch.zeros(32, 32, 3), tmp_path / "photo.png")
    asked = ["find-rom", "--image", str(tmp_path / "photo.png"), "--out", str(tmp_path / "rom.png")]
    assert run([*asked, "--hand-backend", "mediapipe"]) == 2
    assert "mediapipe 1.2.2 is installed" in capsys.readouterr().err
    assert run(["hand-score", str(tmp_path / "a.mp4"), "--hand-backend", "mediapipe"]) == 2
    folders = ["--video-dir", str(tmp_path), "--save-dir", str(tmp_path / "masks")]
    assert run(["annotate", *folders, "--hand-backend", "mediapipe"]) == 2
    assert capsys.readouterr().err.count("mediapipe 1.2.2 is installed") == 2


def test_both_find_the_same_hands():
    pytest.importorskip("mediapipe")
    original, ours = HandTracker(backend="mediapipe"), HandTracker(tiled=False)
    frames = torch.cat([drawn_clip(seed, 320, 192)[3:6:2] for seed in range(3)])
    apart, missed, added = compare(ours.detect(frames), original.detect(frames))
    assert len(apart) >= 5 * 21 and missed == added == 0
    assert apart.median() < 1


@pytest.mark.parametrize("name", FILES)
def test_the_shipped_weights_are_those_of_the_wheel(name):
    mediapipe = pytest.importorskip("mediapipe")
    from pathlib import Path

    network, path, _ = FILES[name]
    converted = convert(read_source(Path(mediapipe.__file__).parents[1], path), network)
    shipped = load_file(ASSETS / f"{name}.safetensors")
    assert converted.keys() == shipped.keys()
    assert all(torch.equal(converted[key], shipped[key]) for key in shipped)


def test_shipped_weights_are_half_precision():
    for name in FILES:
        assert {tensor.dtype for tensor in load_file(ASSETS / f"{name}.safetensors").values()} == {torch.float16}


def test_a_source_without_the_files_is_refused(tmp_path, monkeypatch):
    with pytest.raises(IVGError, match="is not in"):
        read_source(tmp_path, "a.tflite")
    (tmp_path / "a.whl").write_bytes(b"no zip")
    with pytest.raises(IVGError, match="is not in"):
        read_source(tmp_path / "a.whl", "a.tflite")
    for _, path, _ in FILES.values():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"another model")
    monkeypatch.setattr(sys, "argv", ["convert", str(tmp_path), "--out", str(tmp_path)])
    with pytest.raises(IVGError, match="SHA-256"):
        main()


def test_the_card_names_the_files_by_their_hashes():
    import hashlib

    card = (ASSETS / "hands-mediapipe.md").read_text()
    for name, (_, path, digest) in FILES.items():
        row = next(line for line in card.splitlines() if path in line)
        assert digest in row and hashlib.sha256((ASSETS / f"{name}.safetensors").read_bytes()).hexdigest() in row
    assert "Apache License" in (ASSETS / "LICENSE-mediapipe.txt").read_text()
