// What Comfy-IVG adds to the interface: the two buttons of IVG Edit Mask.
import { app } from "../../../scripts/app.js";
import { addButton, say } from "./words.js";

function openMaskEditor(node) {
  if (!node.imgs?.length) {
    app.extensionManager.toast.add({
      severity: "info",
      summary: "IVG Edit Mask",
      detail: say("Run the workflow once, so that there is a photo to paint on."),
      life: 6000,
    });
    return;
  }
  // The editor opens on the one selected node, and stores its result in the widget named "image".
  app.canvas.deselectAll();
  app.canvas.select(node);
  app.extensionManager.command.execute("Comfy.MaskEditor.OpenMaskEditor");
}

app.registerExtension({
  name: "ivg",
  nodeCreated(node) {
    if (node.comfyClass !== "IVGEditMask") return;
    addButton(node, "Edit mask", "Paint the region of motion in ComfyUI's mask editor.", () => openMaskEditor(node));
    addButton(node, "Discard edit", "Go back to the mask that comes in.", () => {
      node.widgets.find((widget) => widget.name === "image").value = "";
      app.graph.setDirtyCanvas(true, true);
    });
  },
});
