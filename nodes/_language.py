"""Language models that nodes ask: folders in models/LLM, held by ComfyUI, and servers of the user's own."""

from __future__ import annotations

import functools
import os

import comfy.model_management as mm
import folder_paths
import torch
from comfy_api.latest import io

from ._model import under_management
from .loaders import choose_dtype

FOLDER = "LLM"
NONE = "none in models/LLM"
LOCAL, SERVER = "local model", "server"


def register_folder() -> None:
    """Make models/LLM known to ComfyUI, where other packs keep their language models too."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


def find_language_models() -> dict[str, str]:
    """Name -> path of every folder with a config.json below models/LLM."""
    found: dict[str, str] = {}
    for root in folder_paths.get_folder_paths(FOLDER):
        for folder, folders, files in os.walk(root, followlinks=True):
            if "config.json" in files:
                folders.clear()
                found.setdefault(os.path.relpath(folder, root).replace(os.sep, "/"), folder)
    return dict(sorted(found.items()))


def language_inputs(without: str, what: str) -> list:
    """Whom to ask, the same on each node: how, local_model, server_url, server_model, timeout.

    Args:
        without: what the list calls the way that asks nobody, its default.
        what: that way does.
    """
    models = list(find_language_models()) or [NONE]
    return [
        io.Combo.Input(
            "how",
            options=[without, LOCAL, SERVER],
            default=without,
            tooltip=f"{without}: {what} local model: a vision-language model in models/LLM. server: an "
            "OpenAI-compatible server of yours (Ollama, LM Studio, llama.cpp).",
        ),
        io.Combo.Input(
            "local_model",
            options=models,
            default=models[0],
            tooltip="local model: a folder in models/LLM, as published for transformers (Qwen2-VL, LLaVA, "
            "SmolVLM …). It is held by ComfyUI's memory management.",
        ),
        io.String.Input(
            "server_url",
            default="http://localhost:11434/v1",
            tooltip="server: its address, on this machine or in your own network; the photo is sent nowhere "
            "else. Ollama: http://localhost:11434/v1, LM Studio: http://localhost:1234/v1, llama.cpp: "
            "http://localhost:8080/v1.",
        ),
        io.String.Input(
            "server_model",
            default="",
            tooltip="server: name of the model there, such as qwen2.5vl. Empty lets the server choose.",
        ),
        io.Float.Input(
            "timeout",
            default=60.0,
            min=1.0,
            max=3600.0,
            step=1.0,
            tooltip="server: seconds to wait for the answer.",
        ),
    ]


def chosen_language(how: str, local_model: str, server_url: str, server_model: str, timeout: float):
    """Whom the widgets of `language_inputs` mean, to be asked; None: nobody.

    Raises:
        IVGError: there is no such model, or no such address.
    """
    if how == LOCAL:
        return _held_model(_path_of(local_model))
    if how == SERVER:
        from ..ivg_core.enrich.server import Server

        # A call that can be cancelled while the server thinks.
        return Server(server_url, server_model.strip(), timeout, mm.throw_exception_if_processing_interrupted)
    return None


def _path_of(name: str) -> str:
    """The folder behind a name of the list.

    Raises:
        IVGError: there is none.
    """
    from ..ivg_core.errors import IVGError

    models = find_language_models()
    if name not in models:
        places = " or ".join(folder_paths.get_folder_paths(FOLDER))
        raise IVGError(
            f"There is no vision-language model {name!r} in {places}: put its folder there and press R, or choose "
            "another way in `how`."
        )
    return models[name]


@functools.lru_cache(maxsize=1)  # a batch asks the same model a hundred times
def _held_model(folder: str):
    """A local model whose network ComfyUI moves to the GPU when it is asked, and away when others need the room."""
    from ..ivg_core.enrich.local import LocalModel

    return _Managed(LocalModel(folder, "cpu", choose_dtype("auto")))


class _Managed:
    """Asks a `LocalModel` whose network is under ComfyUI's memory management."""

    def __init__(self, model):
        self.model, self.name = model, model.name
        self.patcher = None

    def __call__(self, action, image):
        self._load()
        return self.model(action, image)

    def ask(self, instruction, question, image, tokens):
        self._load()
        return self.model.ask(instruction, question, image, tokens)

    def _load(self):
        if self.patcher is None:
            with torch.inference_mode(False):  # as IVG Load Model does
                self.patcher = under_management(self.model.network)
        mm.load_models_gpu([self.patcher])


register_folder()
