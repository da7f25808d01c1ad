"""Make the network files in `ivg_core/assets` from the model files inside a mediapipe wheel.

    python -m recipes.hand_networks mediapipe-0.10.21-….whl
    python -m recipes.hand_networks …/site-packages

The files are TensorFlow Lite flatbuffers. Each file's layers stand in the order in which the network here lists its
own, so the n-th weight of the file is the n-th parameter; shapes are compared on the way, and tests compare results.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ivg_core.errors import IVGError
from ivg_core.hands.detector import PalmNet
from ivg_core.hands.landmarks import HandLandmarkNet
from ivg_core.hands.networks import ASSETS
from ivg_core.media.files import atomic_write

#: name here -> network, file in the wheel, its SHA-256
FILES: dict[str, tuple[nn.Module, str, str]] = {
    "hands-mediapipe-palm": (
        PalmNet(),
        "mediapipe/modules/palm_detection/palm_detection_full.tflite",
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
    ),
    "hands-mediapipe-landmark": (
        HandLandmarkNet(),
        "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    ),
    "hands-mediapipe-landmark-lite": (
        HandLandmarkNet(lite=True),
        "mediapipe/modules/hand_landmark/hand_landmark_lite.tflite",
        "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
    ),
}
NOTICE = {
    "format": "pt",
    "license": "Apache-2.0",
    "copyright": "The MediaPipe Authors",
    "changes": "converted from TensorFlow Lite to PyTorch's layout; values unchanged",
}

# Numbers of the TensorFlow Lite schema
CONV_2D, DEPTHWISE_CONV_2D, DEQUANTIZE, FULLY_CONNECTED, PRELU = 3, 4, 6, 9, 54
DTYPES: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 1: np.dtype("<f2")}


class Table:
    """A table of a flatbuffer: fields by number, each of which may be absent."""

    def __init__(self, data: bytes, position: int):
        self.data, self.position = data, position

    def place(self, field: int) -> int | None:
        """Where a field lies, None if it is absent."""
        layout = self.position - struct.unpack_from("<i", self.data, self.position)[0]
        if 4 + 2 * field >= struct.unpack_from("<H", self.data, layout)[0]:
            return None
        offset = struct.unpack_from("<H", self.data, layout + 4 + 2 * field)[0]
        return self.position + offset if offset else None

    def number(self, field: int, kind: str) -> int:
        """A number of a `struct` kind; 0 if it is absent, as the schema says."""
        place = self.place(field)
        return 0 if place is None else struct.unpack_from("<" + kind, self.data, place)[0]

    def array(self, field: int, dtype: str) -> np.ndarray:
        """A vector of numbers, empty if it is absent."""
        place = self.place(field)
        if place is None:
            return np.zeros(0, dtype)
        start, count = self._vector(place)
        return np.frombuffer(self.data, dtype, count, start)

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        place = self.place(field)
        assert place is not None
        start, count = self._vector(place)
        return [Table(self.data, self._target(start + 4 * i)) for i in range(count)]

    def _target(self, place: int) -> int:
        return place + struct.unpack_from("<I", self.data, place)[0]

    def _vector(self, place: int) -> tuple[int, int]:
        start = self._target(place)
        return start + 4, struct.unpack_from("<I", self.data, start)[0]


def weights(data: bytes) -> Iterator[Tensor]:
    """The weights of a model file, layer by layer, in PyTorch's layout; biases follow their weights."""
    model = Table(data, struct.unpack_from("<I", data, 0)[0])
    codes = [max(code.number(0, "b"), code.number(3, "i")) for code in model.tables(1)]
    graph = model.tables(2)[0]
    buffers, tensors = model.tables(4), graph.tables(0)
    constants: dict[int, np.ndarray] = {}
    for index, tensor in enumerate(tensors):
        content = buffers[tensor.number(2, "I")].array(0, "u1")
        if content.size and tensor.number(1, "b") in DTYPES:
            constants[index] = content.view(DTYPES[tensor.number(1, "b")]).reshape(tensor.array(0, "<i4"))
    for operation in graph.tables(3):
        kind = codes[operation.number(0, "I")]
        inputs, outputs = operation.array(1, "<i4").tolist(), operation.array(2, "<i4").tolist()
        if kind == DEQUANTIZE:  # half precision in the file, to be used in single precision
            constants[outputs[0]] = constants[inputs[0]]
        if kind not in (CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, PRELU):
            continue
        for constant in (constants[i] for i in inputs[1:]):
            if kind == CONV_2D and constant.ndim == 4:
                constant = constant.transpose(0, 3, 1, 2)  # (out, h, w, in) → (out, in, h, w)
            elif kind == DEPTHWISE_CONV_2D and constant.ndim == 4:
                constant = constant.transpose(3, 0, 1, 2)  # (1, h, w, channels) → (channels, 1, h, w)
            elif kind == PRELU:
                constant = constant.reshape(-1)
            yield torch.from_numpy(constant.copy(order="C"))


def convert(data: bytes, network: nn.Module) -> dict[str, Tensor]:
    """A model file's weights under the names of our network.

    Raises:
        IVGError: the file holds another network.
    """
    state = network.state_dict()
    found = list(weights(data))  # the file's last layer, joints in metres, has no place here
    named = dict(zip(state, found, strict=False))
    if [w.shape for w in named.values()] != [w.shape for w in state.values()]:
        raise IVGError("The model file's layers are not those of this network: take mediapipe 0.10.5 to 0.10.21.")
    return named


def read_source(source: Path, name: str) -> bytes:
    """A file of a wheel, or of the folder a wheel was installed in."""
    try:
        if source.is_dir():
            return (source / name).read_bytes()
        with zipfile.ZipFile(source) as wheel:
            return wheel.read(name)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise IVGError(f"{name} is not in {source}: give a wheel of mediapipe 0.10.21, or where it lies.") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="WHEEL_OR_FOLDER")
    parser.add_argument("--out", type=Path, default=ASSETS)
    options = parser.parse_args()
    for name, (network, path, digest) in FILES.items():
        data = read_source(options.source, path)
        if hashlib.sha256(data).hexdigest() != digest:
            raise IVGError(f"{path} is not the published file: its SHA-256 is not {digest}.")
        metadata = {**NOTICE, "source": f"mediapipe 0.10.21, {path}", "source_sha256": digest}
        with atomic_write(options.out / f"{name}.safetensors") as partial:
            save_file(convert(data, network), partial, metadata)
        print(options.out / f"{name}.safetensors")


if __name__ == "__main__":
    main()
