// Elements of a node's own editor, and what every change in one is followed by.
import { app } from "../../../scripts/app.js";

/** An element with its properties and children. */
export function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A widget of one line of text: its place is taken by an editor, of which `text` and `value` are read and written; gives the new widget. */
export function replaceWidget(node, name, kind, editor, height) {
  const plain = node.widgets.find((widget) => widget.name === name);
  editor.value = plain.value;
  const widget = node.addDOMWidget(name, kind, editor.element, {
    getValue: () => editor.text,
    setValue: (text) => {
      editor.value = text;
    },
    getMinHeight: () => height,
    hideOnZoom: false,
  });
  node.widgets.splice(node.widgets.indexOf(widget), 1);
  node.widgets[node.widgets.indexOf(plain)] = widget;
  return widget;
}

/** What was changed in a node becomes one step that can be undone. */
export function keepStep(node) {
  node.graph?.setDirtyCanvas(true, true);
  const tracker = app.extensionManager.workflow?.activeWorkflow?.changeTracker;
  (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
}
