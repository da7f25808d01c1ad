"""Pictures that the embedded model knows and others, and what is said of the others."""

import logging
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

import ivg_core as ivg
from benchmarks.domain import bench_domain, spoilt
from ivg_core.checkpoints.info import inspect_checkpoint
from ivg_core.errors import IVGError
from ivg_core.media.images import save_png
from ivg_core.models.domain import Domain, Look, look_at, unfamiliar
from ivg_core.synthetic.clips import Scene
from recipes.embedded.domain import fit_domain, write_domain

SEEN = 3_000_000  # from here on: seeds that nothing was chosen on
HEIGHT, WIDTH = 128, 192
QUICK = ivg.Sampling(num_inference_steps=1)


@pytest.fixture(scope="module")
def model():
    return ivg.load_model("embedded")


@pytest.fixture(scope="module")
def scene():
    return torch.from_numpy(Scene(SEEN).photo()).float() / 255


def like_a_photo(seed: int = 0) -> torch.Tensor:
    """Detail of all sizes in all colours, as 1/f noise: (H, W, 3) 0..1."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft2(torch.randn(3, HEIGHT * 2, WIDTH * 2, generator=generator))
    rows, columns = torch.fft.fftfreq(HEIGHT * 2)[:, None], torch.fft.rfftfreq(WIDTH * 2)[None]
    picture = torch.fft.irfft2(spectrum / (rows.square() + columns.square()).sqrt().clamp(min=0.01))
    picture = (picture - picture.mean()) / picture.std()
    return (0.45 + 0.2 * picture).clamp(0, 1).permute(1, 2, 0)


def others() -> dict[str, torch.Tensor]:
    across, down = torch.linspace(0, 1, WIDTH)[None, :, None], torch.linspace(0, 1, HEIGHT)[:, None, None]
    wood = torch.tensor([0.55, 0.36, 0.22])  # a colour that the scenes have
    generator = torch.Generator().manual_seed(0)
    return {
        "noise": torch.rand(HEIGHT, WIDTH, 3, generator=generator),
        "one colour": wood.expand(HEIGHT, WIDTH, 3),
        "even lines": across.expand(HEIGHT, WIDTH, 3),
        "gradient in a known colour": wood * (0.6 + 0.5 * across + 0.2 * down),
        "empty in a known colour": (wood + 0.01 * torch.randn(HEIGHT, WIDTH, 3, generator=generator)),
        "like a photo": like_a_photo(),
        "a large photo": like_a_photo().repeat_interleave(5, 0).repeat_interleave(5, 1),
    }


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if "drawn kitchen scenes" in record.getMessage()]


@pytest.mark.parametrize("seed", range(SEEN, SEEN + 6))
def test_drawn_scenes_are_known_however_they_were_stored(model, seed):
    said = {name: unfamiliar(model, photo) for name, photo in spoilt(Scene(seed)).items()}
    assert len(said) == 10 and set(said.values()) == {""}, said


@pytest.mark.parametrize("name", others())
def test_other_pictures_are_not(model, name):
    assert "drawn kitchen scenes" in unfamiliar(model, others()[name])


def test_an_added_border_changes_nothing(model, scene):
    framed = torch.ones(200, 300, 3)
    framed[30 : 30 + HEIGHT, 50 : 50 + WIDTH] = scene
    assert look_at(model, framed) == look_at(model, scene)
    assert look_at(model, framed[:20]) is None


def test_both_measures_tell_something():
    domain = Domain("such", error=0.03, detail=0.02)
    assert domain.holds(Look(0.02, 0.05))
    assert not any(domain.holds(look) for look in (Look(0.04, 0.05), Look(0.02, 0.01), None))


def test_a_domain_lies_around_what_was_seen():
    looks = [Look(0.01 + 0.0001 * i, 0.05 + 0.0001 * i) for i in range(101)]
    domain = Domain.around("such", looks)
    assert domain.kind == "such" and all(domain.holds(look) for look in looks)
    assert domain.error == pytest.approx(0.02 * 1.1, rel=0.01)
    assert domain.detail == pytest.approx(0.05 / 1.25, rel=0.01)
    assert Domain.from_json(domain.to_json()) == domain
    apart = Domain.around("such", [*looks * 10, Look(0.5, 0.0001)])
    assert apart.error < 0.03 and apart.detail > 0.03


def test_the_recipe_measures_training_scenes(model):
    fitted = fit_domain(model, scenes=3)
    assert fitted.kind == model.domain.kind
    assert fitted.error < model.domain.error and fitted.detail > model.domain.detail
    assert all(fitted.holds(look_at(model, torch.from_numpy(Scene(seed).photo()) / 255)) for seed in range(3))


@pytest.mark.parametrize("run", (ivg.predict_rom, ivg.generate))
def test_a_run_warns_once_of_what_the_model_does_not_know(model, scene, run, caplog):
    caplog.set_level(logging.WARNING, "ivg")
    run(model, scene, "pick up the cup", num_frames=1, size=(64, 40), seed=0, how=QUICK)
    assert warnings(caplog) == []
    run(model, like_a_photo(), "pick up the cup", num_frames=1, size=(64, 40), seed=0, how=QUICK)
    assert warnings(caplog) == [unfamiliar(model, like_a_photo())]
    assert 'The model "embedded" knows only' in caplog.text


def test_a_batch_warns_once_whichever_photo_it_is(model, scene, caplog):
    photos = [scene, like_a_photo(), like_a_photo(1)]
    ivg.generate(model, photos, "pick up the cup", num_frames=1, size=(64, 40), seed=0, how=QUICK)
    assert len(warnings(caplog)) == 1


def test_a_model_without_a_domain_says_nothing(model, caplog):
    free = replace(model, domain=None)
    assert unfamiliar(free, like_a_photo()) == ""
    ivg.generate(free, like_a_photo(), "pick up the cup", num_frames=1, size=(64, 40), seed=0, how=QUICK)
    assert warnings(caplog) == []


def test_published_checkpoints_know_any_picture(tiny_model):
    assert tiny_model.domain is None


def test_a_domain_travels_with_the_model(model, tiny_model, tmp_path):
    ivg.save_file(model, tmp_path / "one.safetensors")
    ivg.save_folder(model, tmp_path / "folder")
    ivg.save_file(tiny_model, tmp_path / "free.safetensors")
    assert ivg.load_model(tmp_path / "one.safetensors").domain == model.domain
    assert ivg.load_model(tmp_path / "folder").domain == model.domain
    assert ivg.load_model(tmp_path / "free.safetensors").domain is None
    assert any("drawn kitchen scenes" in note for note in inspect_checkpoint("embedded").notes)


def test_it_is_written_into_a_file_without_touching_a_weight(tiny_model, tmp_path):
    path = ivg.save_file(tiny_model, tmp_path / "model.safetensors")
    before, data = load_file(path), path.read_bytes()
    write_domain(path, Domain("such", 0.03, 0.02))
    assert ivg.load_model(path).domain == Domain("such", 0.03, 0.02)
    after, written = load_file(path), path.read_bytes()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    starts = [8 + int.from_bytes(content[:8], "little") for content in (data, written)]
    assert starts[1] % 8 == 0 and data[starts[0] :] == written[starts[1] :]


@pytest.mark.parametrize("text", ("{", "[]", "{}", '{"kind": "such", "error": "much", "detail": 0}'))
def test_a_damaged_domain_is_said_to_be_one(tiny_model, tmp_path, text):
    path = ivg.save_file(tiny_model, tmp_path / "model.safetensors", metadata={"domain": text})
    with pytest.raises(IVGError, match="description is damaged"):
        ivg.load_model(path)


def test_the_benchmark_counts_what_is_told(model, scene, tmp_path):
    for folder in ("pictures", "drawings"):
        (tmp_path / folder).mkdir()
    save_png(like_a_photo(), tmp_path / "pictures" / "a.png")
    save_png(scene, tmp_path / "pictures" / "b.png")
    save_png(others()["noise"], tmp_path / "drawings" / "c.png")
    lines: list[str] = []
    figures = bench_domain(
        model, tmp_path / "pictures", tmp_path / "pictures", tmp_path / "drawings", scenes=1, log=lines.append
    )
    assert figures["misses"] == figures["misses_chosen"] == 0.5 and figures["pictures"] == 2
    assert figures["drawings_told"] == 1 and figures["drawings"] == 1
    assert figures["false_alarms"] == figures["false_alarms_half"] == 0 and figures["scenes"] == 1
    assert "b.png" in lines[0] and "a.png" not in lines[0]
    strict = replace(model, domain=Domain("nothing", error=0.0, detail=1.0))
    assert bench_domain(strict, tmp_path / "pictures", scenes=1, log=lines.append)["false_alarms"] == 1
    with pytest.raises(IVGError, match="no pictures in"):
        bench_domain(model, tmp_path / "nowhere", scenes=1, log=lines.append)
    with pytest.raises(IVGError, match="states no domain"):
        bench_domain(replace(model, domain=None), tmp_path)
