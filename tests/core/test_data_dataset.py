"""From files to samples: encoded once, kept under all that shaped them, every clip once an epoch, nothing swapped."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data_motion import panned

from ivg_core.errors import IVGError
from ivg_core.media.clips import MemoryClip
from ivg_core.media.images import save_png
from ivg_core.media.video import write_video
from ivg_core.models.codec import ImageCodec
from ivg_core.models.text import encode_text
from ivg_core.training.batches import ClipDataset, collate
from ivg_core.training.data.dataset import CachedClips, load_data, survey
from ivg_core.training.data.heldout import choose_heldout
from ivg_core.training.data.prepare import About
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.data.sources import TrainingClip
from ivg_core.training.order import Order

SMALL = {"width": 48, "height": 32, "frames": 4, "bucket_step": 16}


def moving(seed: int, size=(48, 32), frames=6, hand=8) -> tuple[torch.Tensor, torch.Tensor]:
    """A clip in which a square moves, and its masks."""
    rng = torch.Generator().manual_seed(seed)
    width, height = size
    clip = torch.nn.functional.interpolate(torch.rand(1, 3, 4, 6, generator=rng), (height, width))[0].permute(1, 2, 0)
    clip, masks = clip.repeat(frames, 1, 1, 1), torch.zeros(frames, height, width)
    for k in range(frames):
        place = np_slice(height // 4, 2 + 3 * k, hand * 2)
        clip[k][place] = torch.tensor([0.9, 0.6, 0.5])
        masks[k][place] = 1
    return clip, masks


def np_slice(top: int, left: int, side: int):
    return slice(top, top + side), slice(left, left + side)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two lying clips and an upright one with masks."""
    source = tmp_path / "clips"
    for seed, (name, size) in enumerate([("a", (96, 64)), ("b", (96, 64)), ("tall", (64, 96))]):
        clip, masks = moving(seed, size)
        write_video(clip, source / f"{name}.mp4", 8)
        (source / f"{name}.txt").write_text(f"move the {name}")
        for k, mask in enumerate(masks):
            save_png(mask, source / "masks" / name / f"{k}.png")
    return source


@pytest.fixture
def bad(folder) -> Path:
    """The same with every kind of bad one beside them."""
    for name in ("broken", "still", "silent", "maskless", "black"):
        write_video(moving(9)[0][: 1 if name == "still" else 6], folder / f"{name}.mp4", 8)
        (folder / f"{name}.txt").write_text("" if name == "silent" else name)
        if name != "maskless":
            save_png(torch.full((32, 48), float(name != "black")), folder / "masks" / f"{name}.png")
    (folder / "broken.mp4").write_bytes(b"not a video")
    (folder / "lonely.txt").write_text("a caption")
    return folder


def given_settings(folder: Path, **options) -> DataSettings:
    return DataSettings(str(folder), **{"masks": str(folder / "masks"), **SMALL, **options})


def test_samples_hold_what_the_files_show(folder, tmp_path, tiny_model):
    data = load_data(given_settings(folder), tiny_model, 1, tmp_path / "cache", pixels=True).train
    assert isinstance(data, ClipDataset)
    assert [data[i]["name"] for i in range(3)] == ["a", "b", "tall"]
    sample, tall = data[0], data[2]
    assert sample["latents"].shape == sample["mask_latents"].shape == (4, 4, 4, 6)
    assert tall["latents"].shape == (4, 4, 6, 4)
    assert sample["frames"].shape == (4, 32, 48, 3) and sample["frames"].dtype == torch.uint8
    assert sample["frame_masks"].shape == (4, 32, 48)
    assert torch.equal(sample["rom_mask"], sample["frame_masks"].amax(0))
    clip, masks = moving(0, (96, 64))
    chosen = [0, 2, 3, 5]
    half = clip[chosen].unfold(1, 2, 2).unfold(2, 2, 2).mean((-1, -2))
    assert (sample["frames"].float() / 255 - half).abs().mean() < 0.02
    half = masks[chosen].unfold(1, 2, 2).unfold(2, 2, 2).mean((-1, -2))
    assert (sample["frame_masks"] - half).abs().max() < 0.01
    with torch.no_grad():
        latents = ImageCodec(tiny_model.vae).encode(sample["frames"].float() / 255)
    assert torch.equal(sample["latents"], latents)
    assert torch.equal(sample["text"], encode_text(tiny_model, ["move the a"])[0])
    assert torch.equal(sample["empty_text"], encode_text(tiny_model, [""])[0])
    assert collate([data[0], data[1]])["latents"].shape == (2, 4, 4, 4, 6)


def test_bad_clips_are_named_and_nothing_takes_their_place(bad, tmp_path, tiny_model, caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        data = load_data(given_settings(bad), tiny_model, 2, tmp_path / "cache")
    why = {rejected.name.removesuffix(".mp4"): rejected.why for rejected in data.report.rejected}
    assert set(why) == {"broken", "still", "silent", "maskless", "black", "lonely.txt"}
    assert "cannot be read as a video" in why["broken"]
    assert "one frame" in why["still"]
    assert "no caption" in why["silent"]
    assert "no mask" in why["maskless"]
    assert "empty (all black)" in why["black"]
    assert all(f"Not trained on: {name}" in caplog.text for name in why)
    assert len(data.train) == 3
    text = str(data.report)
    assert all(name in text and reason in text for name, reason in why.items())
    assert str(survey(given_settings(bad), tiny_model, 2)) == text


def test_a_folder_without_any_good_clip_is_one_sentence(bad, tmp_path, tiny_model):
    for name in ("a", "b", "tall"):
        (bad / f"{name}.mp4").unlink()
    with pytest.raises(IVGError, match=r"none of the 9 clips of .* can be used; the first is"):
        load_data(given_settings(bad), tiny_model, 2, tmp_path / "cache")
    (tmp_path / "empty").mkdir()
    with pytest.raises(IVGError, match="there are no clips in"):
        load_data(DataSettings(str(tmp_path / "empty")), tiny_model, 2, tmp_path / "cache")


def written(cache: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in cache.glob("*.safetensors")}


def test_it_is_encoded_once_and_again_when_anything_changed(folder, tmp_path, tiny_model):
    cache = tmp_path / "cache"

    def load(**options):
        return load_data(given_settings(folder, **options), tiny_model, 2, cache).train

    first = load()
    files = written(cache)
    assert len(files) == 3 + 4  # three clips, three captions, the empty one
    again = load(min_motion=1)  # a filter shapes nothing
    assert written(cache) == files
    assert all(torch.equal(first[i]["latents"], again[i]["latents"]) for i in range(3))

    (folder / "a.txt").write_text("another sentence")
    assert load()[0]["caption"] == "another sentence"
    assert len(written(cache)) == len(files) + 1  # its text only
    os.utime(folder / "b.mp4", ns=(0, 0))
    load()
    assert len(written(cache)) == len(files) + 2
    save_png(torch.ones(64, 96), folder / "masks" / "a" / "0.png")
    assert load()[0]["rom_mask"].all()
    load(frames=3)
    assert len(written(cache)) == len(files) + 2 + 1 + 3


def test_what_is_damaged_in_the_cache_is_made_anew(folder, tmp_path, tiny_model):
    cache = tmp_path / "cache"
    first = load_data(given_settings(folder), tiny_model, 2, cache).train
    for path, _ in first.files:
        path.write_bytes(path.read_bytes()[:100])
    again = load_data(given_settings(folder), tiny_model, 2, cache).train
    assert again[1]["latents"].shape == (4, 4, 4, 6)
    again.files[1][0].unlink()
    with pytest.raises(IVGError, match="b encoded, is gone"):
        again[1]


def test_filters_name_the_clip_and_the_number(folder, tmp_path, tiny_model):
    load_data(given_settings(folder), tiny_model, 2, tmp_path / "cache")
    with pytest.raises(IVGError, match=r"a: it hardly moves: motion score .* at least 10000"):
        load_data(
            given_settings(folder, min_motion=10_000), tiny_model, 2, tmp_path / "cache"
        )  # clips it knows already
    report = survey(given_settings(folder, max_motion=1), tiny_model, 2)
    assert not report.clips and "moves too much" in str(report)


def test_a_camera_that_moves_is_rejected_and_one_that_stands_is_not(tmp_path, tiny_model):
    for name, pan in (("stands", 0), ("pans", 4)):
        write_video(torch.from_numpy(panned(pan, 0, False)[0]).float() / 255, tmp_path / f"{name}.mp4", 8)
    settings = {"caption": "look", "masks": "white", "camera": "reject", "max_camera_motion": 0.02}
    report = survey(DataSettings(source=str(tmp_path), **settings, **SMALL), tiny_model, 2)
    assert [about.name for about in report.clips] == ["stands"]
    assert [rejected.name for rejected in report.rejected] == ["pans"] and "the camera moves" in report.rejected[0].why


def test_one_mask_a_clip_does_for_stage_2_and_not_for_stage_1(folder, tmp_path, tiny_model, caplog):
    for path in (folder / "masks" / "a").iterdir():
        path.unlink()
    save_png(torch.ones(32, 32), folder / "masks" / "a.png")
    with caplog.at_level(logging.WARNING, "ivg"):
        data = load_data(given_settings(folder), tiny_model, 2, tmp_path / "cache")
    assert "frame masks are left out" in caplog.text
    assert all("frame_masks" not in data.train[i] for i in range(3))
    assert "of another shape than the clip" in str(data.report)
    report = survey(given_settings(folder), tiny_model, 1)
    assert "a mask of each frame" in next(r.why for r in report.rejected if r.name == "a")
    report = survey(given_settings(folder, masks="white"), tiny_model, 1)
    assert not report.clips and "stage 1 learns to make masks" in str(report)


def test_masks_that_do_not_fit_the_frames_are_named(folder, tiny_model):
    (folder / "masks" / "a" / "0.png").unlink()
    report = survey(given_settings(folder), tiny_model, 2)
    assert "5 masks for 6 frames" in next(r.why for r in report.rejected if r.name == "a")


def test_a_program_hands_in_frames_and_masks(tmp_path, tiny_model):
    clip, masks = moving(4)
    clips = [
        TrainingClip("mine", MemoryClip(clip), "move", masks),
        TrainingClip("other", MemoryClip(clip), "move it", masks.amax(0)),
    ]
    data = load_data(DataSettings("the node", **SMALL), tiny_model, 2, tmp_path, clips=clips).train
    assert len(data) == 2
    assert torch.equal(data[0]["latents"], data[1]["latents"])
    assert (data[1]["rom_mask"] >= data[0]["rom_mask"]).all()  # four of the six frames' masks, and all six


def test_stage_1_of_the_model_imagines_masks_once(folder, tmp_path, tiny_model):
    from dataclasses import replace

    model = replace(tiny_model, rom_unet=tiny_model.unet, defaults=replace(tiny_model.defaults, num_inference_steps=2))
    options = given_settings(folder, masks="stage1")
    seen = []
    data = load_data(options, model, 2, tmp_path / "cache", on_clip=lambda *words: seen.append(words))
    names = [about.name for about in data.report.clips]
    assert names  # random weights may imagine nothing for some, which are then named
    again = load_data(options, model, 2, tmp_path / "cache").train
    assert torch.equal(data.train[0]["rom_mask"], again[0]["rom_mask"])
    assert seen[0][0] == 0 and seen[-1][:2] == (len(seen) - 1, len(seen))
    with pytest.raises(IVGError, match="stage-1 weights"):
        load_data(options, tiny_model, 2, tmp_path / "cache")


def abouts(count: int, sizes) -> list[About]:
    return [
        About(f"{i}", "", 1, 1, 9, 8.0, [0, 1], sizes[i % len(sizes)], 1, None, 0.5, True, []) for i in range(count)
    ]


class Counted(CachedClips):
    """Tells which clip was asked for, in place of reading it."""

    def __getitem__(self, index):
        text = {"text": torch.zeros(1, 1), "empty_text": torch.zeros(1, 1)}
        return {"latents": torch.zeros(1, 1, 1, 1), "name": self.abouts[index].name, "caption": "", **text}


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.integers(0, 9), st.integers(0, 99)
)
def test_every_clip_comes_exactly_once_an_epoch_over_all_processes(count, batch_size, kinds, processes, epoch, seed):
    sizes = [(48, 32), (32, 48), (40, 40)][:kinds]
    data = CachedClips([(Path(), Path())] * count, abouts(count, sizes), {"text": torch.zeros(1)})
    batches = data.batches(batch_size, seed, epoch)
    assert sorted(i for batch in batches for i in batch) == list(range(count))
    assert all(len(batch) <= batch_size and len({data.abouts[i].size for i in batch}) == 1 for batch in batches)
    assert batches == data.batches(batch_size, seed, epoch)
    counted = Counted(data.files, data.abouts, data.empty)
    orders = [Order(counted, batch_size, seed) for _ in range(processes)]
    seen = [
        orders[number % processes].batch(number)["name"] for number in range(len(data.batches(batch_size, seed, 0)))
    ]
    assert sorted(int(name) for names in seen for name in names) == list(range(count))


@given(st.lists(st.text("abc", min_size=1), min_size=2, max_size=20, unique=True), st.integers(0, 30))
def test_heldout_clips_follow_from_the_names_alone(names, count):
    if count and count >= len(names):
        with pytest.raises(IVGError, match="hold out fewer"):
            choose_heldout(names, count)
        return
    chosen = choose_heldout(names, count)
    assert len(chosen) == count and chosen <= set(names)
    assert chosen == choose_heldout(names[::-1], count)
    assert choose_heldout([*names, *(f"{name} #2" for name in names)], count) == chosen | {f"{n} #2" for n in chosen}


def test_heldout_clips_are_not_trained_on(folder, tmp_path, tiny_model):
    data = load_data(given_settings(folder, heldout=1), tiny_model, 2, tmp_path / "cache")
    trained, held = ({part[i]["name"] for i in range(len(part))} for part in (data.train, data.heldout))
    assert len(held) == 1 and trained | held == {"a", "b", "tall"} and not trained & held


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes to run into")
def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(tmp_path):
    """The system refuses to let any file grow beyond 8 KiB."""
    code = f"""
import resource, signal, sys
sys.path[:0] = {sys.path!r}
import torch
from pathlib import Path
from ivg_core.errors import IVGError
from ivg_core.media.cache import Cache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
cache = Cache(Path({str(tmp_path / "cache")!r}))
try:
    cache.write(cache.path("clip", {{}}), {{"latents": torch.zeros(4, 16, 32, 32)}}, {{}})
except IVGError as error:
    print(error, list(cache.folder.iterdir()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "could not be written (File too large): choose a folder" in done.stdout, done.stderr
    assert done.stdout.rstrip().endswith("[]")
