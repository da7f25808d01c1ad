"""The gates for boxes that ship beside the embedded model: things go where their boxes go."""

from dataclasses import replace

import pytest
import torch

from benchmarks.boxes import MOVED, TOLD, boxes_in, errands, said_to
from ivg_core.checkpoints.gates import EMBEDDED_GATES
from ivg_core.checkpoints.load import load_model
from ivg_core.checkpoints.weights import read_metadata
from ivg_core.evaluate.metrics.boxes import box_iou
from ivg_core.media.tracks import Track
from ivg_core.sampling.generate import Sampling, generate
from ivg_core.synthetic.carry import carried_clip
from ivg_core.synthetic.dataset import HELD_OUT_SEED


@pytest.fixture(scope="module")
def model():
    return load_model("embedded", boxes="embedded")


def test_they_are_small_and_say_what_they_are():
    metadata = read_metadata(EMBEDDED_GATES)
    assert (
        EMBEDDED_GATES.stat().st_size < 4e6 and metadata["licence"].startswith("MIT") and metadata["gates"] == "carry"
    )


def test_a_thing_goes_with_its_box_against_the_sentence_and_stays_without(model):
    made_for = model.defaults
    ((scene, what),) = errands("one", HELD_OUT_SEED + TOLD, 1, made_for.width, made_for.height)
    track = carried_clip(scene, what, made_for.num_frames).track
    asked = track.boxes(made_for.num_frames)
    moved = box_iou(asked, asked[:1].expand_as(asked)) < MOVED
    said = said_to(what, -1)
    photo = torch.from_numpy(scene.photo()).float() / 255

    def overlap(boxes: Track | None) -> float:
        video = generate(model, photo, said, boxes=boxes, seed=0, how=Sampling(keep_first_frame=True))
        found = boxes_in(scene, what, (video.frames.numpy() * 255).round().astype("uint8"))
        return float(box_iou(asked, found)[moved].mean())

    assert moved.any()
    assert overlap(track) > 0.3 > 0.1 > overlap(None)


def test_without_boxes_it_is_the_embedded_model(model):
    plain = load_model("embedded")
    photo = torch.full((64, 64, 3), 0.5)
    how = {"num_frames": 2, "size": (64, 64), "seed": 0, "how": Sampling(num_inference_steps=2)}
    with_gates = generate(replace(model, domain=None), photo, "push the cup", **how)
    assert torch.equal(with_gates.frames, generate(replace(plain, domain=None), photo, "push the cup", **how).frames)
