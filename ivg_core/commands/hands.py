"""`hand-score`: how sound the hands of videos are."""

from __future__ import annotations

import argparse

from .kinds import a_device, a_path
from .shared import command, hand_options


def add(commands) -> None:
    """Add the command to the parser."""
    score = command(
        commands,
        "hand-score",
        _hand_score,
        "score the hands of videos from any model, 0 to 1, and say which part is unsound; the best one is named last",
        hand_options(),
    )
    score.add_argument("videos", type=a_path, nargs="+", help="mp4, webm, gif, mov or avi")
    score.add_argument("--device", type=a_device, default="cpu", help="cpu, cuda, mps …")


def _hand_score(options: argparse.Namespace) -> None:
    from ..hands.score import LEGEND, as_text, score_hands
    from ..hands.tracker import HandTracker
    from ..media.video import read_clip

    tracker = HandTracker(device=options.device, backend=options.hand_backend)
    scores = {str(path): score_hands(read_clip(path)[0], tracker) for path in options.videos}
    print(as_text(scores))
    print(LEGEND)
    found = {name: score.total for name, score in scores.items() if score.found}
    if len(scores) > 1:
        print(f"best: {max(found, key=found.__getitem__)}" if found else "there is no hand in any of them")
