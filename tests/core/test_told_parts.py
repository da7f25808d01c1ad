"""What another program's network is told: to a file and back, in a sentence's part and a clip's."""

import pytest
import torch
from safetensors.torch import load, save

from ivg_core.errors import IVGError
from ivg_core.training.data.told_parts import flatten, told_in

SENTENCE = {"text": torch.rand(1, 7, 8), "also": {"pooled_output": torch.rand(1, 6), "rate": 24.5, "none": None}}
CLIP = {
    "photo": torch.rand(1, 4, 1, 2, 3),
    "mask": torch.ones(1, 1, 3, 2, 3),
    "also": {"concat_latent_image": torch.rand(1, 4, 3, 2, 3), "guiding_frame_index": 0, "names": ["a", "é"]},
}


def test_both_parts_come_back_from_a_file():
    tensors = load(save({"latents": torch.zeros(1), **flatten(SENTENCE), **flatten(CLIP)}))
    told = told_in(tensors)
    for name in ("text", "photo", "mask"):
        assert torch.equal(getattr(told, name), {**SENTENCE, **CLIP}[name])
    given = {**SENTENCE["also"], **CLIP["also"]}
    assert told.also.keys() == given.keys() - {"none"}, "None is not told"
    for name, value in told.also.items():
        same = torch.equal(value, given[name]) if isinstance(value, torch.Tensor) else value == given[name]
        assert same and type(value) is type(given[name]), name


def test_a_tensor_keeps_its_kind():
    parts = {"text": torch.rand(1, 2, 4).bfloat16(), "also": {"seen": torch.ones(1, 3, dtype=torch.int64)}}
    told = told_in(load(save(flatten(parts))))
    assert told.text.dtype == torch.bfloat16 and told.also["seen"].dtype == torch.int64


def test_without_extras_there_are_none_and_without_parts_there_is_nothing():
    assert told_in(flatten({"text": torch.zeros(1, 1, 1)})).also == {}
    assert told_in({"latents": torch.zeros(1)}) is None


def test_what_no_file_can_keep_is_named():
    with pytest.raises(IVGError, match=r"gives hooks \(object\), which cannot be kept"):
        flatten({"text": torch.zeros(1, 2, 3), "also": {"hooks": object()}})
