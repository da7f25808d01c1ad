"""One-shot tuning in the one trainer: a video cut into clips, what learns, what is left out by chance, resume."""

import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ivg_core.checkpoints.load import load_model
from ivg_core.errors import IVGError
from ivg_core.media.clips import MemoryClip
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.one_shot import OneShotUNet, VideoClips, with_clips
from ivg_core.sampling.generate import Sampling, generate
from ivg_core.settings import from_mapping
from ivg_core.training.backbone import TrainableUNet
from ivg_core.training.batches import ListDataset, clips_of_one_video, collate
from ivg_core.training.config import TrainConfig, read_config
from ivg_core.training.data.dataset import load_data, survey
from ivg_core.training.data.overlapping import find_clips
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.data.sources import TrainingClip
from ivg_core.training.learner import Learner
from ivg_core.training.objective import Denoising
from ivg_core.training.order import Order
from ivg_core.training.trainer import train

FRAMES = 4


@pytest.fixture(scope="module")
def model(golden):
    return load_model(golden / "glv_more" / "sd1")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A folder with one video of eleven frames, in which a bright bar goes to the right."""
    folder = tmp_path_factory.mktemp("data") / "dance"
    folder.mkdir()
    for k in range(11):
        frame = np.full((64, 64, 3), 40, np.uint8)
        frame[:, 5 * k : 5 * k + 10] = (200, 20 * k, 120)
        Image.fromarray(frame).save(folder / f"{k:03}.png")
    (folder / "caption.txt").write_text("a man walking")
    return folder.parent


def config(out, **changed) -> TrainConfig:
    few = {"clip_rank": 2, "steps": 4, "precision": "fp32", "device": "cpu", "checkpointing": False, "save_every": 0}
    return read_config("one-shot", few | {"out": str(out), "learning_rate": 1e-3} | changed)


def data(film, model, tmp_path, **changed):
    values = {"source": str(film), "frames": FRAMES, "stride": 2} | changed
    return load_data(from_mapping(DataSettings, values, "data"), model, 2, tmp_path / "cache").train


def clips(stride: int = 2, count: int = 3, **more) -> ListDataset:
    """Of a video of noise."""
    rng = torch.Generator().manual_seed(0)
    video = torch.randn(4, 1, 8, 8, generator=rng) + 0.3 * torch.randn(4, 20, 8, 8, generator=rng)
    told = {"text": torch.randn(8, 10, generator=rng), "empty_text": torch.zeros(8, 10), "caption": "a man walking"}
    starts = range(0, stride * count, stride)
    cut = [{"latents": video[:, k : k + FRAMES], "name": f"video #{k}", "begins": k, **told, **more} for k in starts]
    return ListDataset(cut)


# ---------------------------------------------------------------- data


def test_a_video_is_cut_into_clips_that_overlap(film, model, tmp_path):
    cut = data(film, model, tmp_path)
    whole = data(film, model, tmp_path, frames=11, stride=0)[0]["latents"]
    samples = [cut[i] for i in range(len(cut))]
    assert [sample["begins"] for sample in samples] == [0, 2, 4, 6]
    for sample in samples:
        k = sample["begins"]
        assert torch.allclose(sample["latents"], whole[:, k : k + FRAMES], atol=1e-5)
    assert clips_of_one_video(cut) == VideoClips(4, 2, FRAMES)
    assert "begins" not in data(film, model, tmp_path, frames=11, stride=0)[0]


def test_the_report_names_the_clips_and_what_is_left_over(film, model):
    values = {"source": str(film), "frames": FRAMES, "stride": 2}
    report = survey(from_mapping(DataSettings, values, "data"), model, 2)
    assert [about.name for about in report.clips] == [f"dance #{i + 1}, from frame {2 * i}" for i in range(4)]
    assert [about.notes for about in report.clips][-1] == ["what follows it, from frame 10 on, is in no clip"]
    assert not report.clips[0].notes and report.clips[-1].indices == [6, 7, 8, 9]


def test_the_parts_of_a_clip_are_held_out_together(film, model, tmp_path):
    with pytest.raises(IVGError, match="heldout is 1 of 1 clips"):
        data(film, model, tmp_path, heldout=1)


def test_a_video_that_is_shorter_than_one_clip(film, model, tmp_path):
    with pytest.raises(IVGError, match="it has 11 frames, and is to be cut into clips of 12: give a longer one"):
        data(film, model, tmp_path, frames=12)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"stride": 5}, "stride is 5, which leaves frames out between clips of 4"),
        ({"boxes": True}, "boxes and given masks are of whole clips"),
        ({"masks": "folder"}, "boxes and given masks are of whole clips"),
        ({"stride": -1}, "stride"),
    ],
)
def test_strides_that_cannot_work(values, said):
    with pytest.raises(IVGError, match=said):
        from_mapping(DataSettings, {"source": "x", "frames": FRAMES, "stride": 2} | values, "data")


def test_a_part_of_a_clip_is_a_clip():
    frames = torch.linspace(0, 1, 8)[:, None, None, None].expand(8, 4, 6, 3)
    whole = TrainingClip("wave", MemoryClip(frames, 12.0), "a wave")
    first, second = find_clips(DataSettings("x", frames=5, stride=3), [whole]).clips
    assert (second.media.facts().frames, second.media.fps) == (5, 12.0)
    assert [int(f[0, 0, 0]) for f in second.media.read([0, 4])] == [int(f[0, 0, 0]) for f in whole.media.read([3, 7])]
    assert len(list(second.media.read())) == 5 and first.media.identity() != second.media.identity()


# ---------------------------------------------------------------- training


def loss(model, network, learned) -> float:
    """With noise that is always the same."""
    settings = TrainConfig(losses={"noise": 1.0})
    backbone = UNetBackbone(model, 2, network)
    batch, ask = collate([learned[i] for i in range(len(learned))]), Learner(backbone, None)
    return sum(Denoising(settings, backbone).measure(ask, batch, number, 8).item() for number in range(8))


def test_it_learns_one_video_and_makes_a_long_one(film, model, tmp_path):
    settings = config(tmp_path / "run", steps=40, learning_rate=5e-3)
    learned = data(film, model, tmp_path)
    done = train(settings, model, learned)
    assert loss(model, done.network, learned) < 0.9 * loss(model, model.unet, learned)
    tuned = load_model(done.path)
    assert isinstance(tuned.unet, OneShotUNet) and tuned.unet.config["clips"] == 4
    assert tuned.defaults.num_frames == FRAMES and not isinstance(model.unet, OneShotUNet)
    how = Sampling(num_inference_steps=2)
    assert generate(tuned, None, "a man dancing", num_frames=9, size=(64, 64), seed=0, how=how).frames.shape[0] == 9


def test_what_learns_and_what_stays(model, tmp_path):
    done = train(config(tmp_path, steps=3), model, clips())
    before = with_clips(model.unet, VideoClips(3, 2, FRAMES), 2, seed=0).state_dict()
    moved = {name for name, x in done.network.state_dict().items() if not torch.equal(x, before[name])}
    parts = (".attn_temp.", ".attn1.to_q.", ".attn2.to_q.")
    assert moved and all(any(part in name for part in parts) for name in moved)
    block = "mid_block.attentions.0.transformer_blocks.0"
    assert {f"{block}.attn1.to_q.linear.weight", f"{block}.attn1.to_q.lora_up.1.weight"} <= moved
    assert {f"{block}.attn2.to_q.weight", f"{block}.attn_temp.to_out.0.weight"} <= moved


def test_a_clip_that_was_not_seen_does_not_move(model, tmp_path):
    """The reference's optimiser keeps moving it; see `parity`."""
    settings = config(tmp_path / "one", steps=2, batch_size=1, clip_dropout=0.0)
    done = train(settings, model, clips())
    order = Order(clips(), settings.batch_size, settings.seed)
    seen = {order.batch(number)["begins"][0] for number in range(settings.steps)}
    before = with_clips(model.unet, VideoClips(3, 2, FRAMES), 2, seed=0)
    for clip, weights in done.network.groups().items():
        same = all(torch.equal(a, b) for a, b in zip(weights, before.groups()[clip], strict=True))
        assert same == (2 * clip not in seen)


def test_recomputed_activations_hear_the_same_clips(model, tmp_path):
    runs = [
        train(config(tmp_path / str(again), checkpointing=again, steps=3), model, clips()) for again in (False, True)
    ]
    first, second = ([figures["loss"] for figures in run.history] for run in runs)
    assert first == pytest.approx(second, abs=1e-5)


def test_a_training_that_stops_goes_on_exactly(model, tmp_path):
    whole = train(config(tmp_path / "whole"), model, clips())
    steps = iter((False, True))
    train(config(tmp_path / "part"), model, clips(), should_stop=lambda: next(steps))
    again = train(config(tmp_path / "part"), model, clips(), resume="auto")
    assert [f["loss"] for f in again.history] == [f["loss"] for f in whole.history]
    after = again.network.state_dict()
    assert all(torch.equal(x, after[name]) for name, x in whole.network.state_dict().items())


def test_a_training_is_not_taken_up_with_other_clips_or_another_rank(model, tmp_path):
    train(config(tmp_path, steps=1), model, clips())
    with pytest.raises(IVGError, match="cut at another stride"):
        train(config(tmp_path), model, clips(stride=1), resume="auto")
    with pytest.raises(IVGError, match="trained with clip_rank 2, now it is 3"):
        train(config(tmp_path, clip_rank=3), model, clips(), resume="auto")


def test_a_tuned_model_is_tuned_further(model, tmp_path):
    first = train(config(tmp_path / "a", steps=1), model, clips())
    tuned = load_model(first.path)
    for rank in (2, 0):  # 0 leaves what the model has
        done = train(config(tmp_path / f"b{rank}", steps=1, clip_rank=rank), tuned, clips())
        assert done.network.config["clips"] == 3 and load_model(done.path).defaults.num_frames == FRAMES


# ---------------------------------------------------------------- held to a control video


@pytest.fixture(scope="module")
def outlines(film, tmp_path_factory):
    """What the bar's place in each frame is, white on black, at another resolution."""
    folder = tmp_path_factory.mktemp("control") / "outlines"
    folder.mkdir()
    for k in range(11):
        frame = np.zeros((128, 128, 3), np.uint8)
        frame[:, 10 * k : 10 * k + 20] = 255
        Image.fromarray(frame).save(folder / f"{k:03}.png")
    return folder


def test_each_clip_comes_with_its_part_of_the_control_video(film, outlines, model, tmp_path):
    third = data(film, model, tmp_path, control=str(outlines))[2]
    assert third["begins"] == 4 and third["control"].shape == (FRAMES, 64, 64, 3)
    for k, frame in enumerate(third["control"], 4):
        assert (frame[:, 5 * k : 5 * k + 9] == 255).all() and not frame[:, : 5 * k - 1].any()
    assert "control" not in data(film, model, tmp_path)[2]  # what is kept of both is kept apart


def test_it_learns_with_an_adapter_that_stays_as_it_is(golden, film, outlines, model, tmp_path):
    adapter = golden / "glv_more" / "t2i_adapter.safetensors"
    learned = data(film, model, tmp_path, control=str(outlines))
    with_it, without = (
        train(config(tmp_path / str(bool(net)), steps=2, control_net=net), model, learned) for net in (str(adapter), "")
    )
    assert with_it.history[0]["loss"] != without.history[0]["loss"]
    settings = config(tmp_path, control_net=str(adapter))
    backbone = TrainableUNet(model, settings, clips_of_one_video(learned))
    told = []
    backbone.controlled.control_net.register_forward_hook(lambda net, given, out: told.append(given[3]))
    batch = collate([learned[0], learned[2]])
    Denoising(settings, backbone)(Learner(backbone, None), batch, torch.Generator().manual_seed(0))
    assert torch.equal(told[0], batch["control"].permute(0, 4, 1, 2, 3) / 255)
    with backbone.training(torch.device("cpu")):
        assert not any(p.requires_grad for p in backbone.controlled.control_net.parameters())


def test_control_videos_that_do_not_fit(golden, film, outlines, model, tmp_path):
    shorter = tmp_path / "shorter"
    shorter.mkdir()
    for k in range(5):
        (shorter / f"{k}.png").write_bytes((outlines / f"{k:03}.png").read_bytes())
    for stride in (2, 0):
        with pytest.raises(IVGError, match="its control video has 5 frames and it has 11"):
            data(film, model, tmp_path, control=str(shorter), stride=stride)
    with pytest.raises(IVGError, match=r"no video at .*none"):
        data(film, model, tmp_path, control=str(tmp_path / "none"))
    two = tmp_path / "two"
    for name in "ab":
        shutil.copytree(film / "dance", two / name)
    with pytest.raises(IVGError, match=r"control is of one clip, and .* holds 2"):
        data(two, model, tmp_path, control=str(outlines))
    with pytest.raises(IVGError, match="control is what a control_net follows"):
        config(tmp_path, data={"source": "x", "control": "y"})
    with pytest.raises(IVGError, match="comes without control, which the control net follows"):
        train(config(tmp_path, control_net=str(golden / "glv_more" / "t2i_adapter.safetensors")), model, clips())


# ---------------------------------------------------------------- chance


def test_what_is_left_out_by_chance(model, tmp_path):
    asked = []

    def network(noisy, levels, told, voices=None):
        asked.append(told)
        return noisy

    batch = collate([clips()[i] for i in (0, 1, 2)])
    tuned = replace(model, unet=with_clips(model.unet, VideoClips(3, 2, FRAMES), 2))
    for dropout, begins in ((0.0, [0, 2, 4]), (1.0, [-1, -1, -1])):
        settings = config(tmp_path, clip_dropout=dropout)
        objective = Denoising(settings, TrainableUNet(tuned, settings))
        objective(network, batch, torch.Generator().manual_seed(0))
        assert asked[-1].begins.tolist() == begins
    objective.measure(network, batch, 0, 1)
    assert asked[-1].begins.tolist() == [0, 2, 4]  # nothing is left out where it is measured
    many = collate([clips()[0]] * 64)
    drawn = Denoising(config(tmp_path), TrainableUNet(tuned, settings)).draw(many, torch.Generator().manual_seed(0))
    assert 12 < int(drawn.drop_clip.sum()) < 40  # of each clip, not of the batch


# ---------------------------------------------------------------- what cannot be


def test_a_model_that_is_no_image_model(tiny_model, tmp_path):
    with pytest.raises(IVGError, match=f'"{tiny_model.name}" is no image model: one-shot tuning'):
        train(config(tmp_path), tiny_model, clips())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"clip_rank": 0}, "tuned to one video: use the preset one-shot"),
        ({"clip_rank": 9}, "give a whole number of 1 to 8"),
        ({"gates": "boxes"}, "follows no boxes: remove gates"),
    ],
)
def test_settings_that_an_image_model_cannot_have(model, tmp_path, changed, said):
    with pytest.raises(IVGError, match=said):
        train(config(tmp_path, **changed), model, clips())


def test_a_lora_has_no_clips():
    with pytest.raises(IVGError, match="cannot give a network others for its clips: remove clip_rank"):
        TrainConfig(clip_rank=2)


@pytest.mark.parametrize("begins", [[0, 2, 2], [2, 4, 6], [0, 2, 5], [None, None, None]])
def test_clips_that_are_not_those_of_one_video(model, tmp_path, begins):
    samples = clips().samples
    for sample, k in zip(samples, begins, strict=True):
        sample["begins"] = k
        if k is None:
            del sample["begins"]
    with pytest.raises(IVGError, match=r"all overlapping clips of one video, .* set data\.stride"):
        train(config(tmp_path), model, ListDataset(samples))


def test_other_trainings_draw_what_they_drew(model, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        assert clips_of_one_video(clips(count=1)) == VideoClips(1, FRAMES, FRAMES)
    batch = collate([clips()[0]])
    plain = {key: value for key, value in batch.items() if key != "begins"}
    tuned = replace(model, unet=with_clips(model.unet, VideoClips(3, 2, FRAMES), 2))
    objective = Denoising(config(tmp_path), TrainableUNet(tuned, config(tmp_path)))
    with_it, without = (objective.draw(type(batch)(b), torch.Generator().manual_seed(0)) for b in (batch, plain))
    assert without.drop_clip is None and torch.equal(with_it.noise, without.noise)
