"""How the house stands: its size, its directions, and whether its tests notice changes of the code.

    PYTHONPATH=. python benchmarks/house.py --before REVISION [--record benchmarks]

Counts the same things in a revision of the project's history and in the working tree. Then each change below is made in
a copy of the tree, and the tests named beside it are run: a change that none of them notices has survived.
"""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.record import record_options, report

ROOT = Path(__file__).resolve().parents[1]
CORE = "ivg_core/"

#: file, what stands there, what takes its place, the tests that should notice it.
CHANGES = (
    ("sampling/generate.py", "add_noise(*held, step + 1)", "add_noise(*held, step)", "test_generate.py -k held"),
    (
        "sampling/generate.py",
        "drawn = sampled if how.region",
        "drawn = sampled if window or how.region",
        "test_crop.py -k whole_pictures_noise",
    ),
    ("models/float8.py", "abs().flatten(1).amax(dim=1)", "abs().max().expand(len(weight))", "test_float8.py"),
    ("sampling/solver.py", "manual_seed(_derived(seed))", "manual_seed(seed)", "test_solver.py -k start_noise"),
    ("sampling/deep_features.py", "self.age >= self.every", "self.age > self.every", "test_crop.py -k deep"),
    (
        "sampling/generate.py",
        "area = pictures.cells.mean",
        "area = start.cells.mean",
        "test_generate.py -k counts_the_whole_picture",
    ),
    (
        "training/losses.py",
        "found.loss * len(rows) / len(counts)",
        "found.loss",
        "test_train_objective.py -k without_hands",
    ),
    ("sampling/crop.py", "left, top = left // cell, top // cell", "left, top = 0, 0", "test_crop.py -k in_its_place"),
    ("sampling/crop.py", "length - place if last else far", "far", "test_crop.py -k stitched"),
    ("sampling/crop.py", "start - (wanted - found) // 2 // cell * cell", "start", "test_crop.py -k grows"),
    ("sampling/crop.py", "int(places[-1]) + 1 + margin", "int(places[-1]) + margin", "test_crop.py -k margin"),
    ("rom/refine.py", "connectedComponents(1 - core, connectivity=4)", "connectedComponents(1 - core, connectivity=8)",
     "test_refine.py -k enclosed"),
    ("hands/tracker.py", "index - frame <= MEMORY", "index - frame < MEMORY", "test_hands_tracker.py -k remembered"),
    ("hands/tracker.py", "[0] == index - 1", "[0] < index", "test_hands_tracker.py -k next_frame"),
    ("batch/journal.py", "if state.status != DONE or status == DONE:", "if True:", "test_batch_run.py -k stays_done"),
    ("training/data/motion.py", "(times - 1) / 2], [0, times, (times - 1) / 2]", "0], [0, times, 0]",
     "test_data_motion.py -k enlarging"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[record_options()]
    )
    parser.add_argument("--before", required=True, help="revision to compare with")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", options.before], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        for name, tree in (("before", Path(folder)), ("after", ROOT)):
            figures |= {f"{figure}_{name}": value for figure, value in counted(tree / "ivg_core").items()}
    figures["generate_parameters"] = figures["generate_parameters_after"]
    for figure in ("circles", "back_imports"):
        figures[figure] = figures[f"{figure}_after"]
    figures |= {"survivors": len(CHANGES), "survivors_killed": sum(is_noticed(*change) for change in CHANGES)}
    report(options, "house", figures)


def counted(library: Path) -> dict[str, float]:
    """Files, lines, the longest function, the parameters of `generate`, and pairs of rooms that import each other."""
    files = list(library.rglob("*.py"))
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in files}
    functions = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    generate = next(
        n for n in ast.walk(trees[library / "sampling" / "generate.py"]) if getattr(n, "name", "") == "generate"
    )
    rooms = {
        (path.relative_to(library).parts[0], room) for path in files for room in imported(path, trees[path], library)
    }
    back = {(a, b) for a, b in rooms if (b, a) in rooms and a < b}
    return {
        "files": len(files),
        "lines": sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files),
        "longest_function": max(code_lines(node) for node in functions),
        "generate_parameters": len(generate.args.args) + len(generate.args.kwonlyargs),
        "circles": circles(rooms),
        "back_imports": len(back),
    }


def code_lines(function: ast.FunctionDef) -> int:
    """Lines of a function without its docstring."""
    doc = function.body[0] if ast.get_docstring(function) is not None else None
    length = (function.end_lineno or 0) - function.lineno + 1
    return length - ((doc.end_lineno or 0) - doc.lineno + 1 if doc else 0)


def imported(path: Path, tree: ast.AST, library: Path) -> set[str]:
    """The other rooms that a module imports, anywhere in it."""
    here = path.relative_to(library).parts[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = [*here[: len(here) - node.level + 1], *(node.module or "").split(".")]
            if parts[0] and (library / parts[0]).is_dir():
                found.add(parts[0])
    return found - set(here[:1])


def circles(rooms: set[tuple[str, str]]) -> int:
    """Rooms that lie on a circle of imports."""
    names = {name for pair in rooms for name in pair}
    left = set(names)
    while free := {a for a in left if not any((a, b) in rooms for b in left - {a})}:
        left -= free
    return len(left)


def is_noticed(file: str, old: str, new: str, tests: str) -> bool:
    """Whether the named tests fail once a line of the library is changed, and pass before."""
    name, *which = tests.split(" ")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "project"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", "out", "__pycache__", "docs", "web"))
        path = tree / CORE / file
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise SystemExit(f"{CORE}{file} does not hold {old!r} once: bring the list of changes up to date.")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/core/{name}", *which]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        path.write_text(text.replace(old, new), encoding="utf-8")
        changed = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
        path.write_text(text, encoding="utf-8")
        whole = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
        noticed = changed.returncode == 1 and whole.returncode == 0
        print("noticed " if noticed else "SURVIVED", file, "|", new, flush=True)
        return noticed


if __name__ == "__main__":
    main()
