// What Comfy-IVG adds to IVG Prompt Schedule: a table of frames and sentences, which the widget `sentences` holds as lines.
import { app } from "../../../scripts/app.js";
import { make, replaceWidget } from "./elements.js";
import { Table } from "./table.js";
import { say } from "./words.js";

const LOWEST = 150;
const APART = 16; // frames, between the first two sentences
const LINE = /^\s*(\d+)\s*[:：]\s*(.*?)\s*$/; // as in ivg_core/sampling/prompts.py
const STYLE = `
.ivg-schedule .ivg-table-line > :first-child { flex: none; width: 72px; white-space: nowrap; }
.ivg-schedule .ivg-table-line > :nth-child(2) { flex: 1; min-width: 40px; }
.ivg-schedule-head { padding: 0 2px; opacity: .75; }`;

class Schedule extends Table {
  constructor(node) {
    const head = make("div", { className: "ivg-table-line ivg-schedule-head" },
      make("span", { textContent: say("from frame") }), make("span", { textContent: say("what is done") })); // prettier-ignore
    super(node, "ivg-schedule", LOWEST, head, "Add a sentence");
  }

  /** The rows of lines such as "40: stir", between which "|" may stand too; of a line that is none, the frame is empty. */
  read(text) {
    const lines = (text ?? "").split(/[\n|]/).filter((line) => line.trim());
    return lines.map((line) => {
      const [, frame, sentence] = line.match(LINE) ?? [null, "", line.trim()];
      return { frame, sentence };
    });
  }

  lines(text) {
    return this.read(text);
  }

  write(rows) {
    return rows.map(({ frame, sentence }) => (frame ? `${frame}: ${sentence}` : sentence)).join("\n");
  }

  blank() {
    return { frame: "0", sentence: "" };
  }

  /** As many frames after the last one as that is after the one before. */
  next() {
    const [before, last] = this.rows.slice(-2).map((row) => Number(row.frame));
    const apart = last - before > 0 ? last - before : APART;
    return { frame: String((last ?? before ?? -APART) + apart), sentence: "" };
  }

  row(row) {
    const frame = this.field(row, "frame", { type: "number", min: 0, step: 1, title: say("The frame from which on it is done, from 0.") });
    const sentence = this.field(row, "sentence", { title: say("What is done, in one sentence."), placeholder: "chop the carrot" }, true);
    const remove = this.remover(row, "Remove this sentence.");
    return make("div", { className: "ivg-table-line" }, frame, sentence, remove);
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
    replaceWidget(node, "sentences", "ivg-prompt-schedule", new Schedule(node), LOWEST);
    node.setSize([Math.max(node.size[0], 380), node.computeSize()[1]]);
  },
});
