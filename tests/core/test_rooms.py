"""Which room of the library may know which: what DESIGN.md says, held by reading the imports."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "ivg_core"

#: room -> the rooms that it may import. `commands` may import all, and nothing imports `commands`.
ROOMS = {
    "cluster": set(),
    "media": set(),
    "models": set(),
    "synthetic": {"media"},
    "hands": {"media"},
    "enrich": {"media"},
    "checkpoints": {"media", "models"},
    "rom": {"cluster", "media", "models", "hands"},
    "sampling": {"media", "models", "rom"},
    "batch": {"cluster", "media", "models", "checkpoints", "rom", "sampling"},
    "howto": {"media", "models", "hands", "enrich", "rom", "sampling", "batch"},
    "evaluate": {"cluster", "media", "hands", "batch"},
    "training": {"cluster", "media", "models", "checkpoints", "hands", "rom", "sampling"},
}


def imports() -> dict[str, set[str]]:
    """Module -> the modules of the library that it imports, anywhere in it; names are dotted, without the library's."""
    files = {module_of(path): path for path in LIBRARY.rglob("*.py")}
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        targets = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            parts = [part for part in package.split(".") if part]
            base = ".".join([*parts[: len(parts) - node.level + 1], *(node.module or "").split(".")]).strip(".")
            inner = {f"{base}.{name.name}".strip(".") for name in node.names} & files.keys()
            targets |= inner or {base}
        found[module] = targets - {module}
    return found


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(LIBRARY).with_suffix("").parts).removesuffix("__init__").strip(".")


def room_of(module: str) -> str:
    first = module.partition(".")[0]
    return first if (LIBRARY / first).is_dir() else ""


IMPORTS = imports()


def test_every_room_has_a_rule():
    rooms = {room_of(module) for module in IMPORTS} - {"", "commands"}
    assert rooms == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_only_its_own(room):
    for module, targets in IMPORTS.items():
        if room_of(module) == room:
            known = {room_of(target) for target in targets} - {"", room}
            assert known <= ROOMS[room], f"{module} imports {', '.join(sorted(known - ROOMS[room]))}"


def test_the_rules_themselves_have_no_circle():
    left = dict(ROOMS)
    while left:
        free = [room for room, known in left.items() if not known & left.keys()]
        assert free, f"a circle among {', '.join(left)}"
        for room in free:
            del left[room]


def test_no_module_needs_one_that_needs_it():
    """Imports that are made when a module is loaded; those inside functions may look anywhere."""
    loaded: dict[str, set[str]] = {}
    for module, targets in IMPORTS.items():
        path = LIBRARY / (module.replace(".", "/") + ".py")
        if path.exists():
            top = ast.parse(path.read_text(encoding="utf-8")).body
            names = {node.module for node in top if isinstance(node, ast.ImportFrom) and node.level and node.module}
            loaded[module] = {target for target in targets if any(target.endswith(name) for name in names)}
    while loaded:
        free = [module for module, targets in loaded.items() if not targets & loaded.keys()]
        assert free, f"a circle among {', '.join(sorted(loaded))}"
        for module in free:
            del loaded[module]
