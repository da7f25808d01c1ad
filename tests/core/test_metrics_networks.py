"""The networks of the metrics, read from tiny checkpoints in the published layouts."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from metric_networks import WORDS, regular, write_blip, write_clip, write_egovlp, write_i3d
from PIL import Image

from ivg_core.errors import IVGError
from ivg_core.evaluate.metrics.blip import Captioner, blip_score
from ivg_core.evaluate.metrics.clip import (
    CLIP_MEAN,
    CLIP_STD,
    ClipSimilarity,
    clip_consecutive,
    clip_to_text,
    clip_to_truth,
    prepared,
)
from ivg_core.evaluate.metrics.egovlp import EgoVLP, SpaceTimeTransformer
from ivg_core.evaluate.metrics.i3d import I3DFeatures
from ivg_core.evaluate.metrics.inception import InceptionFeatures
from ivg_core.evaluate.metrics.weights import BLIP, CLIP, EGOVLP, I3D, INCEPTION


@pytest.fixture(scope="module")
def clip(tmp_path_factory, golden):
    return ClipSimilarity(write_clip(tmp_path_factory.mktemp("weights") / "clip", golden / "tiny_ckpt" / "tokenizer"))


@pytest.fixture(scope="module")
def egovlp(tmp_path_factory):
    return EgoVLP(write_egovlp(tmp_path_factory.mktemp("weights") / "egovlp.pth"))


def test_frames_are_prepared_as_transformers_prepares_them():
    pil = pytest.importorskip("transformers.models.clip.image_processing_pil_clip")
    processor = pil.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    picture = Image.effect_mandelbrot((100, 60), (-2, -1, 1, 1), 50).convert("RGB")
    theirs = processor(picture, return_tensors="pt")["pixel_values"]
    ours = prepared(torch.from_numpy(np.array(picture))[None].float() / 255, 32, CLIP_MEAN, CLIP_STD)
    assert ours.shape == theirs.shape == (1, 3, 32, 32)
    apart = (ours - theirs).abs() * max(CLIP_STD) * 255
    assert apart.mean() < 0.5 and apart.max() < 6  # theirs rounds to bytes in between


def test_clip_features_are_those_of_the_model(clip):
    frames = torch.rand(3, 40, 48, 3)
    found = clip.frames(frames)
    with torch.no_grad():
        pixels, tokens = (
            prepared(frames, 32, CLIP_MEAN, CLIP_STD),
            clip.tokenizer("cut the carrot", return_tensors="pt"),
        )
        output = clip.model(pixel_values=pixels, **tokens)
    assert torch.allclose(found, output.image_embeds, atol=1e-6)
    assert torch.allclose(clip.text("cut the carrot"), output.text_embeds[0], atol=1e-6)
    cosine = output.logits_per_image[:, 0] / clip.model.logit_scale.detach().exp()
    assert clip_to_text(found, clip.text("cut the carrot")) == pytest.approx(100 * float(cosine.mean()), abs=1e-4)


def test_clip_likeness_of_frames(clip):
    frames = clip.frames(torch.rand(3, 40, 48, 3))
    assert clip_to_truth(frames, frames) == pytest.approx(100, abs=1e-3)
    assert clip_to_truth(frames, frames.roll(1, 0)) < 100
    assert clip_consecutive(frames[:1].repeat(4, 1)) == pytest.approx(1, abs=1e-5)
    pairs = [float(frames[i] @ frames[i + 1]) for i in range(2)]
    assert clip_consecutive(frames) == pytest.approx(sum(pairs) / 2, abs=1e-6)


def test_a_long_sentence_does_not_break_clip(clip):
    assert clip.text("cut the carrot " * 60).shape == (24,)


def test_space_time_transformer_is_the_published_one():
    """Recorded by running EgoVLP's own network with the same weights on the same video."""
    net = SpaceTimeTransformer(width=128, hidden=512, depth=2, patch=16, patches=4, num_frames=4).eval()
    net.load_state_dict(regular(net.state_dict()))
    video = torch.sin(torch.arange(2 * 4 * 3 * 32 * 32, dtype=torch.float64) * 0.013).reshape(2, 4, 3, 32, 32).float()
    recorded = [-0.299787312746048, -0.3255271315574646, 0.09530146420001984, 0.2962496280670166, 0.7301093935966492]
    with torch.no_grad():
        assert torch.allclose(net(video)[0, :5], torch.tensor(recorded), atol=2e-6)
        video = torch.sin(torch.arange(2 * 3 * 3 * 32 * 32, dtype=torch.float64) * 0.013).reshape(2, 3, 3, 32, 32)
        recorded = [-0.2997944951057434, -0.3255175054073334, 0.09528296440839767, 0.29627498984336853]
        assert torch.allclose(net(video.float())[0, :4], torch.tensor(recorded), atol=2e-6)


def test_egovlp_reads_a_published_checkpoint(egovlp):
    assert egovlp.video.num_frames == 4 and egovlp.video.side == 32
    one, other = torch.rand(7, 40, 48, 3), torch.rand(7, 40, 48, 3).square()
    assert float(egovlp.clip(one) @ egovlp.clip(one)) == pytest.approx(1, abs=1e-5)
    assert float(egovlp.clip(one) @ egovlp.clip(other)) < 1 - 1e-6
    assert torch.equal(egovlp.clip(one), egovlp.clip(one[[0, 2, 4, 6]]))  # evenly spaced
    assert egovlp.clip(one[:3]).shape == (16,)  # fewer frames than it was made for


def test_egovlp_runs_no_code_of_a_checkpoint(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"state_dict": {}, "config": Trap()}, tmp_path / "egovlp.pth")
    with pytest.raises(IVGError, match="download it again"):
        EgoVLP(tmp_path / "egovlp.pth")
    assert not (tmp_path / "sprung").exists()


def test_blip_captions_are_compared_as_sentences(tmp_path, egovlp):
    captioner = Captioner(write_blip(tmp_path / "blip"))
    frames = torch.rand(2, 40, 48, 3)
    captions = captioner.captions(frames)
    assert len(captions) == 2 and all(set(caption.split()) <= set(WORDS) for caption in captions)
    assert not any(caption.startswith("a picture of") for caption in captions)
    likeness = [
        float(egovlp.text(captioner.tokens(c)) @ egovlp.text(captioner.tokens("the person cuts the carrot")))
        for c in captions
    ]
    score = blip_score(frames, "the person cuts the carrot", captioner, egovlp)
    assert score == pytest.approx(sum(likeness) / 2, abs=1e-6)
    same = blip_score(frames[:1], captions[0], captioner, egovlp)
    assert same == pytest.approx(1, abs=1e-5)


def test_i3d_is_called_as_the_published_script_wants(tmp_path):
    features = I3DFeatures(write_i3d(tmp_path / "i3d_torchscript.pt"))
    dark, bright = features(torch.zeros(12, 16, 16, 3)), features(torch.ones(12, 16, 16, 3))
    assert dark.shape == (1, 400)
    bias = features.network.conv.bias
    assert torch.allclose(dark + bright, 2 * bias[None], atol=1e-4)  # black is -1 and white is 1
    with pytest.raises(IVGError, match="at least 10 frames, these have 7"):
        features(torch.zeros(7, 16, 16, 3))


def test_inception_weights_of_pytorch_fid(tmp_path):
    inception = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    torch.manual_seed(0)
    made = object.__new__(inception.FeatureExtractorInceptionV3)
    path = tmp_path / INCEPTION.places[0]
    original = inception.load_state_dict_from_url
    inception.load_state_dict_from_url = lambda *a, **k: (_ for _ in ()).throw(AssertionError("nothing is downloaded"))
    try:
        with pytest.MonkeyPatch.context() as patch:  # random weights in the published layout
            patch.setattr(inception.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
            patch.setattr(inception.torch, "load", lambda *a, **k: {})
            made.__init__("fid", ["2048"], feature_extractor_weights_path="none")
        torch.save(made.state_dict(), path)
        features = InceptionFeatures(path)
    finally:
        inception.load_state_dict_from_url = original
    frames = torch.rand(2, 20, 30, 3)
    found = features(frames)
    expected = made((frames * 255).round().byte().permute(0, 3, 1, 2))[0]
    assert found.shape == (2, 2048) and torch.equal(found, expected)


@pytest.mark.parametrize(
    ("load", "file"),
    [(EgoVLP, "egovlp.pth"), (I3DFeatures, "i3d_torchscript.pt"), (ClipSimilarity, "clip"), (Captioner, "blip")],
)
def test_damaged_weights_are_named(tmp_path, load, file):
    path = tmp_path / file
    if "." in file:
        path.write_bytes(b"half a download")
    else:
        path.mkdir()
        (path / "config.json").write_text("{}")
    with pytest.raises(IVGError, match=file.split(".")[0]):
        load(path)


@pytest.mark.parametrize("network", [CLIP, BLIP, EGOVLP, I3D, INCEPTION], ids=lambda network: network.places[0])
def test_missing_weights_say_what_where_and_under_which_licence(network, tmp_path):
    with pytest.raises(IVGError) as error:
        network.find(tmp_path)
    for part in (network.about, network.source, network.licence, str(tmp_path / network.places[0])):
        assert part in str(error.value)
    with pytest.raises(IVGError, match="--weights"):
        network.find(None)
    place = tmp_path / network.places[-1] / network.inside
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    assert network.find(tmp_path) == tmp_path / network.places[-1]


def test_a_program_that_is_run_is_named_first(tmp_path, caplog):
    I3DFeatures(write_i3d(tmp_path / "i3d_torchscript.pt"))
    assert "is a program" in caplog.text and str(tmp_path) in caplog.text
    assert "trust its source" in I3D.about


def test_only_one_file_of_the_library_runs_programs_and_no_node_reaches_it():
    root = Path(__file__).parents[2]
    runs = {path.name for path in (root / "ivg_core").rglob("*.py") if "jit.load" in path.read_text(encoding="utf-8")}
    assert runs == {"i3d.py"}
    for path in (root / "nodes").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("i3d", "FAMILIES", "evaluate.run", "jit.load")), path


def test_inception_weights_that_hold_a_program_are_not_handed_on(tmp_path, monkeypatch):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    def extractor(*args, feature_extractor_weights_path):
        torch.load(feature_extractor_weights_path, weights_only=False)  # as torch before 2.6 did unless told otherwise

    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = extractor
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    torch.save({"weight": Trap()}, tmp_path / "inception.pth")
    with pytest.raises(IVGError, match="does not hold the weights of FID's Inception"):
        InceptionFeatures(tmp_path / "inception.pth")
    assert not (tmp_path / "executed").exists()


def test_networks_with_nan_give_no_figures(tmp_path, golden):
    for load, path in (
        (EgoVLP, write_egovlp(tmp_path / "egovlp.pth")),
        (I3DFeatures, write_i3d(tmp_path / "i3d_torchscript.pt")),
        (ClipSimilarity, write_clip(tmp_path / "clip", golden / "tiny_ckpt" / "tokenizer")),
        (Captioner, write_blip(tmp_path / "blip")),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ivg_core.finite.is_finite", lambda tensor: tensor.ndim != 1)
            with pytest.raises(IVGError, match=rf"{path.name} holds NaN or infinite values in \d+ of \d+ tensors"):
                load(path)
