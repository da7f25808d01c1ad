// What Comfy-IVG adds to IVG Download Model: source, size and licence, shown before anything is fetched.
import { app } from "../../../scripts/app.js";
import { addTextBox } from "./text_box.js";

app.registerExtension({
  name: "ivg.download",
  nodeCreated(node) {
    if (node.comfyClass === "IVGDownloadModel") addTextBox(node, "Run: source, size and licence are shown here.");
  },
});
