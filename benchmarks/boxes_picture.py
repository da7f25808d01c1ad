"""One picture of what each scale of the guidance does: rows of frames, with the boxes that were asked for."""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw, ImageFont

from benchmarks.boxes import TOLD, errands, said_to
from ivg_core.media.images import to_pil
from ivg_core.media.track_picture import draw_boxes
from ivg_core.models.bundle import IVGModel
from ivg_core.sampling.generate import Sampling, generate
from ivg_core.synthetic.carry import carried_clip
from ivg_core.synthetic.dataset import HELD_OUT_SEED

ROWS = (
    ("no boxes", False, {}),
    ("boxes_scale 1", True, {}),
    ("boxes_scale 3", True, {"boxes_scale": 3.0}),
    ("guidance_scale 3", True, {"guidance_scale": 3.0}),
    ("both 3", True, {"boxes_scale": 3.0, "guidance_scale": 3.0}),
)
FOOT = 22  # pixels of a row's caption


def scales_picture(model: IVGModel, which: int = 0, columns: int = 4) -> Image.Image:
    """A held-out scene whose sentence names the other direction than its box goes, a row for each setting.

    Args:
        model: with gates for boxes.
        which: of the scenes.
        columns: frames of each video, evenly, the first included.
    """
    made_for = model.defaults
    width, height, frames = made_for.width, made_for.height, made_for.num_frames
    *_, (scene, what) = errands("one", HELD_OUT_SEED + TOLD, which + 1, width, height)
    said = said_to(what, -1)
    track, photo = carried_clip(scene, what, frames).track, torch.from_numpy(scene.photo()).float() / 255
    picture = Image.new("RGB", (width * columns, (height + FOOT) * len(ROWS)), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    for row, (name, boxed, scales) in enumerate(ROWS):
        how = Sampling(keep_first_frame=True, composite=False, **scales)
        video = generate(model, photo, said, boxes=track if boxed else None, seed=scene.seed, how=how)
        drawn, top = draw_boxes(video.frames, track), row * (height + FOOT)
        for column in range(columns):
            frame = round(column * (frames - 1) / max(columns - 1, 1))
            picture.paste(to_pil(drawn[frame]), (column * width, top))
        draw.text((6, top + height + 1), f'{name}   "{said}"', font=font, fill="black")
    return picture
