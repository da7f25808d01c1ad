"""`download`: fetch a published checkpoint."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import IVGError
from .kinds import new_folder
from .shared import command

if TYPE_CHECKING:
    from ..checkpoints.sources import Source


def add(commands) -> None:
    """Add the command to the parser."""
    download = command(
        commands, "download", _download, "list the published checkpoints, or fetch one; shows size and licence first"
    )
    download.add_argument(
        "name", nargs="?", help="of the checkpoint; without it all are listed, and nothing is fetched"
    )
    download.add_argument("--models", type=new_folder, default=Path("models"), help="where its folder goes")
    download.add_argument("--yes", action="store_true", help="do not ask; you agree to the licence that is shown")


def _download(options: argparse.Namespace) -> None:
    from ..checkpoints.download import download
    from ..checkpoints.sources import SOURCES, find_source, list_parts

    if not options.name:
        for source in SOURCES.values():
            print(_described(source) + "\n")
        print("Nothing was fetched. To fetch one: python -m ivg_core download NAME")
        return
    source = find_source(options.name)
    size = sum(part.size for part in list_parts(source))
    print(_described(source))
    print(f"  size      {f'{size / 1e9:.2f} GB' if size else 'the server does not say'}")
    print(f"  into      {options.models / source.name}")
    if not options.yes and not _agreed():
        raise IVGError("Nothing was fetched: answer y to the question, or give --yes.")
    folder = download(source, options.models, on_bytes=_show)
    print("\n".join([f"ready: {folder}", *source.next_steps(folder)]))


def _described(source: Source) -> str:
    place = f"{source.hub}/{source.repo}" if source.repo else source.url
    rows = {"about": source.about, "licence": source.licence, "page": source.page, "from": place}
    rows["checked"] = f"by {source.verified_by}"
    return source.name + "".join(f"\n  {name:9} {text}" for name, text in rows.items())


def _agreed() -> bool:
    try:
        return input("Fetch it under this licence? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _show(so_far: int, total: int) -> None:
    share = f" of {total / 1e9:.2f} GB ({so_far / total:.0%})" if total else ""
    print(f"\r{so_far / 1e9:.2f} GB{share}", end="\n" if so_far == total else "", file=sys.stderr, flush=True)
