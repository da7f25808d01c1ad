"""What became of every clip of a source, for people to read before they train."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ...errors import IVGError
from .prepare import About
from .sources import Rejected


@dataclass
class Report:
    """Clips that are trained on, clips that are not and why, clips that are held out to measure with.

    Attributes:
        clips: those that can be used.
        rejected: those that cannot, and why.
        heldout: names of those that are measured with.
    """

    clips: list[About]
    rejected: list[Rejected]
    heldout: set[str] = field(default_factory=set)

    def check_usable(self) -> None:
        """Lets pass a report with a clip to train on.

        Raises:
            IVGError: there is none.
        """
        if len(self.clips) <= len(self.heldout):
            why = f"all {len(self.rejected)} are rejected, see why above" if self.rejected else "there is none"
            raise IVGError(f"No clip can be trained on: {'all are held out' if self.clips else why}.")

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "clips": [about.to_dict() | {"heldout": about.name in self.heldout} for about in self.clips],
            "rejected": [{"name": rejected.name, "why": rejected.why} for rejected in self.rejected],
        }

    def __str__(self) -> str:
        held = f", {len(self.heldout)} of them held out" if self.heldout else ""
        lines = [f"{_count(len(self.clips), 'clip')}{held}; {len(self.rejected)} rejected"]
        for about in self.clips:
            lines += ["", *_lines(about, about.name in self.heldout)]
        if self.rejected:
            lines += ["", "rejected"]
            lines += [f"  {rejected.name}: {rejected.why}" for rejected in self.rejected]
        if self.clips:
            sizes = Counter(f"{len(about.indices)} frames of {about.size[0]} x {about.size[1]}" for about in self.clips)
            lines += ["", "batches are made of"]
            lines += [f"  {size}: {_count(count, 'clip')}" for size, count in sizes.most_common()]
        return "\n".join(lines).encode(errors="backslashreplace").decode()  # a file's name may hold half a letter


def _lines(about: About, heldout: bool) -> list[str]:
    camera = "" if about.camera is None else f", camera {about.camera:.1%}"
    masks = "a mask of each frame" if about.frame_masks else "one mask"
    length = "one picture" if about.native_frames == 1 else f"{about.native_frames} frames at {about.fps:g} a second"
    lines = [
        f"{about.name}{' (held out)' if heldout else ''}",
        f'  "{about.caption}"',
        f"  {about.width} x {about.height}, {length}",
        f"  frames {_ranges(about.indices)} at {about.size[0]} x {about.size[1]}",
        f"  motion {about.motion}{camera}; {about.coverage:.0%} of the picture moves ({masks})",
    ]
    if about.things:
        lines.append(f"  boxes of {_count(len(about.things), 'thing')}: {', '.join(about.things)}")
    return lines + [f"  note: {note}" for note in about.notes]


def _ranges(indices: list[int]) -> str:
    if len(indices) == 1:
        return str(indices[0])
    step = indices[1] - indices[0]
    if all(b - a == step for a, b in pairwise(indices)):
        return f"{indices[0]} to {indices[-1]}" + (f", every {step}th" if step > 1 else "")
    return " ".join(str(i) for i in indices)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
