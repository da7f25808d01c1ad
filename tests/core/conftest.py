"""What the library's tests share: the golden tensors, and the tiny checkpoint among them."""

import os
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


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster in this machine: a head that works at nothing, and a node with one CPU; torch has one thread."""
    pytest.importorskip("ray")
    import torch
    from ray.cluster_utils import Cluster

    core, threads = Path(__file__).parent, torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (core.parents[1], core))))  # of its workers
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80 * 2**20})
        made.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        torch.set_num_threads(1)
        yield made
        torch.set_num_threads(threads)
        made.shutdown()
