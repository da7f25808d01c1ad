"""`download`: fetch a published checkpoint, or the networks of the metrics."""

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
        commands,
        "download",
        _download,
        "list the published checkpoints, or the networks of the metrics, or fetch one; shows size and licence first",
    )
    download.add_argument(
        "name", nargs="?", help="of what is to be fetched; without it all are listed, and nothing is fetched"
    )
    download.add_argument(
        "--metrics", action="store_true", help="of the networks that `evaluate` looks through, in place of checkpoints"
    )
    download.add_argument(
        "--weights", type=new_folder, default=Path("weights"), help="where these go; `evaluate --weights` reads them"
    )
    download.add_argument("--models", type=new_folder, default=Path("models"), help="where its folder goes")
    download.add_argument("--yes", action="store_true", help="do not ask; you agree to the licence that is shown")


def _download(options: argparse.Namespace) -> None:
    from ..checkpoints.download import download, download_weights
    from ..checkpoints.sources import SOURCES, find_source, list_parts

    known = metric_sources() if options.metrics else SOURCES
    if not options.name:
        for name, source in known.items():
            print(_described(name, source) + "\n")
        print(f"Nothing was fetched. To fetch one: python -m ivg_core download {'--metrics ' * options.metrics}NAME")
        return
    if options.metrics and options.name not in known:
        raise IVGError(f"The metrics have no network {options.name!r}: choose one of {', '.join(known)}.")
    source = known[options.name] if options.metrics else find_source(options.name)
    folder = options.weights if options.metrics else options.models
    size = sum(part.size for part in list_parts(source))
    print(_described(options.name, source))
    print(f"  size      {f'{size / 1e9:.2f} GB' if size else 'the server does not say'}")
    print(f"  into      {folder / (source.file or source.name)}")
    if not options.yes and not _agreed():
        raise IVGError("Nothing was fetched: answer y to the question, or give --yes.")
    fetch = download_weights if options.metrics else download
    ready = fetch(source, folder, on_bytes=_show)
    print("\n".join([f"ready: {ready}", *([] if options.metrics else source.next_steps(ready))]))


def metric_sources() -> dict[str, Source]:
    """Where the networks of the metrics come from, by name."""
    from ..checkpoints.sources import Source
    from ..evaluate.metrics.weights import NETWORKS

    return {
        name: Source(
            name=network.places[0],
            about=network.about,
            licence=network.licence,
            page=network.source,
            url=network.url,
            repo=network.repo,
            sha256=network.sha256,
            file="" if network.repo else network.places[0],
            files=network.files,
        )
        for name, network in NETWORKS.items()
    }


def _described(name: str, source: Source) -> str:
    place = f"{source.hub}/{source.repo}" if source.repo else source.url
    rows = {"about": source.about, "licence": source.licence, "page": source.page, "from": place}
    rows["checked"] = f"by {source.verified_by}"
    return name + "".join(f"\n  {name:9} {text}" for name, text in rows.items())


def _agreed() -> bool:
    try:
        return input("Fetch it under this licence? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _show(so_far: int, total: int) -> None:
    share = f" of {total / 1e9:.2f} GB ({so_far / total:.0%})" if total else ""
    print(f"\r{so_far / 1e9:.2f} GB{share}", end="\n" if so_far == total else "", file=sys.stderr, flush=True)
