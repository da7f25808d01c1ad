// What Comfy-IVG adds to IVG Enrich Action: it shows the sentence, and two buttons edit it or give the edit up.
import { app } from "../../../scripts/app.js";
import { addTextBox, onResult } from "./text_box.js";
import { addButton } from "./words.js";

function setEdit(node, sentence, action) {
  node.widgets.find((widget) => widget.name === "edited").value = sentence;
  node.widgets.find((widget) => widget.name === "edited_for").value = action;
}

app.registerExtension({
  name: "ivg.enrich",
  nodeCreated(node) {
    if (node.comfyClass !== "IVGEnrichAction") return;
    const box = addTextBox(node, "Run: the sentence is shown here.");
    let action = "";
    onResult(node, (output) => {
      action = output?.ivg_action?.[0] ?? "";
    });
    addButton(node, "Edit", "Put the sentence into the field `edited`, where you can change it.", () => {
      setEdit(node, box.value, action);
    });
    addButton(node, "Discard edit", "Ask again the next time.", () => setEdit(node, "", ""));
  },
});
