// Draws pseudo-anomalies: odd objects and movements made of the training videos themselves.

import {
  between,
  type CutOutForm,
  type Insertion,
  insertCutOut,
  insertPiece,
  insertTimeWindow,
  pick,
  type Random,
  type Speed,
} from "./insertion.js";
import type { ForegroundLibrary, LibraryClip, MovingObject } from "./library.js";

/** How pseudo-anomalies are drawn. Pairs are the least and the greatest value. */
export interface PseudoAnomalyOptions {
  /** Share of speed-ups. What remains after {@link drawn} and {@link pieces} are cut-outs. */
  speedup: number;
  /** Share of drawn objects: vehicles, riders, boxes and others that no video shows. */
  drawn: number;
  /**
   * Share of pieces: small windows of moving objects of another clip, which fly like something
   * thrown, anywhere above the ground. At most 1 − {@link speedup} − {@link drawn}.
   */
  pieces: number;
  /** Size of a piece, relative to the object that it is cut from as it would be seen there. */
  pieceSize: readonly [number, number];
  /** How many times as fast a sped-up window runs; whole numbers. */
  speed: readonly [number, number];
  /** Share of cut-outs whose posture is frozen: they glide at about the speed of a walk. */
  frozen: number;
  /**
   * Share of the normal samples in which somebody of another clip walks as people do: pasted, but
   * normal. So pasting alone does not give an anomaly away.
   */
  decoys: number;
  /**
   * Most objects that are pasted into a sample. If more than one, the others of an abnormal sample
   * are decoys with the probability {@link decoys}.
   */
  objects: number;
  /** Size of a cut-out, relative to the original's as it would be seen where it is pasted. */
  scale: readonly [number, number];
  /**
   * How far cut-outs, drawn objects and pieces move in three frames, as a share of the frame's
   * height. Without effect if {@link walk} is given.
   */
  shift: readonly [number, number];
  /**
   * The same, relative to how far those walk that the cut-outs show; for drawn objects and pieces
   * to how far people usually walk at that place. So it fits any view. [0, 0]: without effect.
   */
  walk: readonly [number, number];
  /** Largest rotation of a cut-out, in degrees. */
  rotation: number;
  /** Factor on a cut-out's colours. */
  gain: readonly [number, number];
  /** Most grey levels that are added or subtracted. */
  bias: number;
}

/** Most objects per sample: each takes four frames more. */
export const mostObjects = 8;

/** What helped on Ped2. `shift` is 7 to 22 pixels per 3 frames at a height of 256. */
export const pseudoAnomalyDefaults: PseudoAnomalyOptions = {
  speedup: 0.5,
  drawn: 0,
  pieces: 0,
  frozen: 0,
  decoys: 0,
  objects: 1,
  pieceSize: [0.1, 0.35],
  speed: [2, 5],
  scale: [0.9, 2.2],
  shift: [7 / 256, 22 / 256],
  walk: [0, 0],
  rotation: 8,
  gain: [0.8, 1.25],
  bias: 20,
};

/** Speed of a frozen cut-out, relative to the walk of the person that it was cut from. */
const frozenSpeeds = [0.7, 2] as const;
/** Sizes of drawn objects, whose parts are as large as fits people. */
const drawnSizes = [0.8, 1.6] as const;

/** Somebody who looks and walks as people do. */
const decoyForm: CutOutForm = {
  scale: [0.95, 1.05],
  speed: { walk: [0.9, 1.1] },
  veer: 0,
  rotation: 0,
  gain: [0.92, 1.08],
  bias: 6,
};

/** Kinds of pseudo-anomalies. A decoy is none: it is pasted, but normal. */
export type PseudoKind = "cutout" | "frozen" | "drawn" | "speedup" | "piece" | "decoy";

/** A pseudo-anomaly for a frame of a clip, the scene. */
export interface PseudoAnomaly extends Insertion {
  kind: PseudoKind;
}

/**
 * Draws a pseudo-anomaly for a frame of a clip. The same random numbers give the same one.
 * @param random uniform in [0, 1)
 * @param place the clip's position in the library and the frame's position in the clip
 * @returns a speed-up only if something moves near that frame, and a drawn object only if the
 *   library has one, else a cut-out; undefined if no clip has objects
 */
export function drawPseudoAnomaly(
  random: Random,
  library: ForegroundLibrary,
  place: { clip: number; frame: number },
  options: PseudoAnomalyOptions = pseudoAnomalyDefaults,
): PseudoAnomaly | undefined {
  const { clip, frame } = place;
  const scene = library.clips[clip];
  const sources = sourcesFor(library, scene);
  const kind = random();
  const drawn = kind >= options.speedup && kind < options.speedup + options.drawn ? library.drawn : undefined;
  const isDrawn = drawn !== undefined && drawn.objects.length > 0;
  if (kind < options.speedup || (sources.length === 0 && !isDrawn)) {
    const rate = () => Math.round(between(random, options.speed));
    const speedup = insertTimeWindow(random, scene, frame, rate, (offset, speed) => speed * offset);
    if (speedup || sources.length === 0) return speedup && { kind: "speedup", ...speedup };
  }
  const { rotation, gain, bias } = options;
  const usual = { veer: 15, rotation, gain, bias };
  const { walk } = options;
  const moves: Speed = walk[1] > 0 ? { walk } : { shift: options.shift };
  if (isDrawn) {
    const speed: Speed = "walk" in moves ? { walk: [0, moves.walk[1]] } : { shift: [0, moves.shift[1]] };
    const form = { ...usual, scale: drawnSizes, speed };
    return { kind: "drawn", ...insertCutOut(random, scene, frame, objectOf(random, [drawn]), form) };
  }
  const what = objectOf(random, sources);
  if (kind >= 1 - options.pieces) {
    const form = { ...options, speed: moves, where: "anywhere" } as const;
    return { kind: "piece", ...insertPiece(random, scene, frame, what, form) };
  }
  const still = options.frozen > 0 && random() < options.frozen;
  const speed = still ? { walk: frozenSpeeds } : moves;
  const cutOut = insertCutOut(random, scene, frame, what, { ...usual, scale: options.scale, speed, still });
  return { kind: still ? "frozen" : "cutout", ...cutOut };
}

/** An object of one of the clips. */
export function objectOf(random: Random, clips: readonly LibraryClip[]): { source: LibraryClip; object: MovingObject } {
  const source = pick(random, clips);
  return { source, object: pick(random, source.objects) };
}

/** Clips with objects that can be pasted into a scene: others, or itself if there is no other. */
export function sourcesFor(library: ForegroundLibrary, scene: LibraryClip): LibraryClip[] {
  const filled = library.clips.filter(({ objects }) => objects.length > 0);
  const others = filled.filter((clip) => clip !== scene);
  return others.length > 0 ? others : filled;
}

/**
 * Draws somebody of another clip, who walks through the scene as people do.
 * @returns undefined if no clip has objects
 */
export function drawDecoy(
  random: Random,
  library: ForegroundLibrary,
  { clip, frame }: { clip: number; frame: number },
): PseudoAnomaly | undefined {
  const scene = library.clips[clip];
  const sources = sourcesFor(library, scene);
  if (sources.length === 0) return undefined;
  return { kind: "decoy", ...insertCutOut(random, scene, frame, objectOf(random, sources), decoyForm) };
}
