"""A metric of the user's own: measured, kept, and told wherever those of the paper are."""

import json
import math
import sys

import pytest
import torch
from metric_clips import SCENES, clips_in, write_folders

from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.evaluate import families
from ivg_core.evaluate.clips import pair_clips
from ivg_core.evaluate.families import FAMILIES, METRICS, Features
from ivg_core.evaluate.own_metrics import register_metric
from ivg_core.evaluate.run import ALL, evaluate_methods
from ivg_core.evaluate.tasks import Measurer, plan
from ivg_core.plugins import PREFIX

PLUGIN = """
import ivg_core

def brightness(clip):
    return clip.latter.mean(){more}

ivg_core.register_metric("brightness", brightness, title="brightness | mean", better="lower", digits=2)
"""


def brightness(clip):
    return clip.latter.mean()


@pytest.fixture(autouse=True)
def registry():
    """Each test has the metrics of the library that take no time, and no plugin."""
    metrics, known = dict(METRICS), list(FAMILIES)
    FAMILIES[:] = known[:1]
    yield
    METRICS.clear()
    METRICS.update(metrics)
    FAMILIES[:] = known
    for name in [name for name in sys.modules if name.startswith(PREFIX)]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("clips"))


def of(root, *methods):
    return {name: clips_in(root, name) for name in methods}


def test_it_has_a_figure_for_each_clip_and_method(root):
    register_metric("brightness", brightness, title="brightness", better="lower")
    result = evaluate_methods(of(root, "copied", "wrong"))
    for method, factor in (("copied", 1), ("wrong", 0.6)):
        assert result.values[method].keys() == set(SCENES)
        expected = factor * (0.3 + 0.6 * 16 * 16 / (48 * 64))
        assert result.table[ALL][method]["brightness"].value == pytest.approx(expected, abs=0.01)
        assert result.table[ALL][method]["brightness"].clips == 3


def test_a_distance_between_all_that_the_clips_of_a_method_gave(root):
    def rows(frames):
        return frames.mean((1, 2))  # (L, 3)

    def colours(clip):
        return Features(rows(clip.latter), rows(clip.truth))

    register_metric("colours", colours, title="colours", better="lower", needs=["truth"])
    row = {
        name: figures["colours"].value
        for name, figures in evaluate_methods(of(root, "copied", "wrong")).table[ALL].items()
    }
    assert row["copied"] == pytest.approx(0, abs=1e-4) and row["wrong"] > 0.05


def test_only_clips_that_have_all_that_it_needs_are_measured(root):
    def inside(clip):
        return ((clip.latter - clip.truth).abs().mean(-1) * clip.mask).mean()

    register_metric("inside", inside, title="inside", better="lower", needs=("truth", "mask"))
    whole = evaluate_methods(of(root, "copied"))
    assert whole.table[ALL]["copied"]["inside"].clips == 3
    bare = evaluate_methods({"copied": pair_clips(root / "copied", root / "truth")})
    assert bare.missing["inside"].startswith("needs Regions of Motion: give --masks") and "truth" not in bare.missing
    neither = evaluate_methods({"copied": pair_clips(root / "copied")})
    assert "--truth" in neither.missing["inside"] and "--masks" in neither.missing["inside"]


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda clip: 1 / 0, r"mine fails on the clip carrot \(ZeroDivisionError: division by zero\): mend it"),
        (lambda clip: None, "mine gave a NoneType for the clip carrot: give one number, or Features"),
        (lambda clip: clip.frames, "mine gave a Tensor for the clip carrot"),
        (lambda clip: Features(torch.ones(2, 3), torch.ones(2, 4)), "features of odd shapes for the clip carrot"),
        (lambda clip: Features(torch.ones(2), torch.ones(2)), "features of odd shapes for the clip carrot"),
        (lambda clip: math.nan, "has a value on none of the clips"),
    ],
)
def test_a_metric_that_fails_is_named_and_the_others_are_measured(root, gives, said):
    register_metric("mine", gives, title="mine", better="lower")
    result = evaluate_methods(of(root, "copied"))
    assert "psnr" in result.table[ALL]["copied"] and "mine" not in result.table[ALL]["copied"]
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(result.missing["mine"])


def test_features_of_two_widths_are_refused(root):
    width = iter((2, 3, 4))
    register_metric(
        "mine",
        lambda clip: Features(*[torch.rand(3, wide) for wide in [next(width)] * 2]),
        title="mine",
        better="lower",
    )
    assert "odd shapes for the clip pan" in evaluate_methods(of(root, "copied")).missing["mine"]


@pytest.mark.parametrize(
    ("key", "more", "said"),
    [
        ("psnr", {}, "There is a metric 'psnr' already"),
        ("two words", {}, "plain word"),
        (3, {}, "plain word"),
        ("mine", {"title": "PSNR"}, "no title of its own"),
        ("mine", {"title": ""}, "no title of its own"),
        ("mine", {"better": "up"}, 'give "higher" or "lower"'),
        ("mine", {"needs": ["true"]}, "needs 'true', which no clip has: choose of truth, mask, own_mask, prompt"),
        ("mine", {"digits": -1}, "give 0 to 9"),
        ("mine", {"measure": 3}, "is no function of a clip but a int"),
    ],
)
def test_what_cannot_be_a_metric_is_refused(key, more, said):
    before = dict(METRICS), list(FAMILIES)
    with pytest.raises(IVGError, match=said):
        register_metric(key, **{"measure": brightness, "title": "mine", "better": "lower", **more})
    assert (dict(METRICS), list(FAMILIES)) == before


def test_the_same_function_may_be_given_again():
    register_metric("brightness", brightness, title="brightness", better="lower")
    count = len(FAMILIES)
    register_metric("brightness", brightness, title="bright", better="higher", needs="prompt")
    assert len(FAMILIES) == count and METRICS["brightness"].title == "bright"
    with pytest.raises(IVGError, match="already"):
        register_metric("brightness", lambda clip: 0, title="other", better="lower")


@pytest.fixture
def plugin(tmp_path):
    file = tmp_path / "my_metrics.py"

    def write(more=""):
        file.write_text(PLUGIN.replace("{more}", more))
        for name in [name for name in sys.modules if name.startswith(PREFIX)]:  # as in a process of its own
            del sys.modules[name]
        METRICS.pop("brightness", None)
        FAMILIES[1:] = []
        return file

    return write


def test_the_command_tells_it_everywhere_and_measures_anew_what_changed(root, tmp_path, plugin, capsys):
    words = ["evaluate", "--generated", str(root / "copied"), "--truth", str(root / "truth"), "--out"]
    words += [str(tmp_path / "out"), "--plugin"]

    def figures(more=""):
        assert main([*words, str(plugin(more))]) == 0
        said = capsys.readouterr()
        told = json.loads((tmp_path / "out" / "results.json").read_text())
        return told["table"][ALL]["copied"]["brightness"]["value"], said.err

    first, _ = figures()
    assert figures()[1].count("brightness") == 0  # nothing was measured again
    more, said = figures(" + 1")
    assert more == pytest.approx(first + 1) and "3/3 brightness" in said and "motion precision" not in said
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    assert "brightness" in told["metrics_computed"] and told["clips"]["copied"]["pan"]["brightness"] > 1
    assert "brightness \\| mean ↓" in (tmp_path / "out" / "results.md").read_text()
    assert "brightness | mean ↓" in (tmp_path / "out" / "index.html").read_text()
    assert "brightness" in (tmp_path / "out" / "clips.csv").read_text().splitlines()[0]


def test_a_failure_is_not_kept(root, tmp_path):
    works = []

    def flaky(clip):
        if not works:
            raise RuntimeError("the disk was full")
        return 1.0

    register_metric("flaky", flaky, title="flaky", better="lower")
    first = evaluate_methods(of(root, "copied"), folder=tmp_path)
    assert "the disk was full" in first.missing["flaky"]
    works.append(True)
    assert evaluate_methods(of(root, "copied"), folder=tmp_path).table[ALL]["copied"]["flaky"].value == 1


def test_a_worker_on_another_machine_runs_the_plugin_too(root, plugin):
    file = plugin()
    assert "brightness" not in METRICS
    measurer = Measurer(plugins=[file])
    (task, *_) = plan(of(root, "copied"), None, "cpu")[-1].tasks
    assert str(task).startswith("brightness | mean: copied") and 0 < measurer(task)["brightness"] < 1


def test_tables_of_the_library_are_as_they_were():
    assert all(metric.needs in ("", *families.INPUTS) for metric in METRICS.values())
