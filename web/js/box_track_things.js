// A box track as plain values, in the form that ivg_core/media/tracks.py reads. Boxes are [x1, y1, x2, y2], shares of the
// picture; times are shares of the clip.

export const MOST_THINGS = 8;
const SMALLEST = 0.01; // side of a box
const SAME_TIME = 0.001;

const rounded = (value) => Math.round(value * 1e4) / 1e4;
const between = (low, value, high) => Math.min(Math.max(value, low), high);
const isShare = (value) => typeof value === "number" && value >= 0 && value <= 1;
const isBox = (box) => box?.length === 4 && box.every(isShare) && box[0] < box[2] && box[1] < box[3];
const isKey = (key) => isShare(key?.at) && (key.box === null || isBox(key.box));
const isThing = (thing) => typeof thing?.phrase === "string" && thing.keyframes?.length > 0 && thing.keyframes.every(isKey);

/** The things of a track's JSON; null where it is no track. */
export function readThings(text) {
  if (!text?.trim()) return [];
  try {
    const { things } = JSON.parse(text);
    if (!things.every(isThing)) return null;
    return things.map(({ phrase, easing = "smooth", keyframes }) => {
      return { phrase, easing, keyframes: keyframes.toSorted((a, b) => a.at - b.at) };
    });
  } catch {
    return null;
  }
}

export const writeThings = (things) => JSON.stringify({ things });

/** Where a thing is at a time; null: it is not there. */
export function boxAt({ keyframes, easing }, time) {
  const next = keyframes.findIndex((key) => key.at > time);
  if (next < 0) return keyframes.at(-1).box;
  const start = keyframes[Math.max(next - 1, 0)];
  const goal = keyframes[next];
  if (next === 0 || !start.box || !goal.box) return start.box;
  let done = (time - start.at) / (goal.at - start.at);
  if (easing === "smooth") done = done * done * (3 - 2 * done);
  return start.box.map((value, side) => value + done * (goal.box[side] - value));
}

/** The keyframe at a time, if there is one. */
export const keyAt = (thing, time) => thing.keyframes.find((key) => Math.abs(key.at - time) < SAME_TIME);

/** Make a keyframe at a time, or change the one that is there. */
export function setKey(thing, time, box) {
  const key = { at: rounded(time), box: box && box.map(rounded) };
  thing.keyframes = [...thing.keyframes.filter((other) => Math.abs(other.at - time) >= SAME_TIME), key];
  thing.keyframes.sort((a, b) => a.at - b.at);
}

export function removeKey(thing, key) {
  thing.keyframes = thing.keyframes.filter((other) => other !== key);
}

/** Where a thing that is not there was last, or else will be. */
export function lastBox({ keyframes }, time) {
  const before = keyframes.findLast((key) => key.at <= time && key.box);
  return (before ?? keyframes.find((key) => key.box))?.box ?? [0.4, 0.4, 0.6, 0.6];
}

/** A thing whose only box is drawn at a time, with a name that none of the others has. */
export function newThing(things, time, box) {
  let number = things.length + 1;
  while (things.some((thing) => thing.phrase === `thing ${number}`)) number += 1;
  const thing = { phrase: `thing ${number}`, easing: "smooth", keyframes: [] };
  setKey(thing, time, box);
  return thing;
}

/** The box between two corners, inside the picture; null if it is too small to be meant. */
export function boxBetween([x, y], [u, v]) {
  const box = [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)].map((value) => between(0, value, 1));
  return box[2] - box[0] >= SMALLEST && box[3] - box[1] >= SMALLEST ? box : null;
}

/** A box moved as far as the picture lets it. */
export function moved([x1, y1, x2, y2], [dx, dy]) {
  const right = between(-x1, dx, 1 - x2);
  const down = between(-y1, dy, 1 - y2);
  return [x1 + right, y1 + down, x2 + right, y2 + down];
}

/** A box with some of its sides drawn to a point. `sides` holds 0 to 3, as the box does. */
export function resized(box, sides, point) {
  const changed = [...box];
  for (const side of sides) {
    const other = box[(side + 2) % 4];
    const [low, high] = side < 2 ? [0, other - SMALLEST] : [other + SMALLEST, 1];
    changed[side] = between(low, point[side % 2], high);
  }
  return changed;
}
