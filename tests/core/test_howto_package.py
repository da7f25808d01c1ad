"""The files of a film that users share, read back."""

import logging
import re
import subprocess
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from ivg_core.errors import IVGError
from ivg_core.howto import package as package_module
from ivg_core.howto.film import Film, FilmSettings, FinishedStep
from ivg_core.howto.package import write_film, write_package
from ivg_core.howto.sheet import _shortened, draw_sheet
from ivg_core.media import fonts
from ivg_core.media.ffmpeg import ffmpeg_program
from ivg_core.media.sound import Sound
from ivg_core.media.video import read_video

SETTINGS = FilmSettings("Tea = a; #1 'guide' \\", fps=8, title_seconds=1, hold_seconds=0.5, fade_seconds=0.25)
CAPTIONS = ("Boil <b>it</b> & wait; 5 = 5 \\", "慢慢地搅拌。", "pour")


def steps(count=3):
    """Clips that grow darker, each of another colour."""
    clips = [torch.linspace(1, 0.2, 8)[:, None, None, None].expand(8, 64, 96, 3) * torch.eye(3)[i] for i in range(3)]
    return [FinishedStep(caption, clip) for caption, clip in zip(CAPTIONS[:count], clips, strict=False)]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_package(steps(), tmp_path_factory.mktemp("package") / "new" / "folder", SETTINGS)


def said_by_ffmpeg(path):
    return subprocess.run([ffmpeg_program(), "-i", str(path)], capture_output=True).stderr.decode()


def chapters(path):
    found = re.findall(
        r"Chapter #0:\d+: start ([\d.]+), end ([\d.]+)\s+Metadata:\s+title +: (.*)", said_by_ffmpeg(path)
    )
    return [(float(start), float(end), title.strip()) for start, end, title in found]


def srt_times(text):
    found = re.findall(r"(\d+):(\d+):(\d+),(\d+) -->", text)
    return [int(h) * 3600 + int(m) * 60 + int(s) + int(ms) / 1000 for h, m, s, ms in found]


def test_the_film_shows_what_was_put_together(package):
    frames, fps = read_video(package.film)
    film = Film(steps(), SETTINGS)
    meant = torch.cat(list(film.frames()))
    assert fps == 8 and frames.shape == meant.shape
    # Pure colours lose most in 4:2:0.
    assert (frames - meant).abs().mean() < 0.03 and (frames - meant).abs().amax((1, 2, 3)).max() < 0.6


def test_the_film_has_chapters_and_a_title(package):
    film = Film(steps(), SETTINGS)
    meant = [(span.start, span.end, span.text) for span in film.chapters]
    assert chapters(package.film) == meant and len(meant) == 4
    assert re.search(r"title +: Tea = a; #1 'guide' \\", said_by_ffmpeg(package.film))


def test_the_film_has_one_track_of_subtitles_that_is_on(package):
    streams = re.findall(r"Stream #.*?: (Video|Audio|Subtitle): (\w+).*?(\(default\)|)\n", said_by_ffmpeg(package.film))
    assert streams == [("Video", "h264", "(default)"), ("Subtitle", "mov_text", "(default)")]
    command = [ffmpeg_program(), "-loglevel", "error", "-i", str(package.film), "-map", "0:s:0", "-f", "srt", "-"]
    back = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    beside = package.subtitles.read_text(encoding="utf-8")
    assert srt_times(back) == srt_times(beside)
    shown = [line for line in back.replace("\u2060", "").splitlines() if line and not re.match(r"\d+$|\d\d:", line)]
    assert shown == list(CAPTIONS)


def test_subtitles_begin_with_the_chapters(package):
    assert package.subtitles.name == "film.srt"  # players look for it under the film's name
    assert srt_times(package.subtitles.read_text(encoding="utf-8")) == [
        start for start, *_ in chapters(package.film)[1:]
    ]


def test_captions_are_not_shown_twice(tmp_path):
    boil = [FinishedStep("boil", steps(1)[0].clip)]
    unburnt = write_package(boil, tmp_path, SETTINGS)
    burnt = write_package(boil, tmp_path, FilmSettings("Tea", fps=8, burn=True))
    assert "Subtitle:" not in said_by_ffmpeg(burnt.film) and len(chapters(burnt.film)) == 2
    assert burnt.subtitles.name == "captions.srt" and burnt.subtitles.exists() and not unburnt.subtitles.exists()


def test_each_step_has_a_loop_of_its_length(package):
    assert [path.name for path in package.loops] == ["01.webp", "02.webp", "03.webp"]
    for channel, path in enumerate(package.loops):
        with Image.open(path) as loop:
            assert loop.n_frames == 8 and loop.info["loop"] == 0
            assert np.asarray(loop.convert("RGB"))[32, 48].argmax() == channel
            loop.seek(1)
            loop.load()
            assert loop.info["duration"] == 125


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.files, self.text, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.files += [unquote(value.partition("#")[0]) for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_needs_only_its_own_folder(package):
    text = package.page.read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    folder = package.page.parent
    assert all((folder / file).is_file() for file in links.files)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {*links.files, "index.html"}  # and nothing is left of the work
    assert "http" not in text and "//" not in re.sub(r"\n// .*", "", text)


def test_the_page_says_every_text_and_lets_none_be_code(package):
    links = Links()
    links.feed(package.page.read_text(encoding="utf-8"))
    said = "".join(links.text)
    assert "b" not in links.tags and SETTINGS.title in said
    for number, caption in enumerate(CAPTIONS, 1):
        assert f"{number}. {caption}" in said


def test_the_page_leads_to_each_step(package):
    starts = [start for start, *_ in chapters(package.film)[1:]]
    text = package.page.read_text(encoding="utf-8")
    assert [float(start) for start in re.findall(r'data-start="([\d.]+)"><img', text)] == starts
    assert f"film.mp4#t={starts[1]:.3f}," in text


def test_the_sheet_has_a_row_for_each_step():
    film = Film([FinishedStep("boil", step.clip) for step in steps()], SETTINGS)
    sheet = np.asarray(draw_sheet(film)).astype(int)
    for channel in range(3):
        others = [c for c in range(3) if c != channel]
        coloured = (sheet[..., channel] > 40) & (sheet[..., others].max(2) < 10)
        assert coloured.sum() > 3 * 224 * 149  # four pictures of 224 x 149, whose edges JPEG-free PNGs keep
    assert draw_sheet(Film(steps(1), SETTINGS)).height < sheet.shape[0] / 2


def test_a_sheet_without_captions_is_told_of(monkeypatch, caplog):
    monkeypatch.setattr(fonts, "_installed", lambda name, number: "")
    with caplog.at_level(logging.WARNING, "ivg"):
        draw_sheet(Film(steps(2), SETTINGS))
    assert "contact sheet has no captions: No font was found that has '慢'" in caplog.text


def test_a_long_caption_is_shortened_on_the_sheet():
    font = ImageFont.load_default(12)
    assert _shortened("stir it", font) == "stir it"
    label = _shortened("stir it " * 90, font)
    assert label.endswith(" …") and 700 < font.getlength(label) <= 4 * 224 + 3 * 14


def test_a_failure_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    folder = tmp_path / "there"
    before = {path: path.read_bytes() for path in [write_package(steps(1), folder, SETTINGS).film, folder / "film.srt"]}

    def fail(film):
        raise IVGError("no sheet")

    monkeypatch.setattr(package_module, "draw_sheet", fail)
    for place in (folder, tmp_path / "new"):
        with pytest.raises(IVGError, match="no sheet"):
            write_package(steps(2), place, SETTINGS)
    assert {path: path.read_bytes() for path in before} == before
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IVGError, match=r"is a file, so .* cannot be a folder"):
        write_package(steps(1), tmp_path / "file" / "in", SETTINGS)
    with pytest.raises(IVGError, match="is a whole disk"):
        write_package(steps(1), tmp_path.anchor, SETTINGS)


def test_the_current_folder_is_a_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert write_package(steps(1), ".", SETTINGS).page.is_file()


def test_the_same_steps_give_the_same_bytes(tmp_path):
    one, two = (write_film(Film(steps(1), SETTINGS), tmp_path / name) for name in ("a.mp4", "b.mp4"))
    assert one.read_bytes() == two.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def heard_in(path, rate=8000):
    """The sound of a film, mono, as numbers."""
    command = [
        ffmpeg_program(),
        "-loglevel",
        "error",
        "-i",
        str(path),
        "-f",
        "f32le",
        "-ac",
        "1",
        "-ar",
        str(rate),
        "-",
    ]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.float32)


def tone(seconds, rate=8000, channels=2):
    return Sound((torch.arange(round(seconds * rate)) / rate * 440 * 6.2832).sin().expand(channels, -1) * 0.5, rate)


@pytest.mark.parametrize("burn", [False, True])
def test_a_sound_is_heard_from_the_begin_to_the_films_end(tmp_path, caplog, burn):
    settings = FilmSettings("Tea", fps=8, burn=burn)
    film = Film([FinishedStep("boil", steps(1)[0].clip)], settings)
    seconds = film.frame_count / 8
    with caplog.at_level(logging.WARNING, "ivg"):
        written = write_film(film, tmp_path / "a.mp4", tone(seconds + 2))
    assert f"The sound lasts {seconds + 2:.1f} s and the film {seconds:.1f} s: what is longer" in caplog.text
    kinds = re.findall(r"Stream #.*?: (Video|Audio|Subtitle): (\w+)", said_by_ffmpeg(written))
    assert kinds == [("Video", "h264"), ("Audio", "aac"), *([] if burn else [("Subtitle", "mov_text")])]
    sound = heard_in(written)
    assert abs(len(sound) / 8000 - seconds) < 0.2 and 0.2 < np.sqrt((sound[: len(sound) // 2] ** 2).mean()) < 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"] and len(chapters(written)) == 2
    assert read_video(written)[0].shape[0] == film.frame_count


def test_a_shorter_sound_ends_early_and_says_so(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "ivg"):
        package = write_package(steps(1), tmp_path, SETTINGS, sound=tone(1, 44100))
    assert "The sound ends after 1.0 s of 2.8: the film is silent from there on." in caplog.text
    assert 0.9 < len(heard_in(package.film)) / 8000 < 1.2
    assert read_video(package.film)[0].shape[0] == Film(steps(1), SETTINGS).frame_count


def test_the_same_sound_gives_the_same_bytes(tmp_path):
    one, two = (write_film(Film(steps(1), SETTINGS), tmp_path / name, tone(3)) for name in ("a.mp4", "b.mp4"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    ("samples", "rate", "said"),
    [
        (torch.zeros(9, 10), 8000, r"shape \(9, 10\)"),
        (torch.zeros(2, 0), 8000, r"shape \(2, 0\)"),
        (torch.zeros(10), 8000, r"shape \(10,\)"),
        (torch.full((1, 10), float("nan")), 8000, "no number"),
        (torch.zeros(1, 10), 0, "0 samples a second"),
    ],
)
def test_what_is_no_sound(samples, rate, said):
    with pytest.raises(IVGError, match=said):
        Sound(samples, rate)


def test_loops_can_be_gifs(tmp_path):
    package = write_package(steps(2), tmp_path, SETTINGS, loops="gif")
    assert [path.name for path in package.loops] == ["01.gif", "02.gif"]
    assert "steps/02.gif" in package.page.read_text(encoding="utf-8")
    with Image.open(package.loops[1]) as loop:
        assert loop.format == "GIF" and loop.n_frames == 8 and loop.info["loop"] == 0
        assert np.asarray(loop.convert("RGB"))[32, 48].argmax() == 1
        assert 120 <= loop.info["duration"] <= 130
    with pytest.raises(IVGError, match="choose webp or gif"):
        write_package(steps(1), tmp_path, SETTINGS, loops="png")


def test_a_gif_of_a_very_short_step(tmp_path):
    quick = FinishedStep("boil", steps(1)[0].clip, fps=200)
    loop = write_package([quick], tmp_path, FilmSettings(fps=200), loops="gif").loops[0]
    with Image.open(loop) as opened:
        assert opened.n_frames == 8
