"""Odd values of every sort, the material of all kinds."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

WIDTH, HEIGHT = 64, 48

NUMBERS = (
    0, -1, 1, 2, 3, 7, 0.5, -0.5, 1.5, 1e-9, -1e9, 1e9, 10**9, 10**18, 2**31, 2**63, 2**64, -(2**63), 1e30, 1e308,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
TEXTS = (
    "", " ", "\t\n", "stir the pan", "sauté the crème brûlée", "切胡萝卜", "кипятить", "a" * 5000, "stir " * 400, "\0",
    "stir\0pan", "\ud800", "stir \udcff the pan", "\ufeffstir", "\u202etxet", "{", "{}", "%s %n {0}", "<b>stir</b>",
    "'; rm -rf /", "\\", "NaN", "None", "🥕" * 50, "\x1b[31mred", "stir\r\nthe\rpan",
)  # fmt: skip
#: Paths that cannot be, or that are something else; `{folder}` is the folder of the case.
PATHS = (
    "", ".", "..", "/", "~", "~nobody_at_all", "~nobody_at_all/x.png", "no/such/file.png", "{folder}",
    "{folder}/no.png",
    "{folder}/" + "n" * 255 + ".png", "{folder}/" + "n" * 240 + ".png", "{folder}/" + "d/" * 2000 + "x.png", "a\0b.png",
    "{folder}/\ud800.png", "/dev/null", "/dev/full", "/proc/self/mem", "{folder}/file.txt/x.png", "{folder}/loop",
    "{folder}/file.txt", "{folder}/empty.png", "{folder}/noise.png", "file:///etc/passwd", "http://127.0.0.1:1/x.png",
    "C:\\photos\\a.png", "\\\\nas\\share\\a.png", "{folder}/clip.mp4", "{folder}/table.csv",
    "{folder}/lora.safetensors",
)  # fmt: skip


def number(rng: random.Random) -> float | int:
    """Any of `NUMBERS`, or a random one of any size."""
    if rng.random() < 0.8:
        return rng.choice(NUMBERS)
    return rng.choice((-1, 1)) * 10 ** rng.uniform(-12, 12)


def text(rng: random.Random) -> str:
    """Any of `TEXTS`, or random characters."""
    if rng.random() < 0.8:
        return rng.choice(TEXTS)
    return "".join(chr(rng.randrange(1, 0x2FFF)) for _ in range(rng.randrange(1, 40)))


def path(rng: random.Random, folder: Path) -> str:
    """Any of `PATHS`; `prepare` makes those that are there."""
    return rng.choice(PATHS).replace("{folder}", str(folder))


def prepare(folder: Path) -> None:
    """The files that `PATHS` speak of."""
    (folder / "file.txt").write_text("stir the pan\n")
    (folder / "empty.png").write_bytes(b"")
    (folder / "noise.png").write_bytes(bytes(range(256)) * 8)
    (folder / "loop").symlink_to(folder / "loop")


def value(rng: random.Random) -> Any:
    """A value of any plain kind."""
    plain = (None, True, False, [], {}, [1, 2], {"a": 1}, [[[]]], "0", "1e400", "nan", ".inf", b"bytes", 1j)
    sort = rng.randrange(3)
    return number(rng) if sort == 0 else text(rng) if sort == 1 else rng.choice(plain)


def photo(rng: random.Random, width: int = WIDTH, height: int = HEIGHT) -> Tensor:
    """A picture that is no noise: slopes of two colours with a bright thing in it, (H, W, 3) 0.1..0.9."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    turn = rng.random()
    picture = torch.stack([0.2 + 0.5 * x, 0.3 + 0.4 * y, 0.6 - 0.4 * x * turn], -1)
    picture[height // 4 : height // 2, width // 3 : width // 2] = torch.tensor([0.85, 0.7, 0.2])
    return picture


def region(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Where something moves, (H, W) bool: a box that covers a fifth."""
    inside = np.zeros((height, width), bool)
    inside[height // 4 : 3 * height // 4, width // 4 : 2 * width // 3] = True
    return inside


#: What may be done to frames: name -> (function, whether what is meant stays clear).
FRAME_CHANGES = {
    "as they are": (lambda x: x, True),
    "bytes": (lambda x: (x * 255).round().byte(), True),
    "half": (lambda x: x.half(), True),
    "bfloat16": (lambda x: x.bfloat16(), True),
    "double": (lambda x: x.double(), True),
    "16-bit integers 0..255": (lambda x: (x * 255).short(), True),
    "0..255": (lambda x: x * 255, False),
    "0..65535": (lambda x: (x * 65535).int(), False),
    "-1..1": (lambda x: x * 2 - 1, False),
    "one NaN": (lambda x: _put(x, float("nan")), False),
    "all NaN": (lambda x: x * float("nan"), False),
    "one infinity": (lambda x: _put(x, float("inf")), False),
    "minus infinity": (lambda x: _put(x, float("-inf")), False),
    "1e38": (lambda x: _put(x, 1e38), False),
    "none": (lambda x: x[:0], False),
    "no rows": (lambda x: x[:, :0], False),
    "no columns": (lambda x: x[:, :, :0], False),
    "one pixel": (lambda x: x[:, :1, :1], False),
    "one row": (lambda x: x[:, :1], False),
    "no batch": (lambda x: x[0], False),
    "one more dimension": (lambda x: x[None], False),
    "complex": (lambda x: x.to(torch.complex64), False),
    "bool": (lambda x: x > 0.5, False),
    "requires grad": (lambda x: x.clone().requires_grad_(), True),
    "not contiguous": (lambda x: x.transpose(1, 2).contiguous().transpose(1, 2), True),
    "as numpy": (lambda x: x.numpy(), False),
}
#: Those that can be no colours and no mask, whatever is meant.
NO_COLOURS = ("0..255", "0..65535", "one NaN", "all NaN", "1e38", "one infinity", "minus infinity", "complex")
#: Only for pictures, (F, H, W, C).
CHANNEL_CHANGES = {
    "grey, one channel": (lambda x: x[..., :1], False),
    "two channels": (lambda x: x[..., :2], False),
    "with alpha": (lambda x: torch.cat([x, torch.ones_like(x[..., :1])], -1), True),
    "seven channels": (lambda x: x[..., [0, 1, 2, 0, 1, 2, 0]], False),
    "channels first": (lambda x: x.movedim(-1, 1), False),
    "no channels": (lambda x: x[..., :0], False),
    "without channels": (lambda x: x[..., 0], False),
}
#: Those that are still tensors, as every node gives and most functions want.
TENSORS = [name for name in (*FRAME_CHANGES, *CHANNEL_CHANGES) if name != "as numpy"]


def _put(x: Tensor, number: float) -> Tensor:
    y = x.clone().float()
    y.view(-1)[y.numel() // 2] = number
    return y


def changed(rng: random.Random, frames: Tensor, arrays: bool = False) -> tuple[str, Any, bool]:
    """Frames (F, H, W, 3) or masks (F, H, W) in another form: its name, they, and whether they mean what they meant."""
    changes = FRAME_CHANGES | (CHANNEL_CHANGES if frames.ndim == 4 else {})
    name = rng.choice([name for name in changes if arrays or name in TENSORS])
    change, clear = changes[name]
    return name, change(frames), clear
