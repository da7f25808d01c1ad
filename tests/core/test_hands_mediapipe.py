"""The original as a backend: a clear answer where it is not installed, the same hands where it is."""

import sys

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.hands import compare, drawn_clip
from ivg_core.errors import IVGError
from ivg_core.hands.networks import ASSETS
from ivg_core.hands.tracker import HandTracker
from recipes.hand_networks import FILES, convert, main, read_source


def test_without_mediapipe_the_backend_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.hands", None)
    with pytest.raises(IVGError, match="pip install mediapipe"):
        HandTracker(backend="mediapipe")


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
