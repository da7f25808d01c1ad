"""What training nodes are given to learn from: one clip that is connected, or a folder of clips."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_api.latest import InputImpl, io
from torch import Tensor

from ._edges import frames_of, masks_of
from ._paths import readable_tree

if TYPE_CHECKING:
    from ..ivg_core.training.data.settings import DataSettings

#: What the user reads -> what the data side knows.
MASKS = {"hands": "hands", "hands and arms": "arms", "predicted by stage 1": "stage1", "everything": "white"}
#: Those that ask no stage 1 of the model.
MASKS_ALONE = [name for name, masks in MASKS.items() if masks != "stage1"]
MASK_FOLDER = "folder named masks"


def prompt_input() -> io.String.Input:
    """What happens in the clips."""
    return io.String.Input(
        "prompt",
        default="",
        multiline=True,
        tooltip="What happens in the clip, in one sentence; further lines are other ways to say it. For a "
        "folder: the sentence of clips that have no .txt file beside them.",
    )


def folder_input() -> io.String.Input:
    """A folder of clips."""
    return io.String.Input(
        "folder",
        default="",
        tooltip="A folder of clips: videos, GIFs, or folders of numbered pictures; the sentence of cut.mp4 "
        "is in cut.txt. One inside ComfyUI's input folder, or a full path in one of its folders or of "
        "those that extra_model_paths.yaml names. Empty when images or video are connected.",
    )


def clip_inputs() -> list:
    """One clip, in place of a folder."""
    return [
        io.Image.Input("images", optional=True, tooltip="The frames of one clip, in order."),
        io.Video.Input("video", optional=True, tooltip="One clip."),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="What moves in the clip of images or video: one mask, or one a frame. Stage 1 needs one a frame.",
        ),
    ]


def source_settings(prompt: str, folder: str, masks: str) -> dict[str, Any]:
    """Those of `DataSettings` that say where clips, their sentences and their masks are."""
    return {
        "source": str(folder_of(folder)) if folder.strip() else "this node",
        "caption": " ".join(prompt.split()) or None,
        "masks": str(folder_of(folder) / "masks") if masks == MASK_FOLDER else MASKS[masks],
    }


def connected_clips(
    images: Tensor | None,
    video: Any,
    mask: Tensor | None,
    prompt: str,
    folder: str | None = None,
    node: str = "IVG Train LoRA",
    picture: bool = False,
):
    """The clip that is connected, once for each line of the prompt; None where a folder is named instead.

    With `picture` a clip may be a single one, which teaches how things look. A node without a folder gives None for it.

    Raises:
        IVGError: nothing is given, too much, or no sentence.
    """
    from ..ivg_core.errors import IVGError
    from ..ivg_core.media.clips import MemoryClip, Video
    from ..ivg_core.training.data.sources import TrainingClip

    given = [what for what, there in (("images", images is not None), ("video", video is not None)) if there]
    given += ["folder"] if folder and folder.strip() else []
    if len(given) != 1:
        what = f"{' and '.join(given)} are given" if given else "there are no clips"
        how = f"connect images or video{'' if folder is None else ', or name a folder'}, one of these"
        raise IVGError(f"{node}: {what}: {how}.")
    if given == ["folder"]:
        return None
    sentences = list(dict.fromkeys(" ".join(line.split()) for line in prompt.splitlines() if line.strip()))
    if not sentences:
        raise IVGError(f"{node}: the clip has no sentence: write into prompt what happens in it.")
    if images is not None:
        media: Any = MemoryClip(frames_of(images))
    elif path := file_behind(video):
        media = Video(Path(path))
    else:
        components = video.get_components()
        media = MemoryClip(frames_of(components.images), float(components.frame_rate))
    if not picture and isinstance(media, MemoryClip) and media.facts().frames < 2:
        raise IVGError(f"{node}: it has one frame, in which nothing can move: give a video.")
    masks = None if mask is None else masks_of(mask)
    clips: list[TrainingClip] = [
        TrainingClip(f"{given[0]} #{i}" if i > 1 else given[0], media, sentence, masks)
        for i, sentence in enumerate(sentences, 1)
    ]
    return clips


def file_behind(video: Any) -> str | None:
    """The file of a VIDEO that is one as a whole, so that it can be read frame by frame."""
    if not isinstance(video, InputImpl.VideoFromFile):
        return None
    start, duration = getattr(video, "get_active_trim_window", lambda: (0, 0))()
    source = video.get_stream_source()
    return source if isinstance(source, str) and not (start or duration) else None


def folder_of(text: str) -> Path:
    """The folder of clips that the user named: one inside ComfyUI's input folder, or a full path in its folders.

    Raises:
        IVGError: it lies elsewhere, or something in it does.
    """
    return Path(readable_tree(os.path.expanduser(text.strip().strip('"')), "folder"))


def check_clips(settings: DataSettings) -> None:
    """Stop before clips are read that a list names outside ComfyUI's folders.

    Raises:
        IVGError: there is such a clip.
    """
    from ..ivg_core.training.data.sources import find_training_clips

    for clip in find_training_clips(settings).clips:
        if path := getattr(clip.media, "path", None):
            readable_tree(str(path), f"A clip of {os.path.basename(settings.source)}")
