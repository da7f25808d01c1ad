"""Start ComfyUI's `main.py` on a machine that has a CPU-only PyTorch.

The torchvision and torchaudio wheels on PyPI are built for CUDA.  Next to a
CPU-only torch their native libraries cannot be loaded, and then

* `import torchvision` stops with "operator torchvision::nms does not exist",
* `import torchaudio` stops with "Could not load this library".

ComfyUI needs neither library's native code to start and to run ordinary
nodes, so this launcher makes both importable without it, then hands over to
`main.py` in the same process.  Nothing happens before the package is first
imported, and nothing is changed where the native libraries do load.

Usage::

    python launch.py /path/to/ComfyUI --cpu --port 8188 ...

Everything after the ComfyUI path is passed to `main.py` unchanged.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.abc
import importlib.util
import os
import pathlib
import runpy
import sys


def _native_library_loads(package_dir: str, pattern: str) -> bool | None:
    """Say whether the library matching `pattern` loads; None if there is none.

    torch must be imported already, so that its libraries can be found.
    """
    for path in sorted(pathlib.Path(package_dir).glob(pattern)):
        try:
            ctypes.CDLL(str(path))
        except OSError:
            return False
        return True
    return None


@contextlib.contextmanager
def _torchvision_without_ops():
    """Declare the two operators torchvision's import insists on.

    torchvision registers shape functions for `nms` and `qnms` while it is
    imported, whether or not its library was loaded; declaring the operators
    first is enough.  Calling one still fails, with a clear error.
    """
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEEP_ALIVE.append(library)
    yield


@contextlib.contextmanager
def _torchaudio_without_library():
    """Let torchaudio find no native library while it is imported.

    Its Python code (resampling, mel spectrograms) works without one.
    """
    original_glob = pathlib.Path.glob

    def glob(self, pattern, *args, **kwargs):
        if self.name == "lib" and self.parent.name == "torchaudio":
            return iter(())
        return original_glob(self, pattern, *args, **kwargs)

    pathlib.Path.glob = glob
    try:
        yield
    finally:
        pathlib.Path.glob = original_glob


#: package -> (pattern of its native library, what to do when that does not load)
_WORKAROUNDS = {
    "torchvision": ("_C*.so", _torchvision_without_ops),
    "torchaudio": ("lib/_torchaudio*.so", _torchaudio_without_library),
}
# Held for the life of the process: dropping a torch Library unregisters it.
_KEEP_ALIVE: list[object] = []


class _WrappedLoader(importlib.abc.Loader):
    """Runs a package's own loader inside its workaround."""

    def __init__(self, name: str, loader, package_dir: str):
        self._name, self._loader, self._dir = name, loader, package_dir

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        import torch  # noqa: F401  (makes torch's shared libraries resolvable)

        pattern, workaround = _WORKAROUNDS[self._name]
        if _native_library_loads(self._dir, pattern) is not False:
            self._loader.exec_module(module)
            return
        print(f"[launch] {self._name}: native library does not load, importing without it", flush=True)
        with workaround():
            self._loader.exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Wraps the loader of the packages named in `_WORKAROUNDS`."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname not in _WORKAROUNDS:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        if spec is None or spec.loader is None or not spec.submodule_search_locations:
            return spec
        spec.loader = _WrappedLoader(fullname, spec.loader, spec.submodule_search_locations[0])
        return spec


def install() -> None:
    """Arm the workarounds in this process."""
    sys.meta_path.insert(0, _Finder())


def main(argv: list[str]) -> None:
    """Arm the workarounds, then run ComfyUI."""
    if len(argv) < 2:
        sys.exit(__doc__)
    comfyui = os.path.abspath(argv[1])
    script = os.path.join(comfyui, "main.py")
    if not os.path.isfile(script):
        sys.exit(f"no main.py in {comfyui}")
    install()
    sys.argv = [script, *argv[2:]]
    sys.path[0] = comfyui
    os.chdir(comfyui)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv)
