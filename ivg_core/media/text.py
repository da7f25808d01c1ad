"""Text as people's editors save it: one way to read captions, prompts, tables and lists."""

from __future__ import annotations

import codecs
import logging
import os
import re
from typing import Any

from ..errors import IVGError

log = logging.getLogger("ivg")

MOST_BYTES = 1 << 26  # of a text file; a table of a hundred thousand rows has fewer
#: What begins a file, and what it says of the rest.
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
#: Half of a character, which can be neither stored nor read by a tokenizer.
HALF = re.compile("[\ud800-\udfff]")
#: No sentence holds these: control characters, halves of characters, and the sign for a letter that was lost.
NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\ufffd]")


def read_text(path: str | os.PathLike) -> str:
    """Read a text file: UTF-8 with or without a mark, UTF-16 with one, else Windows-1252, the "ANSI" of Windows.

    Args:
        path: of the file.

    Returns:
        The text without its mark, lines ended by "\\n".

    Raises:
        IVGError: there is no such file, it is too large, or its bytes are no text.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise IVGError(f"{os.fspath(path)} cannot be read ({reason}): check the path.") from error
    if len(data) > MOST_BYTES:
        raise IVGError(f"{os.fspath(path)} has more than {MOST_BYTES >> 20} MiB, which is no text: give another file.")
    return decode(data, os.fspath(path))


def decode(data: bytes, source: object) -> str:
    """The text that bytes stand for; see `read_text`.

    Args:
        data: the whole file.
        source: its name, for errors.

    Raises:
        IVGError: they are no text.
    """
    mark, encoding = next(((mark, name) for mark, name in MARKS if data.startswith(mark)), (b"", ""))
    text, known = None, (encoding,) if mark else ("utf-8", "cp1252")
    for encoding in known:
        try:
            text = data[len(mark) :].decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    if text is None:
        raise IVGError(f"{source} is no text that can be read: save it as UTF-8.")
    text = plain(text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), source)
    if encoding == "cp1252":
        log.warning("%s is not UTF-8 and was read as Windows-1252: save it as UTF-8 if letters are wrong.", source)
    return text


def plain(text: Any, what: object) -> str:
    """A text, if it is one that can be written and shown.

    Args:
        text: whatever a file or a program gives.
        what: it is, for errors.

    Raises:
        IVGError: it is a number or a list, or holds what no sentence holds.
    """
    if not isinstance(text, str):
        raise IVGError(f"{what} is {str(text)[:40]!r}, which is no text: write it in quotes.")
    if odd := NO_TEXT.search(text):
        said = "letters that a program lost" if odd[0] == "\ufffd" else "what is no letter"
        raise IVGError(f"{what} holds {said} (U+{ord(odd[0]):04X}): write it anew, and save it as UTF-8.")
    return text
