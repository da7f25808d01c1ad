// What Comfy-IVG adds to IVG Box Track: boxes are drawn on the photo, and the widget `track` holds them as JSON.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { COLOURS, Picture } from "./box_track_picture.js";
import { MOST_THINGS, boxAt, keyAt, lastBox, newThing, readThings, removeKey, setKey, writeThings } from "./box_track_things.js";
import { keepStep, make, replaceWidget } from "./elements.js";
import { onResult } from "./text_box.js";
import { say } from "./words.js";

const LOOK_EVERY = 500; // milliseconds: no interface tells one node that another one shows a new picture
const SNAP = 0.015; // of the clip's time, to a keyframe
const LOWEST = 330;
const STYLE = `
.ivg-boxes { display: flex; flex-direction: column; gap: 4px; box-sizing: border-box; height: 100%; min-height: ${LOWEST}px; padding: 4px;
  overflow: hidden; font: 12px sans-serif; color: var(--input-text, #ddd); background: var(--comfy-input-bg, #222);
  border-radius: 4px; }
.ivg-boxes-stage { position: relative; flex: 1 1 0; min-height: 90px; overflow: hidden; }
.ivg-boxes-stage canvas { position: absolute; inset: 0; margin: auto; touch-action: none; outline: none; cursor: crosshair; }
.ivg-boxes-row { display: flex; align-items: center; gap: 4px; }
.ivg-boxes-time { flex: 1; min-width: 0; }
.ivg-boxes-time input { display: block; width: 100%; margin: 0; height: 16px; accent-color: #e69f00; }
.ivg-boxes-marks { position: relative; height: 10px; margin: 0 8px; }
.ivg-boxes-marks button { position: absolute; width: 10px; height: 10px; margin-left: -5px; padding: 0; rotate: 45deg;
  scale: .8; border: 2px solid; background: none; cursor: pointer; }
.ivg-boxes-now { width: 40px; text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.ivg-boxes-things { display: flex; flex-direction: column; gap: 2px; flex: none; position: relative;
  min-height: 26px; max-height: 28%; overflow-y: auto; }
.ivg-boxes-things .ivg-boxes-row { padding: 1px 2px; border: 1px solid transparent; border-radius: 4px; }
.ivg-boxes-things .chosen { border-color: var(--border-color, #888); background: var(--comfy-menu-bg, #353535); }
.ivg-boxes-colour { flex: none; width: 12px; height: 12px; border-radius: 3px; }
.ivg-boxes-row :is(input:not([type]), select, .ivg-boxes-button) { box-sizing: border-box; height: 22px; margin: 0; padding: 0 4px;
  font: inherit; color: inherit; background: var(--comfy-input-bg, #222); border: 1px solid var(--border-color, #4e4e4e); border-radius: 3px; }
.ivg-boxes-row input:not([type]) { flex: 1; min-width: 40px; }
.ivg-boxes-row .ivg-boxes-button { flex: none; cursor: pointer; white-space: nowrap; }
.ivg-boxes-hint { padding: 2px; opacity: .75; }`;

/** The address of a file that the server lends out. */
const viewed = ({ filename, subfolder = "", type = "input" }) =>
  api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);

/** The address of what a node shows, or of the file that Load Image is going to load. */
function shownBy(node) {
  const file = node.comfyClass === "LoadImage" && node.widgets?.find((widget) => widget.name === "image")?.value;
  const parts = typeof file === "string" && file.match(/^(?:(.*)\/)?([^/]+?)(?: \[(input|output|temp)\])?$/);
  if (parts) return viewed({ filename: parts[2], subfolder: parts[1], type: parts[3] });
  const [output] = app.nodeOutputs?.[node.id]?.images ?? [];
  return node.imgs?.[0]?.src || (output && viewed(output));
}

/** What an input brings, past reroutes: the address of its picture, "" where it is not known yet, null if unconnected. */
function pictureOf(node, name) {
  const slot = node.findInputSlot(name);
  if (node.inputs[slot]?.link == null) return null;
  let source = node.getInputNode(slot);
  while (source?.type === "Reroute") source = source.getInputNode(0);
  return (source && shownBy(source)) || "";
}

class Editor {
  constructor(node) {
    Object.assign(this, { node, text: "", things: [], chosen: -1, time: 0, url: "", ownPhoto: "" });
    this.picture = new Picture(this, {
      choose: (index) => this.choose(index),
      draw: (box) => this.add(box),
      place: (box) => {
        setKey(this.things[this.chosen], this.time, box);
        this.refresh();
      },
      done: () => this.keep(),
    });
    this.picture.canvas.addEventListener("keydown", (event) => this.key(event));
    this.build();
    const looking = setInterval(() => this.look(), LOOK_EVERY);
    const before = node.onRemoved;
    node.onRemoved = function () {
      clearInterval(looking);
      return before?.apply(this, arguments);
    };
  }

  build() {
    this.slider = make("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0, title: say("The time in the clip.") });
    this.slider.addEventListener("input", () => this.goTo(this.snapped(Number(this.slider.value))));
    this.marks = make("div", { className: "ivg-boxes-marks" });
    this.now = make("span", { className: "ivg-boxes-now" });
    const time = make("div", { className: "ivg-boxes-time" }, this.slider, this.marks);
    this.list = make("div", { className: "ivg-boxes-things" });
    this.hint = make("div", { className: "ivg-boxes-hint" });
    this.element = make("div", { className: "ivg-boxes" }, this.picture.stage,
      make("div", { className: "ivg-boxes-row" }, time, this.now), this.list, this.hint); // prettier-ignore
    this.listThings();
    // The graph would drag the node.
    for (const kind of ["pointerdown", "mousedown"]) this.element.addEventListener(kind, (event) => event.stopPropagation());
    for (const kind of ["keydown", "wheel"]) this.list.addEventListener(kind, (event) => event.stopPropagation());
  }

  // -- the value ----------------------------------------------------------

  set value(text) {
    if (text === this.text) return;
    this.text = text ?? "";
    this.unreadable = readThings(this.text) === null;
    this.things = readThings(this.text) ?? [];
    this.chosen = Math.min(this.chosen, this.things.length - 1);
    this.listThings();
  }

  /** Put what was changed into the widget, as one step that can be undone. */
  keep() {
    this.text = writeThings(this.things);
    this.unreadable = false;
    this.refresh();
    keepStep(this.node);
  }

  // -- what the user does -------------------------------------------------

  choose(index) {
    this.chosen = index;
    this.refresh();
    if (index < 0) return;
    const { offsetTop: top, offsetHeight: height } = this.rows[index].element; // scrollIntoView would move the graph too
    this.list.scrollTop = Math.max(top + height - this.list.clientHeight, Math.min(this.list.scrollTop, top));
  }

  add(box) {
    if (this.things.length >= MOST_THINGS) {
      this.hint.textContent = say("Eight things are the most.");
      return this.picture.draw();
    }
    this.things.push(newThing(this.things, this.time, box));
    this.listThings();
    this.choose(this.things.length - 1);
    this.keep();
    const { name } = this.rows[this.chosen];
    name.focus({ preventScroll: true });
    name.select();
  }

  remove(thing) {
    this.things = this.things.filter((other) => other !== thing);
    this.chosen = -1;
    this.listThings();
    this.keep();
  }

  /** Let a thing vanish at this time, or come back where it was. */
  turn(thing) {
    setKey(thing, this.time, boxAt(thing, this.time) ? null : lastBox(thing, this.time));
    this.chosen = this.things.indexOf(thing);
    this.keep();
  }

  /** Delete takes the box of this time away; without one, or if it is the only one, the whole thing. */
  key(event) {
    const thing = this.things[this.chosen];
    if (!["Delete", "Backspace"].includes(event.key)) return;
    event.stopPropagation(); // the graph would delete the node
    event.preventDefault();
    if (!thing) return;
    const key = keyAt(thing, this.time);
    if (!key || thing.keyframes.length === 1) return this.remove(thing);
    removeKey(thing, key);
    this.keep();
  }

  snapped(time) {
    const keys = this.things[this.chosen]?.keyframes ?? [];
    return keys.find((key) => Math.abs(key.at - time) < SNAP)?.at ?? time;
  }

  goTo(time) {
    this.time = time;
    this.refresh();
  }

  // -- what is seen -------------------------------------------------------

  /** The photo may have changed, or the zoom of the graph. */
  look() {
    if (!this.element.isConnected) return;
    const source = pictureOf(this.node, "image");
    const url = source === null ? "" : source || this.ownPhoto;
    if (url === this.url) return this.picture.fit();
    this.url = url;
    if (!url) return this.picture.show(null);
    const photo = new Image();
    photo.onload = () => url === this.url && this.picture.show(photo);
    photo.onerror = () => url === this.url && this.picture.show(null);
    photo.src = url;
  }

  listThings() {
    this.rows = this.things.map((thing, index) => this.row(thing, index));
    this.list.replaceChildren(...this.rows.map((row) => row.element));
    this.refresh();
  }

  row(thing, index) {
    const name = make("input", { value: thing.phrase, title: say("What it is, in English, such as cup.") });
    name.addEventListener("input", () => {
      thing.phrase = name.value;
      this.picture.draw();
    });
    name.addEventListener("change", () => this.keep());
    const easing = make("select", { title: say("How it moves: smooth sets out and arrives gently, linear moves evenly.") },
      ...["smooth", "linear"].map((kind) => new Option(say(kind), kind))); // prettier-ignore
    easing.value = thing.easing;
    easing.addEventListener("change", () => {
      thing.easing = easing.value;
      this.keep();
    });
    const press = (properties, action) => {
      const button = make("button", { className: "ivg-boxes-button", type: "button", ...properties });
      button.addEventListener("click", action);
      return button;
    };
    const presence = press({ title: say("From this time on it is not there, or is there again.") }, () => this.turn(thing));
    const remove = press({ textContent: "✕", title: say("Remove this thing.") }, () => this.remove(thing));
    const colour = make("span", { className: "ivg-boxes-colour" });
    colour.style.background = COLOURS[index];
    const element = make("div", { className: "ivg-boxes-row" }, colour, name, easing, presence, remove);
    element.addEventListener("pointerdown", () => this.choose(index));
    return { element, name, presence };
  }

  mark({ at, box }) {
    const mark = make("button", { type: "button", title: `${Math.round(100 * at)} %` });
    Object.assign(mark.style, { left: `${100 * at}%`, color: COLOURS[this.chosen], background: box ? COLOURS[this.chosen] : "" });
    mark.addEventListener("click", () => this.goTo(at));
    return mark;
  }

  refresh() {
    this.slider.value = this.time;
    this.now.textContent = `${Math.round(100 * this.time)} %`;
    this.marks.replaceChildren(...(this.things[this.chosen]?.keyframes ?? []).map((key) => this.mark(key)));
    this.rows.forEach(({ element, presence }, index) => {
      element.classList.toggle("chosen", index === this.chosen);
      presence.textContent = say(boxAt(this.things[index], this.time) ? "vanishes here" : "appears here");
    });
    this.hint.textContent = this.unreadable
      ? say("This track cannot be read: draw it anew.")
      : say(this.things.length ? "Choose another time and drag a box there." : "Drag on the picture to draw a box.");
    this.picture.draw();
  }
}

app.registerExtension({
  name: "ivg.box_track",
  init() {
    document.head.append(make("style", { textContent: STYLE }));
  },
  nodeCreated(node) {
    if (node.comfyClass !== "IVGBoxTrack") return;
    const editor = new Editor(node);
    replaceWidget(node, "track", "ivg-box-track", editor, LOWEST);
    node.setSize([Math.max(node.size[0], 380), node.computeSize()[1]]);
    onResult(node, (output) => {
      editor.ownPhoto = output?.ivg_photo?.[0] ? viewed(output.ivg_photo[0]) : "";
    });
  },
});
