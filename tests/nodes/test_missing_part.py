"""A part that cannot be imported takes only its own nodes away, and says why."""

import pathlib
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
CODE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[2]:
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Missing())
sys.path.insert(0, sys.argv[1])
import conftest
from ivg_pack.nodes import MODULES, NODES
print(sorted({name for names in MODULES.values() for name in names} - {node.__name__ for node in NODES}))
"""


def test_only_the_nodes_that_need_it_are_lost():
    command = [sys.executable, "-c", CODE, str(TESTS), "comfy.weight_adapter"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lost = ["IVGLoadLoRA", "IVGMotionClip", "IVGTrainCoreLoRA", "IVGTrainMotion", "TrainIVGLoRA"]
    assert done.stdout.strip() == str(lost)
    log = done.stderr.splitlines()
    assert len(log) == 4 and all("No module named 'comfy.weight_adapter'" in line for line in log)
    assert any("IVGLoadLoRA" in line and "nodes/loras.py" in line for line in log)
