"""Steps put together, frame by frame."""

import weakref

import pytest
import torch

from ivg_core.errors import IVGError
from ivg_core.howto.film import Film, FilmSettings, FinishedStep, _indices, paced
from ivg_core.media.video import write_video

PLAIN = FilmSettings(fps=8, title_seconds=0, hold_seconds=0, fade_seconds=0)


def grey(*levels, size=(32, 48)):
    """A clip whose frames have these levels, of 255."""
    return torch.tensor(levels).float().div(255)[:, None, None, None].expand(-1, *size, 3)


def levels(film):
    return [round(float(frame.mean()) * 255) for frame in film.frames()]


def test_steps_follow_each_other_frame_by_frame():
    film = Film([FinishedStep("a", grey(1, 2, 3)), FinishedStep("b", grey(7, 8))], PLAIN)
    assert levels(film) == [1, 2, 3, 7, 8] and film.frame_count == 5 and film.size == (48, 32)
    assert all(frame.shape == (1, 32, 48, 3) for frame in film.frames())


def test_the_last_frame_stays_as_it_is():
    settings = FilmSettings(fps=8, title_seconds=0, hold_seconds=0.5, fade_seconds=0)
    source = torch.randint(0, 256, (2, 32, 48, 3), dtype=torch.uint8)
    frames = list(Film([FinishedStep("a", source)], settings).frames())
    assert len(frames) == 6
    assert all(torch.equal(frame[0] * 255, source[1].float()) for frame in frames[1:])


def test_a_fade_lies_between_and_takes_nothing_from_the_steps():
    settings = FilmSettings(fps=8, title_seconds=0, hold_seconds=0.25, fade_seconds=3 / 8)
    film = Film([FinishedStep("a", grey(0, 40)), FinishedStep("b", grey(80, 90))], settings)
    assert levels(film) == [0, 40, 40, 40, 50, 60, 70, 80, 90, 90, 90]
    assert film.frame_count == 11


def test_the_times_of_chapters_and_captions():
    settings = FilmSettings("Tea", fps=8, title_seconds=1, hold_seconds=0.5, fade_seconds=0.25)
    film = Film([FinishedStep("boil", grey(*range(8))), FinishedStep("pour", grey(*range(4)))], settings)
    spans = [(span.text, span.start, span.end) for span in film.chapters]
    assert spans == [("Tea", 0, 1.25), ("boil", 1.25, 3), ("pour", 3, 4)]
    assert [(span.text, span.start, span.end) for span in film.captions] == [("boil", 1.25, 2.75), ("pour", 3, 4)]
    assert len(list(film.frames())) == film.frame_count == 32
    assert levels(film)[10:18] == list(range(8))  # 1.25 s are ten frames


def test_without_a_title_card_the_first_step_begins_at_once():
    for settings in (FilmSettings(fps=8), FilmSettings("Tea", fps=8, title_seconds=0)):
        film = Film([FinishedStep("boil", grey(1, 2)), FinishedStep("pour", grey(3, 4))], settings)
        assert [span.text for span in film.chapters] == ["boil", "pour"]
        assert film.chapters[0].start == 0 and levels(film)[:2] == [1, 2]


def test_the_title_card_is_the_first_picture_darkened():
    film = Film([FinishedStep("boil", grey(200, 201, size=(64, 96)))], FilmSettings("Tea", fps=8, fade_seconds=0))
    frames = list(film.frames())
    assert all(torch.equal(frame, frames[0]) for frame in frames[:16])
    assert frames[0][0, 0, 0, 0] * 255 < 100 and frames[0].max() > 0.9
    assert levels(film)[16:18] == [200, 201]


@pytest.mark.parametrize(
    "fps, speed, film_fps, expected",
    [
        (8, 1, 24, [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3),
        (8, 0.5, 8, [1, 1, 2, 2, 3, 3, 4, 4]),
        (8, 2, 8, [1, 4]),
        (8, 4 / 3, 8, [1, 3, 4]),
        (8, 20, 8, [1, 4]),
        (None, 1, 8, [1, 2, 3, 4]),
    ],
)
def test_speed_and_fps_repeat_frames_or_leave_some_out(fps, speed, film_fps, expected):
    settings = FilmSettings(fps=film_fps, hold_seconds=0)
    assert levels(Film([FinishedStep("a", grey(1, 2, 3, 4), fps, speed)], settings)) == expected


@pytest.mark.parametrize("frames", [1, 2, 3, 17])
@pytest.mark.parametrize("pace", [0.05, 1 / 3, 0.999, 1, 1.1, 2, 7.3, 60])
def test_a_step_always_begins_and_ends_as_its_clip_does(frames, pace):
    indices = _indices(frames, pace)
    assert indices[0] == 0 and indices[-1] == frames - 1 and list(indices) == sorted(indices)
    assert len(indices) == max(min(frames, 2), round(frames / pace))


def test_a_video_file_keeps_its_own_speed(tmp_path):
    path = write_video(grey(0, 80, 160, 240), tmp_path / "v.mp4", fps=4)
    film = Film([FinishedStep("a", path), FinishedStep("b", str(path), speed=2)], PLAIN)
    assert film.frame_count == 8 + 4
    assert levels(film) == pytest.approx([0, 0, 80, 80, 160, 160, 240, 240, 0, 80, 160, 240], abs=3)


def test_captions_are_drawn_into_every_frame_of_their_step_only_if_asked():
    clip = grey(200, 200, size=(64, 96))
    burnt, bare = (Film([FinishedStep("stir", clip)], FilmSettings(fps=8, burn=burn)) for burn in (True, False))
    for frame, plain in zip(burnt.frames(), bare.frames(), strict=True):
        assert torch.equal(frame[:, :32], plain[:, :32]) and frame[:, -10:].min() < 0.5
        assert plain.min() == plain.max()


def test_no_frame_is_kept():
    film = Film([FinishedStep("a", grey(*range(40)))], PLAIN)
    seen = [weakref.ref(frame) for frame in film.frames()]
    assert sum(ref() is not None for ref in seen) <= 1


CLIP, LARGER = grey(1, 2), grey(1, size=(96, 96))


@pytest.mark.parametrize(
    "steps, settings, said",
    [
        ([], PLAIN, "no steps"),
        (
            [("a", CLIP), ("b", grey(1, size=(32, 32)))],
            PLAIN,
            "Step 2 has frames of 32 x 32 pixels and step 1 of 48",
        ),
        ([("a", CLIP), (" ", CLIP)], PLAIN, "The caption of step 2 is empty"),
        ([("a\x07", CLIP)], PLAIN, "The caption of step 1 holds what is no letter"),
        ([("a", CLIP)], FilmSettings("T\x00"), "The title holds"),
        ([("a", CLIP, 0)], PLAIN, "Step 1 cannot play 0 frames a second"),
        ([("a", CLIP, 8, 0)], PLAIN, "Step 1 has speed 0: choose 0.05 to 20"),
        ([("a", CLIP, 8, float("nan"))], PLAIN, "Step 1 has speed nan"),
        ([("a", CLIP / 0)], PLAIN, "infinite values in the frames of step 1"),
        ([("a", "nowhere.mp4")], PLAIN, "no video at nowhere.mp4"),
        ([("a", [1, 2])], PLAIN, "frames of step 1 came as list"),
        ([("a", CLIP)], FilmSettings(fps=241), "The film cannot play 241 frames a second"),
        ([("a", CLIP)], FilmSettings(hold_seconds=-1), "hold_seconds is -1"),
        ([("a", CLIP)], FilmSettings(fade_seconds=float("inf")), "fade_seconds is inf"),
        ([("a", LARGER), ("\U0010fffe", LARGER)], FilmSettings(burn=True), "caption of step 2"),
        ([("a", CLIP)], FilmSettings("\U0010fffe"), "letters of the title"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_frame(steps, settings, said):
    with pytest.raises(IVGError, match=said):
        Film([FinishedStep(*step) for step in steps], settings)


def test_speeds_are_for_all_steps_or_for_each():
    steps = [FinishedStep("a", grey(1, 2)), FinishedStep("b", grey(3, 4))]
    assert [step.speed for step in paced(steps, [2])] == [2, 2]
    assert [step.speed for step in paced(steps, [2, 0.5])] == [2, 0.5]
    with pytest.raises(IVGError, match="3 speeds for 2 steps"):
        paced(steps, [1, 2, 3])
