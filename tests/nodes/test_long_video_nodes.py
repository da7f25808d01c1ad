"""IVG Windows and IVG Prompt Schedule, and the nodes that they are connected to."""

import comfy.model_management as mm
import pytest
import torch

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.sampling.context import ContextWindows
from ivg_pack.ivg_core.sampling.generate import generate
from ivg_pack.ivg_core.sampling.predict import predict_rom
from ivg_pack.ivg_core.sampling.prompts import PromptSchedule, Stretch
from ivg_pack.ivg_core.sampling.settings import Sampling
from ivg_pack.nodes import _notes
from ivg_pack.nodes.long_video import IVGPromptSchedule, IVGWindows
from ivg_pack.nodes.rom import PredictRoMMask
from ivg_pack.nodes.sampling import IVGSampler, IVGSamplerOptions

PHOTO = torch.rand(1, 48, 64, 3, generator=torch.Generator().manual_seed(0))
WINDOWS = {item.id: item.as_dict()["default"] for item in IVGWindows.GET_SCHEMA().inputs if item.id != "options"}
TWO = "0: cut the carrot\n4: stir the pan"
HALVES = torch.zeros(2, 48, 64)
HALVES[0, :, :24] = HALVES[1, :, 40:] = 1


def windows(options=None, **changes) -> Sampling:
    return IVGWindows.execute(**{**WINDOWS, **changes}, options=options)[0]


def schedule(sentences: str = TWO, mode: str = "centre", **more) -> PromptSchedule:
    return IVGPromptSchedule.execute(sentences, mode, **more)[0]


def sampled(model, image=PHOTO, action="", frames=8, **more):
    """With windows of four frames."""
    return IVGSampler.execute(
        model, image, action, "", 3, frames, 2, 2.0, 5.0, 8.0, 64, 48, False, True, 0.0,
        **({"options": windows(length=4)} | more),
    )[0]  # fmt: skip


def made(model, action, frames=8, mask=None) -> torch.Tensor:
    """What the library makes of the same."""
    how = Sampling(2, 2.0, keep_first_frame=False, composite=True, feather=0.0, context=ContextWindows(4))
    return generate(
        model.model, PHOTO[0], action, mask=mask, num_frames=frames, size=(64, 48), seed=3, how=how
    ).frames  # fmt: skip


def two(*masks) -> PromptSchedule:
    return PromptSchedule((Stretch(0, "cut the carrot", masks[0]), Stretch(4, "stir the pan", masks[1])))


def notes_of(run, monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(_notes, "show", lines.extend)
    run()
    return lines


def test_its_defaults_are_the_librarys():
    assert windows() == Sampling(context=ContextWindows())


def test_windows_join_the_other_options():
    options = {item.id: item.options["default"] for item in IVGSamplerOptions.GET_SCHEMA().inputs}
    further = IVGSamplerOptions.execute(**{**options, "solver": "ddim"})[0]
    how = windows(
        further, length=6, stride=2, schedule="uniform", weights="flat", noise="freenoise", batch=3, smooth=True
    )
    assert how.solver == "ddim"
    assert how.context == ContextWindows(6, 2, "flat", "uniform", 3, "freenoise", True)


def test_wrong_windows_are_told():
    with pytest.raises(IVGError, match="stride of 9 frames is longer than the window of 4"):
        windows(length=4, stride=9)


def test_a_long_video_is_the_librarys(model):
    (frames,) = sampled(model, action="cut the carrot", frames=7)
    assert len(frames) == 7 and torch.equal(frames, made(model, "cut the carrot", 7))


def test_a_long_video_asks_for_the_room_of_its_windows_alone(model):
    mm.loads.clear()
    sampled(model, frames=4, options=None)
    sampled(model, frames=9)
    sampled(model, frames=9, options=windows(length=4, batch=2))
    sampled(model, options=None, schedule=schedule())  # whose windows are the model's own: 4 frames
    one, long, at_once, scheduled = (asked["memory_required"] for _, asked in mm.loads)
    assert one == long == scheduled < at_once


def test_sentences_take_their_turns(model):
    (frames,) = sampled(model, schedule=schedule())
    assert torch.equal(frames, made(model, two(None, None)))


def test_a_schedule_takes_the_place_of_the_action_and_says_so(model, monkeypatch):
    shown = notes_of(lambda: sampled(model, action="wave", schedule=schedule()), monkeypatch)
    assert any("takes the place of the sentence that is written here" in line for line in shown)
    shown = notes_of(lambda: sampled(model, schedule=schedule()), monkeypatch)
    assert not any("takes the place" in line for line in shown)


def test_as_many_masks_as_sentences_are_one_for_each(model):
    (frames,) = sampled(model, schedule=schedule(), mask=HALVES)
    assert torch.equal(frames, made(model, two(*HALVES)))
    (given,) = sampled(model, schedule=schedule(mask=HALVES))
    assert torch.equal(given, frames)
    (united,) = sampled(model, schedule=schedule(), mask=torch.cat([HALVES, HALVES]))
    assert torch.equal(united, made(model, two(None, None), mask=HALVES.amax(0)))


def test_a_sentences_own_mask_stays(model):
    first = schedule("0: cut the carrot", mask=HALVES[:1])
    (frames,) = sampled(model, schedule=schedule("4: stir the pan", also=first), mask=HALVES.flip(0))
    assert torch.equal(frames, made(model, two(HALVES[0], HALVES[0])))


def test_schedules_follow_one_another(monkeypatch):
    first = schedule("0: cut", mode="blend", mask=HALVES)
    both = schedule("4: stir\n6: wipe", mask=HALVES, also=first)
    assert both.mode == "centre"
    assert [(one.frame, one.sentence) for one in both.stretches] == [(0, "cut"), (4, "stir"), (6, "wipe")]
    assert both.masks[0].equal(HALVES.amax(0)) and both.masks[1].equal(HALVES[0]) and both.masks[2].equal(HALVES[1])
    lines = notes_of(lambda: schedule("4: stir", also=first), monkeypatch)
    assert lines == ["From frame 0: cut\nFrom frame 4: stir"]


@pytest.mark.parametrize(
    ("sentences", "also", "message"),
    [
        ("", None, "schedule is empty"),
        ("cut", None, "Line 1 of the prompt schedule is 'cut': write the frame, a colon"),
        ("4: cut", None, "Line 1 of the prompt schedule begins at frame 4, and nothing says what is done before"),
        ("0: cut", "0: stir", "Line 1 of the prompt schedule begins at frame 0, as the one before"),
        ("2: cut", "0: stir\n5: wipe", r"begins at frame 2, before the one above it \(5\)"),
    ],
)
def test_a_wrong_schedule_is_told(sentences, also, message):
    with pytest.raises(IVGError, match=message):
        schedule(sentences, also=also and schedule(also))


def test_a_sentence_after_the_end_is_told(model):
    with pytest.raises(IVGError, match='"stir the pan" begins at frame 4, and the video has 3 frames'):
        sampled(model, frames=3, schedule=schedule())


def predicted(model, image=PHOTO, **more):
    return PredictRoMMask.execute(model, image, "", 3, 2, 1.0, 0.4, 1, 0, 2, **more)


def test_each_sentence_gets_its_region(model):
    masks, frame_masks, preview = predicted(model, schedule=schedule()).args
    assert masks.shape == (2, 48, 64) and frame_masks.shape == (4, 48, 64) and len(preview) == 2
    for mask, sentence in zip(masks, ("cut the carrot", "stir the pan"), strict=True):
        options = {"num_frames": 2, "threshold": 0.4, "min_area": 1, "close": 0}
        how = Sampling(num_inference_steps=2, guidance_scale=1.0)
        assert torch.equal(mask, predict_rom(model.model, PHOTO[0], sentence, seed=3, how=how, **options).mask)


def test_regions_of_several_photos_and_sentences_are_told_apart(model):
    with pytest.raises(IVGError, match="2 photos and a prompt schedule, which takes one"):
        predicted(model, torch.cat([PHOTO, PHOTO]), schedule=schedule())
