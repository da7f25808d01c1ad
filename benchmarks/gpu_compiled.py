"""The loop with its layers compiled, as the command line's --compile has them; see gpu.py.

python -m benchmarks.gpu_compiled [--tiny]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from benchmarks.clock import alternate
from benchmarks.gpu import make_setting
from benchmarks.speed import Loop
from ivg_core.models.compiled import compile_network


@torch.no_grad()
def main(tiny: bool) -> None:
    setting = make_setting(Path(), tiny, 0)
    loop = Loop(setting.size, setting.device, setting.dtype)
    plain = alternate({"plain": loop.timed(loop.exact)}, setting.rounds)["plain"]
    whole = loop.exact()
    compile_network(loop.unet, lambda said: print(said, file=sys.stderr))
    first = loop.timed(loop.exact)()
    took = alternate({"compiled": loop.timed(loop.exact)}, setting.rounds)["compiled"]
    off = float((loop.exact() - whole).norm() / whole.norm())
    figures = {"ratio_compiled_vs_exact": plain / took, "seconds_of_compiling": first - took}
    print(json.dumps({**figures, "relative_difference_compiled": off}))


if __name__ == "__main__":
    main("--tiny" in sys.argv[1:])
