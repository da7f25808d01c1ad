"""Compares this library with what the code of a relative computed: every check, one line each.

    python tests/golden/check_relatives.py motiondirector tests/golden/motiondirector/training
    python tests/golden/check_relatives.py smcd FOLDER
    python tests/golden/check_relatives.py genlvideo tests/golden/glv_more

Everything comes from the folder: geometry, ranks, steps, settings and what chance decided. The exit status is 1 if a
check fails.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import check_followpose  # noqa: E402
import check_oneshot  # noqa: E402
from check_genlvideo import GenLVideo  # noqa: E402
from check_motiondirector import MotionDirector  # noqa: E402
from check_smcd import SMCD  # noqa: E402
from comparing import Check  # noqa: E402


def genlvideo(folder: Path) -> Iterator[Check]:
    """The image models, the network that follows skeletons, and one-shot tuning."""
    yield from GenLVideo(folder).checks()
    yield from check_followpose.checks(folder)
    yield from check_oneshot.checks(folder)


RELATIVES: dict[str, Callable[[Path], Iterator[Check]]] = {
    "motiondirector": lambda folder: MotionDirector(folder).checks(),
    "smcd": lambda folder: SMCD(folder).checks(),
    "genlvideo": genlvideo,
}


def main() -> int:
    """Prints the checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("relative", choices=RELATIVES)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    found = []
    for check in RELATIVES[options.relative](options.folder):
        print(check, flush=True)
        found.append(check.within)
    print(f"{sum(found)} of {len(found)} within")
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
