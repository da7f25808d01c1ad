"""IVGDownloadModel: fetch a published checkpoint into models/ivg, when the user says so."""

from __future__ import annotations

import os

import comfy.model_management as mm
import comfy.utils
import folder_paths
from comfy_api.latest import io

from ._compat import found_by
from ._notes import noted
from .loaders import FOLDER

MEGABYTE = 1 << 20


class IVGDownloadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        from ..ivg_core.checkpoints.sources import SOURCES

        names = list(SOURCES)
        return io.Schema(
            node_id="IVGDownloadModel",
            display_name="IVG Download Model",
            category="IVG/model",
            **found_by("get weights", "checkpoint", "hugging face"),
            description="Says where a published checkpoint comes from, how large it is and under which licence; "
            "fetches it into models/ivg once you switch download on. A broken download goes on where it broke.",
            inputs=[
                io.Combo.Input(
                    "name",
                    options=names,
                    default=names[0],
                    tooltip="The checkpoint. IVG.1.0 is the paper's; animate_anything is what it was trained from; "
                    "zeroscope and text-to-video-ms make videos of sentences, and trainings of IVG begin from them.",
                ),
                io.Boolean.Input(
                    "download",
                    default=False,
                    tooltip="Off: only look. On: fetch it; you agree to the licence that was shown.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="about", tooltip="Source, size, licence and where it lies."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, name, download):
        return os.path.isdir(os.path.join(folder_paths.get_folder_paths(FOLDER)[0], name))

    @classmethod
    @noted
    def execute(cls, name, download) -> io.NodeOutput:
        from ..ivg_core.checkpoints.download import download as fetch
        from ..ivg_core.checkpoints.sources import find_source, list_parts
        from ..ivg_core.errors import IVGError

        source, folder = find_source(name), folder_paths.get_folder_paths(FOLDER)[0]
        if os.path.isdir(os.path.join(folder, name)):
            state = f"It lies in {folder}: choose it in IVG Load Model (press R to renew the list)."
        elif download:
            fetch(source, folder, on_bytes=_Progress(cls.hidden.unique_id))
            state = f"It lies in {folder} now: choose it in IVG Load Model (press R to renew the list)."
        else:
            try:
                size = sum(part.size for part in list_parts(source))
                said = f"{size / 1e9:.2f} GB" if size else "of unknown size"
            except IVGError as error:
                said = f"of unknown size ({error})"
            state = f"It is {said} and not there yet: switch download on to fetch it into {folder}."
        about = [
            source.about,
            f"Licence: {source.licence}",
            f"Page: {source.page}",
            f"Checked by {source.verified_by}.",
        ]
        text = "\n".join([*about, state, *source.next_steps(os.path.join(folder, name))])
        return io.NodeOutput(text, ui={"text": [text]})


class _Progress:
    """The library's `on_bytes` for a node: moves its bar, stops when the user cancels."""

    def __init__(self, node_id: str):
        self.bar = comfy.utils.ProgressBar(1, node_id=node_id)

    def __call__(self, so_far: int, total: int) -> None:
        mm.throw_exception_if_processing_interrupted()
        if total:
            self.bar.update_absolute(so_far // MEGABYTE, max(1, total // MEGABYTE))
