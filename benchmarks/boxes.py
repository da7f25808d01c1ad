"""Whether things go where their boxes say, in drawn scenes that were never trained on.

What is carried is found in the frames by its colours, at its known size and shape, where the picture differs from the
scene without it. All frames but the first count, which is the photo itself; "moved" are those in which the thing should
have left its place: in the others a thing that never moves scores too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ivg_core.evaluate.metrics.boxes import box_iou
from ivg_core.media.track_picture import draw_boxes
from ivg_core.media.tracks import Thing, Track
from ivg_core.media.video import write_video
from ivg_core.models.bundle import IVGModel
from ivg_core.sampling.generate import Sampling, generate
from ivg_core.synthetic.boxes import box_of_colour
from ivg_core.synthetic.carry import Errand, carried_clip, errand
from ivg_core.synthetic.clips import Scene
from ivg_core.synthetic.dataset import HELD_OUT_SEED

#: Scenes for choosing begin at the first held-out seed; those that are told begin here.
TOLD = 3000
MOVED = 0.25  # overlap with its first box below which a thing has left its place
SHORTEST = 0.15  # of the picture's width: a way that can be told from none


class Measured:
    """A model at work on errands.

    Args:
        model: with gates for boxes.
        boxes_scale: of the guidance, where there are boxes.
        out: folder for the clips made with boxes, with these drawn over them; None: they are not kept.
    """

    def __init__(self, model: IVGModel, boxes_scale: float, out: Path | None):
        self.model, self.boxes_scale, self.out = model, boxes_scale, out

    def found(self, scene: Scene, what: Errand, sentence: str, track: Track | None) -> Tensor:
        """Where the errand's things are in the video that the model makes (F, N, 5), as `Track.boxes` has it."""
        how = Sampling(keep_first_frame=True, composite=False, boxes_scale=self.boxes_scale if track else 1.0)
        photo = torch.from_numpy(scene.photo()).float() / 255
        video = generate(self.model, photo, sentence, boxes=track, seed=scene.seed, how=how)
        if track and self.out:
            name = f"{scene.seed} {sentence}.mp4"
            write_video(draw_boxes(video.frames, track), self.out / name, self.model.defaults.fps)
        return boxes_in(scene, what, (video.frames.numpy() * 255).round().astype(np.uint8))

    def track(self, scene: Scene, what: Errand) -> Track:
        """The exact boxes of the errand."""
        return carried_clip(scene, what, self.model.defaults.num_frames).track


def bench_boxes(
    model: IVGModel, scenes: int = 40, boxes_scale: float = 1.0, choose: bool = False, out: Path | None = None
) -> dict[str, float]:
    """Mean overlap of where things are with where they should be, with boxes and without.

    Args:
        model: with gates for boxes.
        scenes: of each kind: one thing that is carried, two at once, and one that leaves the picture.
        boxes_scale: of the guidance.
        choose: on the scenes for choosing settings.
        out: see `Measured`.
    """
    at_work = Measured(model, boxes_scale, out)
    first = HELD_OUT_SEED + (0 if choose else TOLD)
    made_for = model.defaults
    overlaps: dict[str, list[Tensor]] = {}
    follows, gone = [], []

    def keep(name: str, asked: Tensor, found: Tensor) -> None:
        there = asked[1:, :, 4] > 0
        overlap = box_iou(asked[1:], found[1:])
        overlaps.setdefault(name, []).append(overlap[there])
        moved = there & (box_iou(asked[1:], asked[:1].expand_as(asked[1:])) < MOVED)
        overlaps.setdefault(f"{name}_moved", []).append(overlap[moved])

    for scene, what in errands("one", first, scenes, made_for.width, made_for.height):
        track = at_work.track(scene, what)
        asked = track.boxes(made_for.num_frames)
        keep("boxes", asked, at_work.found(scene, what, _neutral(what), track))
        keep("no_boxes", asked, at_work.found(scene, what, _neutral(what), None))
        keep("text_only", asked, at_work.found(scene, what, said_to(what, 1), None))
        follows.append(_goes_along(asked, at_work.found(scene, what, said_to(what, -1), track)))
    for scene, what in errands("two", first, scenes, made_for.width, made_for.height):
        track = at_work.track(scene, what)
        keep("two", track.boxes(made_for.num_frames), at_work.found(scene, what, _neutral(what), track))
    for scene, what in errands("gone", first, scenes, made_for.width, made_for.height):
        track = at_work.track(scene, what)
        found = at_work.found(scene, what, _neutral(what), track)
        keep("until_gone", track.boxes(made_for.num_frames), found)
        gone.append(float(found[-1, 0, 4] == 0))
    figures = {f"miou_{name}": torch.cat(values).mean().item() for name, values in overlaps.items()}
    shares = {"follows_box_against_text": follows, "gone_when_asked": gone}
    return figures | {name: float(np.mean(values)) for name, values in shares.items()} | {"scenes": float(scenes)}


def errands(kind: str, first: int, count: int, width: int, height: int) -> Iterator[tuple[Scene, Errand]]:
    """`count` scenes, from seed `first` on, with an errand of a kind: "one", "two" or "gone"."""
    seed = first
    while count:
        scene = Scene(seed, width, height)
        what = errand(scene)
        seed += 1
        if _is(kind, scene, what):
            count -= 1
            yield scene, what


def _is(kind: str, scene: Scene, what: Errand) -> bool:
    if any(np.linalg.norm(carry.to) < SHORTEST * scene.width for carry in what.carries):
        return False
    if len(what.carries) != (2 if kind == "two" else 1):
        return False
    stays = carried_clip(scene, what, 2).track.boxes(2)[-1, :, 4].all()
    return bool(stays) == (kind != "gone")


def boxes_in(scene: Scene, what: Errand, frames: np.ndarray) -> Tensor:
    """Where the errand's things are in frames (F, H, W, 3) uint8, by their colours: (F, N, 5)."""
    things = []
    for carry in what.carries:
        behind = (scene.without([carry.target]) * 255).astype(np.uint8)
        things.append(Thing.of_frames(carry.noun, box_of_colour(frames, scene.props[carry.target], behind)))
    return Track(tuple(things)).boxes(len(frames))


def _goes_along(asked: Tensor, found: Tensor) -> bool:
    """Whether the thing ends nearer to where its box ends than to where it began or the sentence would have it."""
    start, goal, end = ((box[:2] + box[2:4]) / 2 for box in (asked[0, 0], asked[-1, 0], found[-1, 0]))
    other = 2 * start - goal
    near = (end - goal).norm()
    return bool(found[-1, 0, 4]) and bool(near < (end - start).norm()) and bool(near < (end - other).norm())


def _neutral(what: Errand) -> str:
    return " and ".join(f"move the {carry.noun}" for carry in what.carries)


def said_to(what: Errand, sign: int) -> str:
    """The sentence with the way's own direction (1), or the other one (-1)."""
    (carry,) = what.carries
    return f"push the {carry.noun} to the {'right' if sign * carry.to[0] > 0 else 'left'}"
