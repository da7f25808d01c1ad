"""Video to video, control videos and edit anything: against Gen-L-Video's numbers, and what they keep and refuse."""

from dataclasses import replace

import pytest
import torch
from glv import FLAT, close, inverted, windowed_steps
from test_glv_parity import SCHEDULE, meta, plain, weights  # noqa: F401 (the fixture of the first recording's network)  # noqa: F401
from test_glv_parity import io as first  # noqa: F401

from ivg_core.checkpoints.control_nets import load_control_net
from ivg_core.checkpoints.load import load_model
from ivg_core.errors import IVGError
from ivg_core.models.told import Told
from ivg_core.sampling import generate as generating
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.edit import ControlVideo, SourceVideo
from ivg_core.sampling.generate import Sampling, generate
from ivg_core.sampling.invert import invert_source
from ivg_core.sampling.solver import Inverse, make_solver

SOLVERS = ("ddim", "dpm++2m", "lcm")
HOW = Sampling(num_inference_steps=4, solver="ddim", guidance_scale=3.0, context=ContextWindows(4, 2, **FLAT))


@pytest.fixture(scope="module")
def model(glv_more):
    return glv_more.backbone("sd1").model


@pytest.fixture(scope="module")
def painting(glv_more):
    return glv_more.backbone("sd2_inpaint").model


@pytest.fixture(scope="module")
def t2v(golden):
    return load_model(golden / "motiondirector" / "training" / "model")


@pytest.fixture(scope="module")
def net(glv_more):
    return load_control_net(glv_more.folder / "sd1" / "controlnet")


@pytest.fixture(scope="module")
def clip():
    return torch.rand(6, 64, 64, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def square():
    mask = torch.zeros(64, 64)
    mask[16:40, 24:48] = 1
    return mask


def made(model, source, strength=0.5, **given):
    source = source if isinstance(source, SourceVideo) else SourceVideo(source, strength)
    return generate(model, None, "snow", seed=0, source=source, **{"how": HOW, **given})


# ---------------------------------------------------------------- the reference


def test_the_first_recording(plain, first):  # noqa: F811
    part = {"w": 6, "s": 3}
    solver = make_solver(SCHEDULE, 6, "ddim").last(int(6 * 0.5))
    start = inverted(plain, Told(first["text_table"][:1]), part, solver, first["lat12"])
    close(start, first["v2v_start"])
    below, above = (Told(first["text_table"][row : row + 1]) for row in (0, 2))
    close(windowed_steps(plain, [(1.0, below), (3.0, above)], part, solver, start), first["v2v_steps"])


@pytest.mark.parametrize("parity", [False, True])
def test_generate_is_the_second_recording_from_its_latents_to_frames(glv_more, net, monkeypatch, parity):
    part, io = glv_more.part("ctl"), glv_more.io
    backbone = glv_more.backbone("sd1")
    monkeypatch.setattr(generating, "clean_latents", lambda codec, clip: io["ctl_start_latents"])
    edges = io["ctl_edges_u8"].expand(-1, 3, -1, -1).permute(0, 2, 3, 1)  # (F, H, W, 3)
    context = ContextWindows(part["w"], part["s"], **FLAT)
    video = generate(
        backbone.model,
        None,
        part["prompt"],
        negative_prompt=part["negative"],
        source=SourceVideo(torch.zeros(part["T"], 64, 64, 3), part["strength"]),
        control=ControlVideo(net, edges, part["scale"]),
        how=Sampling(part["steps"], part["g"], solver="ddim", context=context, parity=parity),
    )
    close(video.latents, io["ctl_steps"][-1])
    close((video.frames[::4] * 255).round(), io["ctl_video_u8"].permute(1, 2, 3, 0).float(), 1.5)


def test_frames_are_drawn_together_on_the_way_back_alone(plain, first):  # noqa: F811
    told = Told(first["text_table"][:1])
    found = []
    for smooth in (False, True):
        how = Sampling(context=ContextWindows(6, 3, smooth=smooth, **FLAT))
        found.append(invert_source(plain, told, how, make_solver(SCHEDULE, 3, "ddim"), 6, first["lat12"]))
    assert torch.equal(*found)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("name", ["dpm++2m", "ddim"])
def test_every_solver_leads_back_from_where_its_own_steps_led_to(name, spacing, prediction):
    """Of a network that knows the noise, which is then the same at every step."""
    config = {**SCHEDULE, "timestep_spacing": spacing, "prediction_type": prediction}
    solver = make_solver(config, 10, name).last(4)
    levels = solver.alphas_cumprod
    clean, noise = torch.randn(2, 1, 4, 2, 3, 3, generator=torch.Generator().manual_seed(0))

    def predicted(level):
        return noise if prediction == "epsilon" else level.sqrt() * noise - (1 - level).sqrt() * clean

    back = Inverse(solver)
    assert back.timesteps.tolist() == solver.timesteps.tolist()[::-1] and len(back) == 4
    below, latents = back.levels[0], back.levels[0].sqrt() * clean + (1 - back.levels[0]).sqrt() * noise
    for step, level in enumerate(back.timesteps):
        latents = back.step(predicted(below), latents, step)
        below = levels[level]
        torch.testing.assert_close(latents, below.sqrt() * clean + (1 - below).sqrt() * noise)
    for step in range(4):
        latents = solver.step(predicted(levels[solver.timesteps[step]]), latents, step)
    torch.testing.assert_close(latents, back.levels[0].sqrt() * clean + (1 - back.levels[0]).sqrt() * noise)


# ---------------------------------------------------------------- how strongly


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_stronger_the_further_from_the_source(model, clip, solver):
    how = replace(HOW, solver=solver, num_inference_steps=10)
    source = made(model, clip, 0, how=how).latents
    off = [(made(model, clip, strength, how=how).latents - source).square().mean() for strength in (0.1, 0.4, 1)]
    assert 0 < off[0] < off[1] < off[2]


def test_strength_0_is_the_source_and_asks_neither_network_nor_sentence(model, clip, monkeypatch):
    monkeypatch.setattr(type(model.unet), "forward", None)
    monkeypatch.setattr(type(model.text_encoder), "forward", None)
    for strength in (0, 0.2):  # int(4 * 0.2) steps are none
        video = made(model, clip, strength)
        assert torch.equal(video.frames, clip) and video.latents.shape == (1, 4, 6, 8, 8)
    smaller = made(model, clip, 0, size=(32, 48))
    assert smaller.frames.shape == (6, 48, 32, 3) and (smaller.frames.mean() - clip.mean()).abs() < 0.02
    later = made(model, clip, 0, at_once=False)
    assert torch.equal(torch.cat(list(later.chunks)), clip)


def test_one_frame_is_a_picture_that_is_changed(model, clip):
    video = made(model, clip[:1])
    assert video.frames.shape == (1, 64, 64, 3) and not torch.equal(video.frames, clip[:1])


def test_progress_counts_both_ways(model, clip):
    seen = []
    made(model, clip, 0.5, on_step=lambda step, total, x0: seen.append((step, total, tuple(x0.shape))))
    assert seen == [(step, 4, (1, 4, 6, 8, 8)) for step in (1, 2, 3, 4)]


def test_a_batch_and_parts_at_a_time(model, clip):
    one, two = (generate(model, None, text, source=SourceVideo(clip, 0.5), how=HOW) for text in ("snow", "rain"))
    both = generate(model, None, ["snow", "rain"], source=SourceVideo(clip, 0.5), how=HOW)
    torch.testing.assert_close(both.latents, torch.cat([one.latents, two.latents]), atol=1e-4, rtol=0)
    later = made(model, clip, at_once=False)
    torch.testing.assert_close(torch.cat(list(later.chunks)), one.frames)


def test_a_text_to_video_model_starts_from_a_video_too(t2v, clip):
    half = made(t2v, clip[:4], size=(64, 64), how=Sampling(num_inference_steps=4))
    near = made(t2v, clip[:4], 0.25, size=(64, 64), how=Sampling(num_inference_steps=4))
    source = made(t2v, clip[:4], 0, size=(64, 64)).latents
    assert 0 < (near.latents - source).square().mean() < (half.latents - source).square().mean()


# ---------------------------------------------------------------- control


def test_a_control_video_is_followed_at_its_scale_and_size(model, net, clip):
    edges = (clip > 0.5).float()
    free = generate(model, None, "snow", seed=0, num_frames=6, how=HOW).latents
    held = [
        generate(model, None, "snow", seed=0, num_frames=6, control=ControlVideo(net, frames, scale), how=HOW).latents
        for frames, scale in ((edges, 0), (edges, 1), (edges[:1], 1), (edges[:1].expand(6, -1, -1, -1), 1))
    ]
    torch.testing.assert_close(held[0], free)
    assert not torch.equal(held[1], free) and not torch.equal(held[1], held[2]) and torch.equal(held[2], held[3])
    large = edges.repeat_interleave(2, 1).repeat_interleave(2, 2)
    control = ControlVideo(net, large)
    assert generate(model, None, "snow", seed=0, num_frames=6, control=control, how=HOW).frames.shape == clip.shape


def test_windows_on_another_device_are_held_too(model, net, clip):
    control = ControlVideo(net, clip)
    spread = replace(HOW, context=ContextWindows(4, 2, devices=("cpu",), **FLAT))
    here, there = (made(model, clip, control=control, how=how).latents for how in (HOW, spread))
    torch.testing.assert_close(here, there, atol=1e-4, rtol=0)


def test_the_control_net_works_where_the_network_does(model, net, clip):
    offloaded = replace(model, work_device=torch.device("cpu"))
    seen = []
    move, net.to = net.to, lambda device: seen.append(device) or net
    try:
        made(offloaded, clip, control=ControlVideo(net, clip))
    finally:
        net.to = move
    assert seen == [torch.device("cpu"), net.device]


# ---------------------------------------------------------------- masks


@pytest.mark.parametrize("several", [False, True])
def test_what_is_not_masked_stays_bit_for_bit(model, clip, square, several):
    masks = torch.stack([square.roll(4 * i, 1) for i in range(6)]) if several else square
    how = replace(HOW, composite=True)
    video = made(model, clip, 1, mask=masks, how=how)
    inside = masks.expand(6, -1, -1).bool()
    assert torch.equal(video.frames[~inside], clip[~inside])
    assert not torch.isclose(video.frames[inside], clip[inside]).all(-1).any(0)
    assert torch.equal(video.mask, masks.amax(0) if several else masks)
    later = made(model, clip, 1, mask=masks, how=replace(how, decode_chunk=4), at_once=False)
    assert torch.equal(torch.cat(list(later.chunks))[~inside], clip[~inside])
    if several:
        listed = made(model, clip, 1, mask=list(masks), how=how)
        assert torch.equal(listed.frames, video.frames)


def test_a_feather_is_taken_when_it_is_asked_for(model, clip, square):
    soft = made(model, clip, 1, mask=square, how=replace(HOW, composite=True, feather=8)).frames
    assert not torch.equal(soft[:, 10:16, 30], clip[:, 10:16, 30]) and torch.equal(soft[:, :8], clip[:, :8])


def test_inpainting_reads_the_masked_source(painting, clip, square, monkeypatch):
    told = []
    forward = type(painting.unet).forward
    monkeypatch.setattr(
        type(painting.unet),
        "forward",
        lambda self, *given, beside, **more: told.append(beside) or forward(self, *given, beside=beside, **more),
    )
    masks = torch.stack([square.roll(8 * i, 0) for i in range(6)])
    made(painting, clip, 1, mask=masks, how=replace(HOW, context=None))
    assert {tuple(beside.shape) for beside in told} == {(1, 5, 6, 8, 8), (2, 5, 6, 8, 8)}  # both ways; guided
    assert torch.equal(told[0][0, 0], masks[:, ::8, ::8])
    other = clip.clone()
    other[masks.bool()] = 0  # what is covered is not seen
    before, told[:] = told[0], []
    made(painting, other, 1, mask=masks, how=replace(HOW, context=None))
    assert torch.equal(told[0], before)


def test_inpainting_takes_what_it_is_given_beside(painting, clip):
    beside = torch.rand(1, 5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    one, other = (made(painting, clip, 0.5, beside=given).latents for given in (beside, 1 - beside))
    assert not torch.equal(one, other)


# ---------------------------------------------------------------- what cannot work


def test_what_does_not_fit(model, tiny_model, painting, net, clip, square):
    composite = replace(HOW, composite=True)
    cases = [
        ("has 6 frames, and 8 are asked for", model, {"num_frames": 8}),
        ("control video has 4 frames and the video 6", model, {"control": ControlVideo(net, clip[:4])}),
        ("3 masks for the 6 frames", model, {"mask": torch.ones(3, 64, 64), "how": composite}),
        ("2 masks for the 6 frames", model, {"mask": [square, square], "how": composite}),
        ("0 masks for the 6 frames", model, {"mask": [], "how": composite}),
        ("One of the masks .* is None", model, {"mask": [None], "how": composite}),
        ("mask is empty", model, {"mask": torch.zeros(64, 64), "how": composite}),
        ("mask is empty", painting, {"mask": square * 0.4}),
        ("reads no mask of a source video", model, {"mask": square, "how": replace(HOW, composite=False)}),
        ("paints inside masks: give one", painting, {}),
        ("paints inside masks: give one", painting, {"how": composite}),
        ("leave out the noise", model, {"noise": torch.zeros(1, 4, 6, 8, 8)}),
        ("for keep_first_frame", model, {"how": replace(HOW, keep_first_frame=True)}),
        ("cannot take a photo", model, {"image": clip[0]}),
        ("both sides must be multiples of 8", model, {"size": (60, 64)}),
        ("makes videos of a photo and starts from no source video", tiny_model, {}),
    ]
    for said, which, given in cases:
        given = {"image": None, "how": HOW, **given}
        with pytest.raises(IVGError, match=said):
            generate(which, given.pop("image"), "snow", source=SourceVideo(clip, 0.5), **given)


def test_what_cannot_be_a_source_or_a_control(model, tiny_model, net, clip):
    for strength in (-0.1, 1.1, float("nan"), "1"):
        with pytest.raises(IVGError, match="strength of the source video is"):
            SourceVideo(clip, strength)
    for scale in (float("inf"), None):
        with pytest.raises(IVGError, match="scale of the control video is"):
            ControlVideo(net, clip, scale)
    for frames, said in ((clip[0], "have shape"), (clip * 255, "divide by 255"), (clip[:0], "no frames")):
        with pytest.raises(IVGError, match=said):
            made(model, frames)
        with pytest.raises(IVGError, match=said):
            generate(model, None, "snow", num_frames=6, control=ControlVideo(net, frames), how=HOW)
    with pytest.raises(IVGError, match="is for image models"):
        generate(tiny_model, clip[0], "stir", num_frames=2, control=ControlVideo(net, clip[:1]))
    half = load_control_net_in_half(net)
    with pytest.raises(IVGError, match="is in float16 on cpu and the model in float32 on cpu"):
        generate(model, None, "snow", num_frames=6, control=ControlVideo(half, clip), how=HOW)


def load_control_net_in_half(net):
    return type(net).from_config_dict(dict(net.config)).to(torch.float16)
