"""Which versions, which commit and which command made something: for runs and reports that describe themselves."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import __version__

ROOT = Path(__file__).parents[1]
PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy")


def versions() -> dict[str, str]:
    """Name -> version of this library, of Python, and of the packages that figures may depend on."""
    found = {"comfy-ivg": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """The git commit that this library is at, with "+" behind it if its files were changed since; None: no checkout."""
    if not (ROOT / ".git").exists():  # an environment's folder may lie within another project's checkout
        return None
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed else "")


def command() -> str:
    """The command that this process was started with, as one would write it."""
    program = Path(sys.argv[0])
    words = ["python", "-m", "ivg_core"] if program.name == "__main__.py" else [program.name]
    return shlex.join([*words, *sys.argv[1:]])


def made_with() -> dict[str, object]:
    """All of it, as plain values."""
    return {"command": command(), "versions": versions(), "commit": commit()}


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *words],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip()
