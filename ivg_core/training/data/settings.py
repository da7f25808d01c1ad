"""What can be asked of the data side; the keys of `data:` in a training's yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...errors import IVGError
from ...media.targets import user_path
from ...settings import check_ranges

#: Values of `masks` that are no folder.
MADE_MASKS = ("hands", "arms", "stage1", "white")

RANGES: dict[str, tuple[float, float]] = {
    "frames": (1, 4096),
    "stride": (0, 4096),
    "fps": (1e-3, 1000),
    "width": (0, 16384),
    "height": (0, 16384),
    "bucket_step": (8, 16384),
    "min_motion": (0, 10**9),
    "max_motion": (0, 10**9),
    "max_camera_motion": (0, 1),
    "heldout": (0, 10**6),
}


@dataclass
class DataSettings:
    """Where the clips are, and what becomes of them.

    Args:
        source: a folder of clips, one clip, or a released list: a `.json` file of `{"caption": …, "video": …}`, or of
            `{"caption": …, "image": …}`, or `video_blip`. An entry with `"start"` or `"end"`, in seconds, is that part
            of a long film, whose rest is not decoded. A clip is `cut.mp4` with its caption in `cut.txt`, or a folder of
            numbered pictures with `caption.txt`. Other pictures, each with its own caption, are clips of one frame:
            they teach how things look.
        videos: for a list: the folder of its videos or pictures; None: the list's own folder.
        caption: for every clip that has none of its own.
        masks: what moves; models that take no photo need none. "hands" finds hands in every frame of the time that is
            trained on, as `annotate` does, and draws hulls around them, "arms" adds forearms, "stage1" asks the model's
            stage 1, "white" says everything; or a folder with `<clip>.png`, one mask a clip, or `<clip>/*.png`, one a
            frame.
        frames: of a training clip; the first is the context. A clip that is shorter gives all it has. 1: the one in the
            middle of the clip, for what is learned on single pictures.
        stride: cut each clip into clips of `frames` frames that follow one another and begin so many frames apart, at
            most `frames`; what is left at the end is in none. 0: leave it whole.
        frame_sampling: "even": over the whole clip, as the paper says; "released": the last ones at `fps`, as the
            released code does.
        fps: for the released sampling.
        width, height: of the training clips in pixels; 0: the model's own. With `buckets` only the area counts.
        buckets: clips keep about their own shape, in sizes of the same area whose sides are multiples of `bucket_step`;
            otherwise all are cut to width x height.
        bucket_step: pixels, a multiple of 8.
        min_motion: clips whose motion score is below this are rejected; the released code used 50. 0 keeps all.
        max_motion: clips above this are rejected (cuts, shaken cameras); 0 = no limit.
        camera: what is done about a camera that moves: "keep" nothing, "stabilise" the picture onto its first frame,
            "reject" clips in which it moves by more than `max_camera_motion`.
        max_camera_motion: share of the picture's diagonal, 0..1.
        boxes: also give boxes and names of things. They are read from a box track beside the clip, which is
            `cut.track.json` or SMCD's `cut.boxes.txt` (pixels of the clip; its thing has the clip's caption for a
            name), or within a folder of pictures `track.json` or `bbox.txt`; and from the folders of GOT-10k and of
            YouTube-VIS. Clips without any are rejected.
        control: of a single clip: its control video (edges, a pose, depth), a video or a folder of pictures, as many
            frames as the clip; for a training with a `control_net`.
        heldout: this many clips are not trained on, but measured with; the parts of a film count as one.
        cache: folder for what was encoded; None: beside the training's results.
        name: of the data, for what is trained to say; None: the last part of `source`.
        licence: of the data, likewise; None: not known.
    """

    source: str
    videos: str | None = None
    caption: str | None = None
    masks: str = "hands"
    frames: int = 16
    frame_sampling: Literal["even", "released"] = "even"
    fps: float = 8.0
    width: int = 0
    height: int = 0
    buckets: bool = True
    bucket_step: int = 32
    min_motion: float = 0.0
    max_motion: float = 0.0
    camera: Literal["keep", "stabilise", "reject"] = "keep"
    max_camera_motion: float = 0.03
    heldout: int = 0
    cache: str | None = None
    boxes: bool = False
    stride: int = 0
    control: str | None = None
    name: str | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, RANGES, "data: ")
        for path in filter(None, (self.source, self.videos, self.masks, self.control, self.cache)):
            user_path(path)
        if self.stride > self.frames:
            raise IVGError(
                f"data: stride is {self.stride}, which leaves frames out between clips of {self.frames}: give 1 to "
                f"{self.frames}, or 0 for whole clips."
            )
        if self.stride and (self.boxes or self.masks not in MADE_MASKS):
            raise IVGError(
                f"data: stride cuts clips into parts, and boxes and given masks are of whole clips: set stride to 0, "
                f"or boxes to false and masks to one of {', '.join(MADE_MASKS)}."
            )
        if self.bucket_step < 8 or self.bucket_step % 8:
            raise IVGError(f"data: bucket_step is {self.bucket_step}: give a multiple of 8, such as 32 or 64.")
        for key in ("width", "height"):
            value = getattr(self, key)
            if value % 8:
                raise IVGError(f"data: {key} is {value}: give a multiple of 8, or 0 for the model's own.")
