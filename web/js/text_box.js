// A field that shows what a node said, in the classic canvas and in Vue nodes.

import { say } from "./words.js";

/** Add a read-only field to a node that shows its `text` output; gives the field. */
export function addTextBox(node, placeholder) {
  const box = document.createElement("textarea");
  box.readOnly = true;
  box.placeholder = say(placeholder);
  box.className = "comfy-multiline-input";
  const widget = node.addDOMWidget("shown", "ivg-text", box, {
    serialize: false,
    getValue: () => box.value,
    setValue: (value) => {
      box.value = value ?? "";
    },
    getMinHeight: () => 80,
  });
  widget.serialize = false;
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
