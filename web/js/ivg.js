// What Comfy-IVG adds to the interface: the two buttons of IVG Edit Mask, and how its older workflows open.
import { app } from "../../../scripts/app.js";
import { addButton, say } from "./words.js";

function openMaskEditor(node) {
  if (!node.imgs?.length) {
    app.extensionManager.toast.add({
      severity: "info",
      summary: node.title,
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

const named = (node, name) => node.widgets.find((widget) => widget.name === name);

app.registerExtension({
  name: "ivg",
  nodeCreated(node) {
    if (node.comfyClass !== "IVGEditMask") return;
    const anyPhoto = named(node, "any_photo");
    addButton(node, "Edit mask", "Paint the region of motion in ComfyUI's mask editor.", () => openMaskEditor(node));
    addButton(node, "Discard edit", "Go back to the mask that comes in.", () => {
      named(node, "image").value = "";
      anyPhoto.value = false; // it was said of that edit
      app.graph.setDirtyCanvas(true, true);
    });
    anyPhoto.callback = (value) => {
      // The mask editor of interface 1.27 writes its layers into the widgets behind `image`.
      if (typeof value !== "boolean") anyPhoto.value = false;
    };
    const configured = node.onConfigure;
    node.onConfigure = function ({ widgets_values: saved }) {
      configured?.apply(this, arguments);
      // A workflow that knows no `any_photo` yet: its edit goes on as it did.
      if (saved?.[0] && typeof saved[1] !== "boolean") anyPhoto.value = true;
    };
  },
});
