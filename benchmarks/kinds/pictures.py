"""Photos and masks as other tools write them, and damaged ones."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ivg_core.media.images import load_image, load_mask
from ivg_core.media.video import read_video
from ivg_core.rom.window import KEY, as_text, read_window, window_for

from . import odd
from .case import Case, kind

BLACK_BELOW = 0.25  # a mask that is darker than this where it should be white is called nearly black


def as_pil(rng: random.Random) -> Image.Image:
    return Image.fromarray((odd.photo(rng).numpy() * 255).astype(np.uint8))


def _palette(colours: list[tuple[int, int, int]], index: np.ndarray) -> Image.Image:
    picture = Image.fromarray(index.astype(np.uint8), "P")
    picture.putpalette([value for colour in colours for value in colour])
    return picture


def _with_alpha(picture: Image.Image, alpha: np.ndarray) -> Image.Image:
    picture = picture.convert("RGB")
    return Image.merge("RGBA", [*picture.split(), Image.fromarray(alpha.astype(np.uint8))])


#: How a mask may be kept: name -> function (rng, bool array) -> (picture, ending).
MASKS: dict[str, Callable[[random.Random, np.ndarray], tuple[Image.Image, str]]] = {
    "0 and a small number": lambda rng, m: (Image.fromarray(m * np.uint8(rng.randrange(1, 9))), ".png"),
    "two grey values": lambda rng, m: (Image.fromarray(np.where(m, 255, 90).astype(np.uint8)), ".png"),
    "classes 0 1 2 3": lambda rng, m: (Image.fromarray(_classes(rng, m)), ".png"),
    "0 and 255": lambda rng, m: (Image.fromarray(m * np.uint8(255)), rng.choice((".png", ".bmp", ".webp", ".tif"))),
    "jpeg": lambda rng, m: (Image.fromarray(m * np.uint8(255)), ".jpg"),
    "one bit": lambda rng, m: (Image.fromarray(m), rng.choice((".png", ".tif", ".bmp"))),
    "palette of black and white": lambda rng, m: (_palette([(0, 0, 0), (255, 255, 255)], m), ".png"),
    "palette of a data set": lambda rng, m: (_palette([(0, 0, 0), (128, 0, 0)], m), ".png"),
    "palette of 20 dark classes": lambda rng,
    m: (_palette([(k, k, k) for k in range(20)], m * rng.randrange(1, 20)), ".png"),
    "16 bits, 0 and 65535": lambda rng, m: (Image.fromarray(m * np.uint16(65535)), rng.choice((".png", ".tif"))),
    "16 bits, 0 and 255": lambda rng, m: (Image.fromarray(m * np.uint16(255)), rng.choice((".png", ".tif"))),
    "16 bits, 0 and 1": lambda rng, m: (Image.fromarray(m * np.uint16(1)), ".png"),
    "32 bits, 0 and 1": lambda rng, m: (Image.fromarray(m.astype(np.int32)), ".tif"),
    "32 bits, 0 and 255": lambda rng, m: (Image.fromarray(m.astype(np.int32) * 255), ".tif"),
    "floats 0..1": lambda rng, m: (Image.fromarray(m.astype(np.float32)), ".tif"),
    "floats 0..255": lambda rng, m: (Image.fromarray(m.astype(np.float32) * 255), ".tif"),
    "floats with NaN": lambda rng, m: (Image.fromarray(np.where(m, np.float32(1), np.float32("nan"))), ".tif"),
    "floats -1..1": lambda rng, m: (Image.fromarray(m.astype(np.float32) * 2 - 1), ".tif"),
    "the mask editor's": lambda rng, m: (_with_alpha(as_pil(rng), np.where(m, 0, 255)), ".png"),
    "a brush on nothing": lambda rng, m: (_with_alpha(Image.new("RGB", m.shape[::-1]), m * 255), ".png"),
    "a white brush on nothing": lambda rng, m: (_with_alpha(Image.new("RGB", m.shape[::-1], "white"), m * 255), ".png"),
    "black and white, with alpha": lambda rng, m: (
        _with_alpha(Image.fromarray(m * np.uint8(255)), np.full(m.shape, 255)),
        rng.choice((".png", ".webp", ".tif")),
    ),
    "grey and alpha": lambda rng, m: (
        Image.merge("LA", [Image.fromarray(m * np.uint8(255)), Image.new("L", m.shape[::-1], 255)]),
        ".png",
    ),
    "red on black": lambda rng, m: (Image.fromarray(m[..., None] * np.uint8([255, 0, 0])), ".png"),
    "in CMYK": lambda rng, m: (Image.fromarray(m * np.uint8(255)).convert("CMYK"), rng.choice((".jpg", ".tif"))),
    "in LAB": lambda rng, m: (_lab(m * np.uint8(255)), ".tif"),
}  # fmt: skip


def _classes(rng: random.Random, inside: np.ndarray) -> np.ndarray:
    """A class a column inside, 0 outside."""
    columns = np.arange(inside.shape[1]) // 8 % 3 + 1
    return (inside * columns).astype(np.uint8)


def _lab(grey: np.ndarray) -> Image.Image:
    neutral = np.full_like(grey, 128)
    return Image.merge("LAB", [Image.fromarray(channel) for channel in (grey, neutral, neutral)])


@kind("library", 180)
def masks_of_other_tools(rng: random.Random, folder: Path) -> Case:
    """Read as meant, or refused; never nearly black, never the inverse."""
    names = list(MASKS)
    name, inside = rng.choice(names), odd.region()
    picture, ending = MASKS[name](rng, inside)
    picture.save(folder / f"mask{ending}")

    def wrong(mask: Tensor) -> str:
        values = mask.numpy()
        if values.shape != inside.shape:
            return f"it has shape {values.shape}"
        white, black = values[inside].mean(), values[~inside].mean()
        if max(white, black) < BLACK_BELOW:
            return f"{name}: nearly black, {white:.3f} where it is white"
        if white < BLACK_BELOW or white <= black:
            return f"{name}: inverted, {white:.3f} where it is white, {black:.3f} elsewhere"
        return ""

    return Case(f"load_mask of {name}, {ending}, {picture.mode}", lambda: load_mask(folder / f"mask{ending}"), wrong)


@kind("library", 20)
def masks_of_soft_grey(rng: random.Random, folder: Path) -> Case:
    """What is soft stays soft to the level."""
    top = rng.choice((255, 200, 128))
    grey = np.tile(np.linspace(0, top, odd.WIDTH).round().astype(np.uint8), (odd.HEIGHT, 1))
    Image.fromarray(grey).save(folder / "soft.png")
    wrong = lambda mask: "" if np.allclose(mask.numpy() * 255, grey, atol=0.5) else "its values have changed"  # noqa: E731
    return Case(f"load_mask of a slope 0..{top}", lambda: load_mask(folder / "soft.png"), wrong, good=True)


#: How a photo may be kept: mode -> endings.
PHOTOS = {
    "RGB": (".png", ".jpg", ".webp", ".bmp", ".tif", ".gif", ".ppm", ".tga", ".avif", ".jfif", ".ico", ".jp2"),
    "RGBA": (".png", ".webp", ".tif", ".tga"),
    "L": (".png", ".jpg", ".tif", ".pgm"),
    "LA": (".png",),
    "P": (".png", ".gif", ".bmp"),
    "1": (".png", ".tif"),
    "CMYK": (".jpg", ".tif"),
    "YCbCr": (".jpg", ".tif"),
    "LAB": (".tif",),
    "I;16": (".png", ".tif"),
    "I": (".tif",),
    "F 0..1": (".tif",),
    "F 0..255": (".tif",),
    "F 0..65535": (".tif",),
}


def in_mode(picture: Image.Image, mode: str) -> Image.Image:
    """A photo in a mode of PIL's, or with floats of some range."""
    grey = np.asarray(picture.convert("L"))
    if mode == "LAB":
        return _lab(grey)
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257)
    if mode == "I":
        return Image.fromarray(grey.astype(np.int32) * 257)
    if mode.startswith("F"):
        return Image.fromarray((grey / 255 * float(mode.partition("..")[2])).astype(np.float32))
    return picture.convert(mode)


@kind("library", 130)
def photos_of_every_mode(rng: random.Random, folder: Path) -> Case:
    """The photo's brightness and contrast are still there, or it is refused."""
    mode = rng.choice(list(PHOTOS))
    path, picture = folder / f"photo{rng.choice(PHOTOS[mode])}", as_pil(rng)
    made = in_mode(picture, mode)
    made.save(path, **({"format": "JPEG"} if path.suffix == ".jfif" else {}))
    grey = np.asarray(picture.convert("L")) / 255

    def wrong(photo: Tensor) -> str:
        seen = photo.mean(-1).numpy()
        off = abs(seen.mean() - grey.mean())
        if path.suffix not in (".ico",) and seen.shape != grey.shape:
            return f"it has shape {tuple(photo.shape)}"
        return f"its brightness is {seen.mean():.3f} for {grey.mean():.3f}" if off > 0.1 or seen.std() < 0.02 else ""

    good = mode in ("RGB", "L", "P", "RGBA") and path.suffix in (".png", ".jpg", ".webp", ".bmp")
    return Case(f"load_image of {mode} as {path.suffix}", lambda: load_image(path), wrong, good=good)


def _png_of(width: int, height: int, chunks: bytes = b"", data: bytes = b"") -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunks + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    )


def _text_bomb() -> bytes:
    body = b"comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    return struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))


def _gif_of(width: int, height: int) -> bytes:
    head = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    return head + b"," + struct.pack("<HHHH", 0, 0, width, height) + b"\0\x02\x02\x4c\x01\0;"


#: Files that are no picture, or one that asks for too much.
HOSTILE = {
    "an empty file": lambda rng: b"",
    "a text": lambda rng: b"stir the pan\n",
    "a page": lambda rng: b"<!DOCTYPE html><html><body>404</body></html>",
    "AppleDouble": lambda rng: struct.pack(">II16s", 0x00051607, 0x00020000, b"Mac OS X        ") + bytes(64),
    "a HEIC": lambda rng: b"\0\0\0\x18ftypheic" + bytes(100),
    "noise": lambda rng: rng.randbytes(2000),
    "a GIF of 65535 x 65535": lambda rng: _gif_of(65535, 65535),
    "a GIF of 0 x 0": lambda rng: _gif_of(0, 0),
    "a PNG of 30000 x 30000": lambda rng: _png_of(30000, 30000),
    "a PNG of 12000 x 12000 with little in it": lambda rng: _png_of(12000, 12000, data=bytes(1000)),
    "a PNG of 2^31 x 1": lambda rng: _png_of(2**31 - 1, 1),
    "a PNG of 0 x 0": lambda rng: _png_of(0, 0),
    "a PNG with a text of 200 MB": lambda rng: _png_of(8, 8, _text_bomb(), bytes(8 * 25)),
}
READERS = {"load_image": load_image, "load_mask": load_mask, "read_window": read_window, "read_video": read_video}


@kind("library", 200)
def damaged_pictures(rng: random.Random, folder: Path) -> Case:
    """One sentence, or what could still be read."""
    ending = rng.choice((".png", ".jpg", ".webp", ".gif", ".tif", ".bmp", ".avif", ".ico", ".tga", ".jp2", ".ppm"))
    reader = rng.choice(list(READERS))
    if rng.random() < 0.35:
        name = rng.choice(list(HOSTILE))
        content = HOSTILE[name](rng)
    else:
        stream = io.BytesIO()
        name = rng.choice(list(DAMAGE))
        options = {"save_all": True, "append_images": [as_pil(rng)] * 3} if ending in (".gif", ".webp") else {}
        as_pil(rng).save(stream, Image.registered_extensions()[ending], **options)
        content = DAMAGE[name](rng, stream.getvalue())
    path = folder / f"picture{ending}"
    path.write_bytes(content)
    return Case(f"{reader} of {name}, {ending}", lambda: READERS[reader](path))


def _flipped(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 20)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


DAMAGE = {
    "a cut off end": lambda rng, content: content[: rng.randrange(len(content))],
    "changed bytes": _flipped,
    "changed bytes in the head": lambda rng, content: _flipped(rng, content[:60]) + content[60:],
    "zeros in the middle": lambda rng, content: content[: len(content) // 2] + bytes(len(content) // 4) + content[-30:],
    "something behind it": lambda rng, content: content + rng.randbytes(500),
    "something before it": lambda rng, content: b"\r\n" + content,
    "no head": lambda rng, content: content[16:],
}


@kind("library", 60)
def damaged_exif(rng: random.Random, folder: Path) -> Case:
    """A photo whose EXIF is damaged is still a photo."""
    exif, picture = Image.Exif(), as_pil(rng)
    exif[274] = rng.choice((0, 3, 6, 9, 65535))
    exif[306] = "no date"
    raw = exif.tobytes()
    name = rng.choice(("cut", "changed", "noise", "whole", "text"))
    content = {
        "cut": raw[: rng.randrange(6, len(raw))], "changed": b"Exif\0\0" + _flipped(rng, raw[6:]),
        "noise": b"Exif\0\0II*\0" + rng.randbytes(60), "whole": raw, "text": b"Exif\0\0MM\0*\0\0\0\x08\0\xff",
    }[name]  # fmt: skip
    path = folder / f"photo{rng.choice(('.jpg', '.png', '.webp'))}"
    picture.save(path, exif=content)
    usual = np.asarray(picture).mean() / 255
    wrong = lambda photo: "another picture" if abs(float(photo.mean()) - usual) > 0.05 else ""  # noqa: E731
    return Case(f"load_image with EXIF that is {name}, {path.suffix}", lambda: load_image(path), wrong, good=True)


@kind("library", 60)
def windows_in_pictures(rng: random.Random, folder: Path) -> Case:
    """The text of a cut out picture, changed by hand or by others."""
    import json

    import torch
    from PIL.PngImagePlugin import PngInfo

    from ivg_core.rom.overlay import stitch_clip

    mask = torch.from_numpy(odd.region()).float()
    window = json.loads(as_text(window_for(mask, "zoom", (32, 32), 8, 0.1)))
    key = rng.choice(list(window))
    window[key] = rng.choice((odd.value(rng), [odd.number(rng), odd.number(rng)], odd.number(rng)))
    try:
        text = json.dumps(window)
    except TypeError:
        text = rng.choice(("", "{", "null", "[" * 5000, '{"left": 1}'))
    info = PngInfo()
    info.add_text(KEY, text)
    as_pil(rng).save(folder / "window.png", pnginfo=info)

    def call():
        found = read_window(folder / "window.png")
        clip = odd.photo(rng, *found.sampled)[None] if max(found.sampled) < 5000 else torch.rand(1, 8, 8, 3)
        return stitch_clip(clip, odd.photo(rng), mask, found)

    def wrong(stitched) -> str:
        return "" if stitched[0].shape == (1, odd.HEIGHT, odd.WIDTH, 3) else f"a video of {tuple(stitched[0].shape)}"

    return Case(f"read_window and stitch_clip, {key}: {text[:150]}", call, wrong)
