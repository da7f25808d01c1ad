"""`generate` end to end on the tiny checkpoint: parity with the released code, every option, every mistake."""

import copy
import dataclasses
import functools
import json
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sampled import sample

from ivg_core.errors import IVGError
from ivg_core.media.images import load_image, resize_image
from ivg_core.models.text import encode_text
from ivg_core.sampling.generate import denoise, preview_rgb
from ivg_core.sampling.solver import make_solver

ACTION = "the person holds the carrot with the left hand"
PHOTO = torch.rand(24, 32, 3, generator=torch.Generator().manual_seed(1))
LITTLE = {"num_frames": 2, "num_inference_steps": 2, "size": (32, 24), "guidance_scale": 3.0}


def run(model, image=PHOTO, action=ACTION, **options):
    return sample(model, image, action, **(LITTLE | {"seed": 3} | options))


def left_half():
    mask = torch.zeros(24, 32)
    mask[:, :16] = 1
    return mask


def assert_close_to_golden(out, expected):
    assert (out.latents - expected["latents"]).abs().max() < 1e-5 * expected["latents"].abs().max()


def assert_frames_are_golden(levels, expected):
    off = (levels.int() - expected.int()).abs()
    assert off.max() <= 1 and (off > 0).float().mean() < 1e-3


# ---- parity


@pytest.mark.parametrize("name", ["sampler_eval", "sampler_eval_linspace"])
def test_parity_with_the_released_sampler(golden, tiny_model, name, monkeypatch):
    expected, inputs = load_file(golden / f"{name}.safetensors"), load_file(golden / "sampler_eval.safetensors")
    model = tiny_model
    if name != "sampler_eval":
        config = json.loads((golden / "meta.json").read_text())[name]["scheduler_json"]
        model = dataclasses.replace(model, scheduler_config=config)
    steps = []
    monkeypatch.setattr("ivg_core.sampling.solver.Solver.step", recording(steps))
    out = sample(
        model, golden / "input.png", ACTION, mask=golden / "input_mask.png", negative_prompt="the hand", num_frames=4,
        num_inference_steps=5, guidance_scale=9.0, motion_strength=5, noise=inputs["noise"], parity=True,
    )  # fmt: skip
    assert_close_to_golden(out, expected)
    for i, latents in enumerate(steps):
        if f"latents_step{i}" in expected:
            assert (latents - expected[f"latents_step{i}"]).abs().max() < 1e-5 * expected["latents"].abs().max()
    assert len(steps) == 5 and out.seed is None
    assert out.frames.shape == (4, 96, 168, 3) and out.mask.shape == (96, 168)
    if "frames" in expected:
        levels = out.frames * 255
        assert torch.allclose(levels, levels.round(), atol=1e-4)
        assert_frames_are_golden(levels.round(), expected["frames"])


def recording(steps):
    from ivg_core.sampling.solver import Solver

    original = Solver.step

    def step(self, noise_pred, latents, index):
        steps.append(original(self, noise_pred, latents, index))
        return steps[-1]

    return step


def test_the_base_of_the_area_rule_may_be_given_in_parity(golden, tiny_model):
    out = run(tiny_model, golden / "input.png", num_frames=1, num_inference_steps=1, size=(50, 50), parity=True)
    assert out.frames.shape == (1, 40, 64, 3)


@pytest.mark.parametrize("name", ["first", "second"])
def test_the_web_app_is_a_set_of_options(golden, tiny_model, name):
    expected = load_file(golden / "sampler_app.safetensors")
    out = sample(
        tiny_model, golden / "input.png", ACTION, mask=golden / "input_mask.png", num_frames=4, num_inference_steps=5,
        guidance_scale=9.0, motion_strength=5.0, motion_mode="scaled_by_area", solver="ddim", size=(168, 96),
        t_last=int(expected[f"{name}.t_last"]), noise=expected["noise"],
    )  # fmt: skip
    assert (out.latents - expected[f"{name}.latents"]).abs().max() < 1e-5 * expected[f"{name}.latents"].abs().max()
    if name == "first":
        assert_frames_are_golden((out.frames * 255).byte(), expected["frames"])


@pytest.mark.parametrize(
    "option",
    [{"keep_first_frame": True}, {"composite": True}, {"binarize_mask": True}, {"motion_mode": "scaled_by_area"}],
)
def test_parity_refuses_what_the_released_code_cannot_do(tiny_model, option):
    with pytest.raises(IVGError, match="Parity"):
        run(tiny_model, parity=True, **option)


# ---- shapes, seeds, devices, precision


@pytest.mark.parametrize(("frames", "size"), [(1, (8, 8)), (1, (40, 24)), (3, (24, 40)), (5, (16, 8))])
@pytest.mark.parametrize("solver", ["dpm++2m", "ddim"])
def test_any_length_and_any_size(tiny_model, frames, size, solver):
    out = run(tiny_model, num_frames=frames, size=size, solver=solver)
    width, height = size
    assert out.frames.shape == (frames, height, width, 3) and torch.isfinite(out.frames).all()
    assert out.frames.min() >= 0 and out.frames.max() <= 1
    assert out.latents.shape == (1, 4, frames, height // 8, width // 8) and out.mask.shape == (height, width)


def test_the_size_follows_from_the_photo_and_the_model(tiny_model):
    assert run(tiny_model, size=None, num_frames=1, num_inference_steps=1).frames.shape == (1, 112, 144, 3)


def test_a_seed_decides_everything_and_is_told(tiny_model):
    first = run(tiny_model, seed=2**64 - 1)
    torch.manual_seed(5)
    assert torch.equal(run(tiny_model, seed=2**64 - 1).frames, first.frames) and first.seed == 2**64 - 1
    chosen = run(tiny_model, seed=None)
    assert torch.equal(run(tiny_model, seed=chosen.seed).frames, chosen.frames)
    assert not torch.equal(chosen.frames, first.frames)


def test_an_item_of_a_batch_equals_the_single_run(tiny_model):
    # below 16 x 16 latent cells the deepest level is a single cell, where group norms blow up rounding errors
    options = {"size": (128, 128), "composite": True}
    photos = torch.rand(2, 128, 128, 3, generator=torch.Generator().manual_seed(2))
    half = torch.zeros(128, 128)
    half[:, :64] = 1
    items = [
        {"image": photos[0], "action": ACTION, "mask": half, "motion_strength": 2.0, "seed": 11},
        {"image": photos[1], "action": "cut", "mask": None, "motion_strength": 9.0, "seed": 5},
    ]
    both = run(tiny_model, **{name: [item[name] for item in items] for name in items[0]}, **options)
    assert both.frames.shape == (2, 2, 128, 128, 3) and both.latents.shape[0] == 2 and both.seed == [11, 5]
    for i, item in enumerate(items):
        single = run(tiny_model, **item, **options)
        assert torch.allclose(both.frames[i], single.frames, atol=1e-4)
        assert torch.equal(both.mask[i], single.mask)


def test_a_single_seed_counts_up_in_a_batch(tiny_model):
    assert run(tiny_model, torch.stack([PHOTO, PHOTO]), seed=4).seed == [4, 5]
    assert run(tiny_model, [PHOTO, PHOTO], seed=2**64 - 1).seed == [2**64 - 1, 0]


def test_single_values_serve_a_whole_batch(tiny_model):
    out = run(tiny_model, PHOTO[None], [ACTION, "cut"], seed=[3, 3], mask=left_half()[None])
    assert out.frames.shape[0] == 2 and not torch.equal(out.frames[0], out.frames[1])
    assert run(tiny_model, [PHOTO]).frames.shape[0] == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close_to_single(golden, tiny_model, dtype):
    from ivg_core.checkpoints.load import load_model

    half = run(load_model(golden / "tiny_ckpt", dtype=dtype))
    assert half.frames.dtype == half.latents.dtype == torch.float32
    assert (half.frames - run(tiny_model).frames).abs().mean() < 0.05


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_any_gradient_mode(tiny_model, mode):
    with mode():
        assert not run(tiny_model, mask=left_half(), composite=True, keep_first_frame=True).frames.requires_grad


def test_numbers_that_overflow_are_said_and_not_shown(tiny_model, monkeypatch):
    monkeypatch.setattr("ivg_core.sampling.solver.Solver.step", lambda self, noise, latents, step: latents * torch.nan)
    with pytest.raises(IVGError, match=r"The network gave NaN .* overflowed"):
        run(tiny_model)


@pytest.mark.parametrize(
    ("part", "place", "said"),
    [
        ("unet", "conv_out.bias", "The network"),
        ("vae", "encoder.conv_in.bias", "The autoencoder"),
        ("text_encoder", "final_layer_norm.bias", "The text encoder"),
    ],
)
def test_the_part_whose_weights_are_no_numbers_is_named(tiny_model, part, place, said):
    network = copy.deepcopy(getattr(tiny_model, part))
    name = next(name for name, _ in network.named_parameters() if name.endswith(place))
    torch.nn.init.constant_(network.get_parameter(name), torch.nan)
    with pytest.raises(IVGError) as raised:
        run(dataclasses.replace(tiny_model, **{part: network}))
    assert said in str(raised.value) and f"(first {name})" in str(raised.value) and "bfloat16" not in str(raised.value)


# ---- options


def test_the_first_frame_is_the_photo_and_the_rest_knows(tiny_model):
    kept, free = run(tiny_model, keep_first_frame=True), run(tiny_model)
    assert torch.equal(kept.frames[0], PHOTO) and not torch.allclose(kept.frames[1], free.frames[1], atol=1e-4)


def test_the_held_frame_has_the_noise_of_each_step():
    config = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    solver, (clean, noise) = make_solver(config, 4), torch.randn(2, 1, 4, 1, 2, 2)
    seen = []

    def predict(latents, timestep, progress):
        seen.append(latents[:, :, :1])
        return torch.zeros_like(latents)

    out = denoise(predict, solver, torch.zeros(1, 4, 3, 2, 2), held=(clean, noise))
    for step in (1, 2, 3):
        assert torch.equal(seen[step], solver.add_noise(clean, noise, step))
    assert torch.equal(out[:, :, :1], clean)


def test_a_first_frame_alone_is_said(tiny_model, caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        out = run(tiny_model, num_frames=1, keep_first_frame=True)
    assert torch.equal(out.frames[0], PHOTO) and "photo itself" in caplog.text


def test_the_composite_keeps_the_photo_outside(tiny_model):
    free, composed = run(tiny_model, mask=left_half()), run(tiny_model, mask=left_half(), composite=True, feather=4)
    assert torch.equal(composed.frames[:, :, :16], free.frames[:, :, :16])
    assert torch.equal(composed.frames[:, :, 20:], PHOTO[:, 20:].expand(2, -1, -1, -1))
    assert torch.equal(composed.latents, free.latents)


def asked(model, **options) -> list[tuple[torch.Tensor, dict]]:
    """What the network is given at each step of a run: noisy latents and text states, and the rest by name."""
    calls = []
    hook = model.unet.register_forward_pre_hook(
        lambda unet, inputs, others: calls.append((inputs, others)), with_kwargs=True
    )
    try:
        run(model, **options)
    finally:
        hook.remove()
    return calls


def test_mask_motion_and_text_reach_the_network(tiny_model):
    text = encode_text(tiny_model, ["cut", "the hand"])
    for (_, _, states), others in asked(
        tiny_model, mask=left_half(), action="cut", negative_prompt="the hand", motion_strength=9.0
    ):
        torch.testing.assert_close(states, text.flip(0))  # the negative prompt first
        assert torch.equal(others["mask"][:, 0, 0], torch.tensor([[1.0, 1, 0, 0]] * 3).expand(2, 3, 4))
        assert others["motion"].tolist() == [9.0, 9.0] and others["condition_latent"].shape == (2, 4, 1, 3, 4)
    (_, others), *_ = asked(tiny_model, motion_strength=None)
    assert others["motion"] is None and others["mask"].min() == 1


@pytest.mark.parametrize("region", ["whole", "crop"])
def test_scaled_motion_counts_the_whole_picture(tiny_model, region):
    mask = torch.zeros(64, 96)
    mask[24:40, 8:24] = 1
    (_, others), *_ = asked(
        tiny_model, mask=mask, size=(96, 64), motion_mode="scaled_by_area", motion_strength=6.0, region=region
    )
    assert others["motion"].tolist() == pytest.approx([6.0 * 4 / 96] * 2)  # 2 x 2 of 8 x 12 cells


def test_options_change_what_is_made(tiny_model):
    base = run(tiny_model, mask=left_half()).latents
    for change in ({"guidance_scale": 1.0}, {"guidance_interval": (0.0, 0.5)}, {"solver": "ddim"}, {"t_last": 0}):
        assert not torch.allclose(run(tiny_model, **({"mask": left_half()} | change)).latents, base, atol=1e-5), change


def test_binarised_masks_round_the_latent_mask(tiny_model):
    soft = left_half() * 0.7
    assert torch.equal(
        run(tiny_model, mask=soft, binarize_mask=True).latents, run(tiny_model, mask=left_half()).latents
    )


def test_scaled_motion_is_the_strength_times_the_area(tiny_model):
    scaled = run(tiny_model, mask=left_half(), motion_strength=6.0, motion_mode="scaled_by_area")
    assert torch.allclose(scaled.latents, run(tiny_model, mask=left_half(), motion_strength=3.0).latents, atol=1e-5)


def test_without_guidance_there_is_no_second_pass(tiny_model):
    batches = []
    hook = tiny_model.unet.register_forward_pre_hook(lambda unet, inputs: batches.append(len(inputs[0])))
    run(tiny_model, guidance_scale=1.0)
    run(tiny_model, guidance_scale=5.0, guidance_interval=(0.5, 1.0))
    hook.remove()
    assert batches == [1, 1, 1, 2]


def test_networks_can_work_one_after_another(tiny_model, monkeypatch):
    """On a machine without a second device its moves are only noted, and the frames must be the same."""
    there, moves = torch.device("cpu:0"), []

    def note(name, device):
        moves.append((name, device == there))

    for name in ("vae", "text_encoder", "unet"):
        monkeypatch.setattr(getattr(tiny_model, name), "to", functools.partial(note, name))
    out = run(dataclasses.replace(tiny_model, work_device=there))
    assert moves == [(name, out) for name in ("vae", "text_encoder", "unet", "vae") for out in (True, False)]
    assert out.frames.equal(run(tiny_model).frames) and len(moves) == 8

    def cancel(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(dataclasses.replace(tiny_model, work_device=there), on_step=cancel)
    assert moves[-1] == ("unet", False)


def test_decoding_in_chunks_changes_nothing(tiny_model):
    whole = run(tiny_model, num_frames=5, decode_chunk=99)
    assert torch.allclose(run(tiny_model, num_frames=5, decode_chunk=2).frames, whole.frames, atol=1e-5)


def test_v_prediction_follows_the_file(tiny_model):
    config = tiny_model.scheduler_config | {"prediction_type": "v_prediction"}
    model, seen = dataclasses.replace(tiny_model, scheduler_config=config), []
    run(model, num_inference_steps=1, guidance_scale=1.0, on_step=lambda step, total, x0: seen.append(x0))
    ((noisy, timestep, text), others), *_ = asked(model, num_inference_steps=1, guidance_scale=1.0)
    with torch.no_grad():
        v = model.unet(noisy, timestep, text, **others)
    a = make_solver(config, 1).alphas_cumprod[int(timestep)]
    torch.testing.assert_close(seen[0], a.sqrt() * noisy - (1 - a).sqrt() * v)


# ---- progress and cancelling


def test_steps_are_reported_with_what_they_will_become(tiny_model):
    seen = []
    out = run(tiny_model, num_inference_steps=3, on_step=lambda step, total, x0: seen.append((step, total, x0)))
    assert [(step, total) for step, total, _ in seen] == [(1, 3), (2, 3), (3, 3)]
    assert all(x0.shape == out.latents.shape for *_, x0 in seen)
    assert (seen[-1][2] - out.latents).abs().mean() < (seen[0][2] - out.latents).abs().mean()
    assert torch.equal(out.frames, run(tiny_model, num_inference_steps=3).frames)


def test_cancelling_leaves_nothing_behind(tiny_model):
    before = run(tiny_model).frames

    class Cancelled(Exception):
        pass

    def cancel(step, total, x0):
        raise Cancelled

    with pytest.raises(Cancelled):
        run(tiny_model, on_step=cancel)
    assert torch.equal(run(tiny_model).frames, before)


def test_previews_are_small_pictures_in_stable_diffusions_colours():
    x0 = torch.zeros(2, 4, 3, 5, 6)
    assert torch.equal(preview_rgb(x0), torch.full((3, 5, 6, 3), 0.5))
    x0[0, 3, 1], x0[0, 0, 2] = 1, 9
    picture = preview_rgb(x0)
    assert torch.allclose(picture[1], 0.5 + torch.tensor([-0.184, -0.271, -0.473]) / 2)
    assert torch.equal(picture[2], torch.ones(5, 6, 3))


def test_a_preview_fitted_to_the_photo_has_its_colours():
    photo = torch.rand(5, 6, 3, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    mixed = photo @ torch.tensor([[1.0, 2, -1, 0.5], [0, 1, 1, -2], [3, 0, 1, 1]]) - 0.7  # (h, w, 4)
    x0 = mixed.permute(2, 0, 1)[None, :, None].repeat(1, 1, 2, 1, 1)
    assert torch.allclose(preview_rgb(x0, photo)[1], photo, atol=0.05)


# ---- what is said about the arguments


def test_a_mask_of_another_size_is_stretched_and_said(tiny_model, caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        out = run(tiny_model, mask=torch.ones(7, 9))
    assert "9 x 7" in caplog.text and "stretched" in caplog.text and out.mask.shape == (24, 32)


def test_a_photo_of_another_shape_is_stretched_and_said(tiny_model, caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        run(tiny_model, torch.rand(30, 90, 3))
    assert "90 x 30" in caplog.text and "stretched" in caplog.text


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("  ", "The action is empty"),
        ("切 the carrot", "The text encoder reads English, and nothing of this: 切."),
        ("Нарежьте морковь", "nothing of this: Нарежьте морковь."),
        ("Émincer l'échalote à 45°", ""),
    ],
)
def test_sentences_that_say_nothing_to_the_model_are_told(tiny_model, caplog, action, said):
    with caplog.at_level(logging.WARNING, "ivg"):
        run(tiny_model, action=action)
    assert said in caplog.text if said else not caplog.text


def test_words_beyond_the_limit_are_said(tiny_model, caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        run(tiny_model, action="the hand " * 60 + "finally sleeps")
    assert "sleeps" in caplog.text


def test_a_network_that_reads_no_mask_is_said(tiny_model, caplog):
    config = dict(tiny_model.unet.config) | {"motion_mask": False}
    model = dataclasses.replace(tiny_model, unet=type(tiny_model.unet).from_config_dict(config).eval())
    with caplog.at_level(logging.WARNING, "ivg"):
        run(model)
        assert not caplog.text
        run(model, mask=left_half())
    assert "reads no mask" in caplog.text


def test_every_kind_of_photo_gives_the_same_video(tiny_model, tmp_path):
    Image.fromarray((PHOTO * 255).round().byte().numpy()).save(tmp_path / "p.png")
    expected = run(tiny_model, tmp_path / "p.png").frames
    for image in (str(tmp_path / "p.png"), Image.open(tmp_path / "p.png"), load_image(tmp_path / "p.png")[None]):
        assert torch.equal(run(tiny_model, image).frames, expected)
    assert resize_image(PHOTO, (32, 24)) is PHOTO


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"image": torch.rand(1, 1, 3)}, r"1 x 1 pixels.*8 x 8"),
        ({"image": torch.full((24, 32, 3), torch.nan)}, "NaN"),
        ({"image": torch.rand(24, 32, 4)}, "channels"),
        ({"image": []}, "empty"),
        ({"image": "nowhere.png"}, "nowhere.png"),
        ({"mask": torch.zeros(24, 32)}, "nothing would move"),
        ({"mask": torch.full((24, 32), torch.nan)}, "NaN"),
        ({"mask": torch.ones(5, 24, 32)}, r"5 frames for 1 photo.*amax"),
        ({"size": (30, 24)}, "32 x 24"),
        ({"num_frames": 0}, "num_frames is 0"),
        ({"num_frames": 2.5}, "num_frames is 2.5"),
        ({"num_inference_steps": 0}, "num_inference_steps is 0"),
        ({"num_inference_steps": 5000}, "at most 500"),
        ({"guidance_scale": float("nan")}, "guidance_scale"),
        ({"guidance_interval": (0.6, 0.2)}, "guidance interval"),
        ({"motion_strength": float("inf")}, "motion strength"),
        ({"motion_strength": -1}, "motion strength"),
        ({"motion_mode": "wild"}, "wild"),
        ({"solver": "euler"}, "euler"),
        ({"feather": -2}, "feather"),
        ({"decode_chunk": 0}, "decode_chunk"),
        ({"t_last": 1000}, "0 to 999"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"noise": torch.zeros(1, 4, 3, 3, 4)}, r"\(1, 4, 2, 3, 4\)"),
        ({"noise": torch.full((1, 4, 2, 3, 4), torch.nan)}, "noise"),
        ({"action": 5}, "text"),
        ({"image": [PHOTO] * 2, "action": ["a"] * 3}, "image: 2, action: 3"),
        ({"stage": 1}, "stage-1"),
    ],
)
def test_mistakes_are_said_in_a_sentence(tiny_model, arguments, says):
    with pytest.raises(IVGError, match=says):
        run(tiny_model, **arguments)


def test_two_threads_with_one_model_do_not_meet(tiny_model):
    """Kept deep features belong to a run: on the network, one run would take the other's."""
    options = [{"seed": seed, "num_inference_steps": 6, "cache_every": 2, "size": (64, 64)} for seed in range(4)]
    alone = [run(tiny_model, **each).latents for each in options]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: run(tiny_model, **each).latents, options))
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one, other)
