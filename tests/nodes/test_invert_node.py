import comfy.model_management as mm
import comfy.utils
import pytest
import torch
from comfy_api.latest import InputImpl, Types
from test_sampling import sample

from ivg_pack.ivg_core.errors import IVGError
from ivg_pack.nodes.invert import IVGInvertVideo

CLIP = torch.rand(6, 48, 64, 3, generator=torch.Generator().manual_seed(0))
VIDEO = InputImpl.VideoFromComponents(Types.VideoComponents(images=CLIP, frame_rate=8))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    comfy.utils.ProgressBar.log.clear()


def prior_of(model, images=CLIP, video=None, **changes):
    widgets = {"prompt": "", "steps": 2, "frames": 3, "strength": 0.3, **changes}
    return IVGInvertVideo.execute(model, images=images, video=video, **widgets)[0]


def test_a_clip_becomes_a_noise_prior(model):
    prior = prior_of(model)
    assert prior.strength == 0.3 and prior.inverted.latents.shape[:2] == (4, 3)
    assert [log[:2] for log in comfy.utils.ProgressBar.log] == [(1, 2), (2, 2)]
    assert torch.equal(prior_of(model, None, VIDEO).inverted.latents, prior.inverted.latents)
    assert len(comfy.utils.ProgressBar.log) == 2  # it was kept
    assert torch.equal(prior_of(model, CLIP[[0, 2, 5]]).inverted.latents, prior.inverted.latents)


def test_no_frames_wanted_takes_the_models(model):
    assert prior_of(model, frames=0).inverted.latents.shape[1] == model.model.defaults.num_frames


def test_the_sampler_takes_it(model):
    alone = sample(model)[0][0]
    assert torch.equal(sample(model, noise_prior=prior_of(model, strength=0.0))[0][0], alone)
    assert not torch.equal(sample(model, noise_prior=prior_of(model, strength=0.5))[0][0], alone)
    whole = prior_of(model, strength=1.0)
    assert torch.equal(sample(model, noise_prior=whole)[0][0], sample(model, noise_prior=whole, seed=9)[0][0])


def test_cancel_stops_it_and_keeps_nothing(model, monkeypatch, tmp_path):
    class Interrupted(Exception):
        pass

    def interrupted():
        raise Interrupted

    monkeypatch.setattr(mm, "throw_exception_if_processing_interrupted", interrupted)
    with pytest.raises(Interrupted):
        prior_of(model)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("images", "video", "said"),
    [(None, None, "to one of the two"), (CLIP, VIDEO, "to one of the two"), (CLIP[:1], None, "has one frame")],
)
def test_what_is_no_clip(model, images, video, said):
    with pytest.raises(IVGError, match=said):
        prior_of(model, images, video)


def test_another_thing_in_the_socket(model):
    with pytest.raises(IVGError, match=r"noise_prior is 0\.5"):
        sample(model, noise_prior=0.5)
