"""What the tests against Gen-L-Video share."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "golden"))

from glv_steps import FLAT, inverted, ladder, recorded, schedule_of, windowed_steps  # noqa: F401


def close(ours, theirs, allowed=1e-4):
    assert ours.shape == theirs.shape and (ours - theirs).abs().max() < allowed
