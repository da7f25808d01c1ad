"""The network of one-shot tuning and long videos by it, also against what Gen-L-Video's own code computed."""

import json
import logging
from dataclasses import replace

import pytest
import torch
from glv import FLAT, close, recorded
from safetensors.torch import load_file
from test_glv_parity import SCHEDULE

from ivg_core.checkpoints.adapters import config_of, from_released
from ivg_core.checkpoints.info import inspect_checkpoint
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.save import save_file, save_folder
from ivg_core.errors import IVGError
from ivg_core.models.adapter import FrameAdapter
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.control import Controlled
from ivg_core.models.one_shot import OneShotUNet, VideoClips, with_clips
from ivg_core.models.told import Told
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.generate import Sampling, generate
from ivg_core.sampling.guidance import Guided
from ivg_core.sampling.solver import make_solver
from ivg_core.sampling.windowed import Windowed, told_in


@pytest.fixture(scope="module")
def model(golden):
    return load_model(golden / "glv_more" / "sd1")


@pytest.fixture(scope="module")
def tuned(model):
    """Three clips of four frames, two apart, whose LoRAs and layers over time have learned something."""
    unet = with_clips(model.unet, VideoClips(3, 2, 4), 2)
    rng = torch.Generator().manual_seed(0)
    for name, weight in unet.named_parameters():
        if ".lora_up." in name or ".attn_temp.to_out." in name:
            weight.data = 0.3 * torch.randn(weight.shape, generator=rng)
    return replace(model, unet=unet, defaults=replace(model.defaults, num_frames=4))


@pytest.fixture(scope="module")
def asked():
    rng = torch.Generator().manual_seed(1)
    return torch.randn(2, 4, 4, 8, 8, generator=rng), torch.tensor(321), torch.randn(2, 8, 10, generator=rng)


# ---------------------------------------------------------------- Gen-L-Video's numbers


@pytest.fixture(scope="module")
def first(golden):
    """Tensors of its first recording, and the network."""
    folder = golden / "glv"
    meta = json.loads((folder / "meta.json").read_text())
    count, rank, stride = (meta["lora"][key] for key in ("num_loras", "r", "stride"))
    unet = OneShotUNet.from_config_dict(meta["config"] | {"clips": count, "clip_rank": rank, "clip_stride": stride})
    plain = load_file(folder / "unet.safetensors")
    io = load_file(folder / "io.safetensors") | load_file(folder / "oneshot.safetensors")
    weights = {name.replace("attn1.to_q.", "attn1.to_q.linear."): x for name, x in plain.items()} | io
    unet.load_state_dict({name: weights[name].float() for name in unet.state_dict()})
    backbone = object.__new__(UNetBackbone)
    backbone.network = unet.eval().requires_grad_(False)
    return backbone, io


def test_a_clip_hears_its_own_lora(first):
    ask, io = first
    for name, begins in (("none", None), ("none", -1), ("3", 3), ("6", 6)):
        told = Told(io["ehs"], begins=None if begins is None else torch.tensor([begins]))
        close(ask(io["x6"], io["t"], told), io[f"oneshot_clip_{name}"], 1e-5)
    told = Told(io["ehs"].expand(2, -1, -1), begins=torch.tensor([-1, 3]))
    close(ask(io["x6b"], io["t"], told), io["oneshot_clip_batch"], 1e-5)


def test_a_clip_that_is_held_to_a_control_video(first, golden):
    ask, io = first
    released = {name.removeprefix("adapter."): x.float() for name, x in io.items() if name.startswith("adapter.")}
    adapter = FrameAdapter.from_config_dict(config_of({name: tuple(x.shape) for name, x in released.items()}))
    adapter.load_state_dict(from_released(released))
    levels = adapter(io["x6"], io["t"], io["ehs"], io["control6"].float() / 255, 1.0).levels
    features = load_file(golden / "glv" / "adapter_features.safetensors")
    for i, level in enumerate(levels):
        close(level.transpose(0, 1)[None], features[f"adapter_feat_{i}"], 1e-5)
    adapter.parity = True
    told = Told(io["ehs"], begins=torch.tensor([3]), control=io["control6"].float() / 255)
    with torch.no_grad():
        close(Controlled(ask, adapter)(io["x6"], io["t"], told), io["oneshot_adapter"], 1e-5)


def test_a_long_video(first):
    ask, io = first
    expected, text = io["oneshot_long_steps"], io["text_table"]
    solver = make_solver(SCHEDULE, len(expected), "ddim")
    windows = Windowed(ask, ContextWindows(6, 3, **FLAT), 6, solver.timesteps)
    below, above = Told(text[:1], begins=torch.tensor([-1])), Told(text[1:2], begins=torch.tensor([0]))
    close(recorded(Guided(windows, [(1.0, below), (3.0, above)]), solver, io["lat12"]), expected, 2e-4)


def test_the_second_recording_and_its_training(golden):
    from check_oneshot import checks

    found = list(checks(golden / "glv_more"))
    assert len(found) == 15 and not [str(check) for check in found if not check.within]


# ---------------------------------------------------------------- the network


def test_what_is_added_changes_nothing_before_it_is_trained(model, asked):
    unet = with_clips(model.unet, VideoClips(3, 2, 4), 2)
    assert torch.equal(unet(*asked, begins=torch.tensor([0, 4])), model.unet(*asked))
    assert "attn1.to_q.lora_up.2.weight" in " ".join(unet.state_dict())


def test_what_begins_between_clips_takes_the_nearest(model):
    unet = with_clips(model.unet, VideoClips(3, 4, 8), 2)
    begins = torch.tensor([-1, 0, 1, 2, 4, 5, 7, 8, 100])
    assert unet.nearest(begins).tolist() == [-1, 0, 0, 1, 1, 1, 2, 2, 2]


def test_each_item_of_a_batch_hears_its_own(tuned, asked):
    sample, t, text = asked
    both = tuned.unet(sample, t, text, begins=torch.tensor([4, -1]))
    close(both[:1], tuned.unet(sample[:1], t, text[:1], begins=torch.tensor([4])), 1e-5)
    close(both[1:], tuned.unet(sample[1:], t, text[1:]), 1e-5)
    assert (both[:1] - tuned.unet(sample[:1], t, text[:1])).abs().max() > 1e-3
    assert torch.equal(tuned.unet(*asked, begins=torch.tensor([2])), tuned.unet(*asked, begins=torch.tensor([2, 2])))


def test_a_window_is_told_where_it_begins():
    told = Told(torch.zeros(2, 3, 4), begins=torch.tensor([0, -1]))
    assert told_in(told, slice(6, 10)).begins.tolist() == [6, -1]
    assert told.to(dtype=torch.float16).begins.dtype == torch.int64


@pytest.mark.parametrize("rank", [0, 9])
def test_a_rank_that_does_not_fit(model, rank):
    with pytest.raises(IVGError, match=rf"clip_rank .* is {rank}: give a whole number of 1 to 8, the channels"):
        with_clips(model.unet, VideoClips(3, 2, 4), rank)


def test_another_video_cannot_be_learned_beside_the_first(tuned):
    assert with_clips(tuned.unet, VideoClips(3, 2, 4), 2).state_dict().keys() == tuned.unet.state_dict().keys()
    with pytest.raises(IVGError, match=r"tuned to 3 clips, 2 frames apart, at rank 2 already, .* 3 clips, 4 frames"):
        with_clips(tuned.unet, VideoClips(3, 4, 4), 2)


# ---------------------------------------------------------------- its folder, and long videos


def test_it_is_saved_and_loaded_as_any_other_model(tuned, asked, tmp_path):
    folder, file = save_folder(tuned, tmp_path / "tuned"), tmp_path / "tuned.safetensors"
    save_file(tuned, file, torch.float32)
    for path in (folder, file):
        again = load_model(path)
        assert again.defaults.num_frames == 4
        begins = torch.tensor([2])
        assert torch.equal(again.unet(*asked, begins=begins), tuned.unet(*asked, begins=begins))
        report = inspect_checkpoint(path, (64, 64))
        assert report.usable and "tuned to one video" in report.kind and "2 frames apart" in report.kind
        assert "3 clips, each with a LoRA of rank 2" in str(report)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["unet"] == ["ivg_core.models.one_shot", "OneShotUNet"]  # diffusers would leave out what it learned


@pytest.mark.parametrize("damage", [{"clips": 10**9}, {"clips": 0}, {"clip_rank": "a"}, {"clip_stride": None}])
def test_a_damaged_config_is_named(tuned, tmp_path, damage):
    folder = save_folder(tuned, tmp_path / "tuned")
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(IVGError, match=r"clips|clip_rank|clip_stride"):
        load_model(folder)


def heard(tuned, monkeypatch, caplog, **asked):
    """Where the windows began that were told a sentence, and those without; and the warnings."""
    found, forward = [], OneShotUNet.forward
    monkeypatch.setattr(OneShotUNet, "forward", lambda *a, **k: found.append(k["begins"].tolist()) or forward(*a, **k))
    with caplog.at_level(logging.WARNING, "ivg"):
        how = Sampling(num_inference_steps=1, guidance_scale=3.0, solver="ddim", **asked.pop("how", {}))
        made = generate(tuned, None, "a man walking", seed=0, size=(64, 64), how=how, **asked)
    assert made.frames.isfinite().all()
    return [begins[1] for begins in found], {begins[0] for begins in found}, caplog.messages


def test_windows_are_those_of_the_clips(tuned, monkeypatch, caplog):
    above, below, said = heard(tuned, monkeypatch, caplog, num_frames=8)
    assert above == [0, 2, 4] and below == {-1} and not said


def test_a_short_video_is_the_first_clip(tuned, monkeypatch, caplog):
    assert heard(tuned, monkeypatch, caplog, num_frames=4) == ([0], {-1}, [])


def test_a_last_window_that_is_moved_back_is_no_matter_of_warning(tuned, monkeypatch, caplog):
    above, _, said = heard(tuned, monkeypatch, caplog, num_frames=7)
    assert above == [0, 2, 3] and not said


@pytest.mark.parametrize(
    ("context", "frames", "begins"),
    [
        (ContextWindows(stride=3), 10, [0, 3, 6]),
        (ContextWindows(schedule="uniform"), 8, [0, 2, 4]),
        (None, 10, [0, 2, 4, 6]),  # the video was shorter
    ],
)
def test_windows_that_begin_elsewhere_are_said(tuned, monkeypatch, caplog, context, frames, begins):
    above, _, said = heard(tuned, monkeypatch, caplog, num_frames=frames, how={"context": context})
    assert above == begins
    assert len(said) == 1 and "tuned to 3 clips that begin 2 frames apart" in said[0] and "nearest clip" in said[0]


def test_isolated_windows_stay_side_by_side(tuned, monkeypatch, caplog):
    how = {"context": ContextWindows(schedule="isolated")}
    assert heard(tuned, monkeypatch, caplog, num_frames=8, how=how) == ([0, 4], {-1}, [])
