"""Fetching published checkpoints, and only when asked: resumable, verified, and whole or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import logging
import os
import shutil
import ssl
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import quote

from ..errors import IVGError
from ..media.files import atomic_write
from .layout import read_layout

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
    models = Path(models).expanduser()
    target, staging = models / source.name, models / ".download" / source.name
    if target.exists():
        log.warning("%s is there already: nothing is fetched. Remove it to fetch it again.", target)
        return target
    with _explained(models):
        staging.mkdir(parents=True, exist_ok=True)
        parts = list_parts(source, TIMEOUT)
        _check_space(parts, staging)
        total, before = sum(part.size for part in parts), 0
        found: dict[str, str] = {}
        for part in parts:
            path = staging / "files" / part.path

            def show(so_far: int, before: int = before) -> None:
                if on_bytes:
                    on_bytes(before + so_far, total)

            found[part.path] = _fetch_verified(part, path, show, wait)
            before += path.stat().st_size
        checkpoint = checkpoint_in(staging / "files") if source.repo else _unpacked(staging, parts[0])
        _write_record(checkpoint / RECORD, source, parts, found)
        os.replace(checkpoint, target)
        shutil.rmtree(staging)
        with contextlib.suppress(OSError):  # other downloads may wait there
            staging.parent.rmdir()
    return target


def _unpacked(staging: Path, part: Part) -> Path:
    archive = staging / "files" / part.path
    try:
        return checkpoint_in(unpack(archive, staging / "unpacked"))
    except IVGError:
        archive.unlink()  # else the next run would find the same bad archive
        raise


def _fetch_verified(part: Part, path: Path, on_bytes: Callable[[int], None], wait: float) -> str:
    """Fetch one file, unless it lies there whole; its SHA-256."""
    if not path.is_file():
        partial = path.with_name(path.name + ".part")
        partial.parent.mkdir(parents=True, exist_ok=True)
        fetch(part, partial, on_bytes, wait)
        found = sha256_of(partial)
        if part.sha256 and found != part.sha256:
            partial.unlink()
            raise IVGError(
                f"{part.url} came with the checksum {found} in place of {part.sha256}: it was damaged or exchanged on "
                "the way and has been removed; download it again."
            )
        os.replace(partial, path)
    else:
        found = sha256_of(path)
    on_bytes(path.stat().st_size)
    return found


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
                    f"{part.url} cannot be had (HTTP {error.code} {error.reason}): {part.by_hand}."
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
    request = urllib.request.Request(part.url, headers={"User-Agent": "comfy-ivg", "Accept-Encoding": "identity"})
    if size and version:
        request.add_header("Range", f"bytes={size}-")
        request.add_header("If-Range", version)  # a file that has changed since comes whole
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
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


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _version_in(note: Path) -> str | None:
    try:
        version = json.loads(note.read_text())["version"]
    except (OSError, ValueError, KeyError):
        return None
    # a weak tag says "much the same", which is not enough to join two halves
    return version if version and not version.startswith("W/") else None


def _check_space(parts: list[Part], staging: Path) -> None:
    """Refuse before the first byte what cannot fit: an archive needs its size twice, packed and unpacked."""
    have = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
    need = sum(part.size for part in parts) * (2 if len(parts) == 1 else 1) - have
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
    record = {"name": source.name, "page": source.page, "licence": source.licence, "files": files}
    record["date"] = time.strftime("%Y-%m-%d")
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


HUB = "https://huggingface.co"
# A text-to-video model in diffusers' layout; everything else in such a repository is the same in other formats.
FOLDERS = ("unet/", "vae/", "text_encoder/", "tokenizer/", "scheduler/")


@dataclass(frozen=True)
class Source:
    """A published checkpoint: one archive at `url`, or the repository `repo` on the Hugging Face hub."""

    name: str  # of the folder below models/ivg
    about: str
    licence: str
    page: str  # where its makers publish it
    url: str = ""
    repo: str = ""
    sha256: str = ""  # of the archive, if its makers say it
    hub: str = HUB

    @property
    def verified_by(self) -> str:
        """How a download of it is checked, for people."""
        if self.repo:
            return "the size and SHA-256 of each file that the hub states"
        if self.sha256:
            return f"SHA-256 {self.sha256}"
        return "its size and structure; its makers publish no checksum"


@dataclass(frozen=True)
class Part:
    """One file to fetch."""

    url: str
    path: str  # below the checkpoint's folder
    size: int  # bytes; 0 if unknown
    sha256: str  # "" if nobody says it
    by_hand: str  # what to do when it cannot be fetched


SOURCES = {
    source.name: source
    for source in (
        Source(
            name="IVG.1.0",
            about="Instructional Video Generation, the paper's checkpoint (stage 2; no stage-1 weights are published)",
            licence="none stated; grown from zeroscope (CC-BY-NC-4.0), so treat it as non-commercial",
            page="https://excitedbutter.github.io/project_page/",
            url="https://drive.usercontent.google.com/download?id=1sWlr5r54_XxqdgHoCacS7opoucABpEVx"
            "&export=download&confirm=t",
        ),
        Source(
            name="animate_anything_512_v1.02",
            about="animate-anything, the checkpoint that IVG was trained from (stage 2)",
            licence="code MIT; grown from zeroscope (CC-BY-NC-4.0), so treat it as non-commercial",
            page="https://github.com/alibaba/animate-anything",
            url="https://cloudbook-public-production.oss-cn-shanghai.aliyuncs.com/animation/animate_anything_512_v1.02.tar",
        ),
        Source(
            name="zeroscope_v2_576w",
            about="the text-to-video model beneath both, to begin a training from; makes no videos of photos by itself",
            licence="CC-BY-NC-4.0: non-commercial",
            page="https://huggingface.co/cerspense/zeroscope_v2_576w",
            repo="cerspense/zeroscope_v2_576w",
        ),
    )
}


def find_source(name: str) -> Source:
    """A published checkpoint by its name.

    Raises:
        IVGError: there is none of this name.
    """
    if name not in SOURCES:
        raise IVGError(f"There is no published checkpoint {name!r}: choose one of {', '.join(SOURCES)}.")
    return SOURCES[name]


def list_parts(source: Source, timeout: float = 30.0) -> list[Part]:
    """Ask the server which files a checkpoint has, and how large they are. Fetches none of them.

    Raises:
        IVGError: the server cannot be reached or answers something else.
    """
    by_hand = f"open {source.page}, download it there, and unpack it into models/ivg/{source.name}"
    try:
        return _hub_parts(source, by_hand, timeout) if source.repo else [_archive_part(source, by_hand, timeout)]
    except urllib.error.HTTPError as error:
        raise IVGError(
            f"{source.name} cannot be had (HTTP {error.code} {error.reason} at {error.url}): {by_hand}."
        ) from error
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "reason", None) or error
        raise IVGError(
            f"The server of {source.name} cannot be reached or answers oddly ({reason}): look at your connection, or "
            f"{by_hand}."
        ) from error


def _archive_part(source: Source, by_hand: str, timeout: float) -> Part:
    headers = {"User-Agent": "comfy-ivg", "Accept-Encoding": "identity"}
    request = urllib.request.Request(source.url, headers=headers, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            page = "text/html" in answer.headers.get("Content-Type", "")
            size = 0 if page else int(answer.headers.get("Content-Length") or 0)
    except urllib.error.HTTPError as error:
        if error.code not in (403, 405, 501):  # with these the server only refuses to say the size beforehand
            raise
        size = 0
    return Part(source.url, source.name + ".archive", size, source.sha256, by_hand)


def _hub_parts(source: Source, by_hand: str, timeout: float) -> list[Part]:
    request = urllib.request.Request(
        f"{source.hub}/api/models/{source.repo}/tree/main?recursive=true", headers={"User-Agent": "comfy-ivg"}
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        listed = {file["path"]: file for file in json.load(answer) if file["type"] == "file"}
    wanted = [path for path in listed if path.startswith(FOLDERS) and not _is_double(path, listed.keys())]
    if not any(path.startswith("unet/") for path in wanted):
        raise ValueError("it lists no unet/")
    return [
        Part(
            f"{source.hub}/{source.repo}/resolve/main/{quote(path)}",
            path,
            int(listed[path]["size"]),
            (listed[path].get("lfs") or {}).get("oid", ""),
            by_hand,
        )
        for path in wanted
    ]


def _is_double(path: str, paths) -> bool:
    """Whether the same weights are there in a better form: safetensors before .bin, full before fp16."""
    stem, _, suffix = path.rpartition(".")
    if ".fp16." in path:
        return path.replace(".fp16.", ".") in paths
    if suffix != "bin":
        return False
    return any(f"{name}.safetensors" in paths for name in (stem, stem.replace("pytorch_model", "model")))


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a tar or zip; nothing in it can land outside the folder, and links are refused.

    Args:
        archive: the file; its content says what it is, not its name.
        folder: to unpack into; what an earlier attempt left there is removed first.

    Returns:
        The folder.

    Raises:
        IVGError: the archive is damaged, or it names places outside itself.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                for member in packed.infolist():
                    if not member.is_dir():
                        with packed.open(member) as content:
                            _write(content, folder, member.filename, member.file_size, archive)
        else:
            with tarfile.open(archive) as tape:
                for entry in tape:
                    plain = tape.extractfile(entry) if entry.isreg() else None
                    if plain:
                        _write(plain, folder, entry.name, entry.size, archive)
                    elif not entry.isdir():
                        raise IVGError(f"{archive} holds {entry.name!r}, which is no plain file: do not use it.")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise IVGError(f"{archive} is no whole tar or zip ({error}): download it again.") from error
    return folder


def checkpoint_in(folder: Path) -> Path:
    """The checkpoint's folder in what was downloaded: the one that holds unet/, looked at for whether it is whole.

    Raises:
        IVGError: there is none, or parts of it are missing.
    """
    found = sorted((path.parent for path in folder.rglob("unet") if path.is_dir()), key=lambda path: len(path.parts))
    if not found:
        raise IVGError(f"What came ({folder}) is no checkpoint, it has no unet/ folder: download it again.")
    missing = read_layout(found[0]).missing_parts()
    if missing:
        raise IVGError(f"What came ({found[0]}) is not whole, it lacks {', '.join(missing)}: download it again.")
    return found[0]


def _write(content: IO[bytes], folder: Path, name: str, size: int, archive: Path) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise IVGError(f"{archive} wants to write to {name!r}, outside its own folder: do not use it.")
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
        if file.tell() != size:  # tarfile does not mind
            raise EOFError(f"it ends within {name}")
