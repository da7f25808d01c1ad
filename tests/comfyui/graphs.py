"""The example workflows as plain descriptions, and how the interface turns one into a file.

`make_workflows.py` builds them in the oldest supported interface, so that older and newer ones can open them.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Box:
    """A node: its class, where it stands, and the widgets that differ from their defaults."""

    kind: str
    at: tuple[int, int]  # x, y of the top left corner
    size: tuple[int, int]  # width, height; a node is never lower than its widgets need
    widgets: dict = dataclasses.field(default_factory=dict)
    title: str | None = None
    muted: bool = False  # it stays out of a run until someone unmutes it
    group: str = ""  # what the frame is called that is drawn around it and the others of that name


@dataclasses.dataclass(frozen=True)
class Graph:
    """A workflow; links are `"from.output > to.input"`."""

    boxes: dict[str, Box]
    links: list[str]
    picture: str  # the box whose preview is the upper half of the thumbnail

    def groups(self) -> list[dict]:
        """The frames around the boxes, numbered from left to right: title, colour, names of the boxes."""
        subjects: dict[str, list[str]] = {}
        for name, box in sorted(self.boxes.items(), key=lambda pair: pair[1].at[0]):
            if box.group:
                subjects.setdefault(box.group, []).append(name)
        return [
            {"title": f"{number} {subject}", "color": COLOURS[subject], "boxes": names}
            for number, (subject, names) in enumerate(subjects.items(), 1)
        ]


ONE_PHOTO, MODEL, REGION, DRAFT, VIDEO = "Photo", "Model and sentence", "Region of motion", "Draft", "Video"
BATCH, WORDS, THINGS, CLIP, TRAINING = "Photos", "Sentence", "Hands and things", "Clip to learn from", "Training"
LEARNED, OVER_PHOTO, LORA, STAND_IN = "What it learned", "Over the photo", "The motion", "Stand-in for your motion"
BOXES = "Where it goes"
PLAN, FILM = "Photo and steps", "Film"
YOUR_VIDEO, HOLDS, EDITED, DEPTHS = "Your video", "What holds it", "What is changed", "Depth and scenes"
BLUE, GREY, ORANGE, YELLOW, GREEN, CYAN = "#3f789e", "#88A", "#b06634", "#b58b2a", "#8A8", "#8AA"  # the interface's own
COLOURS = {
    ONE_PHOTO: BLUE, BATCH: BLUE, MODEL: GREY, WORDS: GREY, THINGS: YELLOW, REGION: ORANGE, DRAFT: YELLOW, CLIP: YELLOW,
    TRAINING: ORANGE, VIDEO: GREEN, LEARNED: GREEN, OVER_PHOTO: CYAN, LORA: CYAN,
    STAND_IN: GREY, BOXES: ORANGE, YOUR_VIDEO: YELLOW, HOLDS: ORANGE, EDITED: ORANGE, DEPTHS: ORANGE,
    PLAN: BLUE, FILM: CYAN,
}  # fmt: skip


def grouped(subject: str, boxes: dict[str, Box]) -> dict[str, Box]:
    """The boxes in one frame; those that are in one already stay there."""
    return {name: box if box.group else dataclasses.replace(box, group=subject) for name, box in boxes.items()}


#: Lengths that mean the same on a photo of any size, and what a mask is cleaned of in them.
SHARES = {"unit": "1/1000 of the width"}
CLEAN = {**SHARES, "min_area": 200, "close": 10}
DRAWN_ONLY = (
    "**A real photo:** the embedded model knows drawn scenes only. Open *ivg_01_real_photo*, or choose a published "
    "checkpoint in *IVG Load Model*."
)
FIXED = {"control_after_generate": "fixed"}


def beginning(note: str, seed: int) -> dict[str, Box]:
    """What every workflow begins with: what to do, the model, the photo and its sentence."""
    return {
        "note": Box("MarkdownNote", (0, 0), (320, 690), {"": note}, "Read me"),
        **grouped(ONE_PHOTO, {
            "model": Box("LoadIVGModel", (360, 0), (320, 110)),
            "scene": Box("IVGExampleScene", (360, 200), (320, 320), {"seed": seed, **FIXED}),
            "sentence": Box("PreviewAny", (360, 600), (320, 90), title="The sentence"),
        }),
    }  # fmt: skip


def region(x: int) -> dict[str, Box]:
    """What finds the region of motion."""
    return grouped(
        REGION,
        {
            "predict": Box("PredictRoMMask", (x, 0), (320, 690), dict(FIXED)),
            "refine": Box("RefineMask", (x + 370, 0), (280, 520), {**CLEAN, "grow": 15}),
        },
    )


def sampled(x: int) -> dict[str, Box]:
    """What most of them end with: the sampler and its saved video."""
    return grouped(
        VIDEO,
        {
            "sample": Box("IVGSampler", (x, 0), (340, 690), dict(FIXED)),
            "save": Box("SaveVideo", (x + 390, 0), (400, 400), {"filename_prefix": "video/ivg"}),
        },
    )


def two_stage() -> Graph:
    note = (
        "## Photo + sentence → video\n\n"
        "1. **IVG Predict RoM Mask** finds where the photo will move.\n"
        "2. **IVG Refine Mask** cleans the region and grows it a little.\n"
        "3. **IVG Sampler** makes the video inside it.\n\n"
        f"Runs offline with the embedded model.\n\n{DRAWN_ONLY}\n\n"
        "With such a checkpoint, which belongs into `models/ivg`, put *Load Image* in place of *IVG Example Scene*, "
        "and write your sentence into both *action* boxes.\n\n"
        "A model without stage-1 weights? Take *IVG Fallback RoM* in place of *IVG Predict RoM Mask*."
    )
    return Graph(
        boxes={
            **beginning(note, seed=0),
            **region(730),
            **sampled(1430),
        },
        links=[
            "scene.action > sentence.source",
            "model.model > predict.model",
            "model.model > sample.model",
            "scene.image > predict.image",
            "scene.image > sample.image",
            "scene.action > predict.action",
            "scene.action > sample.action",
            "predict.mask > refine.mask",
            "refine.mask > sample.mask",
            "sample.video > save.video",
        ],
        picture="predict",
    )


def mask_by_hand() -> Graph:
    note = (
        "## The region of motion, by hand\n\n"
        "1. **Run** once: *IVG Edit Mask* shows the photo with the predicted region.\n"
        "2. Press **Edit mask**, paint or erase, save.\n"
        "3. **Run** again: the video moves where you painted.\n\n"
        "*Discard edit* goes back to the predicted region. To paint from nothing, remove *IVG Predict RoM Mask*.\n\n"
        f"{DRAWN_ONLY} With such a one put *Load Image* in place of *IVG Example Scene*, and write your sentence into "
        "both *action* boxes."
    )
    return Graph(
        boxes={
            **beginning(note, seed=3),
            **grouped(
                REGION,
                {
                    "predict": Box("PredictRoMMask", (730, 0), (320, 690), dict(FIXED)),
                    "edit": Box("IVGEditMask", (1100, 0), (280, 400)),
                },
            ),
            **sampled(1430),
        },
        links=[
            "scene.action > sentence.source",
            "model.model > predict.model",
            "model.model > sample.model",
            "scene.image > predict.image",
            "scene.image > edit.photo",
            "scene.image > sample.image",
            "scene.action > predict.action",
            "scene.action > sample.action",
            "predict.mask > edit.mask",
            "edit.mask > sample.mask",
            "sample.video > save.video",
        ],
        picture="edit",
    )


def mask_from_elsewhere() -> Graph:
    note = (
        "## A mask from elsewhere\n\n"
        "Any MASK can say where the photo may move. Here two core nodes draw a rectangle.\n\n"
        "Put in their place\n"
        "- *Load Image* with the mask painted in its mask editor (right click → Open in MaskEditor), its MASK output, "
        "or\n"
        "- *Load Image (as Mask)* with a black and white picture, or\n"
        "- the MASK of a segmentation node, or *IVG Fallback RoM*.\n\n"
        f"No stage-1 weights are needed. A mask of another size is resized to the photo.\n\n{DRAWN_ONLY}"
    )
    return Graph(
        boxes={
            **beginning(note, seed=2),
            **grouped(
                REGION,
                {
                    "black": Box(
                        "SolidMask", (730, 0), (320, 110), {"value": 0.0, "width": 192, "height": 128}, "Black"
                    ),
                    "white": Box(
                        "SolidMask", (730, 170), (320, 110), {"value": 1.0, "width": 132, "height": 92}, "Rectangle"
                    ),
                    "paste": Box("MaskComposite", (730, 340), (320, 130), {"x": 36, "y": 36, "operation": "add"}),
                    "refine": Box("RefineMask", (1100, 0), (280, 520), {**CLEAN, "grow": 20}),
                },
            ),
            **sampled(1430),
        },
        links=[
            "scene.action > sentence.source",
            "model.model > sample.model",
            "scene.image > sample.image",
            "scene.action > sample.action",
            "black.MASK > paste.destination",
            "white.MASK > paste.source",
            "paste.MASK > refine.mask",
            "refine.mask > sample.mask",
            "sample.video > save.video",
        ],
        picture="refine",
    )


GRAPHS = {
    "ivg_20_drawn_photo_to_video": two_stage,
    "ivg_22_paint_the_mask": mask_by_hand,
    "ivg_23_mask_from_elsewhere": mask_from_elsewhere,
}

#: Builds a graph in the page from `[boxes, links, groups]`; gives the node id of each box.
BUILD = """async ([boxes, links, groups]) => {
  const graph = window.app.graph;
  graph.clear();
  const nodes = {};
  for (const [name, box] of Object.entries(boxes)) {
    const node = window.LiteGraph.createNode(box.kind);
    if (!node) throw new Error(`no node class ${box.kind}`);
    graph.add(node);
    nodes[name] = node;
    node.pos = box.at;
    if (box.title) node.title = box.title;
    if (box.muted) node.mode = 2;
    if (box.kind === 'MarkdownNote') Object.assign(node, {color: '#432', bgcolor: '#653'});
    for (const [key, value] of Object.entries(box.widgets)) {
      const widget = node.widgets.find((w) => w.name === key) ?? (key ? null : node.widgets[0]);
      if (!widget) throw new Error(`${box.kind} has no widget ${key}`);
      widget.value = value;
    }
  }
  for (const link of links) {
    const [from, output, to, input] = link.split(/\\.| > /);
    const slot = nodes[from].outputs.findIndex((o) => (o.label || o.name) === output || o.name === output);
    if (!nodes[from].connect(slot, nodes[to], nodes[to].findInputSlot(input))) throw new Error(`cannot link ${link}`);
  }
  await new Promise((done) => setTimeout(done, 300));
  for (const [name, box] of Object.entries(boxes)) {
    const least = nodes[name].computeSize();
    nodes[name].setSize([Math.max(box.size[0], least[0]), Math.max(box.size[1], least[1])]);
  }
  const edge = 10, title = 30;  // of a node; that of a group is as high
  const notes = 80;  // a node that has run can be higher
  for (const group of groups) {
    const framed = group.boxes.map((name) => nodes[name]);
    const [left, top] = [0, 1].map((axis) => Math.min(...framed.map((node) => node.pos[axis])) - edge);
    const ends = (axis) => framed.map((node) => node.pos[axis] + node.size[axis]);
    const [right, low] = [0, 1].map((axis) => Math.max(...ends(axis)) + edge);
    const frame = new window.LiteGraph.LGraphGroup(group.title);
    frame.color = group.color;
    frame.pos = [left, top - 2 * title];
    frame.size = [right - left, low - top + 2 * title + notes];
    graph.add(frame);
  }
  graph.setDirtyCanvas(true, true);
  return Object.fromEntries(Object.entries(nodes).map(([name, node]) => [name, String(node.id)]));
}"""
