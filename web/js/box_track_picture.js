// The picture of the box track editor: it draws photo, boxes and their ways on a canvas, and hears the mouse there.
import { boxAt, boxBetween, moved, resized } from "./box_track_things.js";

/** Those of ivg_core/media/track_picture.py. */
export const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#78a0ff", "#e6e6e6"];
const MARGIN = 6; // pixels around the photo: handles at its edge stay whole
const REACH = 7; // pixels from an edge at which it is taken
const EMPTY_RATIO = 3 / 2;
const CURSORS = { "": "move", 0: "ew-resize", 2: "ew-resize", 1: "ns-resize", 3: "ns-resize",
  "0,1": "nwse-resize", "2,3": "nwse-resize", "2,1": "nesw-resize", "0,3": "nesw-resize" };

const middle = ([x1, y1, x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2];

/**
 * The canvas of an editor.
 *
 * `state` has `things`, `chosen` (index or -1) and `time`, and is only read here. `act` is what a gesture asks for:
 * `choose(index)`, `draw(box)`, `place(box)` while the chosen thing is dragged, `done()` when it is let go.
 */
export class Picture {
  constructor(state, act) {
    Object.assign(this, { state, act, photo: null, drag: null });
    this.stage = document.createElement("div");
    this.stage.className = "ivg-boxes-stage";
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.stage.append(this.canvas);
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerup", () => this.release());
    this.canvas.addEventListener("pointercancel", () => this.release());
    new ResizeObserver(() => this.fit()).observe(this.stage);
  }

  /** Take as much of the stage as the photo's shape allows, in as many dots as the screen shows. */
  fit() {
    const ratio = this.photo ? this.photo.naturalWidth / this.photo.naturalHeight : EMPTY_RATIO;
    const width = Math.max(1, Math.min(this.stage.clientWidth, this.stage.clientHeight * ratio));
    const zoom = this.canvas.getBoundingClientRect().width / this.canvas.offsetWidth || 1;
    const dots = Math.min(4, devicePixelRatio * Math.max(1, zoom));
    const size = [Math.round(width * dots), Math.round((width / ratio) * dots)];
    if (this.canvas.width === size[0] && this.canvas.height === size[1]) return;
    [this.canvas.width, this.canvas.height] = size;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${width / ratio}px`;
    this.draw();
  }

  show(photo) {
    this.photo = photo;
    this.fit();
    this.draw();
  }

  // -- places -------------------------------------------------------------

  /** Sides of the photo on the canvas, in the page's pixels. */
  get inner() {
    return [this.canvas.offsetWidth - 2 * MARGIN, this.canvas.offsetHeight - 2 * MARGIN];
  }

  pixel([x, y]) {
    const [width, height] = this.inner;
    return [MARGIN + x * width, MARGIN + y * height];
  }

  rectangle(box) {
    const [[left, top], [right, bottom]] = [this.pixel(box), this.pixel(box.slice(2))];
    return [left, top, right - left, bottom - top];
  }

  /** Where a mouse event is, as shares of the photo. The graph may be zoomed. */
  point(event) {
    const { left, top, width } = this.canvas.getBoundingClientRect();
    const zoom = width / this.canvas.offsetWidth;
    const [across, down] = this.inner;
    return [((event.clientX - left) / zoom - MARGIN) / across, ((event.clientY - top) / zoom - MARGIN) / down];
  }

  /** The thing at a point, and which of its sides are taken there (none: the whole box); the chosen thing first. */
  hit(point) {
    const { things, chosen, time } = this.state;
    const order = things.map((_, index) => index).sort((a, b) => (b === chosen) - (a === chosen) || b - a);
    for (const index of order) {
      const box = boxAt(things[index], time);
      if (!box) continue;
      const [width, height] = this.inner;
      const near = [REACH / width, REACH / height];
      if (![0, 1].every((k) => point[k] > box[k] - near[k] && point[k] < box[k + 2] + near[k])) continue;
      const sides = [0, 1, 2, 3].filter((side) => {
        const reach = Math.min(near[side % 2], (box[(side % 2) + 2] - box[side % 2]) / 4); // small boxes can be moved too
        const inward = (point[side % 2] - box[side]) * (side < 2 ? 1 : -1);
        return inward < reach;
      });
      return { index, box, sides };
    }
    return null;
  }

  // -- mouse --------------------------------------------------------------

  press(event) {
    if (event.button !== 0) return; // the others move the graph
    event.stopPropagation();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const start = this.point(event);
    const hit = this.hit(start);
    this.drag = { start, now: start, ...hit };
    this.act.choose(hit?.index ?? -1);
  }

  move(event) {
    const point = this.point(event);
    if (!this.drag) {
      const hit = this.hit(point);
      this.canvas.style.cursor = hit ? CURSORS[hit.sides.toSorted((a, b) => (a % 2) - (b % 2))] : "crosshair";
      return;
    }
    event.stopPropagation();
    const { start, box, sides } = this.drag;
    this.drag.now = point;
    if (!box) return this.draw();
    this.drag.placed = true;
    this.act.place(sides.length ? resized(box, sides, point) : moved(box, [point[0] - start[0], point[1] - start[1]]));
  }

  release() {
    const { drag } = this;
    this.drag = null;
    if (!drag) return;
    const drawn = !drag.box && boxBetween(drag.start, drag.now);
    if (drawn) this.act.draw(drawn);
    else if (drag.placed) this.act.done();
    else this.draw();
  }

  // -- drawing ------------------------------------------------------------

  draw() {
    const pen = this.canvas.getContext("2d");
    const dots = this.canvas.width / Math.max(1, this.canvas.offsetWidth);
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const whole = this.rectangle([0, 0, 1, 1]);
    if (this.photo) pen.drawImage(this.photo, ...whole);
    else this.drawGrid(pen, whole);
    const { things, chosen } = this.state;
    things.forEach((thing, index) => index !== chosen && this.drawThing(pen, thing, COLOURS[index], false));
    if (things[chosen]) this.drawThing(pen, things[chosen], COLOURS[chosen], true);
    const asked = this.drag && !this.drag.box && boxBetween(this.drag.start, this.drag.now);
    if (asked) this.outline(pen, asked, "#ffffff", [5, 4]);
  }

  drawGrid(pen, [left, top, width, height]) {
    pen.strokeStyle = "#8885";
    pen.lineWidth = 1;
    pen.beginPath();
    for (let line = 0; line <= 12; line += 1) {
      pen.moveTo(left + (width * line) / 12, top);
      pen.lineTo(left + (width * line) / 12, top + height);
      if (line > 8) continue;
      pen.moveTo(left, top + (height * line) / 8);
      pen.lineTo(left + width, top + (height * line) / 8);
    }
    pen.stroke();
  }

  drawThing(pen, thing, colour, chosen) {
    pen.globalAlpha = chosen ? 0.9 : 0.6;
    for (const key of thing.keyframes) if (key.box && key.at !== this.state.time) this.outline(pen, key.box, colour, [4, 3], 1);
    this.drawWay(pen, thing, colour);
    pen.globalAlpha = 1;
    const box = boxAt(thing, this.state.time);
    if (!box) return;
    pen.fillStyle = `${colour}30`;
    pen.fillRect(...this.rectangle(box));
    this.outline(pen, box, colour, [], 2);
    this.drawName(pen, thing.phrase, this.rectangle(box), colour);
    if (chosen) this.drawHandles(pen, box, colour);
  }

  /** A dark rim lets a line be seen on any photo. */
  stroke(pen, colour, width, dashes = []) {
    pen.lineWidth = width + 2;
    pen.strokeStyle = "#0009";
    pen.stroke();
    pen.setLineDash(dashes);
    pen.lineWidth = width;
    pen.strokeStyle = colour;
    pen.stroke();
    pen.setLineDash([]);
  }

  outline(pen, box, colour, dashes, width = 1.5) {
    pen.beginPath();
    pen.rect(...this.rectangle(box));
    this.stroke(pen, colour, width, dashes);
  }

  /** From the middle of each box to that of the next, with the point of an arrow where it arrives. */
  drawWay(pen, { keyframes }, colour) {
    keyframes.forEach((key, index) => {
      const goal = keyframes[index + 1];
      if (!key.box || !goal?.box) return;
      const [from, to] = [this.pixel(middle(key.box)), this.pixel(middle(goal.box))];
      if (Math.hypot(to[0] - from[0], to[1] - from[1]) < 8) return;
      const angle = Math.atan2(to[1] - from[1], to[0] - from[0]);
      pen.beginPath();
      pen.moveTo(...from);
      pen.lineTo(...to);
      for (const turn of [-2.6, 2.6]) {
        pen.moveTo(...to);
        pen.lineTo(to[0] + 9 * Math.cos(angle + turn), to[1] + 9 * Math.sin(angle + turn));
      }
      this.stroke(pen, colour, 2);
    });
  }

  /** Above the box, or in it where there is no room above. */
  drawName(pen, phrase, [left, top], colour) {
    pen.font = "12px sans-serif";
    const most = this.canvas.offsetWidth - 2 * MARGIN;
    const width = Math.min(pen.measureText(phrase).width + 8, most);
    const x = Math.max(MARGIN, Math.min(left - 1, this.canvas.offsetWidth - MARGIN - width));
    const y = top - 17 < 0 ? top + 1 : top - 17;
    pen.fillStyle = colour;
    pen.fillRect(x, y, width, 16);
    pen.fillStyle = "#111";
    pen.textBaseline = "middle";
    pen.fillText(phrase, x + 4, y + 8.5, width - 8);
  }

  drawHandles(pen, box, colour) {
    const [x, y] = middle(box);
    for (const across of [box[0], x, box[2]]) {
      for (const down of [box[1], y, box[3]]) {
        if (across === x && down === y) continue;
        const [left, top] = this.pixel([across, down]);
        pen.beginPath();
        pen.rect(left - 3, top - 3, 6, 6);
        pen.fillStyle = "#fff";
        pen.fill();
        pen.lineWidth = 1.5;
        pen.strokeStyle = colour;
        pen.stroke();
      }
    }
  }
}
