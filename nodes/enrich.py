"""IVGEnrichAction: a few words become the sentence that the model was trained on."""

from __future__ import annotations

import functools
import logging
import os

import comfy.model_management as mm
import folder_paths
import torch
from comfy_api.latest import io

from ._compat import found_by
from ._edges import photos_of
from ._model import IVGNetwork, Patcher
from ._notes import noted
from .loaders import choose_dtype

log = logging.getLogger("ivg")

FOLDER = "LLM"
NONE = "none in models/LLM"
TEMPLATE, LOCAL, SERVER = "template", "local model", "server"


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


class IVGEnrichAction(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        models = list(find_language_models()) or [NONE]
        return io.Schema(
            node_id="IVGEnrichAction",
            display_name="IVG Enrich Action",
            category="IVG/text",
            **found_by("prompt enhancer", "llm", "vlm", "instructional sentence"),
            description='Turns "julienne carrot" into a sentence that says what each hand holds and does, which the '
            "model follows better. The sentence is shown, and can be edited, before it is used.",
            inputs=[
                io.String.Input(
                    "action",
                    multiline=True,
                    default="",
                    placeholder="julienne carrot",
                    tooltip="What is done, in a few words.",
                ),
                io.Combo.Input(
                    "how",
                    options=[TEMPLATE, LOCAL, SERVER],
                    default=TEMPLATE,
                    tooltip="template: a small English grammar, offline, at once. local model: a vision-language model "
                    "in models/LLM. server: an OpenAI-compatible server of yours (Ollama, LM Studio, llama.cpp).",
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
                io.String.Input(
                    "edited",
                    multiline=True,
                    default="",
                    tooltip="Your own sentence. If not empty, this text is used as it is and no model is asked. The "
                    "button Edit puts the last sentence here.",
                ),
                io.String.Input(
                    "edited_for",
                    default="",
                    tooltip="The action that your sentence belongs to; the button Edit writes it. For another action "
                    "the edit is set aside. Empty: your sentence holds for every action.",
                ),
                io.Image.Input(
                    "image", optional=True, tooltip="The photo, for models that can see (the first one of a batch)."
                ),
            ],
            outputs=[io.String.Output(display_name="action", tooltip="The sentence, for the action of other nodes.")],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(
        cls, action, how, local_model, server_url, server_model, timeout, edited, edited_for, image=None
    ) -> io.NodeOutput:
        from ..ivg_core.enrich.enrich import default_cache, enrich_action

        if edited.strip() and edited_for.strip() in ("", action.strip()):
            sentence = edited.strip()
        else:
            if edited.strip():
                log.warning('IVGEnrichAction: the edit was made for "%s", so it is set aside here.', edited_for.strip())
            if how == LOCAL:
                enricher = language_model(path_of(local_model))
            elif how == SERVER:
                enricher = own_server(server_url, server_model, timeout)
            else:
                enricher = None
            photo = photos_of(image)[0].cpu() if image is not None else None
            sentence = enrich_action(action, photo, enricher, default_cache())
        return io.NodeOutput(sentence, ui={"text": [sentence], "ivg_action": [action.strip()]})


def path_of(name: str) -> str:
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


def own_server(url: str, model: str, timeout: float):
    """A server to ask, that can be cancelled while it thinks."""
    from ..ivg_core.enrich.server import Server

    return Server(url, model.strip(), timeout, mm.throw_exception_if_processing_interrupted)


@functools.lru_cache(maxsize=1)  # a batch asks the same model a hundred times
def language_model(folder: str):
    """A local model whose network ComfyUI moves to the GPU when it is asked, and away when others need the room."""
    from ..ivg_core.enrich.local import LocalModel

    return _Managed(LocalModel(folder, "cpu", choose_dtype("auto")))


class _Managed:
    """Asks a `LocalModel` whose network is under ComfyUI's memory management."""

    def __init__(self, model):
        self.model, self.name = model, model.name
        self.patcher = None

    def __call__(self, action, image):
        if self.patcher is None:
            with torch.inference_mode(False):  # as IVG Load Model does
                network = IVGNetwork(self.model.network)
            self.patcher = Patcher(network, load_device=mm.get_torch_device(), offload_device=mm.unet_offload_device())
        mm.load_models_gpu([self.patcher])
        return self.model(action, image)


register_folder()
