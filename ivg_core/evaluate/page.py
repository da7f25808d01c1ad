"""A page with the table and all clips side by side, that needs no network."""

from __future__ import annotations

import html
import os
from pathlib import Path
from urllib.parse import quote

from ..media.clips import even_indices, open_media
from ..media.files import PICTURES, atomic_write
from ..media.video import write_video
from .clips import ClipFiles, read_frames
from .grid import Cell, grid_of, legend
from .metrics.motion import draw_flow, optical_flow
from .report import missing_lines
from .run import Evaluation

MOST_FRAMES = 32  # of a drawing of optical flow
SMALLEST = 16  # pixels, of what optical flow can be found in
FULL_COLOUR = 0.02  # speed of full colour, picture widths a frame: the same for all clips, so that they compare

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation</title>
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 24px; color: #202124; background: #fff; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: 8px 0 24px; }}
th, td {{ padding: 6px 10px; text-align: left; vertical-align: top; border-bottom: 1px solid #dadce0; }}
.figures td {{ font-variant-numeric: tabular-nums; }} .figures small {{ display: block; }}
.clips video, .clips img {{ width: 220px; border-radius: 6px; display: block; margin-bottom: 4px; background: #8884; }}
small {{ color: #5f6368; }}
.best {{ font-weight: 600; }}
@media (prefers-color-scheme: dark) {{
body {{ background: #17181a; color: #e8eaed; }} th, td {{ border-color: #3c4043; }} small {{ color: #9aa0a6; }}
}}
</style>
<h1>Evaluation</h1>
{tables}
<h2>Clips</h2>
<p><small>Below each clip its optical flow: white is still, the hue is the direction.</small></p>
<div class="wide"><table class="clips">
{clips}
</table></div>
</html>
"""


def write_page(result: Evaluation, folder: Path) -> Path:
    """Write `index.html`, which shows the clips where they lie, and drawings of their optical flow below `flow/`.

    Args:
        result: what was measured.
        folder: where to; made if missing. Keep its place beside the clips, or the page no longer finds them.

    Returns:
        The page.

    Raises:
        IVGError: the folder cannot be written to, or a clip cannot be read.
    """
    tables = [_table(result, subset) for subset in result.table]
    if lines := legend(result):
        tables.append("<h2>How to read it</h2>\n" + "\n".join(f"<p>{_text(line)}</p>" for line in lines))
    if result.missing:
        listed = "\n".join(f"<li>{_text(line)}</li>" for line in missing_lines(result))
        tables.append(f"<h2>Not computed</h2>\n<ul>\n{listed}\n</ul>")
    if result.notes:
        tables.append("".join(f"<p>{_text(note)}</p>" for note in result.notes))
    page = folder / "index.html"
    text = PAGE.format(tables="\n".join(tables), clips="\n".join(_rows(result, folder)))
    with atomic_write(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return page


def _table(result: Evaluation, subset: str) -> str:
    grid = grid_of(result, subset)
    heads = "".join(f"<th>{_text(head)}</th>" for head in grid.heads)
    lines = [f"<tr><th>{_text(title)}</th>{''.join(map(_figure, cells))}</tr>" for title, cells in grid.rows]
    heading = f"<h2>{_text(subset[0].upper() + subset[1:])} ({len(result.subsets[subset])})</h2>"
    body = f"<tr><th></th>{heads}</tr>\n" + "\n".join(lines)
    return f'{heading}\n<div class="wide"><table class="figures">\n{body}\n</table></div>'


def _figure(cell: Cell) -> str:
    mark = ' class="best"' if cell.best else ""
    notes = "".join(f"<small>{_text(note)}</small>" for note in (cell.interval, cell.beside) if note)
    return f"<td{mark}>{_text(cell.value)}{notes}</td>"


def _rows(result: Evaluation, folder: Path) -> list[str]:
    by_scene: dict[str, dict[str, ClipFiles]] = {}
    for name, listed in result.methods.items():
        for files in listed:
            by_scene.setdefault(files.name, {})[name] = files
    true = any(files.truth for clips in by_scene.values() for files in clips.values())
    heads = ["scene", *(["true"] if true else []), *result.methods]
    rows = ["<tr>" + "".join(f"<th>{_text(head)}</th>" for head in heads) + "</tr>"]
    for scene, clips in sorted(by_scene.items()):
        some = next(iter(clips.values()))
        mask = _picture(some.mask, folder) if some.mask else ""
        cells = [f"<td>{mask}{_text(scene)}<br><small>{_text(some.prompt or '')}</small></td>"]
        if true:
            cells.append(_cell(some.truth, "true", scene, folder))
        cells += [_cell(clips[name].video if name in clips else None, name, scene, folder) for name in result.methods]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return rows


def _cell(video: Path | None, method: str, scene: str, folder: Path) -> str:
    if video is None:
        return "<td>–</td>"
    flow = _draw_flow(video, folder / "flow" / _plain(method) / f"{_plain(scene)}.mp4")
    return f"<td>{_picture(video, folder)}{_picture(flow, folder) if flow else ''}</td>"


def _draw_flow(video: Path, path: Path) -> Path | None:
    media = open_media(video)
    facts = media.facts()
    if facts.frames < 2 or min(facts.width, facts.height) < SMALLEST:
        return None
    frames = read_frames(media, even_indices(facts.frames, MOST_FRAMES))
    return write_video(draw_flow(optical_flow(frames), FULL_COLOUR * facts.width), path, facts.fps)


def _picture(path: Path, folder: Path) -> str:
    try:
        link = quote(os.path.relpath(path.resolve(), folder.resolve()).replace(os.sep, "/"))
    except ValueError:  # on another drive
        link = path.resolve().as_uri()
    if path.suffix.lower() in (".gif", *PICTURES):
        return f'<img src="{link}" alt="">'
    return f'<video src="{link}" autoplay loop muted playsinline></video>'


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)


def _text(text: str) -> str:
    return html.escape(text)
