"""Clips that carry the workflow they were made by, where ComfyUI's interface looks for it when they are dropped on it.

| format | where |
|---|---|
| .mp4 | `prompt` and `workflow` among the movie's keys, before the frames |
| .webm | the tags PROMPT and WORKFLOW, before the frames |
| .png | text entries `prompt` and `workflow` in every frame |
| .gif | the interface reads nothing from a GIF: a PNG of the first frame lies beside it, with the entries |

Source: the interface's own readers, isobmff.ts, ebml.ts and png.ts of comfyui-frontend-package 1.27.10 and 1.58.1.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from .ffmpeg import ffmpeg_options, notes_text, write_with_ffmpeg
from .files import atomic_write
from .images import save_png
from .targets import user_path
from .video import write_video

STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def write_with_workflow(frames: Tensor, path: str | os.PathLike, fps: float, tags: Mapping[str, Any]) -> list[Path]:
    """Write a clip as `write_video` does, with tags that ComfyUI's interface finds again.

    Args:
        frames: (F, H, W, 3), 0..1.
        path: where to; ends in .mp4, .webm, .gif or .png (numbered files).
        fps: frames a second.
        tags: what to keep, such as {"prompt": …, "workflow": …}; each is stored as JSON. May be empty.

    Returns:
        The files written, the clip first.

    Raises:
        IVGError: as `write_video`.
    """
    target = user_path(path)
    texts = {key: to_json(value) for key, value in tags.items()}
    suffix = target.suffix.lower()
    if suffix == ".png":
        names = [target.with_name(f"{target.stem}_{i:04d}.png") for i in range(1, len(frames) + 1)]
        for frame, name in zip(frames, names, strict=True):
            save_png(frame, name, texts)
        return names
    if suffix == ".gif" and texts:
        beside = target.with_suffix(".png")
        save_png(frames[0], beside, texts)
        return [write_video(frames, target, fps), beside]
    if not texts:
        return [write_video(frames, target, fps)]
    with atomic_write(target) as temporary:
        plain = write_video(frames, temporary.with_stem(temporary.stem + ".plain"), fps)
        notes = temporary.with_suffix(".txt")
        try:
            # A file, because one argument of a command holds 128 KiB at most, and workflows grow longer.
            notes.write_text(notes_text(texts))
            inputs = [*ffmpeg_options({"i": str(plain)}), *ffmpeg_options({"f": "ffmetadata", "i": str(notes)})]
            copy = {"map": "0", "map_metadata": "1", "c": "copy", "movflags": "+faststart+use_metadata_tags"}
            if suffix == ".webm":
                copy.pop("movflags")
            write_with_ffmpeg([*inputs, *ffmpeg_options(copy), str(temporary)], (), target)
        finally:
            plain.unlink(missing_ok=True)
            notes.unlink(missing_ok=True)
    return [target]


def to_json(value: Any) -> str:
    """JSON that the interface's readers get right: ASCII only, and no brace inside a string.

    Its WebM reader finds the end of the JSON by counting braces, those inside strings too.
    """
    text = json.dumps(value)
    return STRING.sub(lambda string: string[0].replace("{", "\\u007b").replace("}", "\\u007d"), text)
