"""Unpacking an archive that came from elsewhere, and finding the checkpoint in it."""

from __future__ import annotations

import errno
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO

from ..errors import IVGError
from ..media.files import plain_path
from .layout import read_layout

#: What a system says of a name within a file, of one that is a folder too, and of one that is too long.
ODD_NAMES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL)


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
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, IndexError, zlib.error) as error:
        raise IVGError(f"{archive} is no whole tar or zip ({error}): download it again.") from error
    except OSError as error:
        if error.errno not in ODD_NAMES:
            raise
        raise IVGError(f"{archive} holds a name that no file can have ({error.strerror}): do not use it.") from error
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
    target = folder / plain_path(name, archive)
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
        if file.tell() != size:  # tarfile does not mind
            raise EOFError(f"it ends within {name}")
