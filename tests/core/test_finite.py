"""NaN and infinity are found in every type of number, and the error names what brought them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ivg_core.finite import count_of, is_finite, not_finite, overflow

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


@given(
    dtype=st.sampled_from(FLOATS),
    shape=st.lists(st.integers(1, 5), min_size=0, max_size=4),
    bad=st.sampled_from([None, torch.nan, torch.inf, -torch.inf]),
    data=st.data(),
)
def test_one_bad_value_is_found_wherever_it_stands(dtype, shape, bad, data):
    tensor = torch.ones(shape)
    if bad is not None:
        bad = torch.nan if dtype == torch.float8_e4m3fn else bad  # it has no infinity
        tensor.view(-1)[data.draw(st.integers(0, tensor.numel() - 1))] = bad
    assert is_finite(tensor.to(dtype)) == (bad is None)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_largest_numbers_are_finite(dtype):
    most = torch.finfo(dtype).max
    assert is_finite(torch.tensor([most, most, -most], dtype=torch.float64).to(dtype))


def test_what_holds_no_floating_point_number_is_finite():
    assert is_finite(torch.empty(0, 3)) and is_finite(torch.tensor([2**62])) and is_finite(torch.tensor([True]))


def test_a_sentence_counts_them():
    tensors = {"a": torch.ones(2), "b": torch.tensor([torch.nan]), "c": torch.tensor([torch.inf])}
    assert count_of(not_finite(tensors.items()), 3) == "NaN or infinite values in 2 of 3 tensors (first b)"


@pytest.mark.parametrize(
    ("spoilt", "dtype", "words"),
    [
        (True, torch.float16, ["its weights hold NaN or infinite values in 1 of 2 tensors (first bias)", "anew"]),
        (False, torch.float16, ["overflowed in torch.float16", "bfloat16 or float32"]),
        (False, torch.float32, ["overflowed even in torch.float32", "strength"]),
    ],
)
def test_the_cause_is_named(spoilt, dtype, words):
    network = nn.Linear(2, 2)
    if spoilt:
        nn.init.constant_(network.bias, torch.nan)
    said = str(overflow(network, "The network", dtype))
    assert said.startswith("The network gave NaN") and all(word in said for word in words)
    assert ("bfloat16" in said) == (dtype == torch.float16 and not spoilt)
