// The words that this pack's scripts put on nodes, in the reader's language: `ivg` in locales/<language>/main.json.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";

let words = {};

app.registerExtension({
  name: "ivg.words",
  async init() {
    const language = app.extensionManager.setting.get("Comfy.Locale");
    const texts = await api.getCustomNodesI18n?.().catch(() => null); // English is better than no button
    words = texts?.[language]?.ivg ?? {};
  },
});

/** A text in the reader's language; as it is where there is no translation. */
export const say = (text) => words[text] ?? text;

/** Add a button that keeps nothing in the workflow. Its name stays English, what is read on it does not. */
export function addButton(node, label, tooltip, press) {
  const button = node.addWidget("button", label, null, press);
  button.label = say(label);
  button.serialize = false;
  button.tooltip = say(tooltip);
}
