"""MotionDirector's training: what each path learns, whose LoRA is heard, what is written, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from training_clips import clip, clips, small

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.checkpoints.weights import read_metadata
from ivg_core.errors import IVGError
from ivg_core.media.images import save_png
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.lora import lora_sites
from ivg_core.models.voices import Voices
from ivg_core.training.backbone import TrainableUNet
from ivg_core.training.batches import Batch, ListDataset, collate
from ivg_core.training.config import LoRASettings, TrainConfig, TrainingPath, ValidationSettings, read_config
from ivg_core.training.data.dataset import load_data
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.learner import Learner, LoRALayers
from ivg_core.training.objective import Denoising, PathDraw
from ivg_core.training.trainer import train

MODEL = Path(__file__).parents[1] / "golden" / "motiondirector" / "training" / "model"
BOTH = {"spatial": LoRASettings(2, per_clip=True), "temporal": LoRASettings(2)}
LOOKS = TrainingPath({"noise": 1.0}, ["spatial"], frames="one", chance=0.5, name="looks")
MOVES = TrainingPath({"noise": 1.0, "debiased": 1.0}, ["temporal"], ["spatial"], name="motion")


def dual(out, **values) -> TrainConfig:
    return small(out, **{"lora": BOTH, "paths": [LOOKS, MOVES], "text_dropout": 0, "clip": 0, **values})


def learned(config: TrainConfig) -> dict[str, dict[str, torch.Tensor]]:
    return {path.stem: load_file(path) for path in Path(config.out).glob("*.safetensors")}


def test_the_motion_and_the_looks_of_each_clip_are_files_of_their_own(tiny_model, tmp_path):
    config = dual(tmp_path, name="stir")
    done = train(config, tiny_model, clips(2))
    found = learned(config)
    assert sorted(found) == ["stir", "stir-clip-1", "stir-clip-2"]
    temporal, spatial = (set(lora_sites(tiny_model.unet, [role])) for role in ("temporal", "spatial"))
    assert set(read_lora(tmp_path / "stir.safetensors", tiny_model.unet).layers) == temporal == set(done.lora.layers)
    assert set(read_lora(tmp_path / "stir-clip-2.safetensors", tiny_model.unet).layers) == spatial
    assert read_metadata(tmp_path / "stir-clip-2.safetensors")["ivg_clip"] == "clip 1"


class One(ListDataset):
    """The same clip in every step."""

    def batches(self, batch_size, seed, epoch):
        return [[1]]


class Untaken(Denoising):
    """As if chance left out the looks."""

    def draw(self, batch, rng):
        draw = super().draw(batch, rng)
        draw.paths[0].taken = False
        return draw


def test_an_adapter_moves_with_its_own_clip_alone(tiny_model, tmp_path):
    config = dual(tmp_path, steps=4, seed=1)
    history = train(config, tiny_model, One(clips(3).samples)).history
    assert any("looks_noise" in figures for figures in history)
    ups = {
        name: sum(t.abs().sum() for key, t in found.items() if ".lora_up." in key)
        for name, found in learned(config).items()
    }
    assert ups["ivg-lora"] > 0 and ups["ivg-lora-clip-2"] > 0
    assert ups["ivg-lora-clip-1"] == ups["ivg-lora-clip-3"] == 0


def test_what_is_not_learned_in_a_step_stays_bit_for_bit(tiny_model, tmp_path):
    """Neither momentum nor weight decay moves the looks in the steps that leave them out."""
    config = dual(tmp_path, steps=4, weight_decay=0.5)
    train(config, tiny_model, clips(1), objective=Untaken)
    after = learned(config)
    layers = _fresh(tiny_model, config)
    for site in lora_sites(tiny_model.unet, ["spatial"]):
        down = after["ivg-lora-clip-1"][f"diffusion_model.{site}.lora_down.weight"]
        assert torch.equal(down, layers.layer(site, 0).down.weight)


def _fresh(model, config):
    """The LoRA layers as the training began with them."""
    from ivg_core.training.order import own_randomness, seeded

    with own_randomness():
        seeded(config.seed)
        return LoRALayers(UNetBackbone(model, 2), config.lora, TrainableUNet(model, config).idle(), 1)


def test_the_looks_are_silent_in_the_steps_that_leave_them_out(tiny_model):
    config = TrainConfig(lora=BOTH, paths=[LOOKS, MOVES], text_dropout=0)
    objective = Denoising(config, TrainableUNet(tiny_model, config))
    batch = collate([clip(0)])
    batch["clips"] = [0]
    draw = objective.draw(batch, torch.Generator().manual_seed(0))
    for taken, sounds in ((True, {"spatial"}), (False, set())):
        draw.paths[0].taken = taken
        assert objective._voices(MOVES, batch, draw) == Voices(frozenset({"temporal"}), frozenset(sounds), (0,))


def test_each_item_of_a_batch_hears_its_own_clip(tiny_model):
    torch.manual_seed(0)
    layers = LoRALayers(UNetBackbone(tiny_model, 2), BOTH, clips=2)
    for parameter in layers.parameters():
        nn.init.normal_(parameter, std=0.2)
    config = TrainConfig(lora=BOTH, paths=[MOVES], text_dropout=0)
    backbone = TrainableUNet(tiny_model, config)
    learner, objective = Learner(backbone, layers), Denoising(config, backbone)

    def ask(*numbers: int) -> torch.Tensor:
        batch = collate([clip(number) for number in numbers])
        draw = objective.draw(batch, torch.Generator().manual_seed(0))
        draw.levels, draw.noise = torch.full_like(draw.levels, 300), torch.ones_like(draw.noise)
        voices = Voices(frozenset(), frozenset({"spatial"}), numbers)
        with torch.no_grad(), layers.attached(tiny_model.unet):
            return objective.predict(learner, batch, draw, torch.Generator(), voices).output

    together, first, second = ask(0, 1), ask(0), ask(1)
    torch.testing.assert_close(together, torch.cat([first, second]), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(ask(0, 0)[1:], second, atol=1e-3)


def test_a_run_that_was_stopped_goes_on_bit_for_bit(tiny_model, tmp_path):
    whole, parts = (dual(tmp_path / name, steps=6, save_every=3) for name in ("whole", "parts"))
    train(whole, tiny_model, clips(2))
    stops = iter([False, False, True])
    train(parts, tiny_model, clips(2), should_stop=lambda: next(stops))
    train(parts, tiny_model, clips(2), resume="auto")
    for name, tensors in learned(whole).items():
        assert all(torch.equal(tensor, learned(parts)[name][key]) for key, tensor in tensors.items())


def test_a_run_of_a_version_without_these_settings_goes_on(tiny_model, tmp_path):
    config = small(tmp_path, steps=4, lora={"spatial": LoRASettings(2)}, losses={"noise": 1.0})
    stops = iter([False, True])
    stopped = train(config, tiny_model, clips(1), should_stop=lambda: next(stops))
    progress = json.loads((stopped.checkpoint / "progress.json").read_text())
    del progress["config"]["lora"]["spatial"]["per_clip"], progress["config"]["parity"]
    (stopped.checkpoint / "progress.json").write_text(json.dumps(progress))
    assert train(config, tiny_model, clips(1), resume="auto").finished


@pytest.mark.parametrize("others", [clips(2, frames=3), ListDataset(clips(2).samples[::-1])])
def test_a_run_does_not_go_on_with_other_clips(tiny_model, tmp_path, others):
    """The LoRA of one clip would go on with another."""
    config = dual(tmp_path, steps=2)
    stops = iter([True])
    train(config, tiny_model, clips(2), should_stop=lambda: next(stops))
    with pytest.raises(IVGError, match="these are other clips, or in another order"):
        train(config, tiny_model, others, resume="auto")


def test_what_all_frames_share_does_not_count(tiny_model):
    config = TrainConfig(lora=BOTH, paths=[MOVES], text_dropout=0)
    objective = Denoising(config, TrainableUNet(tiny_model, config))
    batch = collate([clip(0, frames=4)])
    p = objective.predict(lambda x, *_: x, batch, objective.draw(batch, torch.Generator()), torch.Generator())
    term = objective.paths[0][1]["debiased"]
    error = torch.randn_like(p.target[:, :, :1])
    p.output = p.target + error
    shared = term(p)
    torch.testing.assert_close(shared, (2**0.5 - 1) ** 2 * error.square().mean(), rtol=1e-4, atol=0)
    p.output = p.target + torch.cat([torch.zeros_like(error), error, error, error], 2) * (4 / 3) ** 0.5
    assert term(p) > 5 * shared


def test_a_clip_of_one_frame_has_no_motion(tiny_model, tmp_path):
    with pytest.raises(IVGError, match="clip 0 has one frame, in which nothing moves"):
        train(dual(tmp_path), tiny_model, clips(1, frames=1))


def test_a_mirrored_frame_is_encoded_anew(tiny_model):
    config = TrainConfig(
        lora={"spatial": LoRASettings(2)},
        paths=[TrainingPath({"noise": 1.0}, ["spatial"], frames="one", flip=1.0)],
        text_dropout=0,
        freeze_outside=False,
    )
    assert config.needs_pixels and not TrainConfig().needs_pixels
    objective = Denoising(config, TrainableUNet(tiny_model, config))
    batch = collate([clip(0)])
    draw = objective.draw(batch, torch.Generator().manual_seed(0))
    with pytest.raises(IVGError, match="frames, which mirroring"):
        objective.loss(None, batch, draw, torch.Generator())
    batch["frames"] = torch.randint(0, 255, (1, 2, 128, 128, 3), dtype=torch.uint8)
    batch["rom_mask"][..., :64] = 0
    none = torch.zeros_like(draw.paths[0].mirrored[0])
    draw.paths[0] = PathDraw(frame=1, mirrored=(none, draw.paths[0].mirrored[1]))
    part, drawn = objective._one_frame(batch, draw, draw.paths[0])
    mirrored = objective.backbone.codec.encode(batch["frames"][0, 1:].float().flip(2) / 255)
    torch.testing.assert_close(part["latents"][0], mirrored)
    assert torch.equal(drawn.noise, draw.paths[0].mirrored[1])
    assert torch.equal(part["rom_mask"], batch["rom_mask"].flip(-1))
    assert torch.equal(part["frames"], batch["frames"][:, 1:].flip(3))


def test_one_frame_is_seen_without_the_photo(tiny_model):
    config = TrainConfig(lora=BOTH, paths=[LOOKS, MOVES], text_dropout=0)
    objective = Denoising(config, TrainableUNet(tiny_model, config))
    batch = collate([clip(0)])
    told = []

    def network(noisy, levels, what, voices):
        told.append((noisy.shape[2], what.photo is None, what.motion is None))
        return noisy

    draw = objective.draw(batch, torch.Generator().manual_seed(0))
    draw.paths[0].taken = True
    objective.parts(network, batch, draw, torch.Generator())
    assert told == [(1, True, True), (2, False, False)]


# ---------------------------------------------------------------- text-to-video models


@pytest.fixture(scope="module")
def text_to_video():
    return load_model(MODEL)


def drawn(folder: Path, frames: int, name: str = "a dog runs") -> None:
    generator = torch.Generator().manual_seed(frames)
    for k in range(frames):
        save_png(torch.rand(64, 80, 3, generator=generator), folder / f"{k:03d}.png")
    (folder / "caption.txt").write_text(name)


def data_of(model, source: Path, cache: Path, **values):
    settings = DataSettings(str(source), frames=4, width=80, height=64, buckets=False, **values)
    return load_data(settings, model, 2, cache, pixels=True).train


def test_a_text_to_video_model_learns_without_masks(text_to_video, tmp_path, monkeypatch):
    monkeypatch.setattr("ivg_core.hands.tracker.HandTracker.__init__", lambda *_, **__: pytest.fail("no hands needed"))
    for number, frames in enumerate((4, 3)):  # of different lengths
        drawn(tmp_path / "clips" / f"clip{number}", frames)
    data = data_of(text_to_video, tmp_path / "clips", tmp_path / "cache")
    before = {key: tensor.clone() for key, tensor in text_to_video.unet.state_dict().items()}
    config = dual(tmp_path / "run", steps=3, name="dog", validation=ValidationSettings(3, 1, 1, 2))
    done = train(config, text_to_video, data, heldout=data)
    assert done.finished and "heldout" in done.history[-1]
    assert all(torch.equal(tensor, before[key]) for key, tensor in text_to_video.unet.state_dict().items())


def test_pictures_teach_looks_without_any_lora_over_time(text_to_video, tmp_path):
    folder = tmp_path / "pictures"
    for name in ("red pot", "blue pot"):
        save_png(torch.rand(64, 80, 3), folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(name)
    preset = read_config(
        "looks-images", {"out": str(tmp_path / "run"), "steps": 2, "device": "cpu", "precision": "fp32"}
    )
    done = train(preset, text_to_video, data_of(text_to_video, folder, tmp_path / "cache"))
    assert set(done.lora.layers) == set(lora_sites(text_to_video.unet, ["spatial"]))


def test_a_text_to_video_model_cannot_learn_masks(text_to_video, tmp_path):
    with pytest.raises(IVGError, match="stage 1 needs a photo"):
        train(small(tmp_path, stage=1), text_to_video, clips())


def test_held_out_samples_are_made_without_a_photo(text_to_video):
    sample = {**clip(0, size=(8, 10)), "caption": "a dog runs"}
    frames = TrainableUNet(text_to_video, TrainConfig()).sample(sample, 0, 2)
    assert frames.shape == (2, 64, 80, 3)


def test_batches_know_their_clips():
    from ivg_core.training.order import Order

    batch = Order(clips(3), 2, 0).batch(0)
    assert isinstance(batch, Batch) and batch["name"] == [f"clip {k}" for k in batch["clips"]]
