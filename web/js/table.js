// A table in a node, whose rows are typed, added, removed and pasted. What a row holds is up to the node.
import { app } from "../../../scripts/app.js";
import { keepStep, make } from "./elements.js";
import { say } from "./words.js";

const STYLE = `
.ivg-table { display: flex; flex-direction: column; gap: 4px; box-sizing: border-box; height: 100%; padding: 4px; overflow: hidden;
  font: 12px sans-serif; color: var(--input-text, #ddd); background: var(--comfy-input-bg, #222); border-radius: 4px; }
.ivg-table-rows { flex: 1 1 0; min-height: 0; overflow-y: auto; display: flex; flex-direction: column; gap: 2px; }
.ivg-table-line { display: flex; align-items: center; gap: 4px; flex: none; }
.ivg-table :is(input, button) { box-sizing: border-box; height: 24px; margin: 0; padding: 0 4px; font: inherit; color: inherit;
  background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #4e4e4e); border-radius: 3px; }
.ivg-table button { flex: none; cursor: pointer; white-space: nowrap; }
.ivg-table .wrong { border-color: #d9822b; }`;

/**
 * What every table does. One that extends it gives `read(text)`, the rows of the widget's text, `write(rows)`, its text,
 * `lines(text)`, rows of what was pasted, `blank()`, the one row of an empty table, `next()`, the row that is added,
 * `row(row)`, its element, and `mark()`, which shows what is wrong.
 */
export class Table {
  /** @param more what is read on the button that adds a row */
  constructor(node, kind, lowest, head, more) {
    this.node = node;
    this.list = make("div", { className: "ivg-table-rows" });
    const button = make("button", { type: "button", textContent: say(more) });
    button.addEventListener("click", () => this.add());
    this.element = make("div", { className: `ivg-table ${kind}` }, head, this.list, button);
    this.element.style.minHeight = `${lowest}px`;
    // The graph would drag the node, or zoom.
    for (const happens of ["pointerdown", "mousedown", "wheel"]) {
      this.element.addEventListener(happens, (event) => event.stopPropagation());
    }
  }

  get text() {
    return this.write(this.rows);
  }

  set value(text) {
    if (this.rows && text === this.text) return;
    this.rows = this.read(text);
    this.show();
  }

  show() {
    if (!this.rows.length) this.rows = [this.blank()];
    this.list.replaceChildren(...this.rows.map((row) => this.row(row)));
    this.mark();
  }

  /** What was changed becomes one step that can be undone. */
  keep() {
    this.mark();
    keepStep(this.node);
  }

  /** Other rows take the place of the old ones. */
  put(rows) {
    this.rows = rows;
    this.show();
    this.keep();
  }

  /** A row at the end; gives its element. */
  add() {
    this.put([...this.rows, this.next()]);
    this.list.scrollTop = this.list.scrollHeight;
    this.list.lastElementChild.querySelector("[data-first]").focus({ preventScroll: true });
  }

  /** The row goes `by` places down, or up if that is less than 0. */
  move(row, by) {
    const at = this.rows.indexOf(row), rows = this.rows.filter((other) => other !== row); // prettier-ignore
    rows.splice(Math.max(0, at + by), 0, row);
    this.put(rows);
  }

  /** A field of a row; with `first` it is the one to be typed in when the row is new. */
  field(row, name, properties, first = false) {
    const input = make("input", { value: row[name] ?? "", ...properties });
    if (first) input.dataset.first = "";
    input.dataset.name = name;
    input.addEventListener("input", () => {
      row[name] = input.value;
      this.mark();
    });
    input.addEventListener("change", () => this.keep());
    input.addEventListener("paste", (event) => this.paste(event, row));
    return input;
  }

  /** A button of a row. */
  button(label, title, press) {
    const button = make("button", { type: "button", textContent: label, title: say(title) });
    button.addEventListener("click", press);
    return button;
  }

  /** The button that removes a row. */
  remover(row, title) {
    return this.button("✕", title, () => this.put(this.rows.filter((other) => other !== row)));
  }

  /** Several pasted lines become rows. */
  paste(event, row) {
    const pasted = this.lines(event.clipboardData.getData("text"));
    if (pasted.length < 2 || !this.rows.includes(row)) return;
    event.preventDefault();
    const rows = [...this.rows];
    rows.splice(rows.indexOf(row), 1, ...pasted);
    this.put(rows);
  }
}

app.registerExtension({
  name: "ivg.table",
  init() {
    document.head.append(make("style", { textContent: STYLE }));
  },
});
