"""What it costs to look for NaN and infinity in weights as they are read: a component of 1 GiB, with and without.

    PYTHONPATH=. python benchmarks/weights_check.py [--record benchmarks]

The file lies in the system's cache, so that the disk plays no part; with a disk the share is smaller. Each figure is
the median over rounds in which reading with and without the check take turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.record import record_options, report
from ivg_core.checkpoints import weights

SHAPE, TENSORS = (2048, 2048), 64  # 1 GiB of float32; in other types as many tensors more
GIB = 2**30
#: from the file's type to that of the network
READS = {
    "float32_as_it_is": (torch.float32, torch.float32),
    "float16_as_it_is": (torch.float16, torch.float16),
    "float16_to_float32": (torch.float16, torch.float32),
    "float32_to_float16": (torch.float32, torch.float16),
    "float8_to_bfloat16": (torch.float8_e4m3fn, torch.bfloat16),
}


def seconds(path: Path, dtype: torch.dtype) -> float:
    """To read all weights and touch each of them once, as the first step of a network does."""
    began = time.perf_counter()
    for tensor in weights.read_tensors(path, dtype=dtype).values():
        tensor.view(torch.uint8)[..., ::512].sum()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, parents=[record_options()])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    look, figures = weights.is_finite, {"rounds": options.rounds}
    with tempfile.TemporaryDirectory() as folder:
        for name, (stored, dtype) in READS.items():
            path = Path(folder) / "x.safetensors"
            count = TENSORS * 4 // stored.itemsize
            tensor = (torch.randn(SHAPE) * 0.02).to(stored)
            save_file({f"layer.{number}.weight": tensor.clone() for number in range(count)}, path)
            assert abs(path.stat().st_size / GIB - 1) < 0.01
            without, checked = [], []
            for _ in range(options.rounds):
                weights.is_finite = lambda tensor: True
                without.append(seconds(path, dtype))
                weights.is_finite = look
                checked.append(seconds(path, dtype))
            figures[f"{name}_seconds"] = round(statistics.median(without), 3)
            figures[f"{name}_added"] = round(statistics.median(b - a for a, b in zip(without, checked, strict=True)), 3)
    report(options, "weights_check", figures)


if __name__ == "__main__":
    main()
