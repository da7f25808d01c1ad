"""The trainer as a library: it learns, it leaves the model alone, it says what is wrong."""

import hashlib
import json
import math

import pytest
import torch
from training_clips import clip, clips, small

from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.lora_files import read_lora
from ivg_core.errors import IVGError
from ivg_core.models.lora import model_with_lora
from ivg_core.training.batches import ListDataset
from ivg_core.training.config import LoRASettings, TrainConfig, ValidationSettings
from ivg_core.training.learner import trainable_names
from ivg_core.training.objective import Denoising
from ivg_core.training.optimizer import make_optimizer, rate_factor
from ivg_core.training.trainer import train


def weights(network) -> dict:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_a_lora_learns_and_the_model_stays_bit_for_bit(tiny_model, tmp_path):
    before, random_state = weights(tiny_model.unet), torch.get_rng_state()
    seen = []
    config = small(
        tmp_path, steps=30, learning_rate=1e-2, losses={"noise": 1.0}, validation=ValidationSettings(every=10, draws=4)
    )
    data = ListDataset([clip(0)])
    result = train(config, tiny_model, data, data, on_step=lambda step, total, figures: seen.append((step, total)))
    assert seen == [(step, 30) for step in range(1, 31)]
    heldout = [figures["heldout"] for figures in result.history if "heldout" in figures]
    assert len(heldout) == 3 and heldout[-1] < heldout[0] < 1.3
    after = tiny_model.unet.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(p.requires_grad for p in tiny_model.unet.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not tiny_model.unet._forward_hooks and not tiny_model.unet.conv_out._forward_hooks


def test_the_file_says_where_it_comes_from(tiny_model, tmp_path):
    result = train(small(tmp_path, steps=2), tiny_model, clips())
    lora = read_lora(result.path, tiny_model.unet)
    about = lora.metadata
    assert about["ivg_stage"] == "2" and about["ivg_steps"] == "2" and about["ivg_base"] == "tiny_ckpt"
    assert json.loads(about["ivg_rank"]) == {"spatial": 16, "temporal": 16}
    assert (about["ivg_width"], about["ivg_height"], about["ivg_frames"]) == ("128", "128", "2")
    assert "cut number 3" in json.loads(about["ivg_prompts"])
    assert len(about["ivg_base_hash"]) == 64 and math.isfinite(float(about["ivg_loss"]))


def test_stage_1_learns_on_a_model_without_one(tiny_model, tmp_path):
    losses = {"noise": 1.0, "miou": {"weight": 0.1, "frames": 1}}
    result = train(small(tmp_path, stage=1, losses=losses), tiny_model, clips())
    assert tiny_model.rom_unet is None
    model = model_with_lora(tiny_model, result.lora)
    assert model.rom_unet is not None and model.unet is tiny_model.unet
    assert not torch.equal(
        *(unet.get_submodule(next(iter(result.lora.layers))).weight for unet in (model.unet, model.rom_unet))
    )


def test_full_training_writes_a_model_that_loads(tiny_model, tmp_path):
    config = small(tmp_path, method="full", trainable=["temp_conv"], name="model", ema=0.9)
    before = weights(tiny_model.unet)
    result = train(config, tiny_model, clips())
    trained = load_model(result.path).unet.state_dict()
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, trained[name])}
    assert changed and all("temp_conv" in name for name in changed)
    assert all(torch.equal(tensor, result.network.state_dict()[name]) for name, tensor in trained.items())
    assert all(torch.equal(tensor, tiny_model.unet.state_dict()[name]) for name, tensor in before.items())


def test_full_training_may_change_the_prediction(tiny_model, tmp_path):
    config = small(tmp_path, method="full", name="m", prediction="v_prediction", zero_terminal_snr=True, steps=1)
    saved = load_model(train(config, tiny_model, clips()).path).scheduler_config
    assert saved["prediction_type"] == "v_prediction" and saved["rescale_betas_zero_snr"]


def test_released_list_of_what_is_trained(tiny_model):
    names = sorted(trainable_names(tiny_model.unet, ["released"]))
    # of the original code, for this network
    digest = "111f0146af3f050671e6e827932c2e75e39c5ce39b2c1bffdf47b81f81b054e7"
    assert len(names) == 602 and hashlib.sha256("\n".join(names).encode()).hexdigest() == digest


def test_bf16_and_checkpointing(tiny_model, tmp_path):
    plain = train(small(tmp_path / "a"), tiny_model, clips()).history
    recomputed = train(small(tmp_path / "b", checkpointing=True), tiny_model, clips()).history
    half = train(small(tmp_path / "c", precision="bf16"), tiny_model, clips()).history
    for a, b, c in zip(plain, recomputed, half, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["noise"] == pytest.approx(c["noise"], rel=0.05) and a["noise"] != c["noise"]
    assert not tiny_model.unet.gradient_checkpointing


def test_samples_are_written(tiny_model, tmp_path):
    config = small(tmp_path, steps=1, validation=ValidationSettings(samples=1, sample_steps=1, draws=1))
    train(config, tiny_model, clips(), clips(2))
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["step-000001-0.mp4"]


class Explodes(Denoising):
    """A loss that is no number in the third step."""

    calls = 0

    def __call__(self, network, batch, rng):
        loss, figures = super().__call__(network, batch, rng)
        self.calls += 1
        return (loss * math.nan if self.calls == 3 else loss), figures


def test_a_loss_that_is_no_number_stops_with_a_sentence(tiny_model, tmp_path):
    with pytest.raises(IVGError, match=r"loss of step 3 .*lower the learning rate"):
        train(small(tmp_path, save_every=1), tiny_model, clips(), objective=Explodes)
    assert train(small(tmp_path), tiny_model, clips(), resume="auto").finished


def test_an_empty_data_set_is_named(tiny_model, tmp_path):
    with pytest.raises(IVGError, match="no clip"):
        train(small(tmp_path), tiny_model, ListDataset([]))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"precision": "fp16"}, "bf16"),
        ({"optimizer": "adamw8bit"}, "bitsandbytes"),
        ({"zero_terminal_snr": True}, "predicts v"),
        ({"method": "full", "trainable": ["nowhere"]}, "nowhere"),
    ],
)
def test_what_this_machine_or_model_cannot_do(tiny_model, tmp_path, values, said):
    with pytest.raises(IVGError, match=said):
        train(small(tmp_path, **values), tiny_model, clips())


def test_rates_and_groups(tiny_model):
    config = TrainConfig(steps=110, warmup=9, schedule="cosine")
    factors = [rate_factor(config, step) for step in range(110)]
    assert factors[0] == 0.1 and factors[9] == 1.0 and max(factors) == 1.0
    assert factors[9:] == sorted(factors[9:], reverse=True) and factors[-1] == pytest.approx(0.1, abs=1e-3)
    assert rate_factor(TrainConfig(warmup=0), 500) == 1.0
    parameters = [torch.nn.Parameter(torch.zeros(2))]
    groups = make_optimizer(config, {"spatial": (parameters, 1e-3)}).param_groups
    assert [(group["name"], group["peak"]) for group in groups] == [("spatial", 1e-3)]


def test_a_role_has_its_own_rate(tiny_model, tmp_path):
    lora = {"spatial": LoRASettings(2, learning_rate=1e-9), "temporal": LoRASettings(2)}
    learned = train(small(tmp_path, lora=lora, steps=2), tiny_model, clips()).lora
    size = dict.fromkeys(("temp", "spatial"), 0.0)
    for name, (up, _) in learned.layers.items():
        role = "temp" if ".temp_attentions." in name or name.startswith("transformer_in.") else "spatial"
        size[role] = max(size[role], up.abs().max().item())
    assert size["spatial"] < 1e-6 < 1e-4 < size["temp"]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_weights_that_are_no_numbers_are_not_saved(tiny_model, tmp_path, monkeypatch, method):
    config = small(
        tmp_path, steps=3, save_every=2, method=method, name="out", trainable=["temp_conv"] * (method == "full")
    )
    original = torch.optim.AdamW.step

    def step(self, *args, **kwargs):
        original(self, *args, **kwargs)
        step.done += 1
        if step.done == 3:  # nothing is computed with these any more: only what is saved can tell
            with torch.no_grad():
                self.param_groups[0]["params"][0].view(-1)[0] = torch.inf

    step.done = 0
    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    before = {}

    def seen(done, total, figures):
        before.update({path: path.read_bytes() for path in tmp_path.glob("*.safetensors")})

    with pytest.raises(IVGError, match=r"After step 3 .* 1 of \d+ tensors \(first .*learning rate.*--resume auto"):
        train(config, tiny_model, clips(), on_step=seen)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-000002"]
    assert all(path.read_bytes() == content for path, content in before.items()) and not (tmp_path / "out").exists()
