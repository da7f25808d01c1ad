"""Windows of time in `generate`: one is plain sampling, and what each is told."""

import copy
from dataclasses import replace

import pytest
import torch
from box_gates import opened
from sampled import sample

from ivg_core.errors import IVGError
from ivg_core.media.tracks import Keyframe, Thing, Track
from ivg_core.models.add_gates import with_gates
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.text import encode_text
from ivg_core.models.told import Told
from ivg_core.sampling import generate as module
from ivg_core.sampling.context import ContextWindows
from ivg_core.sampling.prompts import PromptSchedule, Stretch, read_schedule
from ivg_core.sampling.windowed import Windowed, told_in

PHOTO = torch.rand(16, 24, 3, generator=torch.Generator().manual_seed(0))
CUP = Track((Thing("cup", (Keyframe(0, (0.1, 0.2, 0.4, 0.6)), Keyframe(1, (0.6, 0.4, 0.9, 0.8)))),))
FEW = {"size": (24, 16), "seed": 1, "num_inference_steps": 2, "guidance_scale": 2.0}


def left(width=12):
    mask = torch.zeros(16, 24)
    mask[:, :width] = 1
    return mask


@pytest.fixture(scope="module")
def model(tiny_model):
    return replace(tiny_model, unet=opened(with_gates(tiny_model.unet, "carry")))


@pytest.fixture
def asked(monkeypatch):
    """What the network was told, call by call."""
    found = []

    class Listening(UNetBackbone):
        def __call__(self, noisy, level, told, features=None):
            found.append(told)
            return super().__call__(noisy, level, told, features)

    monkeypatch.setattr(module, "UNetBackbone", Listening)
    return found


def made(model, action="stir", frames=7, context=None, **options):
    return sample(model, PHOTO, action, num_frames=frames, context=context, **(FEW | options)).latents


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mask": left(), "boxes": CUP, "keep_first_frame": True, "composite": True},
        {"boxes": CUP, "boxes_scale": 2.0, "guidance_interval": (0.0, 0.5), "cache_every": 2},
    ],
)
def test_one_window_is_plain_sampling_to_the_bit(model, options):
    plain = made(model, frames=3, **options)
    for context in (ContextWindows(3, 1), ContextWindows(8, schedule="uniform", noise="freenoise")):
        if context.schedule != "uniform" or "cache_every" not in options:
            assert torch.equal(made(model, frames=3, context=context, **options), plain)


def test_windows_at_once_change_nothing(model):
    """In double precision, as the norms of few values in a tiny network magnify rounding."""
    backbone = UNetBackbone(model, 2, network=copy.deepcopy(model.unet).double())
    text = torch.rand(2, 77, model.text_encoder.config.hidden_size)
    boxes, phrases = torch.rand(2, 9, 8, 5), torch.rand(2, 1, 8, text.shape[2])
    told = Told(
        text, torch.rand(2, 4, 1, 4, 6), torch.rand(2, 1, 9, 4, 6), torch.rand(2), boxes.round(decimals=1), phrases
    )
    told = replace(told.to(dtype=torch.float64), motion=told.motion.double(), boxes=told.boxes.double())
    noisy, level = torch.rand(2, 4, 9, 4, 6, dtype=torch.float64), torch.tensor([5])

    def predicted(batch, levels):
        return Windowed(backbone, ContextWindows(3, 2, batch=batch), 16, level)(noisy, levels, told)

    with torch.no_grad():
        one = predicted(1, level[0])
        for batch, levels in ((2, level[0]), (3, level.expand(2)), (9, level[0])):
            torch.testing.assert_close(predicted(batch, levels), one, atol=1e-5, rtol=1e-5)


def test_windows_on_several_devices_are_the_same_to_the_bit(model):
    context = ContextWindows(3, 2)
    plain = made(model, boxes=CUP, context=context, cache_every=2)
    spread = made(model, boxes=CUP, context=replace(context, devices=("cpu",)), cache_every=2)
    assert torch.equal(spread, plain)


def test_out_of_memory_goes_on_window_by_window(tiny_model, monkeypatch, caplog):
    """Clip by clip then, in every window."""
    call, rows = UNetBackbone.__call__, []

    def little(self, noisy, level, told, features=None):
        rows.append(len(noisy))
        if len(noisy) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return call(self, noisy, level, told, features)

    monkeypatch.setattr(UNetBackbone, "__call__", little)
    made(tiny_model, context=ContextWindows(3, 2, batch=2))
    assert rows == [4] + [1] * 12 and "smaller pieces" in caplog.text


def test_the_released_form_gives_the_same_video(tiny_model):
    flat = ContextWindows(3, 2, weights="flat")
    ours = made(tiny_model, context=flat, solver="ddim", t_last=0)
    shown = []
    theirs = made(
        tiny_model,
        context=flat,
        solver="ddim",
        t_last=0,
        parity=True,
        on_step=lambda *step: shown.append(step[2].shape),
    )
    assert shown == [ours.shape] * 2
    assert (ours - theirs).abs().max() < 0.05 * ours.abs().max()  # the size's rule and the autoencoder's scale differ


def test_isolated_windows_are_clips_by_themselves(tiny_model):
    noise = torch.randn(1, 4, 6, 2, 3)
    whole = made(tiny_model, frames=6, context=ContextWindows(3, schedule="isolated"), seed=None, noise=noise)
    for part in (slice(0, 3), slice(3, 6)):
        torch.testing.assert_close(
            whole[:, :, part], made(tiny_model, frames=3, seed=None, noise=noise[:, :, part]), atol=1e-5, rtol=1e-5
        )


class Answer:
    """A network that says which windows it was asked for."""

    network = None

    def __init__(self):
        self.asked = []

    def __call__(self, noisy, level, told, features=None):
        self.asked += [[int(x) for x in clip[0, :, 0, 0]] for clip in noisy]
        return noisy[:, :, :1].expand_as(noisy)


def test_a_frame_is_the_mean_of_its_windows_and_sees_no_others():
    backbone = Answer()
    windowed = Windowed(backbone, ContextWindows(4, 2, weights="pyramid", batch=2), 16, torch.tensor([5]))
    noisy = torch.arange(7.0)[None, None, :, None, None]
    out = windowed(noisy, torch.tensor(5), Told(torch.zeros(1, 77, 8))).flatten()
    assert backbone.asked == [[0, 1, 2, 3], [2, 3, 4, 5], [3, 4, 5, 6]]
    assert out.tolist() == pytest.approx([0, 0, 2 / 3, (0 + 2 * 2 + 3) / 4, (4 + 6) / 4, (2 + 6) / 3, 3])


def test_uniform_windows_shift_with_the_timestep_and_not_with_the_calls():
    backbone = Answer()
    windowed = Windowed(backbone, ContextWindows(4, 2, schedule="uniform"), 16, torch.tensor([5, 3]))
    noisy, told = torch.arange(7.0)[None, None, :, None, None], Told(torch.zeros(1, 77, 8))
    for level in (3, 3, 5):
        backbone.asked.clear()
        windowed(noisy, torch.tensor(level), told)
        assert [frames[0] for frames in backbone.asked] == ([0, 1, 3] if level == 3 else [0, 2, 3])


def test_a_window_is_told_its_boxes_its_masks_and_where_things_are_in_the_photo():
    boxes, mask = torch.rand(1, 6, 8, 5), torch.zeros(1, 1, 6, 2, 2)
    mask[0, 0, 3, 0, 0] = mask[0, 0, 4, 1, 1] = 1
    part = told_in(Told(torch.rand(1, 77, 8), boxes=boxes, mask=mask), slice(2, 5))
    assert torch.equal(part.boxes, boxes[:, 2:5]) and torch.equal(part.photo_boxes, boxes[:, :1])
    assert part.mask.flatten().tolist() == [1, 0, 0, 0]  # as the sentence, that of its middle frame


def test_boxes_outlast_the_first_window(model, asked):
    made(model, boxes=CUP, context=ContextWindows(4, 3))
    assert torch.equal(asked[1].photo_boxes[1:], asked[0].boxes[1:, :1]) and asked[0].boxes[1:, :1].any()
    torch.testing.assert_close(asked[1].boxes[1, :, :1], CUP.boxes(7)[3:])


def test_each_window_follows_the_sentence_of_its_middle(tiny_model, asked):
    schedule = read_schedule("0: chop\n3: stir")
    made(tiny_model, schedule, context=ContextWindows(3, 2))
    chop, stir, nothing = encode_text(tiny_model, ["chop", "stir", ""])
    assert [told.text.shape for told in asked[:3]] == [(2, 77, chop.shape[1])] * 3
    for told, expected in zip(asked, (chop, stir, stir), strict=False):
        assert torch.equal(told.text[0], nothing) and torch.equal(told.text[1], expected)


def test_blended_sentences_and_a_batch_of_schedules(tiny_model, asked):
    schedule = PromptSchedule((Stretch(0, "chop"), Stretch(6, "stir")), "blend")
    sample(
        tiny_model,
        PHOTO,
        [schedule, "wait"],
        num_frames=7,
        context=ContextWindows(3, 2),
        **(FEW | {"guidance_scale": 1}),
    )
    chop, stir, wait = encode_text(tiny_model, ["chop", "stir", "wait"])
    for told, share in zip(asked, (1 / 6, 3 / 6, 5 / 6), strict=False):
        torch.testing.assert_close(told.text[0], (1 - share) * chop + share * stir)
        assert torch.equal(told.text[1], wait)


def test_several_sentences_take_windows_of_the_models_own_length(tiny_model, asked):
    own = replace(tiny_model, defaults=replace(tiny_model.defaults, num_frames=4))
    made(own, read_schedule("0: chop\n4: stir"))
    assert [told.text.shape[0] for told in asked] == [2] * 6  # three windows of two steps
    with pytest.raises(IVGError, match=r'"stir" .* lies in the middle of none of the 1 windows'):
        made(own, read_schedule("0: chop\n3: stir"), frames=4)


@pytest.mark.parametrize("region", ["whole", "crop"])
def test_each_stretch_may_have_a_mask_of_its_own(tiny_model, asked, region):
    first, second = torch.zeros(64, 96), torch.zeros(64, 96)
    first[24:40, :16] = second[24:40, 32:48] = 1
    schedule = read_schedule("0: chop\n4: stir").with_masks([first, second])
    out = sample(
        tiny_model, torch.rand(64, 96, 3), schedule, num_frames=7, context=ContextWindows(3, 2), region=region,
        **(FEW | {"size": (96, 64)}),
    )  # fmt: skip
    masks = [told.mask[1, 0, 0] for told in asked[:3]]
    assert all(told.mask.shape[2] == 1 for told in asked)
    assert torch.equal(masks[1], masks[0]) and not (masks[0] * masks[2]).any()  # the middle one's frame is 3
    assert masks[0].any() and masks[2].any()
    assert torch.equal(out.mask, first.maximum(second))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("4: stir", "begins at frame 4, and nothing says"),
        ("0: chop\n\n8: stir\n5: fry", "Line 4 .* begins at frame 5, before"),
        ("0: chop\n0: stir", "Line 2 .* begins at frame 0, as the one before"),
        ("0: chop\n4:  ", "Line 2 .* has no sentence"),
        ("chop", "Line 1 .* is 'chop'"),
        ("0: chop\n-4: stir", "Line 2 "),
    ],
)
def test_lines_that_are_no_schedule_are_named(text, said):
    with pytest.raises(IVGError, match=said):
        read_schedule(text)


@pytest.mark.parametrize(
    ("schedule", "context", "said"),
    [
        (read_schedule("0: chop\n7: stir"), ContextWindows(3, 2), "begins at frame 7, and the video has 7 frames"),
        (read_schedule("0: a\n3: b", "reference"), ContextWindows(3, 2, schedule="uniform"), "counts static windows"),
        (read_schedule("0: a\n3: b", "reference"), ContextWindows(3, 1), "ask for 6 frames"),
        ("stir", ContextWindows(3, 2, devices=("gpu9",)), "no device 'gpu9'"),
    ],
)
def test_schedules_that_do_not_fit_the_video_are_said(tiny_model, schedule, context, said):
    with pytest.raises(IVGError, match=said):
        made(tiny_model, schedule, context=context)


def test_other_mistakes_of_schedules():
    with pytest.raises(IVGError, match="3 masks for the 2 sentences"):
        read_schedule("0: a\n3: b").with_masks([None] * 3)
    with pytest.raises(IVGError, match="no mode 'slow'"):
        PromptSchedule((Stretch(0, "a"),), "slow")
