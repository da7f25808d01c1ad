"""IVGSaveVideo: the formats that core's Save Video does not write, with the workflow inside."""

from __future__ import annotations

import logging
import os

import folder_paths
from comfy.cli_args import args
from comfy_api.latest import io, ui

from ._compat import found_by
from ._edges import frames_of
from ._notes import noted
from ._paths import inside

log = logging.getLogger("ivg")

FORMATS = ["webm", "gif", "png frames", "mp4"]


class IVGSaveVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="IVGSaveVideo",
            display_name="IVG Save Video (webm, gif, png)",
            category="IVG/video",
            **found_by("export gif", "save webm", "save frames", "animated"),
            description="Saves a video in the formats that core's Save Video does not write, and plays it in a loop. "
            "The workflow goes into the file: drop it on the canvas and the graph comes back (of a GIF, the PNG beside "
            "it).",
            inputs=[
                io.Video.Input("video", tooltip="The video; from frames, core's Create Video makes one."),
                io.String.Input(
                    "filename_prefix",
                    default="video/ivg",
                    tooltip="Folder and beginning of the name, in ComfyUI's output folder. %date:yyyy-MM-dd% and the "
                    "like work as in core's nodes.",
                ),
                io.Combo.Input(
                    "format",
                    options=FORMATS,
                    default=FORMATS[0],
                    tooltip="webm: VP9, small. gif: 256 colours, at most 50 frames a second, plays everywhere. png "
                    "frames: without loss, a folder of numbered files. mp4: H.264.",
                ),
            ],
            outputs=[],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    @noted
    def execute(cls, video, filename_prefix, format) -> io.NodeOutput:
        from ..ivg_core.media.metadata import write_with_workflow
        from ..ivg_core.media.video import write_video

        clip = video.get_components()
        frames, fps = frames_of(clip.images), float(clip.frame_rate)
        if clip.audio is not None:
            log.warning("IVG Save Video: the sound is not kept; core's Save Video keeps it.")
        height, width = frames.shape[1:3]
        output = folder_paths.get_output_directory()
        inside(output, filename_prefix, "filename_prefix", "write folders within it and a name")
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(filename_prefix, output, width, height)
        name = f"{name}_{counter:05}_"
        ending = "png" if format == "png frames" else format
        if ending == "png":
            folder, subfolder = os.path.join(folder, name), os.path.join(subfolder, name)
        files = write_with_workflow(frames, os.path.join(folder, f"{name}.{ending}"), fps, workflow_tags(cls))
        saved = [ui.SavedResult(file.name, subfolder, io.FolderType.output) for file in files]
        if ending in ("webm", "mp4"):
            return io.NodeOutput(ui=ui.PreviewVideo(saved))
        # Nodes play films only, so these formats are shown as one; it lies in the temporary folder.
        shown = f"ivg_{os.urandom(6).hex()}.webm"
        write_video(frames, os.path.join(folder_paths.get_temp_directory(), shown), fps)
        film = ui.SavedResult(shown, "", io.FolderType.temp)
        return io.NodeOutput(ui={**ui.PreviewVideo([film]).as_dict(), "files": saved})


def workflow_tags(cls) -> dict:
    """What core keeps in a file: the prompt, the workflow and whatever else the interface sent along."""
    if args.disable_metadata:
        return {}
    tags = dict(cls.hidden.extra_pnginfo or {})
    if cls.hidden.prompt is not None:
        tags["prompt"] = cls.hidden.prompt
    return tags
