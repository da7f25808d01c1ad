// What Comfy-IVG adds to IVG Prompt Schedule: a table of frames and sentences, which the widget `sentences` holds as lines.
import { app } from "../../../scripts/app.js";
import { keepStep, make, replaceWidget } from "./elements.js";
import { say } from "./words.js";

const LOWEST = 150;
const APART = 16; // frames, between the first two sentences
const LINE = /^\s*(\d+)\s*[:：]\s*(.*?)\s*$/; // as in ivg_core/sampling/prompts.py
const STYLE = `
.ivg-schedule { display: flex; flex-direction: column; gap: 4px; box-sizing: border-box; height: 100%; min-height: ${LOWEST}px;
  padding: 4px; overflow: hidden; font: 12px sans-serif; color: var(--input-text, #ddd); background: var(--comfy-input-bg, #222);
  border-radius: 4px; }
.ivg-schedule-rows { flex: 1 1 0; min-height: 0; overflow-y: auto; display: flex; flex-direction: column; gap: 2px; }
.ivg-schedule-row { display: flex; align-items: center; gap: 4px; flex: none; }
.ivg-schedule-row > :first-child { flex: none; width: 72px; }
.ivg-schedule-row > :nth-child(2) { flex: 1; min-width: 40px; }
.ivg-schedule :is(input, button) { box-sizing: border-box; height: 24px; margin: 0; padding: 0 4px; font: inherit; color: inherit;
  background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #4e4e4e); border-radius: 3px; }
.ivg-schedule button { flex: none; cursor: pointer; white-space: nowrap; }
.ivg-schedule .wrong { border-color: #d9822b; }
.ivg-schedule-head { display: flex; gap: 4px; padding: 0 2px; opacity: .75; }
.ivg-schedule-head > :first-child { flex: none; width: 72px; white-space: nowrap; }`;

/** The rows of lines such as "40: stir", between which "|" may stand too; of a line that is none, the frame is empty. */
function readRows(text) {
  const lines = (text ?? "").split(/[\n|]/).filter((line) => line.trim());
  return lines.map((line) => {
    const [, frame, sentence] = line.match(LINE) ?? [null, "", line.trim()];
    return { frame, sentence };
  });
}

const writeRows = (rows) => rows.map(({ frame, sentence }) => (frame ? `${frame}: ${sentence}` : sentence)).join("\n");

class Table {
  constructor(node) {
    this.node = node;
    this.list = make("div", { className: "ivg-schedule-rows" });
    const head = make("div", { className: "ivg-schedule-head" },
      make("span", { textContent: say("from frame") }), make("span", { textContent: say("what is done") })); // prettier-ignore
    const more = make("button", { type: "button", textContent: say("Add a sentence") });
    more.addEventListener("click", () => this.add());
    this.element = make("div", { className: "ivg-schedule" }, head, this.list, more);
    this.value = "";
    // The graph would drag the node, or zoom.
    for (const kind of ["pointerdown", "mousedown", "wheel"]) {
      this.element.addEventListener(kind, (event) => event.stopPropagation());
    }
  }

  get text() {
    return writeRows(this.rows);
  }

  set value(text) {
    if (this.rows && text === this.text) return;
    this.rows = readRows(text);
    if (!this.rows.length) this.rows = [{ frame: "0", sentence: "" }];
    this.show();
  }

  keep() {
    this.mark();
    keepStep(this.node);
  }

  /** A row at the end, as many frames after the last one as that is after the one before. */
  add() {
    const [before, last] = this.rows.slice(-2).map((row) => Number(row.frame));
    const apart = last - before > 0 ? last - before : APART;
    this.rows.push({ frame: String((last ?? before ?? -APART) + apart), sentence: "" });
    this.show();
    this.keep();
    this.list.scrollTop = this.list.scrollHeight;
    this.list.lastElementChild.children[1].focus({ preventScroll: true });
  }

  remove(row) {
    this.rows = this.rows.filter((other) => other !== row);
    if (!this.rows.length) this.rows = [{ frame: "0", sentence: "" }];
    this.show();
    this.keep();
  }

  /** Several pasted lines become rows. */
  paste(event, row) {
    const pasted = readRows(event.clipboardData.getData("text"));
    if (pasted.length < 2) return;
    event.preventDefault();
    this.rows.splice(this.rows.indexOf(row), 1, ...pasted);
    this.show();
    this.keep();
  }

  show() {
    this.list.replaceChildren(...this.rows.map((row) => this.row(row)));
    this.mark();
  }

  row(row) {
    const field = (name, properties) => {
      const input = make("input", { value: row[name], ...properties });
      input.addEventListener("input", () => {
        row[name] = input.value;
        this.mark();
      });
      input.addEventListener("change", () => this.keep());
      input.addEventListener("paste", (event) => this.paste(event, row));
      return input;
    };
    const frame = field("frame", { type: "number", min: 0, step: 1, title: say("The frame from which on it is done, from 0.") });
    const sentence = field("sentence", { title: say("What is done, in one sentence."), placeholder: "chop the carrot" });
    const remove = make("button", { type: "button", textContent: "✕", title: say("Remove this sentence.") });
    remove.addEventListener("click", () => this.remove(row));
    return make("div", { className: "ivg-schedule-row" }, frame, sentence, remove);
  }

  /** Show which frames are out of order. */
  mark() {
    this.rows.forEach(({ frame }, index) => {
      const after = index === 0 ? -1 : Number(this.rows[index - 1].frame);
      this.list.children[index].firstElementChild.classList.toggle("wrong", frame === "" || Number(frame) <= after);
    });
  }
}

app.registerExtension({
  name: "ivg.prompt_schedule",
  init() {
    document.head.append(make("style", { textContent: STYLE }));
  },
  nodeCreated(node) {
    if (node.comfyClass !== "IVGPromptSchedule") return;
    replaceWidget(node, "sentences", "ivg-prompt-schedule", new Table(node), LOWEST);
    node.setSize([Math.max(node.size[0], 380), node.computeSize()[1]]);
  },
});
