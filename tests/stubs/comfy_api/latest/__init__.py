"""Stand-in for `comfy_api.latest`: records what a node declares and what it returns."""

from __future__ import annotations

import dataclasses
import types
from abc import ABC, abstractmethod

from . import _io as io
from . import _ui as ui

__all__ = ["ComfyExtension", "InputImpl", "Types", "io", "ui"]


class ComfyExtension(ABC):
    async def on_load(self) -> None:  # noqa: B027
        """Called once, before the list of nodes is asked for."""

    @abstractmethod
    async def get_node_list(self) -> list: ...


@dataclasses.dataclass
class VideoComponents:
    images: object
    frame_rate: object
    audio: dict | None = None
    metadata: dict | None = None


class VideoFromComponents:
    def __init__(self, components: VideoComponents):
        self._components = components

    def get_components(self) -> VideoComponents:
        return self._components

    def get_dimensions(self) -> tuple[int, int]:
        return self._components.images.shape[2], self._components.images.shape[1]


class VideoFromFile:
    def __init__(self, file: str):
        self._file = file

    def get_stream_source(self) -> str:
        return self._file


InputImpl = types.SimpleNamespace(VideoFromComponents=VideoFromComponents, VideoFromFile=VideoFromFile)
Types = types.SimpleNamespace(VideoComponents=VideoComponents)
