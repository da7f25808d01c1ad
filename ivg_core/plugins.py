"""Files of Python with a user's own losses and metrics: imported when the user names them, and never looked for."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from .errors import IVGError, shortly
from .media.targets import user_path

log = logging.getLogger("ivg")

#: Before the names of modules that were made of such files.
PREFIX = "ivg_plugin_"


def load_plugins(files: Iterable[str | Path]) -> list[str]:
    """Imports files of Python, each once in a process, so that they can call `register_loss` and `register_metric`.

    They are programs and may do anything: that one is run is logged.

    Args:
        files: paths that end in .py, in the order in which they are imported.

    Returns:
        The same as texts.

    Raises:
        IVGError: no such file, or it ends in an error; names file and line.
    """
    paths = [user_path(file) for file in files]
    for path in paths:
        if path.suffix != ".py" or not path.is_file():
            raise IVGError(f"There is no plugin at {path}: give a file of Python, such as my_losses.py.")
        _load(path.resolve())
    return [str(path) for path in paths]


def is_loaded(file: str | Path) -> bool:
    """Whether a file was imported by `load_plugins` in this process."""
    return _name(user_path(file).resolve()) in sys.modules


def _name(path: Path) -> str:
    return PREFIX + "".join(letter if letter.isalnum() else "_" for letter in str(path.with_suffix("")))


def _load(path: Path) -> None:
    name = _name(path)
    if name in sys.modules:
        return
    spec = spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # by its ending
    log.warning("%s is a program and is run: trust its source.", path)
    sys.modules[name] = module = module_from_spec(spec)  # a dataclass in it asks for its module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if isinstance(error, IVGError):
            raise IVGError(f"{path}: {error}") from error
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else (lines or [1])[-1]
        raise IVGError(f"{path} fails in line {line} ({type(error).__name__}: {shortly(error)}): mend it.") from error
