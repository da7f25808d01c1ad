"""A tiny checkpoint with random weights, loaded by the node as a user would load it."""

import pathlib

import folder_paths
import pytest

from ivg_pack.nodes.loaders import SAME_MODEL, LoadIVGModel

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="session")
def models_folder():
    """ComfyUI's models/ivg with the tiny checkpoint in it."""
    folder = pathlib.Path(folder_paths.get_folder_paths("ivg")[0])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny").symlink_to(GOLDEN / "tiny_ckpt")
    yield folder
    (folder / "tiny").unlink()


@pytest.fixture(scope="session")
def model(models_folder):
    """With stage-1 weights (the same random ones)."""
    return LoadIVGModel.execute("tiny", "tiny", "auto")[0]


@pytest.fixture(scope="session")
def model_without_rom(models_folder):
    return LoadIVGModel.execute("tiny", SAME_MODEL, "fp32")[0]
