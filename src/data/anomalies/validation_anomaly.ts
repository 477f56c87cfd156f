// Pseudo-anomalies of validation: every kind of odd thing, drawn in another way than for training.

import {
  between,
  type CutOutForm,
  type Insertion,
  insertCutOut,
  insertPiece,
  insertTimeWindow,
  pick,
  type Random,
} from "./insertion.js";
import type { ForegroundLibrary } from "./library.js";
import { objectOf, sourcesFor } from "./pseudo_anomaly.js";

/**
 * The kinds, by what is odd:
 * - speed: `fast` (runs), `speed-up` (time runs faster in a window), `thrown` (a small piece flies)
 * - appearance: `trolley`, `scooter`, `animal`, `standing` (a pole), `crouched`, `odd-size`,
 *   `odd-look` (much darker or brighter)
 * - movement: `gliding` (without moving the legs)
 * - time: `stop` (things freeze), `backwards`, `loop`
 */
export const validationKinds = [
  "fast",
  "speed-up",
  "thrown",
  "trolley",
  "scooter",
  "animal",
  "standing",
  "crouched",
  "odd-size",
  "odd-look",
  "gliding",
  "stop",
  "backwards",
  "loop",
] as const;
/** A kind of validation anomaly. */
export type ValidationKind = (typeof validationKinds)[number];

/** Kinds in which time changes: they need something that moves. */
export const timeKinds: ReadonlySet<ValidationKind> = new Set(["speed-up", "stop", "backwards", "loop"]);

/** Somebody who looks and walks as people do; kinds change one thing each. */
const usualForm: CutOutForm = {
  scale: [0.9, 1.1],
  speed: { walk: [0.9, 1.2] },
  veer: 5,
  rotation: 0,
  gain: [0.95, 1.05],
  bias: 5,
};
const drawnForm: CutOutForm = {
  ...usualForm,
  scale: [0.9, 1.2],
  speed: { walk: [0.8, 2.2] },
};

/** Frames of a loop. */
const loopFrames = 6;

/**
 * Draws an anomaly of a kind around a frame of a clip. The same random numbers give the same one.
 * @param random uniform in [0, 1)
 * @param library with drawn objects
 * @returns undefined if the kind needs something that moves there, and nothing does
 */
export function drawValidationAnomaly(
  kind: ValidationKind,
  random: Random,
  library: ForegroundLibrary,
  { clip, frame }: { clip: number; frame: number },
): Insertion | undefined {
  const scene = library.clips[clip];
  const window = (rate: number, time: (offset: number, rate: number) => number) =>
    insertTimeWindow(random, scene, frame, () => rate, time);
  const person = (form: Partial<CutOutForm>) => {
    const sources = sourcesFor(library, scene);
    if (sources.length === 0) return undefined;
    return insertCutOut(random, scene, frame, objectOf(random, sources), { ...usualForm, ...form });
  };
  const drawn = (form: Partial<CutOutForm> = {}) => {
    const own = library.drawn?.objects.filter((object) => object.drawn === drawnOf[kind]) ?? [];
    if (!library.drawn || own.length === 0) return undefined;
    const what = { source: library.drawn, object: pick(random, own) };
    return insertCutOut(random, scene, frame, what, { ...drawnForm, ...form });
  };
  switch (kind) {
    case "fast":
      return person({ speed: { walk: [2.2, 4] } });
    case "speed-up":
      return window(Math.round(between(random, [2, 3])), (offset, rate) => rate * offset);
    case "thrown": {
      const sources = sourcesFor(library, scene);
      if (sources.length === 0) return undefined;
      const form = {
        pieceSize: [0.15, 0.4],
        speed: { walk: [3, 8] },
        gain: [0.8, 1.2],
        bias: 20,
        where: "near",
      } as const;
      return insertPiece(random, scene, frame, objectOf(random, sources), form);
    }
    case "trolley":
    case "scooter":
    case "animal":
    case "crouched":
      return drawn();
    case "standing":
      return drawn({ speed: { walk: [0, 0] } });
    case "odd-size":
      return person({ scale: random() < 0.5 ? [0.35, 0.55] : [1.7, 2.2] });
    case "odd-look":
      return random() < 0.5 ? person({ gain: [0.3, 0.5], bias: 0 }) : person({ gain: [1.8, 2.4], bias: 30 });
    case "gliding":
      return person({ still: true, speed: { walk: [0.9, 1.6] } });
    case "stop":
      return window(1, () => 0);
    case "backwards":
      return window(1, (offset) => -offset);
    case "loop":
      return window(1, (offset) => (((offset % loopFrames) + loopFrames) % loopFrames) - loopFrames / 2);
  }
}

/** The drawn object of each kind that is one. */
const drawnOf: Readonly<Partial<Record<ValidationKind, string>>> = {
  trolley: "trolley",
  scooter: "scooter",
  animal: "animal",
  standing: "pole",
  crouched: "crouched",
};
