"""The page of a film: its player, and its steps with a moving picture each, that needs nothing but its own folder."""

from __future__ import annotations

import html
from collections.abc import Sequence
from urllib.parse import quote

from .captions import Span, clock

PAGE = """<!doctype html>
<html>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.45 system-ui, sans-serif; margin: 24px auto; padding: 0 24px; max-width: 1080px; color: #202124;
  background: #fff; }}
video {{ width: 100%; max-height: 70vh; border-radius: 6px; background: #000; display: block; }}
ol {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); gap: 20px; padding: 0;
  list-style: none; }}
li img {{ width: 100%; border-radius: 6px; display: block; }}
h1, p {{ overflow-wrap: anywhere; }}
p {{ margin: 6px 0 2px; }}
small, small a {{ color: #5f6368; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #17181a; color: #e8eaed; }} small, small a {{ color: #9aa0a6; }} }}
</style>
<h1>{title}</h1>
<video src="{film}" controls playsinline></video>
<ol>
{steps}
</ol>
<p><small>{files}</small></p>
<script>
// Without it a link opens the film at its step; with it the player on this page goes there.
for (const link of document.querySelectorAll("a[data-start]")) {{
  link.addEventListener("click", (event) => {{
    const player = document.querySelector("video");
    event.preventDefault();
    player.currentTime = Number(link.dataset.start);
    player.play();
    player.scrollIntoView({{ block: "nearest" }});
  }});
}}
</script>
</html>
"""  # noqa: E501


def page_text(title: str, steps: Sequence[Span], loops: Sequence[str], film: str, others: Sequence[str]) -> str:
    """The page's HTML.

    Args:
        title: of the film.
        steps: captions, and when each is shown in the film.
        loops: a moving picture for each step.
        film: the video.
        others: more files to link to. All files are named as they lie beside the page, with / between folders.
    """
    cards = [_card(number, *pair, film) for number, pair in enumerate(zip(steps, loops, strict=True), 1)]
    links = " · ".join(f'<a href="{quote(name)}">{html.escape(name)}</a>' for name in (film, *others))
    return PAGE.format(title=html.escape(title), film=quote(film), steps="\n".join(cards), files=links)


def _card(number: int, step: Span, loop: str, film: str) -> str:
    start, end = f"{step.start:.3f}", f"{step.end:.3f}"
    link = f'<a href="{quote(film)}#t={start},{end}" data-start="{start}">'
    caption = html.escape(step.text)
    return (
        f'<li>{link}<img alt="" src="{quote(loop)}"></a><p>{number}. {caption}</p>'
        f"<small>{link}{clock(step.start)}</a></small></li>"
    )
