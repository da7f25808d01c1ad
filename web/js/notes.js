// What a node says about its result stays on it. Older interfaces leave it there, newer ones clear it when the run ends.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { addField } from "./text_box.js";

const CORES_OWN = "$$node-text-preview";
const classes = new Set(); // of this pack
const notes = new Map(); // execution id of a node -> its note
const LOOKS = [200, 1500]; // milliseconds after a run: the interface clears its own texts at some time of these

/** The node behind an execution id; "4:7" is node 7 in the subgraph of node 4. */
function nodeAt(id) {
  let node, graph = app.rootGraph ?? app.graph;
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById(Number(part));
    graph = node?.subgraph;
  }
  return node && classes.has(node.comfyClass) ? node : undefined;
}

/** A new note takes the place of the one that was put back after an earlier run. */
function hear({ detail }) {
  notes.set(String(detail.nodeId), detail.text);
  const node = nodeAt(detail.nodeId);
  if (node?.ivgNote) node.ivgNote.value = detail.text;
}

/** Put the notes back that the interface has cleared. */
function keepNotes() {
  for (const [id, text] of notes) {
    const node = nodeAt(id);
    if (!node || node.ivgNote || node.widgets?.some((widget) => widget.name === CORES_OWN)) continue;
    node.ivgNote = addField(node, "ivg_note", 58);
    node.ivgNote.value = text;
  }
  app.graph.setDirtyCanvas(true, true);
}

app.registerExtension({
  name: "ivg.notes",
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.category.split("/")[0] === "IVG") classes.add(nodeData.name);
  },
  setup() {
    api.addEventListener("execution_start", () => notes.clear());
    api.addEventListener("progress_text", hear);
    for (const end of ["execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(end, () => LOOKS.forEach((wait) => setTimeout(keepNotes, wait)));
    }
  },
});
