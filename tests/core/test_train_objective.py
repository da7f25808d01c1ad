"""What a step draws, asks and weighs; the schedule it does so on; the losses one by one."""

from types import SimpleNamespace

import pytest
import torch
from training_clips import clip, clips, denoising, learner

from ivg_core.errors import IVGError
from ivg_core.models.codec import mask_cells
from ivg_core.models.schedule import DiffusionSchedule, min_snr_weight, seen_through
from ivg_core.training.batches import collate
from ivg_core.training.config import TrainConfig

SCHEDULE = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
V = {**SCHEDULE, "prediction_type": "v_prediction"}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def batch_of(count=2, **kwargs):
    return collate([clip(seed, **kwargs) for seed in range(count)])


@pytest.fixture
def ask(tiny_model):
    def ask(seed=0, batch=None, **values):
        objective = denoising(TrainConfig(**values), tiny_model)
        return objective(learner(tiny_model), batch or batch_of(), rng(seed))

    return ask


def test_zero_terminal_snr_ends_in_pure_noise():
    plain, zero = DiffusionSchedule(V), DiffusionSchedule(V, zero_terminal_snr=True)
    assert plain.alphas_cumprod[-1] > 1e-3 and zero.alphas_cumprod[-1] == 0
    torch.testing.assert_close(zero.alphas_cumprod[0], plain.alphas_cumprod[0])
    x0, noise, last = torch.randn(1, 4, 1, 2, 2), torch.randn(1, 4, 1, 2, 2), torch.tensor([999])
    assert torch.equal(zero.add_noise(x0, noise, last), noise)
    assert torch.equal(zero.target(x0, noise, last), -x0)  # v asks for the picture there
    assert zero.scheduler_config["timestep_spacing"] == "trailing" and zero.scheduler_config["rescale_betas_zero_snr"]


def test_zero_terminal_snr_needs_v():
    with pytest.raises(IVGError, match="predicts v"):
        DiffusionSchedule(SCHEDULE, zero_terminal_snr=True)
    assert DiffusionSchedule(SCHEDULE, True, "v_prediction").prediction_type == "v_prediction"


def test_the_sampler_begins_where_zero_terminal_snr_ended():
    from ivg_core.sampling.solver import make_solver

    solver = make_solver(DiffusionSchedule(V, zero_terminal_snr=True).scheduler_config, 10)
    assert solver.timesteps[0] == 999 and solver.alphas_cumprod[-1] < 1e-6


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weighs_x0_by_at_most_gamma(prediction):
    schedule = DiffusionSchedule({**SCHEDULE, "prediction_type": prediction})
    t = torch.tensor([0, 300, 600, 999])
    a = schedule.signal(t)
    snr = a / (1 - a)
    on_x0 = {"epsilon": snr, "v_prediction": snr + 1}[prediction]  # error of the output per error of x0, squared
    torch.testing.assert_close(min_snr_weight(schedule, t, 5.0) * on_x0, snr.clamp(max=5.0))


def test_min_snr_weighs_a_flow_likewise():
    sigma = torch.tensor([0.1, 0.4, 0.7, 1.0])
    signal = (1 - sigma) ** 2 / ((1 - sigma) ** 2 + sigma**2)
    flow = SimpleNamespace(prediction_type="flow", signal=lambda levels: signal)
    on_x0 = 1 / sigma**2  # x0 = x - sigma * output
    snr = ((1 - sigma) / sigma) ** 2
    torch.testing.assert_close(min_snr_weight(flow, sigma, 5.0) * on_x0, snr.clamp(max=5.0))


def test_text_is_dropped_clip_by_clip(tiny_model):
    objective = denoising(TrainConfig(text_dropout=0.5), tiny_model)
    drawn = [objective.draw(batch_of(4), rng(seed)).drop_text for seed in range(50)]
    assert any(0 < d.sum() < 4 for d in drawn) and 60 < sum(int(d.sum()) for d in drawn) < 140
    always = denoising(TrainConfig(text_dropout=1.0), tiny_model)
    assert always.draw(batch_of(3), rng()).drop_text.all()


def test_a_seed_decides_everything(ask):
    assert ask(3)[0] == ask(3)[0] != ask(4)[0]


def test_noise_offset_shifts_whole_frames(tiny_model):
    objective = denoising(TrainConfig(noise_offset=1.0), tiny_model)
    noise = objective.draw(batch_of(2, frames=4, size=(16, 16)), rng()).noise
    assert noise.mean(dim=(3, 4)).std() > 0.5


def test_from_photo_asks_for_the_way_back(tiny_model):
    objective = denoising(TrainConfig(from_photo=1.0), tiny_model)
    batch = batch_of()
    draw = objective.draw(batch, rng())
    assert (draw.levels >= 900).all()
    p = objective.predict(lambda noisy, *rest: noisy, batch, draw, rng())
    p.output = p.target
    torch.testing.assert_close(p.x0_pred, p.x0, atol=2e-3, rtol=0)


def test_stage_2_is_frozen_outside_the_mask(tiny_model):
    objective, batch = denoising(TrainConfig(), tiny_model), batch_of()
    p = objective.predict(lambda noisy, *rest: noisy, batch, objective.draw(batch, rng()), rng())
    mask = mask_cells(batch["rom_mask"], *p.x0.shape[-2:], binarize=True)
    outside = (mask == 0).expand_as(p.x0)
    assert torch.equal(p.x0[outside], batch["latents"][:, :, :1].expand_as(p.x0)[outside])
    assert mask.mean() == 0.5 and (p.motion > 0).all()


def test_stage_1_learns_the_mask_video_under_an_open_mask(tiny_model):
    objective, batch = denoising(TrainConfig(stage=1), tiny_model), batch_of()
    asked = {}

    def network(noisy, t, told, voices):
        asked.update(photo=told.photo, mask=told.mask, motion=told.motion)
        return noisy

    p = objective.predict(network, batch, objective.draw(batch, rng()), rng())
    assert torch.equal(p.x0, batch["mask_latents"]) and torch.equal(asked["photo"], batch["latents"][:, :, :1])
    assert (asked["mask"] == 1).all() and asked["motion"] is None


@pytest.mark.parametrize("options", [{"inside": 4.0}, {"hands": 4.0}])
def test_weighted_noise_looks_where_it_should(tiny_model, options):
    objective, batch = denoising(TrainConfig(losses={"noise": options}), tiny_model), batch_of()
    p = objective.predict(lambda noisy, *rest: noisy, batch, objective.draw(batch, rng()), rng())
    inside, outside = torch.zeros_like(p.target), torch.zeros_like(p.target)
    inside[..., 6:10], outside[..., :2] = 1, 2**0.5  # the same squared error, one in the middle, one at the edge
    term = objective.paths[0][1]["noise"]
    p.output = p.target + inside
    near = term(p)
    p.output = p.target + outside
    torch.testing.assert_close(near / term(p), torch.tensor(4.0), rtol=1e-4, atol=0)


def test_the_weights_leave_the_mean_alone(tiny_model):
    batch = batch_of()
    objective = denoising(TrainConfig(losses={"noise": {"inside": 9.0}}), tiny_model)
    p = objective.predict(lambda noisy, *rest: noisy, batch, objective.draw(batch, rng()), rng())
    p.output = p.target + 1
    torch.testing.assert_close(objective.paths[0][1]["noise"](p), torch.tensor(1.0))


def test_miou_reaches_the_network_through_the_decoder(ask, tiny_model):
    tiny_model.unet.zero_grad()
    loss, figures = ask(stage=1, losses={"miou": {"frames": 1, "min_snr": 0}})
    loss.backward()
    assert 0 < figures["miou"] < 1 and tiny_model.unet.conv_out.weight.grad.abs().sum() > 0
    tiny_model.unet.zero_grad()


def test_miou_says_nothing_where_there_is_only_noise(ask):
    loss, figures = ask(stage=1, losses={"miou": {"min_snr": 1e9}})
    assert figures == {"miou": None} and loss == 0 and loss.requires_grad


def test_miou_looks_at_the_same_steps_as_in_older_settings(ask):
    """0.09 is between the signal-to-noise ratios of timesteps 699 and 700, where `below: 0.7` ended."""
    counted = [ask(seed, stage=1, losses={"miou": options}) for seed in range(4) for options in ({}, {"below": 0.7})]
    for now, before in zip(counted[::2], counted[1::2], strict=True):
        assert now[1] == before[1] or torch.equal(now[0], before[0])
    schedule = DiffusionSchedule(SCHEDULE)
    assert seen_through(schedule.signal(torch.tensor([699, 700])), 0.09).tolist() == [True, False]


def test_what_a_loss_needs_is_asked_for(ask):
    batch = batch_of()
    del batch["frame_masks"]
    with pytest.raises(IVGError, match=r"clip 0.*frame_masks"):
        ask(batch=batch, losses={"noise": {"hands": 2.0}})


def test_clips_that_do_not_fit_together_are_named():
    with pytest.raises(IVGError, match=r"clip 0 and clip 1.*latents"):
        collate([clip(0), clip(1, size=(8, 16))])


def test_batches_hold_every_clip_once_and_one_size():
    data = clips(7)
    data.samples += [clip(seed, size=(8, 16)) for seed in range(4)]
    batches = data.batches(3, seed=1, epoch=2)
    assert sorted(i for batch in batches for i in batch) == list(range(11))
    assert all(len({i >= 7 for i in batch}) == 1 for batch in batches)
    assert batches == data.batches(3, 1, 2) != data.batches(3, 1, 3)


@pytest.fixture(scope="module")
def drawn():
    """A drawn clip in which a hand is found, for the embedded model."""
    from ivg_core.checkpoints.load import load_model
    from ivg_core.models.codec import ImageCodec
    from ivg_core.synthetic.clips import Scene

    model = load_model("embedded")
    scene = Scene(1_000_001, model.defaults.width, model.defaults.height)
    shown = scene.clip(scene.tasks[0], 8)
    frames, rom = torch.from_numpy(shown.frames), torch.from_numpy(shown.rom).float() / 255
    with torch.no_grad():
        latents = ImageCodec(model.vae).encode(frames.float() / 255)
    texts = {name: torch.zeros(77, 64) for name in ("text", "empty_text")}
    sample = {"latents": latents, "rom_mask": rom.amax(0), **texts, "frames": frames}
    return model, {**sample, "caption": "", "name": "drawn"}


def test_the_hand_loss_reaches_the_network(drawn):
    model, sample = drawn
    objective = denoising(TrainConfig(losses={"hands": {"frames": 0, "min_snr": 0.0}}), model)
    batch = collate([sample])
    draw = objective.draw(batch, rng())
    draw.levels[:] = 100
    model.unet.zero_grad()
    loss, figures = objective.loss(learner(model), batch, draw, rng())
    loss.backward()
    assert 0 < figures["hands"] < 1 and figures["hand_presence"] > 0.3 and figures["hand_error"] < 1
    assert model.unet.conv_out.weight.grad.abs().sum() > 0
    draw.levels[:] = 999  # with a limit, noise hides the hands
    objective.paths[0][1]["hands"].min_snr = 0.2
    assert objective.loss(learner(model), batch, draw, rng())[1]["hands"] is None


def test_the_hand_loss_is_small_for_the_true_clip(drawn):
    model, sample = drawn
    objective = denoising(TrainConfig(losses={"hands": {"frames": 0, "views": 1}}), model)
    batch = collate([{key: value for key, value in sample.items() if key != "frames"}])  # the decoded clip is the truth
    draw = objective.draw(batch, rng())
    draw.levels[:] = 300
    p = objective.predict(lambda noisy, *rest: noisy, batch, draw, rng())
    p.output, p.x0 = p.target, batch["latents"]
    p.__dict__["x0_pred"] = batch["latents"]
    right = objective.paths[0][1]["hands"](p)
    p.__dict__["x0_pred"] = batch["latents"].roll(2, dims=-1)  # two cells to the side
    assert objective.paths[0][1]["hands"](p) > 3 * right


def test_a_clip_without_hands_lowers_the_hand_loss_of_its_batch(drawn):
    """The mean is one over the whole batch: a clip that cannot be judged must not make the others count more."""
    model, sample = drawn
    objective = denoising(TrainConfig(losses={"hands": {"frames": 0, "views": 1}}), model)
    blank = {**sample, "name": "blank", "frames": torch.zeros_like(sample["frames"])}
    costs = []
    for samples in ([sample], [sample, blank]):
        batch = collate(samples)
        draw = objective.draw(batch, rng())
        draw.levels[:] = 300
        p = objective.predict(lambda noisy, *rest: noisy, batch, draw, rng())
        p.__dict__["x0_pred"] = batch["latents"].roll(2, dims=-1)
        costs.append(objective.paths[0][1]["hands"](p).item())
    assert costs[1] == pytest.approx(costs[0] / 2, rel=1e-4)
