"""Settings of a training: presets, and every mistake named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivg_core.checkpoints.sources import SOURCES
from ivg_core.errors import IVGError
from ivg_core.training.config import PRESETS, LoRASettings, TrainConfig, TrainingPath, presets, read_config
from ivg_core.training.losses import make_losses


@pytest.mark.parametrize("name", presets())
def test_presets_are_valid_and_explain_themselves(name):
    config = read_config(name)
    assert config.data and "source" not in config.data  # what it learns of is nobody's guess
    assert all(make_losses(path.losses, config.stage) for path in config.all_paths())
    lines = (PRESETS / f"{name}.yaml").read_text().splitlines()
    assert f"ivg_core train --preset {name}" in lines[1]
    for line in lines:
        key, _, value = line.strip().removeprefix("- ").partition(":")
        assert "#" in line or not value or key in ("stage", "method", "name"), f"{line} is not explained"


@pytest.mark.parametrize("name", presets())
def test_a_model_that_a_preset_names_is_where_download_puts_it(name):
    model = read_config(name).model
    assert model == "embedded" or model in {f"models/{source}" for source in SOURCES}


def test_there_is_one_preset_a_use():
    ours = ["full-stage1", "full-stage2", "small-vram", "stage1-lora", "stage2-lora-hands"]
    relatives = ["looks-images", "looks-one-image", "motion-one-video", "motion-videos", "one-shot"]
    assert presets() == sorted([*ours, *relatives, "boxes-from-clips", "boxes-from-pictures"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lerning_rate: 1", "learning_rate"),
        ("lora: {spatal: {rank: 2}}", "spatial"),
        ("lora: {spatial: {rnk: 2}}", "rank"),
        ("losses: {nois: 1}", "noise"),
        ("losses: {noise: {insid: 1}}", "inside"),
        ("validation: {evry: 1}", "every"),
        ("steps: many", "whole number"),
        ("steps: 0", "at least 1"),
        ("steps: true", "whole number"),
        ("stage: 3", "choose of 1, 2"),
        ("betas: [0.9]", "2 belong"),
        ("lora: 3", "section"),
        ("lora: {}", "at least one role"),
        ("trainable: [attn1]", "method full"),
        ("prediction: epsilon", "method full"),
        ("losses: {miou: 0.1}", "stage 1"),
        ("stage: 1\nlosses: {motion: 0.1}", "stage 2"),
        ("losses: {noise: 0}", "weight 0"),
        ("text_dropout: 1.5", "at most 1"),
        ("learning_rate: 0", "at least 1e-12"),
        ("betas: [0.9, 1]", r"betas is \(0.9, 1.0\)"),
        ("name: ../../x", "without a folder"),
        ("name: 'C:x'", "without a folder"),
        ("name: ''", "without a folder"),
        ("name: " + "n" * 201, "200 bytes"),
        ("a: " + "[" * 5000 + "]" * 5000, "too deeply"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "\n".join(
                f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefg", "bcdefgh", strict=True)
            ),
            "unfolds",
        ),
        ("a: &a [*a]", "holds itself"),
        ("steps: 1" + ":59" * 4000, "steps is a huge number"),
        ("steps: 2020-99-99", "no yaml"),
        ("!!python/object/apply:os.system ['true']: 1", "no yaml"),
        ("just words", "no settings"),
        ("a: [", "no yaml"),
    ],
)
def test_mistakes_are_named(tmp_path, text, said):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(IVGError, match=said) as error:
        read_config(tmp_path / "my.yaml")
    assert "\n" not in str(error.value)


NUMBERS = [key for key, value in TrainConfig().to_dict().items() if type(value) in (int, float)]
INNER = [
    *(f"validation.{key}" for key in ("every", "draws", "samples", "sample_steps")),
    *(f"lora.spatial.{key}" for key in ("rank", "alpha", "dropout", "learning_rate")),
    *(f"losses.noise.{key}" for key in ("weight", "inside", "hands")),
    *(f"losses.hands.{key}" for key in ("weight", "frames", "min_snr", "presence", "views")),
]


@pytest.mark.parametrize("key", [*NUMBERS, "min_snr", *INNER])
@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "-1", "1e300", "9" * 400, "2020-01-01", "[1]", "{a: 1}"])
def test_numbers_that_cannot_work_are_named(key, value):
    with pytest.raises(IVGError) as error:
        read_config("small-vram", assignments=[(key, value)])
    assert key.split(".")[-1] in str(error.value) and len(str(error.value)) < 300


def test_a_missing_file_names_the_presets(tmp_path):
    with pytest.raises(IVGError, match="stage2-lora-hands"):
        read_config(tmp_path / "none.yaml")


def test_assignments_reach_inside():
    config = read_config(
        "small-vram", {"out": "x"}, [("lora.spatial.rank", "4"), ("losses.noise.inside", "2"), ("steps", "7")]
    )
    assert (config.out, config.lora["spatial"].rank, config.steps) == ("x", 4, 7)
    assert config.losses["noise"] == {"weight": 1.0, "inside": 2}


def test_a_slip_in_an_assignment_is_not_blamed_on_the_file(tmp_path):
    with pytest.raises(IVGError, match=r"^stpes=3: there is no setting 'stpes'; did you mean 'steps'"):
        read_config("small-vram", assignments=[("stpes", "3")])
    (tmp_path / "own.yaml").write_text("stpes: 3")
    with pytest.raises(IVGError, match=r"own\.yaml: there is no setting"):
        read_config(tmp_path / "own.yaml", assignments=[("steps", "4")])


def test_settings_survive_yaml(tmp_path):
    import yaml

    config = read_config("stage1-lora")
    (tmp_path / "again.yaml").write_text(yaml.safe_dump({**config.to_dict(), "betas": list(config.betas)}))
    assert read_config(tmp_path / "again.yaml") == config


@given(st.sampled_from(sorted(TrainConfig().to_dict())), st.sampled_from("abcxyz"), st.integers(0, 20))
def test_a_typo_finds_its_setting(key, letter, place):
    place = min(place, len(key))
    typo = key[:place] + letter + key[place:]
    if typo in TrainConfig().to_dict():
        return
    with pytest.raises(IVGError, match=r"did you mean|choose of"):
        read_config("small-vram", {typo: 1})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_settings_of_every_editor_are_read(tmp_path, encoding):
    (tmp_path / "t.yaml").write_bytes("name: sauté\r\nsteps: 7\r\n".encode(encoding))
    config = read_config(tmp_path / "t.yaml")
    assert (config.name, config.steps) == ("sauté", 7)


@pytest.mark.parametrize("content", [b"name: a\0", b"\x81\x8d", None])
def test_a_file_that_is_no_text_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "t.yaml").write_bytes(content)
    with pytest.raises(IVGError, match=r"t\.yaml"):
        read_config(tmp_path / "t.yaml")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lora": {"spatial": LoRASettings(per_clip=True)}}, "every role is per_clip"),
        ({"parity": True}, "give paths"),
        ({"paths": [TrainingPath({"noise": 1}, ["spatial", "temporal"], chance=0.5)]}, "give one of them chance 1"),
        ({"paths": [TrainingPath({"noise": 1}, ["spatial", "temporal"], flip=0.5)]}, "frames: one"),
    ],
)
def test_paths_that_learn_nothing_are_said(values, said):
    with pytest.raises(IVGError, match=said):
        TrainConfig(**values)
