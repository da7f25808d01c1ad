"""What the library's tests share: the golden tensors, and the tiny checkpoint among them."""

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of the golden tensors; its README says what they are."""
    return GOLDEN


@pytest.fixture(scope="session")
def tiny_model():
    """The tiny checkpoint that the goldens were made with, in float32 on the CPU. Leave it as it is."""
    from ivg_core.checkpoints.load import load_model

    return load_model(GOLDEN / "tiny_ckpt")
