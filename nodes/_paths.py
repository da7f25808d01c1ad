"""Where a node may read and write: a workflow from elsewhere must not reach other files of the user's."""

from __future__ import annotations

import os
from collections.abc import Iterable

import folder_paths


def readable_roots() -> list[str]:
    """ComfyUI's input, output, temporary and models folders, and those that extra_model_paths.yaml names."""
    named = [
        place
        for kind, (places, *_) in folder_paths.folder_names_and_paths.items()
        if kind != "custom_nodes"
        for place in places
    ]
    return [
        folder_paths.get_input_directory(),
        folder_paths.get_output_directory(),
        folder_paths.get_temp_directory(),
        folder_paths.models_dir,
        *named,
    ]


def is_within(path: str | os.PathLike, roots: Iterable[str]) -> bool:
    """Whether a path, all links followed, is one of these folders or lies in one."""
    try:
        real = os.path.realpath(path)
    except (OSError, ValueError):  # NUL, half a character, links in a circle
        return False
    for root in map(os.path.realpath, roots):
        try:
            if os.path.commonpath([root, real]) == root:
                return True
        except ValueError:  # another drive
            continue
    return False


def inside(root: str, name: str, what: str, advice: str = "put it there and write its name alone") -> str:
    """The path of a name in one folder of ComfyUI's.

    Args:
        root: the folder.
        name: as the user writes it.
        what: the widget, for the error.
        advice: what to do, for the error.

    Raises:
        IVGError: the name leads out of that folder, by itself or by a link, or cannot be a name.
    """
    from ..ivg_core.errors import IVGError

    path = os.path.join(os.path.abspath(root), name.strip())
    if not is_within(path, [root]):
        raise IVGError(f"{what} is {name!r}, which is not in {root}: {advice}.")
    return os.path.normpath(path)


def readable(name: str | os.PathLike, what: str) -> str:
    """A path that a node may read: in one of ComfyUI's folders; a relative one begins at the input folder.

    Raises:
        IVGError: it lies elsewhere, by itself or by a link, or cannot be a path.
    """
    from ..ivg_core.errors import IVGError

    path = os.path.join(folder_paths.get_input_directory(), os.fspath(name))
    if not is_within(path, readable_roots()):
        raise IVGError(
            f"{what} is {os.fspath(name)!r}, which is not in a folder of ComfyUI's: put it into the input folder, or "
            "name its folder in extra_model_paths.yaml."
        )
    return os.path.normpath(path)


def readable_tree(path: str, what: str) -> str:
    """`readable`, for a folder and everything in it.

    Raises:
        IVGError: something in it is a link that leads elsewhere.
    """
    found = readable(path, what)
    for folder, folders, files in os.walk(found):
        for entry in (*folders, *files):
            if os.path.islink(os.path.join(folder, entry)):
                readable(os.path.join(folder, entry), what)
    return found
