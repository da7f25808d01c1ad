"""Clips that a list cuts out of long films, by seconds: their frames, and nothing else of the film is decoded."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivg_core.errors import IVGError
from ivg_core.media.clips import Video
from ivg_core.media.ffmpeg import ffmpeg_program
from ivg_core.media.video import write_video
from ivg_core.training.data.dataset import load_data
from ivg_core.training.data.lists import Entry, span_of
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.data.sources import find_training_clips

FPS, FRAMES = 8, 80


def brightness(media: Video) -> list[float]:
    return [float(frame.mean()) for frame in media.read()]


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Ten seconds, brighter from frame to frame, with a key frame every second, as films have them."""
    folder = tmp_path_factory.mktemp("film")
    frames = torch.linspace(0.1, 0.9, FRAMES).reshape(-1, 1, 1, 1).expand(-1, 32, 48, 3).clone()
    frames[:, :, :24] += 0.05 * torch.rand(FRAMES, 32, 24, 3, generator=torch.Generator().manual_seed(0))
    write_video(frames, folder / "whole.mp4", FPS)
    words = ["-i", str(folder / "whole.mp4"), "-g", str(FPS), "-sc_threshold", "0", "-bf", "0", "-crf", "5"]
    subprocess.run([ffmpeg_program(), "-v", "error", *words, "-movflags", "+faststart", str(folder / "film.mp4")])
    return folder / "film.mp4"


@pytest.mark.parametrize(
    ("start", "end", "first", "count"),
    [(0, 2, 0, 16), (3, 5, 24, 16), (3.2, 5.1, 26, 16), (9, None, 72, 8), (9.5, 60, 76, 4), (0, None, 0, 80)],
)
def test_its_frames_are_the_films_at_these_times(film, start, end, first, count):
    part, whole = Video(film, start, end), brightness(Video(film))
    assert part.facts().frames == count and part.facts().fps == FPS
    np.testing.assert_allclose(brightness(part), whole[first : first + count], atol=0.01)
    some = [float(frame.mean()) for frame in part.read([0, 1, count - 1])]
    np.testing.assert_allclose(some, [whole[first], whole[first + 1], whole[first + count - 1]], atol=0.01)


def test_nothing_before_and_after_it_is_decoded(film, tmp_path):
    """A film of which only the seconds 4 to 6 can be decoded is as good as the whole one."""
    wanted, data = brightness(Video(film, 4, 6)), bytearray(film.read_bytes())
    done = subprocess.run([ffmpeg_program(), "-i", str(film), "-c", "copy", "-f", "framecrc", "-"], capture_output=True)
    rows = [line.split(",") for line in done.stdout.decode().splitlines() if line and line[0] != "#"]
    sizes = [int(row[4]) for row in rows]
    begin = data.index(b"mdat") + 4
    assert len(sizes) == FRAMES and begin + sum(sizes) == len(data)
    data[begin : begin + sum(sizes[: 4 * FPS])] = bytes(sum(sizes[: 4 * FPS]))
    data[len(data) - sum(sizes[6 * FPS :]) :] = bytes(sum(sizes[6 * FPS :]))
    (tmp_path / "torn.mp4").write_bytes(data)
    torn = Video(tmp_path / "torn.mp4", 4, 6)
    assert torn.facts().frames == 16 and brightness(torn) == wanted
    assert Video(tmp_path / "torn.mp4").facts().frames < FRAMES  # so it is torn indeed


def test_times_beyond_the_film_are_one_sentence(film):
    with pytest.raises(IVGError, match=r"shows nothing from 100 s to 101\.5 s: it is shorter"):
        Video(film, 100, 101.5).facts()


def test_a_whole_film_is_known_under_the_name_it_always_had(film):
    whole, part, other = Video(film), Video(film, 0, 2), Video(film, 1, 2)
    assert len({whole.identity(), part.identity(), other.identity()}) == 3
    assert whole.identity().endswith(str(film.stat().st_mtime_ns))


def listed(film: Path, *entries: dict, **options):
    (film.parent / "list.json").write_text(json.dumps([{"video": film.name, **entry} for entry in entries]))
    return DataSettings(str(film.parent / "list.json"), masks="white", **options)


def test_a_list_cuts_films(film):
    entries = [
        {"caption": "open the door", "start": 0.14, "end": 3.37},
        {"caption": "take the plate", "start": 1, "end": 2},
        {"caption": "take a plate", "start": 1, "end": 2},
        {"caption": "close the door", "start": 9.5},
        {"caption": "wait", "end": 0.5},
        {"caption": "all of it"},
    ]
    found = find_training_clips(listed(film, *entries))
    assert {clip.name: clip.caption for clip in found.clips} == {
        "film #0.14 to 3.37 s": "open the door",
        "film #1 to 2 s": "take the plate",
        "film #1 to 2 s #2": "take a plate",
        "film #9.5 s to its end": "close the door",
        "film #0 to 0.5 s": "wait",
        "film": "all of it",
    }
    assert not found.rejected


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"start": "00:01:02"}, "its start is '00:01:02': give seconds"),
        ({"start": -1}, "its start is '-1'"),
        ({"end": float("nan")}, "its end is 'nan'"),
        ({"end": True}, "its end is 'True'"),
        ({"start": [1]}, "its start is"),
        ({"end": 10**400}, "its end is"),
        ({"start": 3, "end": 3}, "its end, 3 s, is not after its start, 3 s"),
        ({"start": 3, "end": 4, "video": "p.png"}, "p.png is none"),
        ({"start": 3, "end": 4, "video": "gone.mp4"}, "There is no video"),
    ],
)
def test_times_that_are_none_are_named_with_their_entry(film, entry, why):
    (film.parent / "p.png").write_bytes(b"")
    found = find_training_clips(listed(film, {"caption": "cut", **entry}))
    assert not found.clips and why in found.rejected[0].why and found.rejected[0].name == "entry 1 of list.json"


@given(st.one_of(st.none(), st.booleans(), st.text(), st.floats(), st.integers(), st.lists(st.integers())))
@settings(deadline=None)
def test_any_value_is_a_time_or_one_sentence(value):
    try:
        span = span_of(Entry(start=value, end=1e9 - 1))
    except IVGError as error:
        assert "start" in str(error)
    else:
        assert span is not None and 0 <= span[0] < 1e9 - 1


def test_a_box_track_of_the_film_is_none_of_its_part(film):
    track = film.with_name("film.track.json")
    own = film.with_name("film #1 to 2.25 s.track.json")
    entries = [{"caption": "cut", "start": 1, "end": 2.25}, {"caption": "cut"}]
    for path in (track, own):
        path.write_text("{}")
    try:
        clips = find_training_clips(listed(film, *entries)).clips
        assert [clip.track for clip in clips] == [own, track]
        own.unlink()
        assert find_training_clips(listed(film, *entries)).clips[0].track is None
    finally:
        for path in (track, own):
            path.unlink(missing_ok=True)


def test_parts_of_a_film_are_trained_on_and_held_out_together(film, tmp_path, tiny_model):
    write_video(torch.rand(6, 32, 48, 3), film.parent / "other.mp4", 8)
    entries = [{"caption": f"step {second}", "start": second, "end": second + 1} for second in range(3)]
    entries.append({"caption": "stir", "video": "other.mp4"})
    options = listed(film, *entries, width=48, height=32, frames=4, buckets=False, heldout=1)
    data = load_data(options, tiny_model, 2, tmp_path)
    names = [[about.name.partition(" #")[0] for about in part.abouts] for part in (data.train, data.heldout)]
    assert sorted(names) == [["film"] * 3, ["other"]]
    about = next(about for about in data.report.clips if about.name == "film #1 to 2 s")
    assert about.native_frames == 8 and about.indices == [0, 2, 5, 7]
