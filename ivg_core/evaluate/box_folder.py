"""A clip with its boxes in the folder layout of SMCD's released evaluation."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from ..media.files import atomic_folder
from ..media.images import save_png
from ..media.track_picture import draw_boxes
from ..media.tracks import Track
from ..media.video import write_video

MOST_FPS = 50  # of a GIF


def write_box_folder(
    folder: str | os.PathLike,
    frames: Tensor,
    track: Track,
    fps: float,
    truth: Tensor | None = None,
    prompt: str | None = None,
) -> list[str]:
    """Write a clip as the released code writes those that it measures; the folder's other files stay.

    Of the generated clip `pred_video.gif`, `boxes_pred.gif`, `pred_img/pred_img_0.png` … and
    `pred_box_img/pred_box_img_0.png` …; of the true one the same with gt for pred; `prompt.txt`; and for each frame
    `box_0.txt` …, a line x1,y1,x2,y2 a thing, in shares of the picture, 0,0,0,0 where it is not there.

    Args:
        folder: where to.
        frames: (F, H, W, 3) 0..1, the generated clip.
        track: what was asked for.
        fps: frames a second of the GIFs, which play at most 50.
        truth: (F', H', W', 3) 0..1, the true clip.
        prompt: the sentence.

    Returns:
        The names of what was left out, because it was not given.

    Raises:
        IVGError: the place cannot be written to, or the frames are none.

    Source: inference_eval.py of the released code.
    """
    left_out = []
    with atomic_folder(folder) as partial:
        for name, clip in (("pred", frames), ("gt", truth)):
            if clip is None:
                left_out += [f"{name}_video.gif", f"boxes_{name}.gif", f"{name}_img", f"{name}_box_img"]
            else:
                _write_clip(partial, name, clip, track, fps)
        if prompt is None:
            left_out.append("prompt.txt")
        else:
            (partial / "prompt.txt").write_text(prompt, encoding="utf-8")
        for index, boxes in enumerate(track.boxes(len(frames))[..., :4].tolist()):
            lines = "".join(",".join(f"{share:.6g}" for share in box) + "\n" for box in boxes)
            (partial / f"box_{index}.txt").write_text(lines, encoding="utf-8")
    return left_out


def _write_clip(folder: Path, name: str, frames: Tensor, track: Track, fps: float) -> None:
    drawn, fps = draw_boxes(frames, track), min(fps, MOST_FPS)
    write_video(frames, folder / f"{name}_video.gif", fps)
    write_video(drawn, folder / f"boxes_{name}.gif", fps)
    for kind, pictures in ((f"{name}_img", frames), (f"{name}_box_img", drawn)):
        for index, picture in enumerate(pictures):
            save_png(picture, folder / kind / f"{kind}_{index}.png")
