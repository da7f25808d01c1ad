"""Kinds of options: each is checked when the command line is read, before any work is done.

`argparse` takes them as `type`; a mistake is told in one sentence, with the option that it belongs to.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..checkpoints.lora_choice import LoRAChoice, read_choice
from ..errors import IVGError
from ..media.targets import VIDEO_ENDINGS, check_file, check_folder, user_path
from ..media.text import plain, read_text

if TYPE_CHECKING:
    from ..sampling.prompts import PromptSchedule

T = TypeVar("T")
MOST_SEED = 2**64 - 1


def kind(read: Callable[[str], T]) -> Callable[[str], T]:
    """A function of a word that raises an IVGError, as argparse wants it."""

    def checked(text: str) -> T:
        try:
            return read(text)
        except IVGError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


@kind
def a_path(text: str) -> Path:
    """A path to read from, or a folder."""
    return user_path(text)


@kind
def a_model(text: str) -> str:
    """A checkpoint's path, or a name that the library knows."""
    return str(user_path(text))


@kind
def a_lora(text: str) -> LoRAChoice:
    """A LoRA's file, or folder, or name, and its strength if that stands behind it."""
    choice = read_choice(text)
    return replace(choice, file=str(user_path(choice.file)))


@kind
def a_text(text: str) -> str:
    """A sentence or a name that can be written to a file."""
    return plain(text, "The text")


@kind
def a_schedule(text: str) -> PromptSchedule:
    """Sentences over time: the lines themselves, or a text file of them."""
    from ..sampling.prompts import LINE, read_schedule  # which loads torch

    return read_schedule(plain(text, "The schedule") if LINE.match(text) else read_text(user_path(text)))


@kind
def new_folder(text: str) -> Path:
    """A folder to write into."""
    return check_folder(user_path(text))


def new_file(*endings: str) -> Callable[[str], Path]:
    """A file to write, with one of these endings."""
    return kind(lambda text: check_file(user_path(text), endings))


@kind
def new_place(text: str) -> Path:
    """A .safetensors file, or a folder."""
    path = user_path(text)
    return check_file(path, (path.suffix.lower(),)) if path.suffix == ".safetensors" else check_folder(path)


new_video = new_file(*VIDEO_ENDINGS)
new_picture = new_file(".png")


@kind
def a_device(text: str) -> str:
    """Where networks compute."""
    if text != "cpu":  # reading the command line must not load torch for nothing
        from ..devices import usable_device

        usable_device(text)
    return text


def count(least: int = 1, most: int = 10**9) -> Callable[[str], int]:
    """A whole number."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise IVGError(f"{text!r} is no whole number.") from None
        return int(_within(number, least, most))

    return kind(read)


def number(least: float = -math.inf, most: float = math.inf) -> Callable[[str], float]:
    """A finite number."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise IVGError(f"{text!r} is no number.") from None
        return _within(value, least, most)

    return kind(read)


a_seed = count(0, MOST_SEED)
a_share = number(0, 1)
not_negative = number(0)


@kind
def size(text: str) -> tuple[int, int]:
    """Width and height."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise IVGError(f"{text!r} is not WIDTHxHEIGHT, such as 512x320.") from None
    if not 0 < min(width, height) <= max(width, height) <= 16384:
        raise IVGError(f"{text} is no size: sides have 1 to 16384 pixels.")
    return width, height


def _within(value: float, least: float, most: float) -> float:
    if math.isfinite(value) and least <= value <= most:
        return value
    bounds = [f"at least {least:g}"] * (least > -math.inf) + [f"at most {most:g}"] * (most < math.inf)
    raise IVGError(f"{value} cannot be used: give a number{' of ' if bounds else ''}{' and '.join(bounds)}.")
