"""Fetching published checkpoints, and only when asked: resumable, verified, and whole or not there at all.

The hub's own client lists its repositories and names their commit. The files come by the code below, because that
client begins a file anew when a download was stopped, and compares sizes but no checksums.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import logging
import os
import shutil
import ssl
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path

from ..errors import IVGError
from ..media.files import atomic_write, digest_of, sha256_of
from ..media.targets import user_path
from ..settings import read_json
from .sources import Part, Source, list_parts, open_url
from .unpack import checkpoint_in, unpack

log = logging.getLogger("ivg")

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 5  # in a row that brought nothing
RECORD = "download.json"
BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)

OnBytes = Callable[[int, int], None]


def download(source: Source, models: str | Path, *, on_bytes: OnBytes | None = None, wait: float = 2.0) -> Path:
    """Fetch a checkpoint into a folder of models.

    What has come lies in `<models>/.download/<name>` until it is whole and verified; a run that was broken off goes on
    from there.

    Args:
        source: what to fetch, see `SOURCES`.
        models: folder that gets the folder `<name>`.
        on_bytes: called as `on_bytes(so_far, total)`, total 0 if the server does not say it; an exception from it stops
            the download and keeps what has come.
        wait: seconds before a broken connection is tried again.

    Returns:
        The checkpoint's folder, with `download.json` in it: where from, how verified, when.

    Raises:
        IVGError: the server cannot be reached or sends something else, the disk is full, or a checksum is wrong.
    """
    models = user_path(models)
    target, staging = models / source.name, models / ".download" / source.name
    if target.exists():
        log.warning("%s is there already: nothing is fetched. Remove it to fetch it again.", target)
        return target
    with _explained(models):
        parts, found = _fetch_parts(source, staging, on_bytes, wait)
        checkpoint = checkpoint_in(staging / "files") if source.repo else _unpacked(staging, parts[0])
        _write_record(checkpoint / RECORD, source, parts, found)
        _put(checkpoint, target, staging)
    return target


def download_weights(source: Source, folder: str | Path, *, on_bytes: OnBytes | None = None, wait: float = 2.0) -> Path:
    """Fetch weights that are kept as they are, as `download` fetches checkpoints.

    Args:
        source: with `file` or `files`.
        folder: that gets the file `file`, or the folder `name`.
        on_bytes, wait: see `download`.

    Returns:
        The file or the folder; `<file>.download.json` beside it, or `download.json` in it, says where from, its
        SHA-256, and when. A file that comes with another one than at an earlier time is told of.

    Raises:
        IVGError: see `download`.
    """
    folder = user_path(folder)
    target, staging = folder / (source.file or source.name), folder / ".download" / source.name
    record = folder / f"{source.file}.{RECORD}" if source.file else staging / "files" / RECORD
    if target.exists():
        log.warning("%s is there already: nothing is fetched. Remove it to fetch it again.", target)
        return target
    with _explained(folder):
        parts, found = _fetch_parts(source, staging, on_bytes, wait)
        _compare(record, found)
        _write_record(record, source, parts, found)
        _put(staging / "files" / source.file, target, staging)
    return target


def _compare(record: Path, found: dict[str, str]) -> None:
    """Tells where a file is another one than that which came before."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        before = read_json(record.read_text(encoding="utf-8"))
        for name, digest in found.items():
            if (was := before["files"][name]["sha256"]) != digest:
                log.warning("%s has the SHA-256 %s, and had %s on %s.", name, digest, was, before["date"])


def _put(made: Path, target: Path, staging: Path) -> None:
    os.replace(made, target)
    shutil.rmtree(staging)
    with contextlib.suppress(OSError):  # other downloads may wait there
        staging.parent.rmdir()


def _fetch_parts(
    source: Source, staging: Path, on_bytes: OnBytes | None, wait: float
) -> tuple[list[Part], dict[str, str]]:
    """All files into `<staging>/files`; what they are, and the SHA-256 of each."""
    staging.mkdir(parents=True, exist_ok=True)
    parts = list_parts(source, TIMEOUT)
    _check_space(source, parts, staging)
    total, before = sum(part.size for part in parts), 0
    found: dict[str, str] = {}
    for part in parts:
        path = staging / "files" / part.path

        def show(so_far: int, before: int = before) -> None:
            if on_bytes:
                on_bytes(before + so_far, total)

        found[part.path] = _fetch_verified(part, path, show, wait)
        before += path.stat().st_size
    return parts, found


def _unpacked(staging: Path, part: Part) -> Path:
    archive = staging / "files" / part.path
    try:
        return checkpoint_in(unpack(archive, staging / "unpacked"))
    except IVGError:
        archive.unlink()  # else the next run would find the same bad archive
        raise


def _fetch_verified(part: Part, path: Path, on_bytes: Callable[[int], None], wait: float) -> str:
    """Fetch one file, unless it lies there whole; its SHA-256."""
    if path.is_file() and _fault_in(path, part):
        path.unlink()  # of another commit of the repository
    if not path.is_file():
        partial = path.with_name(path.name + ".part")
        partial.parent.mkdir(parents=True, exist_ok=True)
        fetch(part, partial, on_bytes, wait)
        if fault := _fault_in(partial, part):
            partial.unlink()
            raise IVGError(
                f"{part.url} came with the checksum {fault}: it was damaged or exchanged on the way and has been "
                "removed; download it again."
            )
        os.replace(partial, path)
    on_bytes(path.stat().st_size)
    return part.sha256 or sha256_of(path)


def _fault_in(path: Path, part: Part) -> str:
    """Both checksums if the file is not the published one, else ""."""
    if part.sha256:
        found, wanted = sha256_of(path), part.sha256
    elif part.blob:
        header = f"blob {path.stat().st_size}\0".encode()  # what git counts besides the content
        found, wanted = digest_of([path], hashlib.sha1(header, usedforsecurity=False)), part.blob
    else:
        return ""
    return "" if found == wanted else f"{found} in place of {wanted}"


def fetch(part: Part, partial: Path, on_bytes: Callable[[int], None], wait: float) -> None:
    """Fetch one file, going on where `partial` ends, through as many broken connections as there are.

    Args:
        part: what to fetch.
        partial: the file that grows; a note beside it says which version on the server it belongs to.
        on_bytes: called with the bytes so far.
        wait: seconds before the next attempt.

    Raises:
        IVGError: the server refuses, or nothing came in five attempts in a row.
    """
    idle = 0
    while True:
        size = partial.stat().st_size if partial.exists() else 0
        if part.size and size == part.size:
            return
        try:
            if _fetch_some(part, partial, on_bytes):
                return
            reason = "the connection broke"
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):
                raise IVGError(
                    f"{part.url} could not be downloaded (HTTP {error.code} {error.reason}): {part.by_hand}."
                ) from error
            reason = f"HTTP {error.code}"
        except BROKEN as error:
            reason = str(getattr(error, "reason", "") or error) or type(error).__name__
        now = partial.stat().st_size if partial.exists() else 0
        idle = 0 if now > size else idle + 1
        if idle == ATTEMPTS:
            raise IVGError(
                f"{part.url} stopped sending ({reason}) at {now:,} bytes: look at your connection and start the "
                "download again; it goes on from there."
            )
        log.warning("The download broke off at %s bytes (%s): trying again.", f"{now:,}", reason)
        time.sleep(wait)


def _fetch_some(part: Part, partial: Path, on_bytes: Callable[[int], None]) -> bool:
    """One connection; whether the file is whole now."""
    note = partial.with_name(partial.name + ".json")
    size, version = partial.stat().st_size if partial.exists() else 0, _version_in(note)
    headers = {}
    if size and version:  # a file that has changed since comes whole
        headers = {"Range": f"bytes={size}-", "If-Range": version}
    try:
        answer = open_url(part.url, TIMEOUT, headers=headers)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        partial.unlink()  # it is longer than the file on the server: begin anew
        return False
    with answer:
        if "text/html" in answer.headers.get("Content-Type", ""):
            raise IVGError(f"{part.url} sends a web page in place of the file: {part.by_hand}.")
        goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {size}-")
        size = size if goes_on else 0
        length = answer.headers.get("Content-Length")
        whole = part.size or (size + int(length) if length else 0)
        if length and part.size and size + int(length) != part.size:
            raise IVGError(f"{part.url} is {size + int(length):,} bytes and should be {part.size:,}: {part.by_hand}.")
        note.write_text(json.dumps({"version": answer.headers.get("ETag") or answer.headers.get("Last-Modified")}))
        with open(partial, "r+b" if goes_on else "wb") as file:
            file.seek(size)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                size += len(chunk)
                on_bytes(size)
    if whole and size < whole:
        return False
    note.unlink()
    return True


def _version_in(note: Path) -> str | None:
    try:
        version = read_json(note.read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError):
        return None
    # a weak tag says "much the same", which is not enough to join two halves
    return version if version and not version.startswith("W/") else None


def _check_space(source: Source, parts: list[Part], staging: Path) -> None:
    """Refuse before the first byte what cannot fit: an archive needs its size twice, packed and unpacked."""
    have = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
    need = sum(part.size for part in parts) * (1 if source.repo or source.file else 2) - have
    free = shutil.disk_usage(staging).free
    if need > free:
        raise IVGError(
            f"{staging.parent.parent} has {free / 1e9:.1f} GB free and {need / 1e9:.1f} GB are needed: free some "
            "space, or choose another folder of models."
        )


def _write_record(path: Path, source: Source, parts: list[Part], found: dict[str, str]) -> None:
    files = {
        part.path: {"url": part.url, "sha256": found[part.path], "published_sha256": part.sha256 or None}
        for part in parts
    }
    record = {
        "name": source.name,
        "page": source.page,
        "licence": source.licence,
        "date": time.strftime("%Y-%m-%d"),
        "revision": parts[0].revision or None,
        "files": files,
    }
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")


@contextlib.contextmanager
def _explained(models: Path):
    try:
        yield
    except OSError as error:
        raise IVGError(
            f"{models} cannot be written ({error.strerror or error}): free some space or choose another folder, then "
            "download again; it goes on from where it stopped."
        ) from error
