"""Weight files: finding them, looking into them without reading them, and reading them one tensor at a time."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from ..errors import IVGError
from ..finite import is_finite, spoilt_file

STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
SUFFIXES = (".safetensors", ".fp16.safetensors", ".bin", ".fp16.bin")

DTYPE_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32"}


@dataclass(frozen=True)
class TensorInfo:
    """Shape and dtype of a tensor that has not been read."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def numel(self) -> int:
        return prod(self.shape)


def is_safetensors(path: Path) -> bool:
    """Whether a file is, by its name, a safetensors file; `.sft` is a short form of it."""
    return path.suffix.lower() in (".safetensors", ".sft")


def find_weights(folder: Path) -> Path | None:
    """The weight file of a component folder, safetensors before .bin, full precision before fp16."""
    candidates = (folder / (stem + suffix) for suffix in SUFFIXES for stem in STEMS)
    return next((path for path in candidates if path.is_file()), None)


def list_tensors(path: Path) -> dict[str, TensorInfo]:
    """Name, shape and dtype of every tensor in a weight file, without reading the tensors.

    Raises:
        IVGError: the file is damaged, or holds code.
    """
    if not is_safetensors(path):
        stored = _stored_tensors(path)
        return {key: TensorInfo(tuple(t.shape), str(t.dtype).removeprefix("torch.")) for key, t in stored}
    table = {}
    with _damage_explained(path), safe_open(path, framework="pt") as file:
        for key in list(file.keys()):
            piece = file.get_slice(key)
            dtype = str(piece.get_dtype())
            table[key] = TensorInfo(tuple(piece.get_shape()), DTYPE_NAMES.get(dtype, dtype))
    return table


def read_metadata(path: Path) -> dict[str, str]:
    """The text that a safetensors file carries beside its tensors.

    Raises:
        IVGError: the file is damaged.
    """
    with _damage_explained(path), safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def read_tensors(
    path: Path,
    prefix: str = "",
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    skip: tuple[str, ...] = (),
) -> dict[str, Tensor]:
    """Reads the tensors whose names start with `prefix`, one at a time, so that memory peaks near their own size.

    Args:
        path: a safetensors or .bin file.
        prefix: taken off the names.
        dtype: floating-point tensors are cast to it; None keeps the file's.
        device: where the tensors go.
        skip: tensors whose names start with one of these are not read.

    Raises:
        IVGError: the file is damaged, or holds code, NaN, infinity, or numbers that `dtype` cannot hold.
    """
    tensors: dict[str, Tensor] = {}
    spoilt: list[str] = []
    too_large: list[str] = []
    for key, tensor in _stored_tensors(path, prefix, skip):
        cast = tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)
        if not is_finite(cast):
            (too_large if is_finite(tensor) else spoilt).append(key)
        tensors[key[len(prefix) :]] = cast
    if spoilt:
        raise spoilt_file(path, spoilt, len(tensors))
    if too_large:
        raise IVGError(
            f"{path} holds numbers too large for {dtype} in {len(too_large)} of {len(tensors)} tensors "
            f"(first {too_large[0]}): load it in bfloat16 or float32."
        )
    return tensors


def _stored_tensors(path: Path, prefix: str = "", skip: tuple[str, ...] = ()) -> Iterator[tuple[str, Tensor]]:
    with _damage_explained(path):
        if is_safetensors(path):
            with safe_open(path, framework="pt") as file:
                for key in list(file.keys()):
                    if key.startswith(prefix) and not key.startswith(skip):
                        yield key, file.get_tensor(key)
        else:
            state = _named_tensors(path)
            for key in list(state):
                tensor = state.pop(key)
                if key.startswith(prefix) and not key.startswith(skip):
                    yield key, tensor


def load_pickle(path: Path) -> Any:
    """What a .bin or .pt file holds: tensors in dicts and lists, never code.

    Raises:
        IVGError: the file is damaged, or holds code.
    """
    with _damage_explained(path):
        # Memory-mapping needs torch's zip format; files older than torch 1.6 are plain pickles.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def _named_tensors(path: Path) -> dict[str, Tensor]:
    state = load_pickle(path)
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise IVGError(f"{path} holds no set of named weights: check that it is the file that was published.")
    return state


@contextmanager
def _damage_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path):
            raise IVGError(
                f"{path} holds program code beside its weights and is therefore not opened: "
                "get the safetensors version of this file."
            ) from error
        raise IVGError(_damaged(path, error)) from error
    except (IVGError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle fails in any way
        raise IVGError(_damaged(path, error)) from error


def _damaged(path: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return f"{path} cannot be read, it is half-downloaded or damaged ({reason}): delete it and download it again."
