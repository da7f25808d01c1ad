// What Comfy-IVG adds to IVG How-to Film: how many steps are in it, and where its page is.
import { app } from "../../../scripts/app.js";
import { addTextBox } from "./text_box.js";

app.registerExtension({
  name: "ivg.how_to",
  nodeCreated(node) {
    if (node.comfyClass === "IVGHowTo") addTextBox(node, "Run: the film's page is named here.");
  },
});
