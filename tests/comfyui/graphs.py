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


@dataclasses.dataclass(frozen=True)
class Graph:
    """A workflow; links are `"from.output > to.input"`."""

    boxes: dict[str, Box]
    links: list[str]
    picture: str  # the box whose preview is the upper half of the thumbnail


DRAWN_ONLY = (
    "**A real photo:** the embedded model knows drawn scenes only. Open *ivg_rom_real*, or choose a published "
    "checkpoint in *IVG Load Model*."
)
FIXED = {"control_after_generate": "fixed"}


def beginning(note: str, seed: int) -> dict[str, Box]:
    """What every workflow begins with: what to do, the model, the photo and its sentence."""
    return {
        "note": Box("MarkdownNote", (0, 0), (320, 690), {"": note}, "Read me"),
        "model": Box("LoadIVGModel", (360, 0), (320, 110)),
        "scene": Box("IVGExampleScene", (360, 200), (320, 320), {"seed": seed, **FIXED}),
        "sentence": Box("PreviewAny", (360, 600), (320, 90), title="The sentence"),
    }


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
            "predict": Box("PredictRoMMask", (730, 0), (320, 690), dict(FIXED)),
            "refine": Box("RefineMask", (1100, 0), (280, 520), {"min_area": 8, "grow": 3}),
            "sample": Box("IVGSampler", (1430, 0), (340, 690), dict(FIXED)),
            "save": Box("SaveVideo", (1820, 0), (400, 400), {"filename_prefix": "video/ivg"}),
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
            "predict": Box("PredictRoMMask", (730, 0), (320, 690), dict(FIXED)),
            "edit": Box("IVGEditMask", (1100, 0), (280, 400)),
            "sample": Box("IVGSampler", (1430, 0), (340, 690), dict(FIXED)),
            "save": Box("SaveVideo", (1820, 0), (400, 400), {"filename_prefix": "video/ivg"}),
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
            "black": Box("SolidMask", (730, 0), (320, 110), {"value": 0.0, "width": 192, "height": 128}, "Black"),
            "white": Box("SolidMask", (730, 170), (320, 110), {"value": 1.0, "width": 132, "height": 92}, "Rectangle"),
            "paste": Box("MaskComposite", (730, 340), (320, 130), {"x": 36, "y": 36, "operation": "add"}),
            "refine": Box("RefineMask", (1100, 0), (280, 520)),
            "sample": Box("IVGSampler", (1430, 0), (340, 690), dict(FIXED)),
            "save": Box("SaveVideo", (1820, 0), (400, 400), {"filename_prefix": "video/ivg"}),
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


GRAPHS = {"ivg_two_stage": two_stage, "ivg_mask_by_hand": mask_by_hand, "ivg_mask_from_elsewhere": mask_from_elsewhere}

#: Builds a graph in the page from `[boxes, links]`; gives the node id of each box.
BUILD = """async ([boxes, links]) => {
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
  graph.setDirtyCanvas(true, true);
  return Object.fromEntries(Object.entries(nodes).map(([name, node]) => [name, String(node.id)]));
}"""
