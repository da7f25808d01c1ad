"""What the library's tests share: the golden tensors, and the tiny checkpoint among them."""

import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of the golden tensors; its README says what they are."""
    return GOLDEN


@pytest.fixture(scope="session")
def glv_more():
    """Gen-L-Video's second recording with its tiny image models, as `tests/golden/check_genlvideo.py` reads it."""
    sys.path.append(str(GOLDEN))
    from check_genlvideo import GenLVideo

    return GenLVideo(GOLDEN / "glv_more")


@pytest.fixture(scope="session")
def follow_pose():
    """The same recording, as `tests/golden/check_followpose.py` reads it."""
    sys.path.append(str(GOLDEN))
    from check_followpose import FollowPose

    return FollowPose(GOLDEN / "glv_more")


@pytest.fixture(scope="session")
def tiny_model():
    """The tiny checkpoint that the goldens were made with, in float32 on the CPU. Leave it as it is."""
    from ivg_core.checkpoints.load import load_model

    return load_model(GOLDEN / "tiny_ckpt")
