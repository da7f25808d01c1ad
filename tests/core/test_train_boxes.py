"""Both stages of SMCD's training in the one trainer: what learns, what stays, what is left out by chance, resume."""

from dataclasses import replace

import pytest
import torch
from box_gates import text_to_video_network

from ivg_core.errors import IVGError
from ivg_core.models.add_gates import with_gates
from ivg_core.models.bundle import IVGModel
from ivg_core.models.unet import IVGUNet
from ivg_core.training.backbone import TrainableUNet
from ivg_core.training.batches import ListDataset, collate
from ivg_core.training.config import TrainConfig, read_config
from ivg_core.training.objective import Denoising
from ivg_core.training.trainer import train

WIDTHS = [4, 4, 8, 8]


@pytest.fixture(scope="module")
def plain(tiny_model) -> IVGModel:
    """A text-to-video model."""
    unet = text_to_video_network(tiny_model.unet.config["cross_attention_dim"])
    return replace(tiny_model, unet=unet, rom_unet=None)


def clips(model: IVGModel, frames: int, count: int = 4, boxes: bool = True) -> ListDataset:
    rng = torch.Generator().manual_seed(1)
    width = model.unet.config["cross_attention_dim"]
    found = []
    for index in range(count):
        corners = torch.rand(frames, 8, 2, generator=rng) * 0.5
        places = torch.cat([corners, corners + 0.3, torch.ones(frames, 8, 1)], dim=-1)
        places[:, 2:] = 0
        sample = {
            "latents": torch.randn(4, frames, 8, 8, generator=rng),
            "rom_mask": torch.ones(64, 64),
            "text": torch.randn(77, width, generator=rng),
            "empty_text": torch.zeros(77, width),
            "caption": "push the cup",
            "name": str(index),
        }
        told = {"boxes": places, "phrases": torch.randn(8, width, generator=rng), "things": ["cup", "pan"]}
        found.append(sample | (told if boxes else {}))
    return ListDataset(found)


def config(out, **changed) -> TrainConfig:
    usual = {"method": "full", "steps": 2, "batch_size": 2, "warmup": 0, "losses": {"noise": 1.0}, "device": "cpu"}
    return TrainConfig(**(usual | {"out": str(out), "save_every": 0, "text_dropout": 0.0} | changed))


def stage2(out, **changed) -> TrainConfig:
    return config(out, **({"gates": "boxes_photo", "trainable": ["photo"], "visual_widths": WIDTHS} | changed))


def changed(before: IVGUNet, after: IVGUNet) -> set[str]:
    now = after.state_dict()
    return {name for name, weight in before.state_dict().items() if not torch.equal(weight, now[name])}


def test_stage_one_teaches_the_gates_alone(plain, tmp_path):
    done = train(config(tmp_path, gates="boxes", trainable=["boxes"], learning_rate=1e-2), plain, clips(plain, 1))
    start = with_gates(plain.unet, "boxes", seed=0)
    moved = changed(start, done.network)
    assert moved and all(".fuser." in name or name.startswith("position_net.") for name in moved)
    assert "position_net.linears.0.weight" in moved  # once the gates have opened
    assert plain.unet.config["gates"] == ""  # the model that was given stays as it is


def test_stage_two_keeps_what_stage_one_learned(plain, tmp_path):
    first = replace(plain, unet=with_gates(plain.unet, "boxes", seed=3))
    done = train(stage2(tmp_path, learning_rate=1e-2), first, clips(plain, 3))
    start = with_gates(first.unet, "boxes_photo", WIDTHS, seed=0)
    moved = changed(start, done.network)
    parts = ("conv_in.", "visual_encoder.", "temp_attentions.", ".fuser.cross_", ".fuser.v_linear.")
    assert moved and all(any(part in name for part in parts) for name in moved)
    assert {"conv_in.weight", "down_blocks.0.attentions.0.transformer_blocks.0.fuser.cross_alpha_attn"} <= moved
    assert not [name for name in moved if name.startswith("transformer_in") or "temp_attentions.0.norm" in name]


def test_the_first_step_of_stage_two_changes_only_what_begins_at_zero(plain, tmp_path):
    """Closed gates and new input channels get a gradient; what lies behind a closed gate gets none yet."""
    part = ["conv_in.", ".fuser.cross_", ".fuser.v_", "visual_encoder"]  # without attention over time, which is not new
    settings = stage2(tmp_path, steps=1, weight_decay=0.0, trainable=part, photo_dropout=0.0, seen_dropout=0.0)
    done = train(settings, plain, clips(plain, 3))
    start = with_gates(plain.unet, "boxes_photo", WIDTHS, seed=0)
    moved = changed(start, done.network)
    assert moved == {"conv_in.weight", "conv_in.bias"} | {n for n in start.state_dict() if ".cross_alpha_" in n}


def test_what_is_left_out_by_chance(plain, tmp_path):
    model = replace(plain, unet=with_gates(plain.unet, "boxes_photo", WIDTHS))
    backbone = TrainableUNet(model, stage2(tmp_path))
    told = []

    def network(noisy, levels, what, voices):
        told.append(what)
        return noisy

    batch = collate([clips(plain, 3)[i] for i in range(4)])
    photo = batch["latents"][:, :, :1]
    for kind in ("boxes", "photo", "seen"):
        rates = {f"{name}_dropout": float(name == kind) for name in ("boxes", "photo", "seen")}
        Denoising(stage2(tmp_path, **rates), backbone)(network, batch, torch.Generator().manual_seed(0))
        (what,) = told
        assert what.boxes.any() == (kind != "boxes") and what.phrases.shape[:3] == (4, 1, 8)
        assert torch.equal(what.photo, photo * (kind != "photo")) and torch.equal(what.seen, photo * (kind != "seen"))
        told.clear()


def test_chance_decides_for_each_clip_and_draws_nothing_where_there_are_no_gates(plain, tiny_model, tmp_path):
    gated = TrainableUNet(replace(plain, unet=with_gates(plain.unet, "boxes")), config(tmp_path))
    batch = collate([clips(plain, 1)[0]] * 64)
    draw = Denoising(config(tmp_path, boxes_dropout=0.5), gated).draw(batch, torch.Generator().manual_seed(0))
    assert 16 < int(draw.drop_boxes.sum()) < 48
    free = Denoising(config(tmp_path), TrainableUNet(plain, config(tmp_path)))
    with_it, without = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    same = free.draw(batch, with_it)
    Denoising(config(tmp_path), gated).draw(batch, without)
    assert same.drop_boxes is None and not torch.equal(with_it.get_state(), without.get_state())


def test_an_ivg_model_learns_boxes_beside_its_photo_and_mask(tiny_model, tmp_path):
    settings = config(tmp_path, gates="boxes", trainable=["boxes"], learning_rate=1e-2)
    done = train(settings, tiny_model, clips(tiny_model, 2))
    assert done.network.takes_mask and done.network.takes_boxes
    moved = changed(with_gates(tiny_model.unet, "boxes", seed=0), done.network)
    assert moved and all(".fuser." in name or name.startswith("position_net.") for name in moved)


def test_a_training_that_stops_goes_on_exactly(plain, tmp_path):
    settings = {"gates": "boxes", "trainable": ["boxes"], "steps": 4, "learning_rate": 1e-2}
    whole = train(config(tmp_path / "whole", **settings), plain, clips(plain, 2))
    part = config(tmp_path / "part", **settings)
    steps = iter((False, True))
    train(part, plain, clips(plain, 2), should_stop=lambda: next(steps))
    again = train(part, plain, clips(plain, 2), resume="auto")
    assert not changed(whole.network, again.network)
    assert [f["loss"] for f in again.history] == [f["loss"] for f in whole.history]


def test_gates_without_boxes_to_learn_from(plain, tmp_path):
    with pytest.raises(IVGError, match="comes without boxes, which the gates learn from"):
        train(config(tmp_path, gates="boxes", trainable=["boxes"]), plain, clips(plain, 1, boxes=False))


def test_a_lora_is_trained_on_a_model_with_gates_and_clips_without_boxes(tiny_model, tmp_path):
    model = replace(tiny_model, unet=with_gates(tiny_model.unet, "boxes"))
    settings = TrainConfig(out=str(tmp_path), steps=1, batch_size=1, device="cpu", losses={"noise": 1.0})
    done = train(settings, model, clips(tiny_model, 2, boxes=False))
    assert done.lora.layers and not [name for name in done.lora.layers if "fuser" in name]


def test_a_mirrored_frame_has_mirrored_boxes(tiny_model, tmp_path):
    from ivg_core.training.config import LoRASettings, TrainingPath

    model = replace(tiny_model, unet=with_gates(tiny_model.unet, "boxes"))
    path = TrainingPath({"noise": 1.0}, ["spatial"], frames="one", flip=1.0)
    settings = TrainConfig(out=str(tmp_path), device="cpu", lora={"spatial": LoRASettings()}, paths=[path])
    told = []

    def network(noisy, levels, what, voices):
        told.append(what)
        return noisy

    sample = clips(tiny_model, 2)[0] | {"frames": torch.zeros(2, 64, 64, 3, dtype=torch.uint8)}
    objective = Denoising(settings, TrainableUNet(model, settings))
    draw = objective.draw(batch := collate([sample]), torch.Generator().manual_seed(0))
    draw.drop_boxes = torch.zeros(1, dtype=torch.bool)
    objective.loss(network, batch, draw, torch.Generator())
    x1, y1, x2, y2, there = batch["boxes"][0, draw.paths[0].frame].unbind(-1)
    shown = told[0].boxes[0, 0]
    torch.testing.assert_close(shown[:2], torch.stack([1 - x2, y1, 1 - x1, y2, there], dim=-1)[:2])
    assert not shown[2:].any()


@pytest.mark.parametrize("preset", ["boxes-from-pictures", "boxes-from-clips"])
def test_the_presets_train(plain, tmp_path, preset):
    small = {"out": str(tmp_path), "steps": 1, "batch_size": 1, "accumulation": 1, "precision": "fp32", "device": "cpu"}
    settings = read_config(preset, small | {"visual_widths": WIDTHS})
    frames = settings.data["frames"]
    done = train(settings, plain, clips(plain, frames))
    assert done.network.config["gates"] == settings.gates and done.finished


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "lora", "gates": "boxes"}, "A LoRA cannot give a network gates"),
        ({"stage": 1, "gates": "boxes"}, "Stage 1 predicts the mask"),
        ({"boxes_dropout": 2.0}, "boxes_dropout"),
    ],
)
def test_settings_that_exclude_each_other(tmp_path, settings, said):
    with pytest.raises(IVGError, match=said):
        config(tmp_path, **settings)
