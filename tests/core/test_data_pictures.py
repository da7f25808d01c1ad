"""Pictures as training data: clips of one frame, from the file to a trained step."""

import pytest
import torch

from ivg_core.errors import IVGError
from ivg_core.media.images import save_png
from ivg_core.media.video import write_video
from ivg_core.training.config import TrainConfig
from ivg_core.training.data.dataset import load_data, survey
from ivg_core.training.data.settings import DataSettings
from ivg_core.training.trainer import train


@pytest.fixture
def source(tmp_path):
    """Two pictures and a clip, with captions and masks."""
    rng = torch.Generator().manual_seed(0)
    for name in ("a", "b", "film"):
        if name == "film":
            write_video(torch.rand(4, 32, 48, 3, generator=rng), tmp_path / "clips" / "film.mp4", 8)
        else:
            save_png(torch.rand(32, 48, 3, generator=rng), tmp_path / "clips" / f"{name}.png")
        (tmp_path / "clips" / f"{name}.txt").write_text(f"say {name}")
        for k in range(4 if name == "film" else 1):
            save_png(torch.ones(32, 48), tmp_path / "masks" / name / f"{k}.png")
    return tmp_path


def settings(source, **options) -> DataSettings:
    sizes = {"width": 48, "height": 32, "frames": 4}
    return DataSettings(str(source / "clips"), masks=str(source / "masks"), **{**sizes, **options})


@pytest.mark.parametrize("sampling", ["even", "released"])
def test_a_picture_is_told_as_one(source, tiny_model, sampling):
    report = survey(settings(source, frame_sampling=sampling, camera="stabilise"), tiny_model, 2)
    assert [len(about.indices) for about in report.clips] == [1 if sampling == "even" else 4] * 2 + [4]
    text = str(report)
    assert "48 x 32, one picture" in text and "it teaches how things look" in text and not report.rejected


def test_one_mask_file_is_a_pictures_mask(source, tiny_model):
    (source / "masks" / "a" / "0.png").rename(source / "masks" / "a.png")
    (about, *_) = survey(settings(source), tiny_model, 2).clips
    assert about.name == "a" and about.coverage == 1


@pytest.mark.parametrize("stage", [1, 2])
def test_pictures_and_clips_are_trained_on_together(source, tmp_path, tiny_model, stage):
    (source / "masks" / "a" / "0.png").rename(source / "masks" / "a.png")  # of a picture, it is a mask of each frame
    data = load_data(settings(source, heldout=1), tiny_model, stage, tmp_path / "cache")
    shapes = {data.train[i]["name"]: data.train[i]["latents"].shape[1] for i in range(len(data.train))}
    shapes |= {data.heldout[0]["name"]: data.heldout[0]["latents"].shape[1]}
    assert shapes == {"a": 1, "b": 1, "film": 4}
    config = TrainConfig(stage=stage, steps=4, out=str(tmp_path / "out"), device="cpu", warmup=0)
    done = train(config, tiny_model, data.train, data.heldout)
    assert done.finished and all(torch.isfinite(torch.tensor(figures["loss"])) for figures in done.history)


def test_a_strip_is_rejected_before_it_fills_the_memory(tmp_path, tiny_model):
    save_png(torch.rand(2, 4000, 3), tmp_path / "strip.png")
    options = DataSettings(str(tmp_path), masks="white", caption="x", width=512, height=512, frames=4)
    (rejected,) = survey(options, tiny_model, 2).rejected
    assert "4000 x 2, far from any shape" in rejected.why


def test_a_video_of_one_frame_is_still_a_mistake(tmp_path, tiny_model):
    write_video(torch.rand(1, 32, 48, 3), tmp_path / "still.mp4", 8)
    with pytest.raises(IVGError, match="it has one frame"):
        load_data(DataSettings(str(tmp_path), masks="white", caption="x", frames=4), tiny_model, 2, tmp_path / "cache")
