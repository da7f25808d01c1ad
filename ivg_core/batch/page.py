"""A page and a contact sheet that show all the results of a batch at once."""

from __future__ import annotations

import base64
import html
import math
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch
from PIL import Image, ImageDraw, ImageFont, ImageSequence
from torch import Tensor

from ..media.clips import even_indices
from ..media.contact_sheet import GAP, INK, PAPER, TILE
from ..media.files import atomic_write
from ..media.images import save_png, to_pil
from ..media.targets import user_path
from .journal import DONE, read_journal
from .table import SEVERAL

MOST_FRAMES = 16  # of a thumbnail
MOST_INSIDE = 500  # pictures that the page holds itself: 20 MB, and with thousands no browser would open it
LINES = 3  # of the prompt below a picture of the sheet

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 24px; color: #202124; background: #fff; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); gap: 20px; }}
article img {{ width: 100%; border-radius: 6px; display: block; }}
p {{ margin: 6px 0 2px; }}
small, small a {{ color: #5f6368; }}
.bad {{ border-left: 4px solid #d93025; padding-left: 10px; overflow-wrap: anywhere; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #17181a; color: #e8eaed; }} small, small a {{ color: #9aa0a6; }} }}
</style>
<h1>{title}</h1>
<p>{counts}</p>
<main>
{cards}
</main>
</html>
"""  # noqa: E501


def save_thumbnail(frames: Tensor, fps: float, path: str | Path) -> None:
    """Write a small looping WebP of a clip.

    Args:
        frames: (F, H, W, 3) 0..1; of more than 16, 16 evenly spaced ones are kept, at the same total time.
        fps: frames a second.
        path: where to.

    Raises:
        IVGError: the place cannot be written to.
    """
    chosen = even_indices(len(frames), MOST_FRAMES)
    pictures = [to_pil(frames[i]) for i in chosen]
    scale = min(1.0, 1.5 * TILE / max(pictures[0].size))
    size = (max(1, round(pictures[0].width * scale)), max(1, round(pictures[0].height * scale)))
    first, *rest = [picture.resize(size, Image.Resampling.LANCZOS) for picture in pictures]
    milliseconds = round(1000 * len(frames) / fps / len(chosen))
    with atomic_write(path) as temporary:
        first.save(temporary, "WEBP", save_all=True, append_images=rest, duration=milliseconds, loop=0, quality=75)


def with_thumbnail(chunks: Iterable[Tensor], count: int, fps: float, path: str | Path) -> Iterator[Tensor]:
    """The same frames, which come a few at a time; after the last ones their thumbnail is written.

    Args:
        chunks: (n, H, W, 3) 0..1 each, `count` frames in all.
        count: F.
        fps, path: see `save_thumbnail`.
    """
    chosen, kept, done = even_indices(count, MOST_FRAMES), [], 0
    for chunk in chunks:
        kept += [chunk[i - done].clone() for i in chosen if done <= i < done + len(chunk)]
        done += len(chunk)
        yield chunk
        del chunk  # before the next is made
    save_thumbnail(torch.stack(kept), fps * len(kept) / count, path)


def write_page(folder: str | Path) -> Path:
    """Write `index.html`, in which every clip moves, and `sheet.png`.

    The page needs no other file; of more than 500 results it needs the folder `thumbnails` beside it, and the sheet
    shows 500 that are spread evenly over them.

    Args:
        folder: of a batch; the journals in it say what there is.

    Returns:
        The page.

    Raises:
        IVGError: the folder cannot be written to.
    """
    folder = user_path(folder)
    states = read_journal(folder)
    results = [(state.last, state.status == DONE) for state in states.values()]
    results.sort(key=lambda result: (result[0]["image"], result[0]["prompt"], result[0]["seed"]))
    made = sum(done for _, done in results)
    counts = f"{made} made" + (f", {len(results) - made} failed or not finished" if made < len(results) else "")
    inside = made <= MOST_INSIDE
    cards = "\n".join(_card(folder, last, inside) if done else _failure(last) for last, done in results)
    page = folder / "index.html"
    title = html.escape(folder.resolve().name)
    with atomic_write(page) as temporary:
        text = PAGE.format(title=title, counts=counts, cards=cards)
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # a photo's name may hold half a letter
    good = [last for last, done in results if done]
    tiles = [tile for i in even_indices(made, MOST_INSIDE) if (tile := _tile(folder, good[i]))]
    if tiles:
        save_png(_sheet(tiles), folder / "sheet.png")
    return page


def _card(folder: Path, last: dict[str, Any], inside: bool) -> str:
    picture, name = "", f"thumbnails/{last['name']}.webp"
    if not inside:
        picture = f'<img alt="" loading="lazy" src="{quote(name)}">'
    elif (folder / name).is_file():
        data = base64.b64encode((folder / name).read_bytes()).decode()
        picture = f'<img alt="" src="data:image/webp;base64,{data}">'
    files = (("video", last.get("file")), ("mask", last.get("mask_file")))
    links = [f'<a href="{quote(str(file))}">{what}</a>' for what, file in files if file]
    lora = [html.escape(_said(last["lora"], last.get("lora_strength")))] if "lora" in last else []
    facts = [html.escape(Path(last["image"]).name), f"seed {last['seed']}", *lora, *links]
    return f"<article>{picture}<p>{html.escape(last['prompt'])}</p><small>{' · '.join(facts)}</small></article>"


def _said(lora: str, strength: float | None) -> str:
    """The LoRAs of an item, as its journal has them: one with its strength beside it, or several that say theirs."""
    names = " + ".join(Path(each).name for each in lora.split(SEVERAL))
    return names if strength is None else f"{names} × {strength}"


def _failure(last: dict[str, Any]) -> str:
    reason = html.escape(str(last.get("error") or "begun, not finished"))
    name = html.escape(Path(last["image"]).name)
    prompt = html.escape(last["prompt"])
    return f'<article class="bad"><p>{prompt}</p><p>{reason}</p><small>{name} · seed {last["seed"]}</small></article>'


def _tile(folder: Path, last: dict[str, Any]) -> tuple[Image.Image, str] | None:
    """The middle frame of a result, and what stands below it."""
    try:
        with Image.open(folder / f"thumbnails/{last['name']}.webp") as clip:
            frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(clip)]
    except Exception:  # PIL has no one error for damaged files
        return None
    picture = frames[len(frames) // 2]
    scale = TILE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS), f"{last['prompt']} (seed {last['seed']})"


def _sheet(tiles: list[tuple[Image.Image, str]]) -> Image.Image:
    small = ImageFont.load_default(12)
    columns = max(1, math.ceil(math.sqrt(len(tiles))))
    tall = max(picture.height for picture, _ in tiles) + 16 * LINES + GAP
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (GAP + columns * (TILE + GAP), GAP + rows * (tall + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, (picture, prompt) in enumerate(tiles):
        x, y = GAP + i % columns * (TILE + GAP), GAP + i // columns * (tall + GAP)
        sheet.paste(picture, (x, y))
        for n, line in enumerate(textwrap.wrap(prompt, 34, max_lines=LINES, placeholder=" …")):
            draw.text((x, y + picture.height + 4 + 16 * n), line, fill=INK, font=small)
    return sheet
