"""Tokens and text states against the original, and what is said of sentences that are too long."""

import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import load_file

from ivg_core.checkpoints.tokenizer import load_tokenizer, tokenizer_files
from ivg_core.errors import IVGError
from ivg_core.models.text import cut_words, encode_phrases, encode_text


@pytest.fixture(scope="module")
def files(golden):
    return {path.name: path.read_text() for path in (golden / "tiny_ckpt/tokenizer").iterdir()}


def test_tokens_equal_the_original(golden, tiny_model):
    expected = json.loads((golden / "functions.json").read_text())["tokenization"]
    assert {text: tiny_model.tokenizer(text).input_ids for text in expected} == expected


def test_states_equal_the_original(golden, tiny_model):
    variant = json.loads((golden / "meta.json").read_text())["variant"]
    expected = load_file(golden / "sampler_eval.safetensors")["prompt_embeds"]
    states = encode_text(tiny_model, [variant["negative"], variant["prompt"]])
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=0)
    assert not states.requires_grad


@pytest.mark.parametrize("end", [2, 7, None])
def test_a_phrase_is_the_state_at_its_end_token(tiny_model, end, monkeypatch):
    """Whatever the encoder's configuration says: 2 stands in old ones, and was never true."""
    if end is not None:
        monkeypatch.setattr(tiny_model.text_encoder.config, "eos_token_id", end)
        monkeypatch.setattr(
            getattr(tiny_model.text_encoder, "text_model", tiny_model.text_encoder), "eos_token_id", end
        )
    phrases = ["cup", "the red cup", ""]
    states = encode_text(tiny_model, phrases)
    vectors = encode_phrases(tiny_model, phrases)
    lengths = [len(tiny_model.tokenizer(phrase).input_ids) for phrase in phrases]
    assert vectors.shape == (3, 32) and len(set(lengths)) == 3
    for row, length in enumerate(lengths):
        assert torch.equal(vectors[row], states[row, length - 1])
    assert encode_phrases(tiny_model, []).shape == (0, 32)


def test_a_phrase_does_not_depend_on_those_beside_it(tiny_model):
    alone, beside = encode_phrases(tiny_model, ["cup"]), encode_phrases(tiny_model, ["the red tomato", "cup"])
    torch.testing.assert_close(alone[0], beside[1])


def test_words_that_fall_off_are_named(tiny_model, caplog):
    words = [f"word{i}" for i in range(40)]
    prompt = " ".join(words)
    lost = cut_words(tiny_model.tokenizer, prompt)
    kept = prompt.removesuffix(" " + lost)
    assert len(tiny_model.tokenizer(kept).input_ids) <= 77
    longer = " ".join(words[: len(kept.split()) + 1])
    assert len(tiny_model.tokenizer(longer).input_ids) > 77
    with caplog.at_level(logging.WARNING, "ivg"):
        cut, whole = encode_text(tiny_model, [prompt, longer])
    assert lost in caplog.text
    assert torch.equal(cut[:76], whole[:76])


def test_a_short_prompt_loses_nothing(tiny_model, caplog):
    assert cut_words(tiny_model.tokenizer, "") == cut_words(tiny_model.tokenizer, "stir the soup!") == ""
    with caplog.at_level(logging.WARNING, "ivg"):
        assert encode_text(tiny_model, ["", "stir"]).shape == (2, 77, 32)
    assert not caplog.text


def test_threads_do_not_take_each_others_padding(tiny_model):
    """A server samples in one thread while a node checks a sentence in another; the tokenizer has a state."""
    prompts = ["chop the carrot", "slice it and stir the soup", ""]
    alone = encode_text(tiny_model, prompts)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # without the lock all of 10 runs failed so, and seldom otherwise
    try:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda _: encode_text(tiny_model, prompts), range(40)))
    finally:
        sys.setswitchinterval(before)
    assert all(torch.equal(each, alone) for each in together)


def test_tokenizer_files_round_trip(files):
    first = load_tokenizer(files, "here")
    written = tokenizer_files(first)
    second = load_tokenizer(written, "here")
    assert json.loads(written["vocab.json"]) == json.loads(files["vocab.json"])
    assert written["merges.txt"] == files["merges.txt"]
    assert (second.pad_token, second.pad_token_id, second.model_max_length) == ("!", 0, 77)
    for text in ("The HAND, and Left-hand!  x", "it's 12 o'clock", "héllo 你好 <|endoftext|>"):
        assert second(text).input_ids == first(text).input_ids


def test_a_tokenizer_json_alone_is_enough(files):
    tokenizer = load_tokenizer(files, "here")
    merges = [line.split() for line in files["merges.txt"].splitlines()[1:]]
    whole = json.dumps({"model": {"vocab": json.loads(files["vocab.json"]), "merges": merges}})
    alone = load_tokenizer({"tokenizer.json": whole, "tokenizer_config.json": files["tokenizer_config.json"]}, "here")
    assert alone("the left hand").input_ids == tokenizer("the left hand").input_ids


def test_a_damaged_tokenizer_is_said(files):
    with pytest.raises(IVGError, match="tokenizer in here cannot be read"):
        load_tokenizer({**files, "vocab.json": files["vocab.json"][:100]}, "here")
    with pytest.raises(IVGError, match="tokenizer in here"):
        load_tokenizer({"merges.txt": files["merges.txt"]}, "here")
