// What Comfy-IVG adds to IVG Load Batch: which item it is, and a button that queues one run for each that is left.
import { app } from "../../../scripts/app.js";
import { addTextBox, onResult } from "./text_box.js";
import { addButton } from "./words.js";

app.registerExtension({
  name: "ivg.batch",
  nodeCreated(node) {
    if (node.comfyClass !== "IVGBatchLoader") return;
    let queueRest = false;
    const tooltip = "Queues one run for each item. You may close the page: the server works on.";
    addButton(node, "Run all that is left", tooltip, () => {
      queueRest = true; // the first run tells how many are left
      app.queuePrompt(0, 1);
    });
    addTextBox(node, "Run: the item is shown here.");
    onResult(node, (output) => {
      const left = output?.ivg_left?.[0] ?? 0;
      if (queueRest && left > 0) app.queuePrompt(0, left);
      queueRest = false;
    });
  },
});
