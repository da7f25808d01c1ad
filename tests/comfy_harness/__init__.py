"""Run a node pack in a real ComfyUI and its real web interface.

* :mod:`.server`  starts ComfyUI with given packs in a throw-away base folder
* :mod:`.client`  submits API-format prompts and collects what came of them
* :mod:`.browser` opens the web interface in Chromium and drives it
* :mod:`.standin` serves the interface and the pack without a ComfyUI
"""

from .client import ComfyClient, RunResult
from .server import ComfyServer, ServerFailed, installed_comfyui, told_by

__all__ = ["ComfyClient", "ComfyServer", "RunResult", "ServerFailed", "installed_comfyui", "told_by"]
