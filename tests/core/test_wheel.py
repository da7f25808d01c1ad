"""The library as `pip install` gives it: built, put into an environment of its own, run where there is no checkout."""

import ast
import importlib.metadata
import os
import re
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_SHIPPED = {".git", ".venv", "out", "build", "dist", "node_modules", "golden", "workflows"}


def run(*words, cwd) -> str:
    """Run a command that knows nothing of this checkout; what it said."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(word) for word in words], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, as the build leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", ignore=lambda _, names: NOT_SHIPPED & {*names})
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    run(sys.executable, *build, folder / "source", cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """The folder of commands of an environment with the wheel in it; what that requires comes from the one here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt")
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    run(sys.executable, "-m", "pip", "--python", folder, "install", "--quiet", "--no-deps", wheel, cwd=folder)
    (packages,) = folder.rglob("site-packages")
    (packages / "required.pth").write_text("\n".join(site.getsitepackages()))
    return commands


def test_the_wheel_holds_the_library_whole_and_nothing_else(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    library = [path for path in (ROOT / "ivg_core").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert held == {path.relative_to(ROOT).as_posix() for path in library}


def test_the_command_runs_from_any_folder(environment, tmp_path):
    from ivg_core.checkpoints.load import load_model
    from ivg_core.media.images import load_image, load_mask
    from ivg_core.media.video import read_video

    where = run(environment / "python", "-c", "import ivg_core; print(ivg_core.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(environment.parent)
    said = run(environment / "ivg", "demo", "--out", "demo", cwd=tmp_path)
    assert "sheet.png" in said
    out = tmp_path / "demo"
    size = load_model("embedded").defaults
    assert load_image(out / "photo.png").shape == (size.height, size.width, 3)
    assert 0 < load_mask(out / "mask.png").mean() < 1
    assert read_video(out / "video.mp4")[0].shape == (size.num_frames, size.height, size.width, 3)
    assert load_image(out / "sheet.png").shape[1] > 500


def test_both_ways_to_call_it_are_one(environment, tmp_path):
    short, long = (
        run(environment / words[0], *words[1:], "--help", cwd=tmp_path)
        for words in (["ivg"], ["python", "-m", "ivg_core"])
    )
    assert short.startswith("usage: ivg ") and long.startswith("usage: python -m ivg_core ")
    assert short.partition("\n")[2] == long.partition("\n")[2]


def test_the_presets_come_along(environment, tmp_path):
    said = run(environment / "ivg", "train", "--help", cwd=tmp_path)
    assert "stage2-lora-hands" in said


def test_all_that_it_imports_comes_with_it(wheel):
    """torch and numpy are not named, so that ComfyUI's are kept: others bring them."""
    text = zipfile.ZipFile(wheel).read(next(n for n in zipfile.ZipFile(wheel).namelist() if n.endswith("METADATA")))
    required, left = set(), re.findall(r"^Requires-Dist: ([\w.-]+)(?!.*extra ==)", text.decode(), re.M)
    while left:
        name = left.pop().lower().replace("_", "-")
        if name in required:
            continue
        required.add(name)
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # of another system
            continue
        left += [re.match(r"[\w.-]+", line)[0] for line in lines if "extra ==" not in line]
    homes = importlib.metadata.packages_distributions()
    optional = {"torch_fidelity", "mediapipe", "bitsandbytes", "ray"}  # asked for by name, and missed in a sentence
    for path in (ROOT / "ivg_core").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in {name.split(".")[0] for name in names} - sys.stdlib_module_names - optional:
                homes_of = {home.lower().replace("_", "-") for home in homes.get(name, [name])}
                assert homes_of & required, f"{path} imports {name}, and nothing that the wheel requires brings it"


def test_one_version():
    import ivg_core

    assert re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)[1] == ivg_core.__version__
