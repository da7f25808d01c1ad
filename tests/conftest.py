"""Load the pack the way ComfyUI does: by its path, as a package of its own, here called `ivg_pack`.

The stand-ins in `stubs` take ComfyUI's place. With them in the path the node classes run without a ComfyUI.
"""

import importlib.util
import pathlib
import sys

import pytest
import torch
from hypothesis import HealthCheck, is_hypothesis_test, settings

ROOT = pathlib.Path(__file__).resolve().parents[1]

sys.path.insert(0, str(pathlib.Path(__file__).with_name("stubs")))

spec = importlib.util.spec_from_file_location("ivg_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
module = importlib.util.module_from_spec(spec)
sys.modules["ivg_pack"] = module
spec.loader.exec_module(module)

# That a machine is busy says nothing of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

#: Files that take minutes, which go first where tests run side by side: a long one begun last would be waited for.
LONGEST = (
    "test_ablation", "test_tiny_recipe", "test_ray_pool", "test_batch_ray", "test_train_processes",
    "test_evaluate_kept", "test_interface", "test_batch_run", "test_how_to_make", "test_train_motion",
    "test_train_resume", "test_train", "test_frames_as_they_come", "test_optimize_model", "test_window_options",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """The longest files first, all others as they come."""
    place = {name: index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(autouse=True)
def subnormals(request):
    """Numbers next to 0 count as 0, as in commands: vanishing gradients would slow a CPU down tenfold."""
    torch.set_flush_denormal(not is_hypothesis_test(request.function))  # which draws them, and refuses to without
    yield
    torch.set_flush_denormal(True)
