"""Several sentences in one video: from which frame on each is done, and where things may move meanwhile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import IVGError
from ..media.images import ImageLike
from .context import ContextWindows, middle
from .settings import Sampling

PromptMode = Literal["centre", "blend", "reference"]
PROMPT_MODES = get_args(PromptMode)
LINE = re.compile(r"\s*(\d{1,9})\s*[:：]\s*(.*?)\s*")


@dataclass(frozen=True, eq=False)
class Stretch:
    """What is done from a frame on.

    Attributes:
        frame: from 0.
        sentence: what is done.
        mask: where things may move meanwhile; None: the video's own mask.
    """

    frame: int
    sentence: str
    mask: ImageLike | None = None


@dataclass(frozen=True, eq=False)
class PromptSchedule:
    """The sentences of a video, in order.

    Args:
        stretches: the first begins at frame 0, each later one after the one before.
        mode: what a window of time is told. "centre": the sentence at its middle frame. "blend": the sentences before
            and after its middle frame, the more the nearer. "reference": Gen-L-Video's rule for equally long stretches,
            which looks at the windows' number and not at frames; static windows only.

    Raises:
        IVGError: stretches that are none.
    """

    stretches: tuple[Stretch, ...]
    mode: PromptMode = "centre"

    def __post_init__(self) -> None:
        if self.mode not in PROMPT_MODES:
            raise IVGError(f"There is no mode {self.mode!r} of a prompt schedule: choose {', '.join(PROMPT_MODES)}.")
        check_stretches([(f"Sentence {i}", stretch) for i, stretch in enumerate(self.stretches, 1)])

    def __str__(self) -> str:
        """As `read_schedule` reads it, in one line."""
        return " | ".join(f"{stretch.frame}: {stretch.sentence}" for stretch in self.stretches)

    @property
    def sentences(self) -> list[str]:
        return [stretch.sentence for stretch in self.stretches]

    @property
    def masks(self) -> list[ImageLike | None]:
        return [stretch.mask for stretch in self.stretches]

    def with_masks(self, masks: Sequence[ImageLike | None]) -> PromptSchedule:
        """The same sentences with other masks.

        Raises:
            IVGError: there is not one for each.
        """
        if len(masks) != len(self.stretches):
            raise IVGError(
                f"There are {len(masks)} masks for the {len(self.stretches)} sentences of the prompt schedule: give "
                "one for each."
            )
        pairs = zip(self.stretches, masks, strict=True)
        return replace(self, stretches=tuple(replace(stretch, mask=mask) for stretch, mask in pairs))

    def at(self, frames: int) -> list[int]:
        """Which of the stretches each of so many frames belongs to.

        Raises:
            IVGError: a sentence begins after the last frame.
        """
        for stretch in self.stretches:
            if stretch.frame >= frames:
                raise IVGError(
                    f'"{stretch.sentence}" begins at frame {stretch.frame}, and the video has {frames} frames, 0 to '
                    f"{frames - 1}: ask for more frames, or let it begin earlier."
                )
        return [max(i for i, stretch in enumerate(self.stretches) if stretch.frame <= frame) for frame in range(frames)]

    def shares(self, windows: list[slice]) -> Tensor:
        """How much of each sentence is told in each frame; a window takes what its middle frame has.

        Args:
            windows: of the video; they cover it.

        Returns:
            (T, S) float32, 0..1; of each frame the sum is 1.

        Raises:
            IVGError: a sentence begins after the last frame, or the windows do not fit the rule "reference".
        """
        frames, count = windows[-1].stop, len(self.stretches)
        at = self.at(frames)
        if self.mode == "reference":
            rule = _reference_rule(count, windows)
            at = [
                rule[min(range(len(windows)), key=lambda i: abs(middle(windows[i]) - frame))] for frame in range(frames)
            ]
        shares = torch.nn.functional.one_hot(torch.tensor(at), count).float()
        if self.mode == "blend":
            for i, (one, two) in enumerate(pairwise(self.stretches)):
                between = torch.arange(one.frame, two.frame)
                shares[between, i + 1] = (between - one.frame) / (two.frame - one.frame)
                shares[between, i] = 1 - shares[between, i + 1]
        return shares

    def check_heard(self, windows: list[slice]) -> None:
        """Let pass a schedule of which the windows tell every sentence.

        Raises:
            IVGError: one would be told to no window.
        """
        told = self.shares(windows)[[middle(window) for window in windows]].sum(0)  # (S,)
        for stretch, share in zip(self.stretches, told.tolist(), strict=True):
            if not share:
                raise IVGError(
                    f'"{stretch.sentence}" (from frame {stretch.frame}) lies in the middle of none of the '
                    f"{len(windows)} windows of {windows[0].stop} frames and would not be done: take shorter windows "
                    "or a smaller stride, or let it last longer."
                )


def _reference_rule(count: int, windows: list[slice]) -> list[int]:
    """Which of the sentences each window is told, by the released code of Gen-L-Video."""
    length = windows[0].stop - windows[0].start
    stride = windows[1].start if len(windows) > 1 else length
    between = length // stride - 1
    rule: list[int] = []
    for i in range(count - 1):
        rule += [i] + [i if j <= between // 2 else i + 1 for j in range(between)]
    rule.append(count - 1)
    if len(rule) != len(windows):
        raise IVGError(
            f"The reference's rule tells {count} sentences to {len(rule)} windows, and there are {len(windows)}: ask "
            f"for {count * length} frames, or choose the mode centre."
        )
    return rule


def as_schedule(action: str | PromptSchedule) -> PromptSchedule:
    """A sentence as the schedule of one that holds from the first frame to the last."""
    return action if isinstance(action, PromptSchedule) else PromptSchedule((Stretch(0, action),))


def read_schedule(text: str, mode: PromptMode = "centre", after: PromptSchedule | None = None) -> PromptSchedule:
    """A schedule from lines such as `0: chop the carrot`; empty ones are left aside.

    Args:
        text: a line for each sentence, the first of frame 0. "|" ends a line too: `0: chop the carrot | 40: stir`.
        mode: see `PromptSchedule`.
        after: sentences that come before those of the text, which then begins later than with frame 0.

    Returns:
        The sentences in order.

    Raises:
        IVGError: a line is none, or out of order; the message names it.
    """
    before = after.stretches if after else ()
    stretches = [(f"Sentence {i} of the prompt schedule before", stretch) for i, stretch in enumerate(before, 1)]
    for number, line in enumerate(text.replace("|", "\n").splitlines(), 1):
        if not line.strip():
            continue
        found = LINE.fullmatch(line)
        if not found:
            raise IVGError(
                f"Line {number} of the prompt schedule is {line.strip()!r}: write the frame, a colon and the sentence, "
                "such as 40: stir."
            )
        if not found[2]:
            raise IVGError(f"Line {number} of the prompt schedule has no sentence: write what is done after the colon.")
        stretches.append((f"Line {number} of the prompt schedule", Stretch(int(found[1]), found[2])))
    check_stretches(stretches)
    return PromptSchedule(tuple(stretch for _, stretch in stretches), mode)


def check_stretches(stretches: Sequence[tuple[str, Stretch]]) -> None:
    """Let pass stretches that begin with the video and follow one another; each with what it is called in an error.

    Raises:
        IVGError: they do not.
    """
    if not stretches:
        raise IVGError("The prompt schedule is empty: write a line for each sentence, such as 0: chop the carrot.")
    where, first = stretches[0]
    if first.frame != 0:
        raise IVGError(f"{where} begins at frame {first.frame}, and nothing says what is done before: begin with 0.")
    for (_, before), (where, stretch) in pairwise(stretches):
        if stretch.frame == before.frame:
            raise IVGError(f"{where} begins at frame {stretch.frame}, as the one before: leave one of them out.")
        if stretch.frame < before.frame:
            raise IVGError(
                f"{where} begins at frame {stretch.frame}, before the one above it ({before.frame}): put them in order."
            )


def windows_for(
    schedules: Sequence[PromptSchedule], how: Sampling, num_frames: int, own: int
) -> tuple[Sampling, list[slice]]:
    """The windows of time that a run needs for its sentences.

    Args:
        schedules: of each item.
        how: of the run.
        num_frames: F of the video.
        own: frames that the model was made for.

    Returns:
        The options, with windows as the model was made for where several sentences need some, and the windows of the
        first step.

    Raises:
        IVGError: a sentence is told to no window, or a schedule does not fit the windows.
    """
    if how.context is None and any(len(schedule.stretches) > 1 for schedule in schedules):
        how = replace(how, context=ContextWindows())
    if how.context is None:
        return how, [slice(0, num_frames)]
    spans = how.context.spans(num_frames, own)
    for schedule in schedules:
        if schedule.mode == "reference" and how.context.schedule != "static":
            raise IVGError(
                f"The reference's rule for prompts counts static windows, and these are {how.context.schedule}: choose "
                "static ones, or the mode centre."
            )
        schedule.check_heard(spans)
    return how, spans
