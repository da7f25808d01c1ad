"""Start ComfyUI with chosen node packs, in a base folder of its own."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

#: Settings of the web interface that keep first-run screens out of the way.
DEFAULT_SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.InstalledVersion": "99.0.0",
    "Comfy.Workflow.ShowMissingNodesWarning": True,
    "Comfy.Workflow.ShowMissingModelsWarning": True,
    "Comfy.Notification.ShowVersionUpdates": False,
    # Draw text and widgets at every zoom, for the screenshots.
    "LiteGraph.Canvas.LowQualityRenderingZoomThreshold": 0,
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,
}
_FOLDERS = ("custom_nodes", "models", "input", "output", "temp", "user/default")
_LAUNCHER = pathlib.Path(__file__).with_name("launch.py")


class ServerFailed(RuntimeError):
    """ComfyUI did not come up; the message carries the end of its log."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def installed_comfyui() -> tuple[pathlib.Path, str] | None:
    """(folder, interpreter) of the ComfyUI to test with, or None.

    COMFYUI_PATH names the folder (~/ComfyUI if unset), COMFYUI_PYTHON the interpreter (its .venv if unset).
    """
    path = pathlib.Path(os.environ.get("COMFYUI_PATH") or "~/ComfyUI").expanduser()
    python = os.environ.get("COMFYUI_PYTHON") or str(path / ".venv" / "bin" / "python")
    return (path, python) if (path / "main.py").is_file() and shutil.which(python) else None


def told_by(script: pathlib.Path) -> dict:
    """What a script prints as JSON in its last line, run by the Python of that ComfyUI and given its folder."""
    path, python = installed_comfyui()
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run([python, script, path], capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


class ComfyServer:
    """A ComfyUI process with its own models, input, output and user folders.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`.

    Args:
        comfyui: folder of a ComfyUI checkout (only `__pycache__` is written there).
        packs: node-pack folders, linked into the base folder's custom_nodes.
        python: interpreter of ComfyUI's environment.
        frontend: folder with another build of the web interface
            (`…/comfyui_frontend_package/static`); ComfyUI's own if None.
        base_dir: base folder; a temporary one, removed afterwards, if None.
        inputs: files copied into ComfyUI's input folder.
        models: folders linked into the models folder, as `name -> path`.
        settings: web-interface settings, added to :data:`DEFAULT_SETTINGS`.
        extra_args: further arguments for ComfyUI's main.py.
        startup_timeout: seconds until ComfyUI must answer.
    """

    def __init__(
        self,
        comfyui,
        packs=(),
        *,
        python=sys.executable,
        frontend=None,
        base_dir=None,
        inputs=(),
        models=None,
        settings=None,
        extra_args=(),
        startup_timeout=240.0,
    ):
        self.comfyui = pathlib.Path(comfyui).resolve()
        if not (self.comfyui / "main.py").is_file():
            raise FileNotFoundError(f"no ComfyUI (main.py) in {self.comfyui}")
        self.packs = [pathlib.Path(p).resolve() for p in packs]
        for pack in self.packs:
            if not (pack / "__init__.py").is_file():
                raise FileNotFoundError(f"no node pack (__init__.py) in {pack}")
        self.python = str(python)
        self.frontend = pathlib.Path(frontend).resolve() if frontend else None
        self.inputs = [pathlib.Path(p) for p in inputs]
        self.models = {k: pathlib.Path(v).resolve() for k, v in (models or {}).items()}
        self.settings = {**DEFAULT_SETTINGS, **(settings or {})}
        self.port = free_port()
        self.extra_args = list(extra_args)
        self.startup_timeout = startup_timeout
        self._own_base = base_dir is None
        self._base_arg = base_dir
        self.base_dir: pathlib.Path | None = None
        self.process: subprocess.Popen | None = None
        self.startup_seconds: float | None = None

    # -- life cycle ---------------------------------------------------------

    def __enter__(self) -> ComfyServer:
        return self.start()

    def __exit__(self, *exc) -> None:
        self.stop()

    def start(self) -> ComfyServer:
        """Start ComfyUI and wait until it answers."""
        self.base_dir = pathlib.Path(
            tempfile.mkdtemp(prefix="comfy-harness-") if self._own_base else self._base_arg
        ).resolve()
        self._prepare_base()
        env = dict(os.environ)
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # without compiled files a start takes twice as long
        env.update(PYTHONUNBUFFERED="1", HF_HUB_OFFLINE="1", NO_COLOR="1")
        started = time.monotonic()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env
            )
        try:
            self._wait_ready(started + self.startup_timeout)
        except BaseException:
            self.stop()
            raise
        self.startup_seconds = time.monotonic() - started
        return self

    def stop(self) -> None:
        """End the process started here; remove the base folder if it is ours."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self._own_base and self.base_dir is not None:
            shutil.rmtree(self.base_dir, ignore_errors=True)

    def command(self) -> list[str]:
        """The command line that starts ComfyUI."""
        base = self.base_dir
        args = [self.python, str(_LAUNCHER), str(self.comfyui)]
        args += ["--cpu", "--listen", "127.0.0.1", "--port", str(self.port)]
        args += ["--base-directory", str(base), "--disable-auto-launch", "--disable-api-nodes"]
        args += ["--database-url", f"sqlite:///{base / 'user' / 'comfyui.db'}"]
        if self.frontend:
            args += ["--front-end-root", str(self.frontend)]
        return args + self.extra_args

    # -- what it says -------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_path(self) -> pathlib.Path:
        return self.base_dir / "comfyui.log"

    def log_text(self) -> str:
        """Everything ComfyUI printed so far, without terminal colours."""
        text = self.log_path.read_text("utf-8", errors="replace")
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    def import_problems(self) -> list[str]:
        """Log lines that say a pack under test did not load.

        ComfyUI reports a failing V1 import as "IMPORT FAILED", but a failing
        comfy_entrypoint only as a one-line warning; both are caught here.
        """
        names = [pack.name for pack in self.packs]
        signs = ("IMPORT FAILED", "Cannot import", "Error while calling comfy_entrypoint", "skipping.", "Skip ")
        return [
            line.strip()
            for line in self.log_text().splitlines()
            if any(sign in line for sign in signs) and any(name in line for name in names)
        ]

    # -- inside -------------------------------------------------------------

    def _prepare_base(self) -> None:
        for name in _FOLDERS:
            (self.base_dir / name).mkdir(parents=True, exist_ok=True)
        for pack in self.packs:
            self._place(pack, self.base_dir / "custom_nodes" / pack.name)
        for name, path in self.models.items():
            self._place(path, self.base_dir / "models" / name)
        example = self.comfyui / "input" / "example.png"  # what a fresh Load Image names
        for path in [*([example] if example.is_file() else []), *self.inputs]:
            shutil.copy2(path, self.base_dir / "input" / path.name)
        settings_path = self.base_dir / "user" / "default" / "comfy.settings.json"
        settings_path.write_text(json.dumps(self.settings, indent=1))

    @staticmethod
    def _place(source: pathlib.Path, target: pathlib.Path) -> None:
        if target.is_symlink():
            target.unlink()
        elif target.exists():
            shutil.rmtree(target)
        target.symlink_to(source, target_is_directory=True)

    def _wait_ready(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerFailed(f"ComfyUI ended with status {self.process.returncode}\n{self._log_tail()}")
            try:
                with urllib.request.urlopen(f"{self.url}/system_stats", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise ServerFailed(f"ComfyUI did not answer within {self.startup_timeout:.0f} s\n{self._log_tail()}")

    def _log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])
