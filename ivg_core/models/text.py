"""From sentences to the text states that the UNets attend to."""

from __future__ import annotations

import logging
import threading
import unicodedata
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer

    from .bundle import IVGModel

log = logging.getLogger("ivg")

MOST_SAID = 200  # letters of what is cut off
# A tokenizer of transformers keeps padding and truncation as a state of its own: calls of two threads must not overlap.
_tokenizing = threading.Lock()


def encode_text(model: IVGModel, prompts: list[str]) -> Tensor:
    """Encodes sentences; words beyond the 77 tokens fall off, and a warning names them.

    Args:
        model: the checkpoint.
        prompts: B sentences, "" for no text.

    Returns:
        Last hidden states (B, 77, D), on the device and in the dtype of the text encoder.

    Source: the released pipeline: padded to 77, no attention mask, the state after the final norm.
    """
    return _encode(model, prompts)[0]


def encode_phrases(model: IVGModel, phrases: list[str]) -> Tensor:
    """Encodes names of things, each to one vector: the state at its end token.

    Args:
        model: the checkpoint.
        phrases: N names, such as "cup"; none may be given.

    Returns:
        States after the final norm, not projected (N, D), on the device and in the dtype of the text encoder.

    Source: GLIGEN and SMCD: CLIP's pooled text state.
    """
    if not phrases:
        encoder = model.text_encoder
        return torch.empty(0, encoder.config.hidden_size, device=encoder.device, dtype=encoder.dtype)
    states, ids = _encode(model, phrases)
    # Not the encoder's own choice, which errs where its configuration names another end token than the tokenizer does.
    ends = (ids == model.tokenizer.eos_token_id).int().argmax(1)
    return states[torch.arange(len(ids)), ends.to(states.device)]


def _encode(model: IVGModel, prompts: list[str]) -> tuple[Tensor, Tensor]:
    """The states (B, 77, D) and the tokens (B, 77) of sentences."""
    ids = text_tokens(model, prompts)
    return encode_tokens(model.text_encoder, ids), ids


def text_tokens(model: IVGModel, prompts: list[str]) -> Tensor:
    """The tokens of sentences, as `encode_text` reads them; it says which words fall off.

    Args:
        model: the checkpoint.
        prompts: B sentences, "" for no text.

    Returns:
        (B, 77) int64, on the CPU.
    """
    for prompt in prompts:
        lost = cut_words(model.tokenizer, prompt)
        if lost:
            half = MOST_SAID // 2
            said = lost if len(lost) <= MOST_SAID else f"{lost[:half]} … {lost[-half:]}"
            log.warning("The text is longer than the model reads; this part of it is not used: %s", said)
    with _tokenizing:
        return model.tokenizer(
            prompts,
            padding="max_length",
            max_length=model.text_encoder.config.max_position_embeddings,
            truncation=True,
            return_tensors="pt",
        ).input_ids


def encode_tokens(encoder: CLIPTextModel, ids: Tensor) -> Tensor:
    """The last hidden states (B, 77, D) of tokens (B, 77), on the device and in the dtype of the text encoder."""
    with torch.no_grad():
        return encoder(ids.to(encoder.device))[0]


def unreadable_words(prompt: str) -> str:
    """The words of a prompt in another script than Latin, of which text encoders trained on English make no sense."""
    return " ".join(word for word in prompt.split() if any(_is_foreign(letter) for letter in word))


def _is_foreign(letter: str) -> bool:
    return letter.isalpha() and not unicodedata.name(letter, "").startswith(("LATIN", "FULLWIDTH LATIN"))


def cut_words(tokenizer: CLIPTokenizer, prompt: str) -> str:
    """The words at the end of a prompt that do not fit into the tokens a model reads; "" if all fit."""
    room = tokenizer.model_max_length - 2  # the start and end tokens
    words = prompt.split()
    for i, word in enumerate(words):
        with _tokenizing:
            room -= len(tokenizer(word, add_special_tokens=False).input_ids)
        if room < 0:
            return " ".join(words[i:])
    return ""
