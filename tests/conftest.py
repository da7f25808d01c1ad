"""Load the pack the way ComfyUI does: by its path, as a package of its own, here called `ivg_pack`.

The stand-ins in `stubs` take ComfyUI's place. With them in the path the node classes run without a ComfyUI.
"""

import importlib.util
import pathlib
import sys

from hypothesis import HealthCheck, settings

ROOT = pathlib.Path(__file__).resolve().parents[1]

sys.path.insert(0, str(pathlib.Path(__file__).with_name("stubs")))

spec = importlib.util.spec_from_file_location("ivg_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
module = importlib.util.module_from_spec(spec)
sys.modules["ivg_pack"] = module
spec.loader.exec_module(module)

# That a machine is busy says nothing of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
