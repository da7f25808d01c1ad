// What Comfy-IVG adds to its loaders: what they give now, and a button that queues one run for each that is left.
import { app } from "../../../scripts/app.js";
import { addTextBox, onResult } from "./text_box.js";
import { addButton } from "./words.js";

const LOADERS = {
  IVGBatchLoader: {
    button: "Run all that is left",
    tooltip: "Queues one run for each item. You may close the page: the server works on.",
    shown: "Run: the item is shown here.",
  },
  IVGStepLoader: {
    button: "Make all that is left",
    tooltip: "Queues one run for each step. You may close the page: the server works on.",
    shown: "Run: the steps are listed here.",
  },
};

app.registerExtension({
  name: "ivg.batch",
  nodeCreated(node) {
    const loader = LOADERS[node.comfyClass];
    if (!loader) return;
    let queueRest = false;
    addButton(node, loader.button, loader.tooltip, () => {
      queueRest = true; // the first run tells how many are left
      app.queuePrompt(0, 1);
    });
    addTextBox(node, loader.shown);
    onResult(node, (output) => {
      const left = output?.ivg_left?.[0] ?? 0;
      if (queueRest && left > 0) app.queuePrompt(0, left);
      queueRest = false;
    });
  },
});
