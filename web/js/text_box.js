// A field that shows what a node said, in the classic canvas and in Vue nodes.

import { say } from "./words.js";

/** Add a read-only field to a node, at least so many pixels high; gives the field. */
export function addField(node, name, height) {
  const box = document.createElement("textarea");
  box.readOnly = true;
  box.className = "comfy-multiline-input";
  const widget = node.addDOMWidget(name, "ivg-text", box, {
    serialize: false,
    getValue: () => box.value,
    setValue: (value) => {
      box.value = value ?? "";
    },
    getMinHeight: () => height,
  });
  widget.serialize = false;
  return box;
}

/** Add a read-only field to a node that shows its `text` output; gives the field. */
export function addTextBox(node, placeholder) {
  const box = addField(node, "shown", 80);
  box.placeholder = say(placeholder);
  onResult(node, (output) => {
    box.value = output?.text?.[0] ?? "";
  });
  return box;
}

/** Call a function with what a node gives to the interface, each time it has run. */
export function onResult(node, callback) {
  const before = node.onExecuted;
  node.onExecuted = function (output) {
    before?.apply(this, arguments);
    callback(output);
  };
}
