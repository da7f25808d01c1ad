"""A how-to as ComfyUI runs it: prompt after prompt, each with one step."""

import itertools
import json
import pathlib

import folder_paths
import pytest
import torch
from comfy_execution.graph_utils import ExecutionBlocker
from comfy_execution.utils import CurrentNodeContext
from PIL import Image
from server import PromptServer

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.ivg_core.howto.plan import read_plan
from ivg_pack.ivg_core.media.video import read_video
from ivg_pack.nodes import _notes
from ivg_pack.nodes.how_to import IVGStepLoader
from ivg_pack.nodes.how_to_film import IVGHowTo
from ivg_pack.nodes.step_save import IVGStepMask, IVGStepSave

PLAN = "# Salad\nPeel it (4 s)\nCut it [seed 7]\nServe it [mask white]"
FILM = {
    "title": "", "fps": 12.0, "captions": "subtitles", "title_seconds": 1.0, "hold_seconds": 0.5, "fade_seconds": 0.0,
    "speed": "1", "loops": "webp", "font": "", "when": "all steps are done",
}  # fmt: skip


class HowTo:
    """One folder of results, as loader, saver and film see it."""

    def __init__(self, name: str):
        self.name, self.plan = name, read_plan(PLAN)
        self.photo = torch.full((1, 32, 64, 3), 0.5)
        self.later = "make later steps anew"

    @property
    def folder(self) -> pathlib.Path:
        return pathlib.Path(folder_paths.get_output_directory()) / "ivg" / self.name

    def load(self):
        return IVGStepLoader.execute(self.plan, self.photo, self.name, self.later)

    def mark(self):
        return IVGStepLoader.fingerprint_inputs(self.name, self.later)

    def save(self, loaded, change=0.1, **inputs):
        """A step whose picture grows lighter."""
        frames = loaded[0] + torch.linspace(0.01, change, 4)[:, None, None, None]
        return IVGStepSave.execute(loaded[5], frames, **{"fps": 8.0, "pin_colour": False, "feather": -1.0, **inputs})

    def film(self, saved, **widgets):
        return IVGHowTo.execute(saved[0], **{**FILM, **widgets})

    def finish(self):
        """Everything that is left; the last saver's output."""
        saved = None
        for _ in self.plan.steps:
            loaded = self.load()
            if loaded[5].state is None:
                break
            saved = self.save(loaded)
        return saved


@pytest.fixture
def how_to(request):
    return HowTo("".join(letter if letter.isalnum() else "_" for letter in request.node.name))


@pytest.fixture
def notes(monkeypatch):
    server = PromptServer()
    monkeypatch.setattr(PromptServer, "instance", server)
    monkeypatch.setattr(_notes, "_shown", set())  # of other tests
    with CurrentNodeContext("prompt", "3"):
        yield server.shown


def silent(value) -> bool:
    return isinstance(value, ExecutionBlocker) and value.message is None


def test_every_run_gives_the_next_step_from_the_last_frame_before(how_to):
    start, marks = how_to.photo, []
    for number, (action, seconds) in enumerate([("Peel it", 4.0), ("Cut it", 0.0), ("Serve it", 0.0)], 1):
        marks.append(how_to.mark())
        loaded = how_to.load()
        image, *words, step = loaded.args
        assert words == [action, how_to.plan.seeds[number - 1], number, seconds] and step.state.number == number
        assert (image - start).abs().max() <= 1 / 255
        assert loaded.ui["ivg_left"] == [3 - number]
        assert f"{number}. {action} (to be made now)" in loaded.ui["text"][0]
        assert f"{number - 1} of 3 steps are done." in loaded.ui["text"][0]
        assert ("1. Peel it (done)" in loaded.ui["text"][0]) == (number > 1)
        saved = how_to.save(loaded)
        clip, fps = read_video(how_to.folder / "made" / saved.ui["images"][0]["filename"])
        assert clip.shape == (4, 32, 64, 3) and fps == 8
        start = clip[-1:]
    marks.append(how_to.mark())
    assert all(one != other for one, other in itertools.pairwise(marks))
    done = how_to.load()
    assert all(silent(value) for value in done.args[:5]) and done[5].state is None
    assert done.ui["ivg_left"] == [0] and "All steps are done." in done.ui["text"][0]
    assert how_to.mark() == marks[-1]  # now it may be cached
    assert IVGStepSave.execute(done[5], None, 8.0, True, -1.0)[0] == saved[0]


def test_only_what_is_needed_is_computed(how_to):
    loaded = how_to.load()
    widgets = {"fps": 8.0, "pin_colour": True, "feather": -1.0}
    assert IVGStepSave.check_lazy_status(loaded[5], **widgets, frames=None) == ["frames"]
    assert IVGStepSave.check_lazy_status(loaded[5], **widgets, frames=None, mask=None) == ["frames", "mask"]
    assert IVGStepSave.check_lazy_status(loaded[5], **widgets, frames=loaded[0], mask=None) == ["mask"]
    assert IVGStepMask.check_lazy_status(loaded[5], predicted=None) == ["predicted"]
    assert IVGStepMask.check_lazy_status(loaded[5]) == []
    how_to.save(loaded)
    how_to.save(how_to.load())
    white = how_to.load()[5]
    assert white.state.step.mask == "white" and IVGStepMask.check_lazy_status(white, predicted=None) == []
    how_to.finish()
    done = how_to.load()[5]
    assert IVGStepSave.check_lazy_status(done, **widgets, frames=None, mask=None) == []
    assert IVGStepMask.check_lazy_status(done, predicted=None) == []


def test_what_is_no_step_is_told_of_when_the_node_runs():
    assert IVGStepMask.check_lazy_status("stir", predicted=None) == []
    assert IVGStepSave.check_lazy_status(3, fps=8.0, pin_colour=True, feather=-1.0, frames=None) == []
    with pytest.raises(IVGError, match="step is 'stir', where what comes from another node"):
        IVGStepMask.execute("stir")


def test_the_mask_of_a_step(how_to):
    inputs = pathlib.Path(folder_paths.get_input_directory())
    Image.new("L", (64, 32), 255).crop((0, 0, 32, 32)).save(inputs / "half.png")
    how_to.plan = read_plan("Peel it\nCut it [mask half.png]\nServe it [mask white]", folder=inputs)
    predicted = torch.rand(2, 32, 64)
    step = how_to.load()[5]
    assert torch.equal(IVGStepMask.execute(step, predicted)[0], predicted)
    with pytest.raises(IVGError, match="Step 1 wants a predicted mask: connect IVG Predict RoM Mask"):
        IVGStepMask.execute(step)
    how_to.save(how_to.load())
    assert IVGStepMask.execute(how_to.load()[5])[0].shape == (1, 32, 32)
    how_to.save(how_to.load())
    assert IVGStepMask.execute(how_to.load()[5])[0].mean() == 1
    how_to.finish()
    assert silent(IVGStepMask.execute(how_to.load()[5])[0])


def test_nothing_changes_outside_the_mask_and_the_drift_is_told(how_to, notes):
    how_to.photo = torch.rand(1, 32, 64, 3, generator=torch.Generator().manual_seed(0)) * 0.5
    loaded, mask = how_to.load(), torch.zeros(1, 32, 64)
    mask[..., :20] = 1
    frames = loaded[0].repeat(4, 1, 1, 1) + 0.05  # the model's colours
    frames[1:, :, :12] += 0.3
    saved = IVGStepSave.execute(loaded[5], frames, 8.0, True, 2.0, mask)
    last = Image.open(next((how_to.folder / "made").glob("*_last.png")))
    after = torch.frombuffer(bytearray(last.tobytes()), dtype=torch.uint8).view(32, 64, 3) / 255
    assert (after - loaded[0][0])[:, 24:].abs().max() <= 0.5 / 255 + 1e-6
    assert 0.25 < (after - loaded[0][0])[:, :12].mean() < 0.35
    assert saved.ui["images"] and notes[-1][1].startswith("Step 1: In the region colours drifted by 12.")
    noted = json.loads((how_to.folder / "made" / "results.jsonl").read_text().splitlines()[-1])
    assert noted["status"] == "done" and 12 < noted["drift"] < 13


def test_a_first_frame_that_is_the_picture_itself_is_told_of(how_to, notes):
    loaded = how_to.load()
    frames = torch.cat([loaded[0], loaded[0] + 0.2])
    IVGStepSave.execute(loaded[5], frames, 8.0, True, -1.0)
    assert "switch keep_first_frame and composite of IVG Sampler off" in notes[-1][1]


def test_a_failure_is_noted_and_the_step_made_again(how_to):
    loaded = how_to.load()
    with pytest.raises(IVGError, match="NaN"):
        IVGStepSave.execute(loaded[5], torch.full((3, 32, 64, 3), float("nan")), 8.0, True, -1.0)
    again = how_to.load()
    assert again[3] == 1 and "1. Peel it (to be made now; it failed before:" in again.ui["text"][0]
    assert "NaN" in again.ui["text"][0] and not list((how_to.folder / "made").glob("*.mp4"))
    with pytest.raises(IVGError, match="Step 1: The mask is empty"):
        how_to.save(again, mask=torch.zeros(1, 32, 64))


def test_a_photo_that_cannot_be_read_is_noted(how_to):
    inputs = pathlib.Path(folder_paths.get_input_directory())
    (inputs / "bad.png").write_bytes(b"no picture")
    how_to.plan = read_plan("Peel it [image bad.png]", folder=inputs)
    with pytest.raises(IVGError, match="Step 1"):
        how_to.load()
    last = json.loads((how_to.folder / "made" / "results.jsonl").read_text().splitlines()[-1])
    assert last["status"] == "failed"


def test_a_step_with_another_seed_is_made_again_and_those_after_it(how_to):
    how_to.finish()
    how_to.plan = read_plan(PLAN.replace("[seed 7]", "[seed 8]"))
    loaded = how_to.load()
    assert loaded[2] == 8 and loaded[3] == 2 and loaded.ui["ivg_left"] == [1]
    how_to.save(loaded, change=0.2)
    text = how_to.load().ui["text"][0]
    assert "3. Serve it (to be made now)" in text


def test_later_steps_can_be_kept(how_to):
    how_to.finish()
    how_to.plan, how_to.later = read_plan(PLAN.replace("[seed 7]", "[seed 8]")), "keep later steps"
    loaded = how_to.load()
    assert loaded[3] == 2 and loaded.ui["ivg_left"] == [0]
    how_to.save(loaded, change=0.2)
    done = how_to.load()
    assert done[5].state is None and "3. Serve it (kept, though it began" in done.ui["text"][0]


def test_names_stay_in_the_output_folder(how_to):
    how_to.name = "../../elsewhere"
    with pytest.raises(IVGError, match=r"name is '../../elsewhere'"):
        how_to.load()


def test_the_film_is_made_when_all_steps_are_done(how_to):
    saved = how_to.save(how_to.load())
    waiting = how_to.film(saved)
    assert silent(waiting[0]) and waiting.ui["text"][0].startswith("1 of 3 steps are done")
    made = how_to.film(how_to.finish())
    film = how_to.folder / "film.mp4"
    assert made[0].get_stream_source() == str(film)
    frames, fps = read_video(film)
    assert fps == 12 and len(frames) == 12 + 3 * (6 + 6)  # the title; each half a second, and its last frame as long
    subfolder = f"ivg/{how_to.name}"
    assert made.ui["images"] == [{"filename": "film.mp4", "subfolder": subfolder, "type": "output"}]
    assert made.ui["text"] == [
        f"3 of 3 steps are in the film.\nThe page in ComfyUI's output folder: {subfolder}/index.html"
    ]
    assert "Salad" in (how_to.folder / "index.html").read_text()


def test_the_film_of_the_steps_so_far(how_to):
    saved = how_to.save(how_to.load())
    made = how_to.film(saved, when="after each step", title="So far", speed="1, 2, 1", loops="gif")
    assert "1 of 3 steps are in the film" in made.ui["text"][0]
    assert "So far" in (how_to.folder / "index.html").read_text() and (how_to.folder / "steps" / "01.gif").is_file()


def test_a_sound_goes_with_it(how_to):
    audio = {"waveform": torch.zeros(1, 2, 40_000), "sample_rate": 8000}
    made = how_to.film(how_to.finish(), audio=audio)
    assert b"mp4a" in pathlib.Path(made[0].get_stream_source()).read_bytes()


@pytest.mark.parametrize(
    ("widgets", "said"),
    [
        ({"speed": "fast"}, "speed is 'fast': write one number"),
        ({"speed": "1, 2"}, "2 speeds for 3 steps"),
        ({"speed": "100"}, "Step 1 has speed 100"),
        ({"font": "/etc/passwd"}, "font is '/etc/passwd', which is not in a folder of ComfyUI's"),
        ({"audio": {"samples": 3}}, "audio is no sound"),
    ],
)
def test_what_no_film_can_be(how_to, widgets, said):
    with pytest.raises(IVGError, match=said):
        how_to.film(how_to.finish(), **widgets)
