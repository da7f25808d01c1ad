"""`track`, `draw-boxes` and `score-boxes`: box tracks made, looked at, and held against a clip."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import IVGError
from .kinds import a_device, a_path, a_share, a_text, new_file, new_folder, new_picture, new_video
from .shared import command, hand_options, say

if TYPE_CHECKING:
    from torch import Tensor

    from ..media.tracks import Track

MAKE = """\
Make a box track, which says where things are over the time of a clip, from one source: a bbox.txt, a box x1,y1,x2,y2
a line in pixels of the photo; masks of a thing, a picture a frame; or the hands of a clip. It is written as JSON.
--region draws all that the boxes pass over, as the Region of Motion for any other model.
"""
DRAW = """\
Draw the boxes and names of a track over a clip; and, with --released, write clip, boxes and sentence in the folder
layout of SMCD's released evaluation.
"""
SCORE = """\
Measure whether things went where a track asks for them: AO, the mean IoU of their boxes, and SR50 and SR75, the share
of boxes with an IoU above 0.5 and 0.75. A thing that was asked for and is not found counts as 0. The first frame of
each thing shows the photo and does not count. The track of a clip NAME.mp4 is NAME.track.json beside it, unless --track
says another. Without --found the things are followed through the clip by a simple tracker, which is named.
"""


def add(commands) -> None:
    """Add the commands to the parser."""
    make = command(commands, "track", _track, "bbox.txt, masks or hands -> a box track", hand_options())
    make.description = MAKE
    source = make.add_mutually_exclusive_group(required=True)
    source.add_argument("--boxes", type=a_path, help="bbox.txt, or a track's JSON")
    source.add_argument("--masks", type=a_path, help="folder of masks, a picture a frame")
    source.add_argument("--hands", type=a_path, help="a video, GIF or folder of frames, in which hands are looked for")
    make.add_argument("--phrase", type=a_text, help='what a bbox.txt or the masks are of, e.g. "cup"')
    make.add_argument("--photo", type=a_path, help="whose pixels a bbox.txt counts, and whose size --region has")
    make.add_argument("--also", type=a_path, help="a track's JSON, whose things come before these")
    make.add_argument("--device", type=a_device, default="cpu", help="cpu, cuda, mps …, where hands are looked for")
    make.add_argument("--out", type=new_file(".json"), help="JSON to write")
    make.add_argument("--region", type=new_picture, help="PNG to write, white where a box passes")
    make.add_argument("--grow", type=a_share, default=0.0, help="of --region, as a share of the width")

    draw = command(commands, "draw-boxes", _draw, "a clip and a box track -> the clip with the boxes drawn")
    draw.description = DRAW
    draw.add_argument("clip", type=a_path, help="a video, GIF or folder of frames")
    _track_options(draw, required=True)
    draw.add_argument("--out", type=new_video, help=".mp4, .webm, .gif or .png (numbered) to write")
    draw.add_argument("--released", type=new_folder, metavar="FOLDER", help="for the layout of the released evaluation")
    draw.add_argument("--truth", type=a_path, help="the true clip, for --released")
    draw.add_argument("--prompt", type=a_text, help="the sentence, for --released")

    score = command(commands, "score-boxes", _score, "AO, SR50 and SR75: do things go where a box track asks for them?")
    score.description = SCORE
    score.add_argument("clips", type=a_path, nargs="+", metavar="clip", help="videos, GIFs or folders of frames")
    _track_options(score, required=False)
    score.add_argument("--found", type=a_path, help="a track's JSON with the boxes of the one clip, by any detector")


def _track_options(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument("--track", type=a_path, required=required, help="a track's JSON, or a bbox.txt")
    parser.add_argument("--phrase", type=a_text, help='what a bbox.txt is of, e.g. "cup"')
    also = "" if required else "; the clip's first frame is compared with it"
    parser.add_argument("--photo", type=a_path, help=f"whose pixels a bbox.txt counts{also}")


def _track(options: argparse.Namespace) -> None:
    from ..media.images import save_png
    from ..media.track_files import read_track, write_track
    from ..media.tracks import Track
    from ..rom.swept import swept

    if not options.out and not options.region:
        raise IVGError("There is nothing to write: give --out TRACK.json, --region REGION.png, or both.")
    photo = _size_of(options.photo)
    if options.boxes:
        track, size = read_track(options.boxes, options.phrase, photo), None
    elif options.masks:
        track, size = _of_masks(options.masks, options.phrase)
    else:
        track, size = _of_hands(options)
    if options.also:
        track = Track.joined([read_track(options.also), track])
    for thing in track.things:
        boxes = sum(key.box is not None for key in thing.keyframes)
        print(f"{thing.phrase}: {boxes} box{'es' * (boxes != 1)}, spread over the clip")
    if options.region and not (size := photo or size):
        raise IVGError("How large the region is to be is not known: give --photo.")
    if options.out:
        say(write_track(track, options.out))
    if options.region and size:
        save_png(swept(track, size, options.grow), options.region)
        say(options.region)


def _of_masks(folder: Path, phrase: str | None) -> tuple[Track, tuple[int, int]]:
    import torch

    from ..media.files import pictures_in
    from ..media.images import load_mask
    from ..media.track_masks import track_of_masks

    if not phrase:
        raise IVGError('What the masks are of is not known: give --phrase, such as "cup".')
    pictures = pictures_in(folder)
    if not pictures:
        raise IVGError(f"There are no pictures in {folder}: put a mask there for each frame.")
    masks = []
    for picture in pictures:
        masks.append(load_mask(picture) > 0.5)
        if masks[-1].shape != masks[0].shape:
            raise IVGError(f"{picture} has another size than the masks before it: resize it, or remove it.")
    return track_of_masks(torch.stack(masks), phrase), (masks[0].shape[1], masks[0].shape[0])


def _of_hands(options: argparse.Namespace) -> tuple[Track, tuple[int, int]]:
    from ..hands.boxes import track_of_hands
    from ..hands.tracker import HandTracker
    from ..media.video import read_clip

    frames, _ = read_clip(options.hands)
    size = (frames.shape[2], frames.shape[1])
    tracker = HandTracker(device=options.device, backend=options.hand_backend)
    return track_of_hands(tracker.track(frames), size), size


def _draw(options: argparse.Namespace) -> None:
    from ..evaluate.box_folder import write_box_folder
    from ..media.track_files import read_track
    from ..media.track_picture import draw_boxes
    from ..media.video import read_video, write_video

    if not options.out and not options.released:
        raise IVGError("There is nothing to write: give --out CLIP.mp4, --released FOLDER, or both.")
    track = read_track(options.track, options.phrase, _size_of(options.photo))
    frames, fps = read_video(options.clip)
    if options.out:
        say(write_video(draw_boxes(frames, track), options.out, fps))
    if options.released:
        truth = read_video(options.truth)[0] if options.truth else None
        left_out = write_box_folder(options.released, frames, track, fps, truth, options.prompt)
        say(options.released)
        if left_out:
            print(f"left out, as --truth or --prompt is not given: {', '.join(left_out)}")


def _score(options: argparse.Namespace) -> None:
    from ..evaluate.metrics.boxes import score_boxes, without_start
    from ..evaluate.metrics.follow import TRACKER, follow
    from ..evaluate.metrics.pixels import first_frame_fidelity
    from ..media.images import load_image
    from ..media.track_files import read_track
    from ..media.video import read_video

    if options.found and len(options.clips) > 1:
        raise IVGError("--found holds the boxes of one clip: give one clip, or leave it out.")
    photo = load_image(options.photo) if options.photo else None
    size = None if photo is None else (photo.shape[1], photo.shape[0])
    for clip in options.clips:
        track = read_track(options.track or clip.parent / f"{clip.stem}.track.json", options.phrase, size)
        frames, _ = read_video(clip)
        if len(frames) < 2:
            raise IVGError(f"{clip} has a single frame, which shows the photo: give a clip.")
        asked = track.boxes(len(frames))
        found = _boxes_of(read_track(options.found), track, len(frames)) if options.found else follow(frames, asked)
        counted = without_start(asked)
        for index, phrase in enumerate(track.phrases):
            print(f"{clip}: {phrase}: {score_boxes(counted[:, index], found[:, index])}")
        if len(track.things) > 1:
            print(f"{clip}: all: {score_boxes(counted, found)}")
        if photo is not None:
            ratio, likeness = first_frame_fidelity(frames, photo)
            print(f"{clip}: first frame beside the photo: PSNR {ratio:.2f} dB, SSIM {likeness:.4f}")
    print(f"boxes found by: {options.found or TRACKER}")


def _boxes_of(found: Track, asked: Track, num_frames: int) -> Tensor:
    """The boxes (F, N, 5) that were found of the things that are asked for, which belong together by name."""
    boxes, rows = found.boxes(num_frames), []
    for phrase in asked.phrases:
        row = next((row for row, name in enumerate(found.phrases) if name == phrase and row not in rows), None)
        if row is None:
            raise IVGError(
                f'--found holds no "{phrase}" but {", ".join(found.phrases)}: name its things as the track does; one '
                "that was not found has the box null."
            )
        rows.append(row)
    return boxes[:, rows]


def _size_of(photo: Path | None) -> tuple[int, int] | None:
    from ..media.images import load_image

    if photo is None:
        return None
    height, width = load_image(photo).shape[:2]
    return width, height
