"""Lists of clips: the released code's, and those of data sets that say from when to when of a long film."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import IVGError
from ...media.text import read_text
from ...settings import read_json


@dataclass(frozen=True)
class Entry:
    """One entry as it was read: nothing is checked yet.

    Args:
        file: a path as the list gives it.
        caption: what happens in the clip.
        start, end: seconds of the film.
    """

    file: Any = None
    caption: Any = None
    start: Any = None
    end: Any = None


#: Keys of an entry, and what others call them.
KEYS = ("video", "image", "caption", "start", "end")
MEANT = {
    "text": "caption",
    "prompt": "caption",
    "narration": "caption",
    "file": "video",
    "path": "video",
    "clip": "video",
    "start_time": "start",
    "start_sec": "start",
    "end_time": "end",
    "stop": "end",
    "end_sec": "end",
}


def read_list(path: Path) -> list[Entry]:
    """The entries of a list, in its order.

    Raises:
        IVGError: it cannot be read, or is no list of clips.

    Source: the released code's data sets. `video_json` is a list of {"video", "caption"}, `image` one of {"image",
        "caption"}; `video_blip` is {"data": [{"video_path", "data": [{"prompt", "clip_path"}, …]}, …]}, in which
        "clip_path" may be missing. "start" and "end" of the first two are ours.
    """
    try:
        values = read_json(read_text(path))
    except IVGError as error:
        raise IVGError(f"data: {error}") from error
    except ValueError as error:
        raise IVGError(f"data: {path} is no JSON ({error}): give a list of captions and videos.") from error
    if isinstance(values, list):
        _check_keys(path, values)
    entries = _entries(values)
    if entries is None:
        raise IVGError(f'data: {path} holds no list: write [{{"caption": "…", "video": "….mp4"}}, …].')
    return entries


def _check_keys(path: Path, entries: list[Any]) -> None:
    """Lets pass keys of other programs, but none that is nearly one of ours, which would be passed over unseen."""
    for number, entry in enumerate(entries, 1):
        for key in entry if isinstance(entry, dict) else ():
            meant = MEANT.get(key) or next(iter(difflib.get_close_matches(str(key), KEYS, n=1, cutoff=0.75)), key)
            if key not in KEYS and meant not in (key, *entry):
                raise IVGError(f"data: entry {number} of {path} has the key {key!r}; did you mean {meant!r}?")


def span_of(entry: Entry) -> tuple[float, float | None] | None:
    """From when to when in its film an entry's clip goes, in seconds; None: it is the whole film.

    Raises:
        IVGError: these are no times, or nothing lies between them.
    """
    if entry.start is None and entry.end is None:
        return None
    start = _seconds(0 if entry.start is None else entry.start, "start")
    end = None if entry.end is None else _seconds(entry.end, "end")
    if end is not None and end <= start:
        raise IVGError(f"its end, {end:g} s, is not after its start, {start:g} s: check the times")
    return start, end


def _seconds(value: Any, what: str) -> float:
    try:
        seconds = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds < 1e9:
        raise IVGError(f"its {what} is {str(value)[:60]!r}: give seconds from the film's beginning, such as 12.5")
    return seconds


def _entries(values: Any) -> list[Entry] | None:
    """See `read_list`; None: it is no list."""
    if isinstance(values, list):
        return [
            Entry(e.get("video") or e.get("image"), e.get("caption"), e.get("start"), e.get("end"))
            if isinstance(e, dict)
            else Entry()
            for e in values
        ]
    videos = values.get("data") if isinstance(values, dict) else None
    if not isinstance(videos, list):
        return None
    found: list[Entry] = []
    for video in videos:
        parts = video.get("data") if isinstance(video, dict) else None
        for part in parts if isinstance(parts, list) else [None]:
            whole = part if isinstance(part, dict) else {}
            found.append(Entry(whole.get("clip_path") or (whole and video.get("video_path")), whole.get("prompt")))
    return found
