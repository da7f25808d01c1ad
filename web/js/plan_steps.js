// What Comfy-IVG adds to IVG Plan Steps: a table of steps, which the widget `steps` holds as JSON, and a button that reads the
// text into it.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { make, replaceWidget } from "./elements.js";
import { Table } from "./table.js";
import { onResult } from "./text_box.js";
import { addButton, say } from "./words.js";

const LOWEST = 220;
const WIDTH = 460;
const MASKS = ["predict", "find", "white"]; // as in ivg_core/howto/plan.py, and a picture's path
const SECONDS = [0.1, 120];
const WHOLE = /^\d{1,20}$/;
const BULLET = /^\s*(?:\d{1,3}[.)、:：]|[-*•])\s+/;
// A seed may be larger than any number of JavaScript's, so it stays a text here.
const READ_SEED = /([{,\s]"seed"\s*:\s*)(\d+)/g;
const WRITE_SEED = /([{,\s]"seed": )"(\d+)"/g;
const STYLE = `
.ivg-plan .ivg-table-rows { gap: 6px; }
.ivg-plan-step { flex: none; display: flex; flex-direction: column; gap: 2px; }
.ivg-plan-step.failed { outline: 1px solid #d9822b; outline-offset: -1px; border-radius: 3px; }
.ivg-plan-number { flex: none; width: 20px; text-align: right; opacity: .75; }
.ivg-plan-more { padding-left: 24px; }
.ivg-plan :is(.ivg-table-line) > input { flex: 1; min-width: 24px; width: 0; }
.ivg-plan input[data-name="seconds"] { flex: none; width: 58px; }
.ivg-plan input[data-name="seed"] { flex: none; width: 84px; }
.ivg-plan input[data-name="mask"] { flex: none; width: 74px; }`;

class Plan extends Table {
  constructor(node) {
    const head = make("div", { className: "ivg-table-line" });
    super(node, "ivg-plan", LOWEST, head, "Add a step");
    this.masks = make("datalist", { id: `ivg-masks-${Math.random().toString(36).slice(2)}` });
    this.masks.append(...MASKS.map((value) => make("option", { value })));
    this.element.append(this.masks);
    this.head = head;
    this.whole = {};
  }

  /** The rows of a plan's JSON; of any other text, of its lines. What is not known of a step stays in its row. */
  read(text) {
    let values = [];
    this.whole = {};
    try {
      values = JSON.parse(String(text || "[]").replace(READ_SEED, '$1"$2"'));
    } catch {
      return this.lines(text);
    }
    const { steps, ...whole } = Array.isArray(values) ? { steps: values } : Object(values);
    if (!Array.isArray(steps)) return [];
    this.whole = whole;
    return steps.map((step) => (typeof step === "string" ? { action: step } : { ...Object(step) }));
  }

  lines(text) {
    const lines = (text ?? "").split(/\r?\n/).filter((line) => line.trim());
    return lines.map((line) => ({ action: line.replace(BULLET, "").trim() }));
  }

  /** As write_plan in ivg_core/howto/plan.py; nothing as long as there are no steps. */
  write(rows) {
    if (!rows?.some(hasWords)) return "";
    const { title = "", seed = "", ...others } = this.whole;
    const steps = rows.map(({ action = "", ...fields }) => ({ action, ...said(fields) }));
    const values = { title, seed: isEmpty(seed) ? "0" : plainSeed(seed), ...others, steps };
    return `${JSON.stringify(values, null, 2).replace(WRITE_SEED, "$1$2")}\n`;
  }

  blank() {
    return { action: "" };
  }

  next() {
    return this.blank();
  }

  show() {
    const title = this.field(this.whole, "title", { placeholder: say("title"), title: say("The title of the whole.") });
    const seed = this.field(this.whole, "seed", { placeholder: say("seed"), title: say("The seeds of the steps follow from it.") });
    this.head.replaceChildren(title, seed, this.renewer(this.whole));
    super.show();
  }

  row(row) {
    const first = make("div", { className: "ivg-table-line" },
      make("span", { className: "ivg-plan-number", textContent: String(this.rows.indexOf(row) + 1) }),
      this.field(row, "action", { placeholder: "peel the carrot", title: say("What is done, in one sentence.") }, true),
      this.button("↑", "Move this step up.", () => this.move(row, -1)),
      this.button("↓", "Move this step down.", () => this.move(row, 1)),
      this.remover(row, "Remove this step.")); // prettier-ignore
    const more = make("div", { className: "ivg-table-line ivg-plan-more" },
      this.field(row, "seconds", { placeholder: say("seconds"), title: say("How long it lasts; empty: as long as the model makes it.") }),
      this.field(row, "seed", { placeholder: say("seed"), title: say("Another seed makes the step again; empty: one that follows from the plan's.") }),
      this.renewer(row),
      this.field(row, "mask", { placeholder: "predict", title: say("What may move: predict, find (around the hands), white, or a picture in the input folder.") }),
      this.field(row, "image", { placeholder: say("photo"), title: say("A photo in the input folder that it begins with; empty: the last frame of the step before.") }),
      this.field(row, "title", { placeholder: say("caption"), title: say("What viewers read; empty: what is done.") })); // prettier-ignore
    more.querySelector("[data-name=mask]").setAttribute("list", this.masks.id);
    return make("div", { className: "ivg-plan-step" }, first, more);
  }

  /** A button that gives another seed. */
  renewer(values) {
    return this.button("⟳", "Another seed.", () => {
      values.seed = String(crypto.getRandomValues(new Uint32Array(1))[0]);
      this.show();
      this.keep();
    });
  }

  /** Show which fields no plan can have. */
  mark() {
    const all = this.rows.some(hasWords);
    const wrong = (values, element, name, is) => element.querySelector(`[data-name=${name}]`).classList.toggle("wrong", is(values[name]));
    wrong(this.whole, this.head, "seed", isNoSeed);
    this.rows.forEach((row, index) => {
      const element = this.list.children[index];
      element.classList.remove("failed");
      wrong(row, element, "action", (action) => all && !action?.trim());
      wrong(row, element, "seed", isNoSeed);
      wrong(row, element, "seconds", (seconds) => !isEmpty(seconds) && !(Number(seconds) >= SECONDS[0] && Number(seconds) <= SECONDS[1]));
    });
  }

  /** Show at which step a run ended. */
  fail(number) {
    const element = this.list.children[number - 1];
    element?.classList.add("failed");
    element?.scrollIntoView({ block: "nearest" });
  }
}

const isEmpty = (value) => value === undefined || value === null || String(value).trim() === "";
const isNoSeed = (seed) => !isEmpty(seed) && !WHOLE.test(String(seed).trim());
const plainSeed = (seed) => (isNoSeed(seed) ? seed : String(BigInt(String(seed).trim())));
const hasWords = (row) => Object.values(row).some((value) => !isEmpty(value));

/** The fields that say something; seconds become a number, if they are one. */
function said(fields) {
  const found = Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value)));
  if (!isEmpty(found.seconds) && !Number.isNaN(Number(found.seconds))) found.seconds = Number(found.seconds);
  if (found.seed !== undefined) found.seed = plainSeed(found.seed);
  return found;
}

app.registerExtension({
  name: "ivg.plan_steps",
  init() {
    document.head.append(make("style", { textContent: STYLE }));
  },
  nodeCreated(node) {
    if (node.comfyClass !== "IVGPlanSteps") return;
    const table = new Plan(node);
    const mark = node.widgets.find((widget) => widget.name === "read_from");
    mark.hidden = true;
    mark.computeSize = () => [0, -4]; // and takes no room
    let before = ""; // the table while the text is read anew
    replaceWidget(node, "steps", "ivg-plan-steps", table, LOWEST);
    addButton(node, "Read the text", "Reads the text into the table, in place of what is in it. Nothing else runs.", () => {
      before = table.text;
      table.put([]);
      app.queuePrompt(0, 1, [String(node.id)]);
    });
    onResult(node, (output) => {
      const [plan] = output?.ivg_plan ?? [];
      before = "";
      if (!plan || table.text) return; // steps that were typed meanwhile stay
      table.value = plan;
      mark.value = output.ivg_read[0];
      table.keep();
    });
    api.addEventListener("execution_error", ({ detail }) => {
      if (String(detail.node_id).split(":").pop() !== String(node.id)) return;
      if (before && !table.text) table.value = before;
      before = "";
      const step = /\bStep (\d+)\b/.exec(detail.exception_message);
      if (step) table.fail(Number(step[1]));
    });
    node.setSize([Math.max(node.size[0], WIDTH), node.computeSize()[1]]);
  },
});
