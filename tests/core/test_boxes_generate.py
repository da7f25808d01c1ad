"""Box tracks in `generate`: what the network is told, in whole pictures, windows and batches; what is refused."""

from dataclasses import replace

import pytest
import torch
from box_gates import opened, text_to_video_network

from ivg_core.checkpoints.gates import holds_gates, read_gates, save_gates
from ivg_core.checkpoints.load import load_model
from ivg_core.errors import IVGError
from ivg_core.media.tracks import Keyframe, Thing, Track, seen_in
from ivg_core.models.add_gates import with_gates
from ivg_core.models.backbone import UNetBackbone
from ivg_core.models.text import encode_phrases
from ivg_core.sampling import generate as module
from ivg_core.sampling import invert as invert_module
from ivg_core.sampling.generate import Sampling, generate
from ivg_core.sampling.noise import gaussian_noise

PHOTO = torch.rand(32, 48, 3, generator=torch.Generator().manual_seed(0))
CUP = Thing("cup", (Keyframe(0, (0.1, 0.2, 0.4, 0.6)), Keyframe(1, (0.6, 0.4, 0.9, 0.8))))
GONE = Thing("spoon", (Keyframe(0, (0.0, 0.0, 0.2, 0.2)), Keyframe(0.5, None)))
FEW = {"num_frames": 3, "size": (48, 32), "seed": 1}


@pytest.fixture(scope="module")
def model(tiny_model):
    return replace(tiny_model, unet=opened(with_gates(tiny_model.unet, "boxes")))


@pytest.fixture
def asked(monkeypatch):
    """What the network was told, call by call."""

    class Heard(list):
        """What was told; beside it, what it was told of."""

    found = Heard()
    found.noisy = []

    class Listening(UNetBackbone):
        def __call__(self, noisy, level, told, features=None):
            found.append(told)
            found.noisy.append(noisy)
            return super().__call__(noisy, level, told, features)

    monkeypatch.setattr(module, "UNetBackbone", Listening)
    return found


def how(**changed):
    return Sampling(num_inference_steps=1, **({"guidance_scale": 2.0} | changed))


def test_the_network_is_told_boxes_and_phrases_padded_to_eight(model, asked):
    track = Track((CUP, GONE))
    generate(model, PHOTO, "push the cup", boxes=track, how=how(), **FEW)
    (told,) = asked
    assert told.boxes.shape == (2, 3, 8, 5) and told.phrases.shape[:3] == (2, 1, 8)
    assert torch.equal(told.boxes[0], told.boxes[1])  # the negative prompt has the same boxes
    torch.testing.assert_close(told.boxes[0, :, :2], track.boxes(3))
    assert not told.boxes[:, :, 2:].any() and told.boxes[0, 1:, 1].tolist() == [[0.0] * 5] * 2
    torch.testing.assert_close(told.phrases[0, 0, :2], encode_phrases(model, ["cup", "spoon"]))


def test_boxes_move_the_video_and_none_leave_the_model_as_it_is(model, tiny_model):
    plain = generate(tiny_model, PHOTO, "push the cup", how=how(), **FEW)
    assert torch.equal(generate(model, PHOTO, "push the cup", how=how(), **FEW).latents, plain.latents)
    boxed = generate(model, PHOTO, "push the cup", boxes=Track((CUP,)), how=how(), **FEW)
    assert not torch.allclose(boxed.latents, plain.latents, atol=1e-4)


def test_one_call_of_two_rungs_where_nothing_guides_by_the_boxes_and_three_where_it_does(model, asked):
    for scale, rows in ((1.0, 2), (3.0, 3)):
        asked.clear()
        generate(model, PHOTO, "push", boxes=Track((CUP,)), how=how(boxes_scale=scale), **FEW)
        assert [len(told.text) for told in asked] == [rows]
    without, lower, upper = asked[0].boxes
    assert not without.any() and torch.equal(lower, upper) and lower.any()


def test_each_video_of_a_batch_has_its_own_track(model, asked):
    tracks = [Track((CUP,)), None]
    both = generate(model, PHOTO, ["push", "push"], boxes=tracks, how=how(guidance_scale=1.0), **FEW)
    (told,) = asked
    torch.testing.assert_close(told.boxes[0, :, :1], tracks[0].boxes(3))
    assert not told.boxes[1].any()
    alone = generate(model, PHOTO, "push", boxes=tracks[0], how=how(guidance_scale=1.0), **FEW)
    torch.testing.assert_close(both.latents[0], alone.latents[0], atol=2e-3, rtol=0)


def test_a_window_is_told_where_things_are_in_it(model, asked):
    mask = torch.zeros(64, 96)
    mask[4:12, 4:12] = 1
    photo = torch.rand(64, 96, 3)
    many = {"num_frames": 2, "size": (96, 64), "seed": 1}
    thing = Thing("cup", (Keyframe(0, (0.1, 0.1, 0.3, 0.3)),))
    far = Thing("pan", (Keyframe(0, (0.8, 0.8, 0.9, 0.9)),))
    generate(model, photo, "push", mask=mask, boxes=Track((thing, far)), how=how(region="crop"), **many)
    told = asked[0]
    height, width = told.mask.shape[-2:]
    assert (width, height) < (12, 8)
    x1, y1, x2, y2, there = told.boxes[0, 0, 0].tolist()
    assert there == 1
    cells = [x1 * width, y1 * height, x2 * width, y2 * height]
    assert cells == pytest.approx([1.2, 0.8, 3.6, 2.4], abs=1e-4)  # as the window begins at the picture's corner
    assert not told.boxes[0, :, 1].any()  # outside of the window


def test_a_part_of_the_picture_shows_what_lies_in_it():
    boxes = torch.tensor([[0.2, 0.2, 0.6, 0.6, 1.0], [0.0, 0.0, 0.1, 0.1, 1.0], [0.3, 0.3, 0.4, 0.4, 0.0]])
    shown = seen_in(boxes, (0.4, 0.0, 0.8, 1.0))
    torch.testing.assert_close(shown[0], torch.tensor([0.0, 0.2, 0.5, 0.6, 1.0]))
    assert not shown[1:].any()


# ---------------------------------------------------------------- SMCD


@pytest.fixture(scope="module")
def smcd(tiny_model):
    """A model that is told the photo as SMCD's is, with random weights."""
    unet = text_to_video_network(tiny_model.unet.config["cross_attention_dim"])
    gated = opened(with_gates(unet, "boxes_photo", (4, 4, 8, 8)))
    torch.nn.init.normal_(gated.conv_in.weight, std=0.1)
    return replace(tiny_model, unet=gated, rom_unet=None)


def test_smcd_begins_with_noise_alone_and_hears_of_the_photo_at_every_step(smcd, asked):
    video = generate(smcd, PHOTO, "push", boxes=Track((CUP,)), how=how(guidance_scale=1.0), **FEW)
    (told,) = asked
    assert told.mask is None and told.motion is None and told.photo.shape == (1, 4, 1, 4, 6)
    assert torch.equal(asked.noisy[0], gaussian_noise([1], (4, 3, 4, 6)))
    other = generate(smcd, PHOTO.flip(1), "push", boxes=Track((CUP,)), how=how(guidance_scale=1.0), **FEW)
    assert not torch.allclose(video.latents, other.latents, atol=1e-3)


def test_smcd_without_a_track_is_told_that_nothing_is_there(smcd, asked):
    generate(smcd, PHOTO, "push", how=how(), **FEW)
    (told,) = asked
    assert told.boxes.shape == (2, 3, 8, 5) and not told.boxes.any() and len(told.text) == 2


def test_photo_scale_adds_the_rung_without_the_photo(smcd, asked):
    generate(smcd, PHOTO, "push", boxes=Track((CUP,)), how=how(photo_scale=2.0, boxes_scale=3.0), **FEW)
    (told,) = asked
    assert len(told.text) == 4
    assert not told.photo[0].any() and torch.equal(told.photo[1], told.photo[3]) and told.photo[1].any()
    assert not told.boxes[:2].any() and told.boxes[2:].any()


def test_in_parity_the_photo_is_left_out_beside_the_frames_alone(smcd, asked):
    generate(smcd, PHOTO, "push", boxes=Track((CUP,)), how=how(photo_scale=2.0, parity=True), **FEW)
    whole, without, rungs = asked
    assert len(rungs.text) == 2 and whole.seen is None
    assert not without.photo.any() and torch.equal(without.seen, whole.photo)


def test_a_clip_is_inverted_as_smcd_samples(smcd, monkeypatch):
    found = []

    class Listening(UNetBackbone):
        def __call__(self, noisy, level, told, features=None):
            found.append(told)
            return super().__call__(noisy, level, told, features)

    monkeypatch.setattr(invert_module, "UNetBackbone", Listening)
    invert_module.invert(smcd, torch.rand(2, 32, 48, 3), steps=1, size=(48, 32))
    (told,) = found
    assert told.photo is not None and told.mask is None and not told.boxes.any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"how": how(boxes_scale=2.0)}, "there is no box track"),
        ({"how": how(photo_scale=2.0)}, "has never been without its photo"),
        ({"boxes": "bbox.txt"}, "must be box tracks"),
        ({"boxes": [Track((CUP,))] * 2, "seed": [1, 2, 3]}, "not equally long"),
    ],
)
def test_what_cannot_be(model, options, said):
    with pytest.raises(IVGError, match=said):
        generate(model, PHOTO, "push", **({"how": how(), "num_frames": 2, "seed": 1} | options))


def test_a_model_without_gates_says_how_to_get_some(tiny_model):
    with pytest.raises(IVGError, match="follows no boxes: load it with gates for boxes"):
        generate(tiny_model, PHOTO, "push", boxes=Track((CUP,)), how=how(), **FEW)


def test_scales_are_numbers():
    with pytest.raises(IVGError, match="boxes_scale is nan"):
        Sampling(boxes_scale=float("nan"))


# ---------------------------------------------------------------- gates in a file


def test_gates_of_a_file_make_a_model_follow_boxes(model, tiny_model, golden, tmp_path):
    path = save_gates(model.unet, tmp_path / "gates.safetensors", {"licence": "MIT"})
    assert holds_gates(path) and path.stat().st_size < 5e6
    loaded = load_model(golden / "tiny_ckpt", boxes=path)
    assert loaded.takes_boxes and not tiny_model.takes_boxes
    theirs = model.unet.state_dict()
    for name, weight in loaded.unet.state_dict().items():
        torch.testing.assert_close(weight, theirs[name], atol=1e-6, rtol=1e-3)  # in half precision in the file


def test_gates_that_do_not_fit_or_are_none(model, golden, tmp_path):
    path = save_gates(model.unet, tmp_path / "gates.safetensors", {})
    with pytest.raises(IVGError, match="are for another model"):
        load_model("embedded", boxes=path)
    with pytest.raises(IVGError, match="holds gates for boxes alone"):
        load_model(path)
    with pytest.raises(IVGError, match="holds no gates"):
        read_gates(golden / "unet_io.safetensors", model.unet)
    with pytest.raises(IVGError, match="There are no gates"):
        read_gates(tmp_path / "none.safetensors", model.unet)
    (tmp_path / "noise.safetensors").write_bytes(b"none")
    assert not holds_gates(tmp_path / "noise.safetensors")
