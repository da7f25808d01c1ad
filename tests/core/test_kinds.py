"""What is wrong with a command line is said in one sentence, before any work is begun."""

import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.cli import main
from ivg_core.devices import usable_device
from ivg_core.errors import IVGError, out_of_memory
from ivg_core.media.images import save_png
from ivg_core.media.targets import VIDEO_ENDINGS, check_file, check_folder, check_memory, user_path
from ivg_core.media.video import ENCODERS
from ivg_core.sampling.generate import generate
from ivg_core.sampling.predict import predict_rom


@pytest.fixture
def photo(tmp_path):
    save_png(torch.rand(64, 64, 3), tmp_path / "photo.png")
    return str(tmp_path / "photo.png")


@pytest.fixture
def no_model(monkeypatch):
    """Loading a model is work."""

    def load(*_, **__):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("ivg_core.checkpoints.load.load_model", load)


def said_at_once(words: list[str], capsys) -> str:
    assert main(words) == 2
    *notes, error = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("error: ") and all(note.startswith("note: ") or "step " in note for note in notes)
    return error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "a.xyz"], "a.xyz names no format to write: end it in .mp4, .webm, .gif or .png"),
        (["--out", "noext"], "names no format"),
        (["--out", "photo.png/x.mp4"], "photo.png is a file"),
        (["--out", "there.mp4"], "there.mp4 is a folder"),
        (["--out", "a.mp4", "--sheet", "photo.png/s.png"], "photo.png is a file"),
        (["--out", "a.mp4", "--sheet", "s.jpg"], "end it in .png"),
        (["--out", "x.gif", "--fps", "60"], "at most 50"),
        (["--out", "a.mp4", "--fps", "0"], "--fps: 0.0 cannot be used"),
        (["--out", "a.mp4", "--fps", "nan"], "--fps: nan cannot be used"),
        (["--out", "a\0.mp4"], "null character"),
        (["--out", "n" * 300 + ".mp4"], "too long for a name"),
        (["--out", "~nobody-at-all/a.mp4"], "names a user"),
        (["--out", "a.mp4", "--device", "gpu"], "There is no device 'gpu'"),
        (["--out", "a.mp4", "--device", "meta"], "There is no device 'meta'"),
        (["--out", "a.mp4", "--seed", "-1"], "--seed: -1 cannot be used"),
        (["--out", "a.mp4", "--seed", "1e3"], "no whole number"),
        (["--out", "a.mp4", "--seed", str(2**64)], "at most 1.84467e+19"),
        (["--out", "a.mp4", "--frames", "0"], "--frames: 0 cannot be used"),
        (["--out", "a.mp4", "--size", "0x8"], "0x8 is no size"),
        (["--out", "a.mp4", "--size", "100000x100000"], "1 to 16384"),
        (["--out", "a.mp4", "--guidance", "inf"], "--guidance: inf cannot be used"),
        (["--out", "a.mp4", "--guidance-part", "0.9", "0.1"], "guidance interval is 0.9 to 0.1"),
        (["--out", "a.mp4", "--threshold", "2"], "at most 1"),
        (["--out", "a.mp4", "--motion", "-3"], "at least 0"),
        (["--out", "a.mp4", "--parity", "--region", "crop"], "Parity mode"),
        (["--out", "a.mp4", "--image", "none.png"], "There is no image at"),
        (["--out", "a.mp4", "--window", "0"], "--window: 0 cannot be used"),
        (["--out", "a.mp4", "--stride", "0"], "--stride: 0 cannot be used"),
        (["--out", "a.mp4", "--window", "8", "--stride", "9"], "stride of 9 frames is longer than the window of 8"),
        (["--out", "a.mp4", "--prompts", "none.txt"], "none.txt cannot be read (No such file or directory)"),
        (["--out", "a.mp4", "--prompts", "photo.png"], "photo.png is no text"),
        (["--out", "a.mp4", "--prompts", "said.txt"], "--prompts: Line 3 of the prompt schedule begins at frame 1"),
        (["--out", "a.mp4", "--prompts", "0: chop | stir"], "--prompts: Line 2 of the prompt schedule is 'stir'"),
        (["--out", "a.mp4", "--prompts", "4: chop"], "begins at frame 4, and nothing says"),
        (["--out", "a.mp4", "--prompts", "0: chop \0"], "holds what is no letter"),
        (["--out", "a.mp4", "--prompts", ""], "cannot be read"),
        (["--out", "a.mp4", "--prompts", "0: a", "--prompt", "b"], "not allowed with argument --prompts"),
    ],
)  # fmt: skip
def test_generate(words, says, photo, no_model, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.mp4").mkdir()
    (tmp_path / "said.txt").write_text("0: chop\n2: stir\n1: fry")
    prompt = [] if "--prompts" in words and "--prompt" not in words else ["--prompt", "stir"]
    assert says in said_at_once(["generate", "--image", photo, *words, *prompt], capsys)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize(
    "words",
    [
        ["generate", "--image", "PHOTO", "--prompt", "x", "--out", "a.mp4"],
        ["predict-mask", "--image", "PHOTO", "--prompt", "x", "--out", "a.png"],
        ["batch", "--table", "DIR", "--prompt", "x", "--out", "o"],
        ["hand-score", "PHOTO"],
        ["annotate", "--video-dir", "DIR", "--save-dir", "o"],
        ["find-rom", "--image", "PHOTO", "--out", "a.png"],
        ["data-report", "DIR"],
        ["evaluate", "--generated", "DIR", "--out", "o"],
        ["enrich", "chop", "--vlm", "DIR"],
        ["merge-lora", "PHOTO", "--out", "o"],
    ],
)
def test_cuda_without_a_gpu(words, photo, no_model, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"PHOTO": photo, "DIR": str(tmp_path)}
    said = said_at_once([*(places.get(word, word) for word in words), "--device", "cuda"], capsys)
    assert "There is no device 'cuda' to compute on here" in said and "choose cpu" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["batch", "--table", ".", "--prompt", "x", "--out", "o", "--format", "gif", "--fps", "60"], "at most 50"),
        (["batch", "--table", ".", "--prompt", "x", "--out", "photo.png"], "photo.png is a file"),
        (["train", "--preset", "small-vram", "--data=.", "--out", "photo.png/run"], "photo.png is a file"),
        (["train", "--preset", "small-vram", "--set", "name=../x"], "without a folder"),
        (["train", "--preset", "small-vram", "--set", "model=~nobody-at-all/x"], "names a user"),
        (["train", "--preset", "small-vram", "--data=.", "--out", "old"], "holds a training already"),
        (["train", "--preset", "small-vram", "--data=.", "--out", "o", "--resume", "old"], "no checkpoint of a"),
        (["refine-mask", "photo.png", "--out", "m.jpg"], "end it in .png"),
        (["convert-lora", "x.pt", "--out", "y.bin"], "end it in .safetensors"),
        (["synth", "--out", "o", "--franes", "2"], "unrecognized arguments: --franes"),
        (["generate"], "the following arguments are required"),
        (["draw"], "invalid choice: 'draw'"),
        (["synth", "--out", "o", "--frames", "0"], "--frames: 0 cannot"),
        (["generate", "--model", "m" * 300, "--image", "photo.png", "--prompt", "x", "--out", "a.mp4"], "too long"),
    ],
)  # fmt: skip
def test_other_commands(words, says, photo, no_model, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old" / "checkpoint-000001").mkdir(parents=True)
    assert says in said_at_once(words, capsys)


def test_a_video_of_too_many_frames_is_refused_before_it_is_sampled(photo, capsys, tmp_path):
    words = ["generate", "--image", photo, "--prompt", "stir", "--fallback", "white", "--out", str(tmp_path / "a.mp4")]
    said = said_at_once([*words, "--frames", "1000000000"], capsys)
    assert "1000000000 frames of" in said and "make fewer or smaller frames" in said


def test_a_finished_video_is_kept_when_its_place_is_gone(photo, capsys, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def then_the_folder_goes(what):
        (tmp_path / "out").rmdir()
        (tmp_path / "out").write_text("a file")
        return lambda *_: None

    monkeypatch.setattr("ivg_core.commands.generate.progress", then_the_folder_goes)
    words = ["--frames", "2", "--steps", "1", "--fallback", "white", "--out", str(tmp_path / "out" / "a.mp4")]
    said = said_at_once(["generate", "--image", photo, "--prompt", "stir", *words], capsys)
    kept = said.rpartition("The video was kept: ")[2]
    assert "is a file" in said and os.path.getsize(kept) > 0


def test_what_is_written_has_an_encoder():
    assert set(VIDEO_ENDINGS) == {*ENCODERS, ".png"}


def test_places(tmp_path):
    assert check_folder(tmp_path / "new" / "newer") == tmp_path / "new" / "newer" and not (tmp_path / "new").exists()
    assert check_file(tmp_path / "a.MP4", VIDEO_ENDINGS).name == "a.MP4"
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere")
    with pytest.raises(IVGError, match="is a file"):
        check_folder(tmp_path / "gone.mp4")
    if os.geteuid():
        (tmp_path / "shut").mkdir(mode=0o500)
        with pytest.raises(IVGError, match="may not be written to"):
            check_folder(tmp_path / "shut" / "x")


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_any_text_is_a_path_or_a_sentence(text):
    try:
        user_path(text).exists()
    except IVGError as error:
        assert len(str(error)) < 1000


def test_memory():
    check_memory(10, (640, 480))
    with pytest.raises(IVGError, match=r"16000000 frames of 640 x 480 pixels take .* GB"):
        check_memory(16_000_000, (640, 480))
    with pytest.raises(IVGError, match=r"would do"):
        check_memory(100, (16384, 16384))


def test_devices():
    assert usable_device("cpu") == torch.device("cpu")
    for name in ("", "gpu", "cpu:x", "cuda:99", "meta", 3.5):
        with pytest.raises(IVGError, match="There is no device"):
            usable_device(name)


def test_out_of_memory():
    assert out_of_memory(MemoryError()) and out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**55)
    assert out_of_memory(error.value) and not out_of_memory(RuntimeError("shape mismatch"))


def test_half_a_character_in_an_action(tiny_model):
    with pytest.raises(IVGError, match="holds half a character"):
        generate(tiny_model, torch.rand(64, 64, 3), "stir \udcff the pan", num_frames=2)
    with pytest.raises(IVGError, match="num_frames is many"):
        predict_rom(tiny_model, torch.rand(64, 64, 3), "stir", num_frames="many")
