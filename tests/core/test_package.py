"""What holds for the project as a whole."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_the_library_never_imports_comfyui():
    for path in (ROOT / "ivg_core").rglob("*.py"):
        forbidden = imported_modules(path) & {"comfy", "comfy_api", "folder_paths", "nodes", "server", "ivg_core"}
        assert not forbidden, f"{path}: {forbidden} (the library is loaded under any name, so it imports relatively)"


def test_requirements_are_the_projects_dependencies():
    required = (ROOT / "requirements.txt").read_text().split()
    block = re.search(r"^dependencies = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.S | re.M)
    assert block and re.findall(r'"(.+?)"', block[1]) == required
    for line in required:
        assert re.fullmatch(r"[a-z-]+>=[\d.]+", line), f"{line}: lower bounds only"
        assert not line.startswith(("torch", "numpy")), "ComfyUI brings its own"


def test_importing_the_library_loads_nothing_heavy():
    code = "import sys, ivg_core; print([m for m in ('torch', 'diffusers', 'transformers', 'cv2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_weights_are_read_without_running_code():
    for path in (*(ROOT / "ivg_core").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")):
        for call in re.findall(r"torch\.load\([^\n]*", path.read_text()):
            assert "weights_only=True" in call, f"{path}: {call}"


def test_type_checkers_see_every_public_name():
    """The names are loaded lazily; mypy and editors know them from the block that is never run."""
    import ivg_core

    tree = ast.parse((ROOT / "ivg_core" / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {name.name: node.module for block in blocks for node in block.body for name in node.names}
    assert set(seen) | {"IVGError"} == set(ivg_core.__all__)
    for name, module in seen.items():
        assert getattr(ivg_core, name).__module__ == f"ivg_core.{module}"
