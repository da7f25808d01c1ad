"""A loss of the user's own: registered, named in a yaml, checked as others are, seen in the figures of each step."""

import json
import sys
from dataclasses import dataclass

import pytest
import torch
from test_train_command import QUICK, TINY
from training_clips import clips, clips_on_disk, small

from ivg_core.cli import main
from ivg_core.errors import IVGError
from ivg_core.plugins import PREFIX, load_plugins
from ivg_core.training import losses
from ivg_core.training.config import TrainConfig, read_config
from ivg_core.training.losses import LOSSES, make_losses, register_loss
from ivg_core.training.trainer import train

PLUGIN = """
from dataclasses import dataclass

import ivg_core


@dataclass
class Steady:
    weight: float = 1.0
    power: float = 2.0

    def __call__(self, p):
        return p.output.diff(dim=2).abs().pow(self.power).mean()


ivg_core.register_loss("steady", Steady, ranges={"power": (1, 4)})
"""


@dataclass
class Flat:
    weight: float = 1.0
    power: float = 2.0
    gives: str = "mean"

    def __call__(self, p):
        value = p.output.abs().pow(self.power)
        return {"mean": value.mean(), "all": value, "none": None, "float": 0.5}[self.gives]


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """Each test has the losses of the library, and no plugin."""
    monkeypatch.setattr(losses, "LOSSES", dict(LOSSES))
    yield losses.LOSSES
    for name in [name for name in sys.modules if name.startswith(PREFIX)]:
        del sys.modules[name]


def test_it_is_learned_from_and_stands_in_the_figures(tiny_model, tmp_path):
    register_loss("flat", Flat)
    config = small(tmp_path, losses={"noise": 1, "flat": {"weight": 0.5, "power": 1}})
    history = train(config, tiny_model, clips()).history
    lines = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    for figures in (history[-1], lines[-1]):
        assert figures["loss"] == pytest.approx(figures["noise"] + 0.5 * figures["flat"], rel=1e-5)


def test_it_is_given_clean_pixels_where_it_asks_for_them():
    register_loss("flat", Flat, pixels=True)
    assert TrainConfig(losses={"flat": 1}).needs_pixels and TrainConfig(losses={"hands": 1}).needs_pixels
    assert not TrainConfig(losses={"noise": 1}).needs_pixels


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"flat": {"powr": 1}}, "there is no setting 'powr'; did you mean 'power'"),
        ({"flat": {"power": 5}}, r"losses\.flat\.power is 5\.0: it must be at least 1 and at most 4"),
        ({"flat": -1}, r"losses\.flat\.weight is -1\.0"),
        ({"flat": {"power": "many"}}, "a finite number"),
        ({"flat": 1}, None),
    ],
)
def test_its_settings_are_checked(settings, said):
    register_loss("flat", Flat, ranges={"power": (1, 4)})
    if said is None:
        assert make_losses(settings, 2)["flat"].power == 2
        return
    with pytest.raises(IVGError, match=said):
        make_losses(settings, 2)


def test_it_belongs_to_its_stages():
    register_loss("flat", Flat, stages=(1,))
    assert "flat" in make_losses({"flat": 1}, 1)
    with pytest.raises(IVGError, match="'flat' belongs to stage 1, and this is stage 2"):
        make_losses({"flat": 1}, 2)


@pytest.mark.parametrize(
    ("gives", "said"),
    [("all", r"'flat' gave a tensor of shape \(1, 4, 2, 16, 16\)"), ("float", "a float"), ("none", None)],
)
def test_what_it_gives_is_checked(tiny_model, tmp_path, gives, said):
    register_loss("flat", Flat)
    config = small(tmp_path, steps=1, losses={"noise": 1, "flat": {"gives": gives}})
    if said is None:
        assert train(config, tiny_model, clips()).step == 1
        return
    with pytest.raises(IVGError, match=said):
        train(config, tiny_model, clips())


class NoDataclass:
    weight = 1.0

    def __call__(self, p):
        return None


@dataclass
class NoWeight:
    amount: float = 1.0

    def __call__(self, p):
        return None


@dataclass
class NoDefault:
    power: float
    weight: float = 1.0

    def __call__(self, p):
        return None


@dataclass
class NoCall:
    weight: float = 1.0


@pytest.mark.parametrize(
    ("name", "cls", "more", "said"),
    [
        ("noise", Flat, {}, "There is a loss 'noise' already"),
        ("not a word", Flat, {}, "plain word"),
        ("heldout", Flat, {}, "none of loss, heldout"),
        ("mine", NoDataclass, {}, "is no dataclass"),
        ("mine", NoCall, {}, "with a __call__"),
        ("mine", Flat(), {}, "is no dataclass"),
        ("mine", NoWeight, {}, "has no weight: add a field"),
        ("mine", NoDefault, {}, "no default for power"),
        ("mine", Flat, {"stages": (3,)}, r"give \(1,\), \(2,\) or \(1, 2\)"),
        ("mine", Flat, {"stages": ()}, r"give \(1,\), \(2,\) or \(1, 2\)"),
        ("mine", Flat, {"ranges": {"pwr": (0, 1)}}, "no option 'pwr'"),
    ],
)
def test_what_cannot_be_a_loss_is_refused(registry, name, cls, more, said):
    before = dict(registry)
    with pytest.raises(IVGError, match=said):
        register_loss(name, cls, **more)
    assert registry == before


def test_a_cell_may_be_run_again_but_another_class_is_refused(registry):
    register_loss("flat", Flat)
    again = dataclass(type("Flat", (Flat,), {"__module__": Flat.__module__, "__qualname__": Flat.__qualname__}))
    register_loss("flat", again)
    assert registry["flat"].cls is again
    with pytest.raises(IVGError, match="already"):
        register_loss("flat", dataclass(type("Other", (Flat,), {})))


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clips_on_disk(tmp_path / "clips")
    (tmp_path / "my_losses.py").write_text(PLUGIN)
    text = QUICK.format(model=TINY, source="clips") + "losses: {noise: 1, steady: {weight: 1, power: 1}}\n"
    (tmp_path / "my.yaml").write_text(text)
    return tmp_path


def test_the_command_runs_a_plugin_and_goes_on_with_it(files, capsys, caplog):
    words = ["train", "--config", "my.yaml", "--out", "run"]
    assert main(words) == 2
    assert "there is no loss 'steady'" in capsys.readouterr().err
    assert main(["train", "--show", "my.yaml", "--plugin", "my_losses.py"]) == 0
    assert "steady" in capsys.readouterr().out
    assert main([*words, "--plugin", "my_losses.py"]) == 0
    assert "my_losses.py is a program and is run: trust its source" in caplog.text
    assert "steady" in json.loads((files / "run" / "losses.jsonl").read_text().splitlines()[-1])
    more = ["--resume", "auto", "--set", "steps=4", "--plugin", "my_losses.py"]
    assert main([*words, *more]) == 0
    assert len((files / "run" / "losses.jsonl").read_text().splitlines()) == 4


def test_the_settings_keep_the_plugin_but_only_the_user_has_it_run(files):
    import yaml

    config = read_config("my.yaml", plugins=["my_losses.py"])
    assert config.plugins == ["my_losses.py"]
    kept = {**config.to_dict(), "betas": list(config.betas)}
    (files / "kept.yaml").write_text(yaml.safe_dump(kept))
    assert read_config("kept.yaml", plugins=["my_losses.py"]) == config
    (files / "other.py").write_text("raise SystemExit('it was run')")
    (files / "kept.yaml").write_text(yaml.safe_dump({**kept, "plugins": ["other.py"]}))
    with pytest.raises(IVGError, match=r"kept\.yaml needs the plugin other\.py, which is a program: look at it, then"):
        read_config("kept.yaml")
    with pytest.raises(IVGError, match=r"needs the plugin other\.py"):
        read_config("my.yaml", assignments=[("plugins", "[other.py]")], plugins=["my_losses.py"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\nboom", r"my_losses\.py fails in line 2 \(NameError: name 'boom' is not defined\): mend it"),
        ("x = (", r"my_losses\.py fails in line 1 \(SyntaxError"),
        ("raise SystemExit", r"fails in line 1 \(SystemExit"),
        ("import no_such_module", r"line 1 \(ModuleNotFoundError"),
        ("import ivg_core\nivg_core.register_loss('noise', int)", r"my_losses\.py: There is a loss 'noise' already"),
        (None, r"There is no plugin at my_losses\.py"),
    ],
)
def test_a_plugin_that_fails_is_one_sentence_and_can_be_mended(files, text, said):
    if text is None:
        (files / "my_losses.py").unlink()
    else:
        (files / "my_losses.py").write_text(text)
    with pytest.raises(IVGError, match=said) as error:
        load_plugins(["my_losses.py"])
    assert "\n" not in str(error.value)
    (files / "my_losses.py").write_text(PLUGIN)
    load_plugins(["my_losses.py"])
    assert load_plugins(["my_losses.py"]) == ["my_losses.py"]  # once is enough
    assert "steady" in losses.LOSSES


def test_only_python_is_a_plugin(files):
    with pytest.raises(IVGError, match=r"no plugin at my\.yaml"):
        load_plugins(["my.yaml"])


def test_a_loss_weighs_what_it_says():
    p = type("P", (), {"output": torch.full((1, 4, 2, 2, 2), 3.0)})()
    assert Flat()(p) == 9
