"""Frames of a long video, a few at a time: the same as all at once, and no more of them alive."""

import gc

import pytest
import torch
from sampled import arguments

from ivg_core.batch import page
from ivg_core.batch.run import BatchSettings, run_batch
from ivg_core.batch.table import Item
from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.media import targets
from ivg_core.media.images import save_png
from ivg_core.media.video import write_video
from ivg_core.models.codec import ImageCodec
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.generate import generate
from ivg_core.sampling.settings import Sampling

PHOTO = torch.rand(64, 96, 3, generator=torch.Generator().manual_seed(0))
FEW = {"num_frames": 7, "num_inference_steps": 1, "guidance_scale": 1.0, "seed": 1, "decode_chunk": 3}


def region():
    mask = torch.zeros(64, 96)
    mask[24:40, 16:32] = 1
    return mask


def made(model, **options):
    return generate(model, PHOTO, "stir", **arguments(FEW | options))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mask": region(), "keep_first_frame": True, "composite": True, "feather": 5.0},
        {"mask": region(), "keep_first_frame": True, "composite": True, "region": "crop", "decode_chunk": 1},
        {"mask": region(), "region": "zoom", "decode_chunk": None, "context": ContextWindows(3, 2)},
        {"mask": region(), "parity": True, "size": (96, 64)},
    ],
)
def test_chunks_are_the_frames_to_the_bit_and_come_as_often_as_asked(tiny_model, options):
    size = {"size": (96, 64)} | options
    whole, later = made(tiny_model, **size), made(tiny_model, **size, at_once=False)
    assert later.frames.shape == (0, *whole.frames.shape[1:]) and torch.equal(later.latents, whole.latents)
    chunks = list(later.chunks)
    assert len(chunks) == {1: 7, 3: 3, None: 1}[size.get("decode_chunk", 3)]
    assert torch.equal(torch.cat(chunks), whole.frames) and torch.equal(torch.cat(list(later.chunks)), whole.frames)
    assert [chunk.data_ptr() for chunk in whole.chunks] == [whole.frames.data_ptr()]


def alive(shape):
    """Frames in memory: of all tensors with frames of this shape, those of memory of their own."""
    gc.collect()
    found = (x for x in gc.get_objects() if isinstance(x, torch.Tensor) and x.shape[-3:] == shape and x.ndim > 3)
    return sum({x.untyped_storage().data_ptr(): x[..., 0, 0, 0].numel() for x in found}.values())


@pytest.fixture
def counts(monkeypatch):
    """Frames of 64 x 32 that are alive when the next ones are about to be decoded, and when they were."""
    before, after, decode = [], [], ImageCodec.decode

    def counted(self, latents, frames=None):
        before.append(alive((32, 64, 3)))
        decoded = decode(self, latents, frames)
        after.append(alive((32, 64, 3)))
        return decoded

    monkeypatch.setattr(ImageCodec, "decode", counted)
    return before, after


@pytest.mark.parametrize("ending", [".mp4", ".gif", ".png"])
def test_no_more_frames_are_alive_than_are_decoded_at_once(golden, tmp_path, counts, ending):
    before, after = counts
    save_png(PHOTO, tmp_path / "photo.png")
    save_png(region(), tmp_path / "mask.png")
    words = ["generate", "--model", str(golden / "tiny_ckpt"), "--image", str(tmp_path / "photo.png"), "--prompt", "x"]
    words += ["--mask", str(tmp_path / "mask.png"), "--size", "64x32", "--frames", "7", "--steps", "1"]
    words += ["--decode-chunk", "2", "--seed", "3"]

    def files(name, *more):
        assert main([*words, *more, "--out", str(tmp_path / name / f"v{ending}")]) == 0
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    came = files("came")
    assert before == [1] * 4 and after == [3, 3, 3, 2]  # one is the photo
    before.clear()
    assert files("kept", "--sheet", str(tmp_path / "sheet.png")) == came and before == [1, 3, 5, 7]
    assert len(came) == (7 if ending == ".png" else 1)


def test_a_batch_writes_them_as_they_come(tiny_model, tmp_path, counts, monkeypatch):
    """Of the thumbnail's 16 frames, copies of their own size are kept."""
    before, after = counts
    monkeypatch.setattr(page, "MOST_FRAMES", 2)
    save_png(PHOTO, tmp_path / "a.png")
    how = Sampling(num_inference_steps=1, decode_chunk=2)
    settings = BatchSettings(num_frames=7, how=how, size=(64, 32), fallback="white", fps=5)
    run_batch(tiny_model, [Item(tmp_path / "a.png", "stir")], tmp_path / "came", settings)
    assert before == [1] * 4 and after == [3, 3, 3, 2]  # one is the photo
    monkeypatch.setattr("ivg_core.sampling.generate.generate", lambda *words, at_once, **more: generate(*words, **more))
    run_batch(tiny_model, [Item(tmp_path / "a.png", "stir")], tmp_path / "kept", settings)
    came, kept = (
        {
            path.name: path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.suffix in (".mp4", ".png", ".webp")
        }
        for name in ("came", "kept")
    )
    assert came == kept and len(came) == 4  # video, mask, thumbnail, sheet


@pytest.mark.parametrize("ending", [".mp4", ".webm", ".gif", ".png"])
def test_a_clip_in_pieces_is_the_same_file(tmp_path, ending):
    clip = torch.rand(5, 33, 21, 3, generator=torch.Generator().manual_seed(0))
    for name, frames in (("a", clip), ("b", iter(clip.split(2))), ("c", clip.numpy())):
        write_video(frames, tmp_path / name / f"v{ending}", 8)
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "abc"]
    assert files[0] == files[1] == files[2] and len(files[0]) == (5 if ending == ".png" else 1)


@pytest.mark.parametrize("ending", [".mp4", ".gif", ".png"])
def test_what_ends_on_the_way_leaves_no_file(tmp_path, ending):
    def ending_early():
        yield torch.rand(2, 32, 48, 3)
        raise KeyError("out of everything")

    with pytest.raises(KeyError):
        write_video(ending_early(), tmp_path / f"v{ending}", 8)
    with pytest.raises(IVGError, match="no frames to write"):
        write_video([], tmp_path / f"v{ending}", 8)
    if ending != ".png":
        with pytest.raises(IVGError, match="change from 48 x 32 to 16 x 32"):
            write_video([torch.rand(2, 32, 48, 3), torch.rand(1, 32, 16, 3)], tmp_path / f"v{ending}", 8)
    assert not list(tmp_path.iterdir())


def test_an_encoder_that_ends_early_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("ivg_core.media.video.ENCODERS", {".mp4": {"c:v": "no_such_codec"}})
    with pytest.raises(IVGError, match="could not be written"):
        write_video((torch.rand(8, 256, 256, 3) for _ in range(20)), tmp_path / "v.mp4", 8)
    assert not list(tmp_path.iterdir())


def test_a_batch_does_not_come_in_pieces(tiny_model):
    with pytest.raises(IVGError, match="one by one"):
        generate(tiny_model, [PHOTO, PHOTO], "stir", num_frames=2, at_once=False)


def test_frames_that_come_need_not_fit_into_the_memory(tiny_model, monkeypatch):
    class Memory:
        available = 2 * 7 * 96 * 64 * 3

    monkeypatch.setattr(targets.psutil, "virtual_memory", Memory)
    assert len(list(made(tiny_model, size=(96, 64), at_once=False).chunks)) == 3
    with pytest.raises(IVGError, match="7 frames of 96 x 64 pixels take"):
        made(tiny_model, size=(96, 64))
    Memory.available //= 4
    with pytest.raises(IVGError, match="7 frames of 96 x 64 pixels take"):
        made(tiny_model, size=(96, 64), at_once=False)
