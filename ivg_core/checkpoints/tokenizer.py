"""CLIP tokenizers from the files of a checkpoint and back, the same for every version of transformers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import CLIPTokenizer

from ..errors import IVGError, shortly
from ..settings import read_json

FILE_NAMES = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json")
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")
START, END = "<|startoftext|>", "<|endoftext|>"
CLIP_MERGES = Path(__file__).parents[1] / "assets" / "clip-merges.txt.gz"


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
        # From its files, CLIPTokenizer takes the pad token for no word even where a sentence has it.
        pad = special["pad_token"]
        if pad in vocab and not _is_listed(pad, config):
            special["pad_token"] = special["eos_token"]
        canonical = _canonical_files(vocab, merges, special, length, special.values())
        with TemporaryDirectory() as folder:
            for name, text in canonical.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)  # nosec B615 # a folder
        tokenizer.pad_token = pad
        return tokenizer
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
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    return _canonical_files(vocab, [_merge_text(merge) for merge in merges], special, tokenizer.model_max_length, added)


def clip_files() -> dict[str, str]:
    """The tokenizer of CLIP as OpenCLIP has it, for models that come without one: files as in a tokenizer folder.

    It fills up with token 0, which is "!". So do the published diffusers folders, by naming "!" the pad token; but then
    a "!" in a sentence becomes token 0 as well. Here it stays what it is in OpenCLIP.
    """
    merges = gzip.decompress(CLIP_MERGES.read_bytes()).decode("utf-8").splitlines()[1:]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    joined = [merge.replace(" ", "") for merge in merges]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *joined, START, END]
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": tokens[0]}
    return _canonical_files({token: i for i, token in enumerate(tokens)}, merges, special, 77, (START, END))


def _vocab_and_merges(files: dict[str, str]) -> tuple[dict[str, int], list[str]]:
    if "vocab.json" in files and "merges.txt" in files:
        lines = files["merges.txt"].splitlines()
        return read_json(files["vocab.json"]), [line for line in lines if line and not line.startswith("#version")]
    model = read_json(files["tokenizer.json"])["model"]
    return model["vocab"], [_merge_text(merge) for merge in model["merges"]]


def _special_tokens(files: dict[str, str], config: dict[str, Any]) -> dict[str, Any]:
    # Files from before transformers 4.34 can name two different pad tokens; there special_tokens_map.json decides.
    mapped = read_json(files.get("special_tokens_map.json", "{}"))
    defaults = {"bos_token": START, **dict.fromkeys(SPECIAL_TOKENS[1:], END)}
    named = {**mapped, **config} if "added_tokens_decoder" in config else {**config, **mapped}
    return {name: named.get(name) or default for name, default in defaults.items()}


def _is_listed(token: str, config: dict[str, Any]) -> bool:
    """Whether a token is no word; older files, which list none, say so of all special ones."""
    listed = config.get("added_tokens_decoder")
    return listed is None or token in {_token_text(added) for added in listed.values()}


def _token_text(token: str | dict[str, Any]) -> str:
    return token["content"] if isinstance(token, dict) else token


def _merge_text(merge: str | list[str] | tuple[str, ...]) -> str:
    return merge if isinstance(merge, str) else " ".join(merge)


def _canonical_files(
    vocab: dict[str, int], merges: list[str], special: dict[str, str], length: int, listed: Collection[str]
) -> dict[str, str]:
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    added = {str(vocab[token]): {"content": token, **plain} for token in special.values() if token in listed}
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
