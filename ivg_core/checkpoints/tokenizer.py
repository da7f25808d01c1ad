"""CLIP tokenizers from the files of a checkpoint and back, the same for every version of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import CLIPTokenizer

from ..errors import IVGError, shortly
from ..settings import read_json

FILE_NAMES = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json")
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")


def load_tokenizer(files: dict[str, str], where: str) -> CLIPTokenizer:
    """Builds the tokenizer that a checkpoint's tokenizer folder describes.

    Args:
        files: file name -> text.
        where: what to call the place in an error.

    Raises:
        IVGError: the files are damaged, or vocabulary or merges are missing.
    """
    try:
        vocab, merges = _vocab_and_merges(files)
        config = read_json(files.get("tokenizer_config.json", "{}"))
        special = {name: _token_text(value) for name, value in _special_tokens(files, config).items()}
        length = min(int(config.get("model_max_length", 77)), 77)
        canonical = _canonical_files(vocab, merges, special, length)
        with TemporaryDirectory() as folder:
            for name, text in canonical.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            return CLIPTokenizer.from_pretrained(folder, local_files_only=True)  # nosec B615 # a folder
    except Exception as error:  # the tokenizers' own code raises plain Exceptions
        raise IVGError(
            f"The tokenizer in {where} cannot be read ({type(error).__name__}: {shortly(error)}): "
            "get vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json of this checkpoint again."
        ) from error


def tokenizer_files(tokenizer: CLIPTokenizer) -> dict[str, str]:
    """The four files of the published layout (name -> text), which every version of transformers can read."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        model = json.loads(backend.to_str())["model"]
        vocab, merges = model["vocab"], model["merges"]
    else:  # the pure Python tokenizer of transformers 4
        slow: Any = tokenizer
        vocab, merges = slow.encoder, sorted(slow.bpe_ranks, key=slow.bpe_ranks.get)
    special = {name: str(getattr(tokenizer, name)) for name in SPECIAL_TOKENS}
    return _canonical_files(vocab, [_merge_text(merge) for merge in merges], special, tokenizer.model_max_length)


def _vocab_and_merges(files: dict[str, str]) -> tuple[dict[str, int], list[str]]:
    if "vocab.json" in files and "merges.txt" in files:
        lines = files["merges.txt"].splitlines()
        return read_json(files["vocab.json"]), [line for line in lines if line and not line.startswith("#version")]
    model = read_json(files["tokenizer.json"])["model"]
    return model["vocab"], [_merge_text(merge) for merge in model["merges"]]


def _special_tokens(files: dict[str, str], config: dict[str, Any]) -> dict[str, Any]:
    # Files from before transformers 4.34 can name two different pad tokens; there special_tokens_map.json decides.
    mapped = read_json(files.get("special_tokens_map.json", "{}"))
    defaults = {"bos_token": "<|startoftext|>", **dict.fromkeys(SPECIAL_TOKENS[1:], "<|endoftext|>")}
    named = {**mapped, **config} if "added_tokens_decoder" in config else {**config, **mapped}
    return {name: named.get(name) or default for name, default in defaults.items()}


def _token_text(token: str | dict[str, Any]) -> str:
    return token["content"] if isinstance(token, dict) else token


def _merge_text(merge: str | list[str] | tuple[str, ...]) -> str:
    return merge if isinstance(merge, str) else " ".join(merge)


def _canonical_files(vocab: dict[str, int], merges: list[str], special: dict[str, str], length: int) -> dict[str, str]:
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    added = {str(vocab[token]): {"content": token, **plain} for token in dict.fromkeys(special.values())}
    config = {
        "added_tokens_decoder": added,
        **special,
        "clean_up_tokenization_spaces": True,
        "errors": "replace",
        "model_max_length": length,
        "tokenizer_class": "CLIPTokenizer",
    }
    return {
        "vocab.json": json.dumps(vocab, ensure_ascii=False),
        "merges.txt": "\n".join(["#version: 0.2", *merges]) + "\n",
        "tokenizer_config.json": json.dumps(config, indent=2),
        "special_tokens_map.json": json.dumps(special, indent=2),
    }
