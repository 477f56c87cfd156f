// The place, in metres: x to the right, z towards the camera, which hangs near x = 0, z = 0. A
// paved promenade runs along x. A path along z crosses it and leads into an archway of the building
// behind.

import type { ReadonlyVec3 } from "gl-matrix";
import { mix } from "../../random.js";
import type { Camera } from "./camera.js";
import { Draw, valueNoise } from "./draw.js";
import type { Color } from "./raster.js";
import { box, capsule, type Part } from "./solids.js";

const PROMENADE = { near: -6.9, far: -15.1 } as const;
const PATH = { left: 3, right: 7 } as const;
const PAVEMENT = -19;
/** The building's front. */
export const FACADE = -22;
/** The archway in the building's front. */
export const ARCH = { middle: 5, half: 1.9, height: 3.3, depth: 2.6 } as const;

/** A strip on which people walk in one direction. */
export interface Lane {
  name: "near" | "far" | "away" | "towards";
  /** A point of its middle line, and the direction of walking. */
  x: number;
  z: number;
  dx: number;
  dz: number;
  /**
   * People on the lane may be in the frame from `begin` to `end`, in metres along the middle line.
   */
  begin: number;
  end: number;
  halfWidth: number;
}

/** A person this far outside the frame, in metres, is not visible, nor is the shadow. */
export const MARGIN = 1.5;

/**
 * The lanes, one per direction: two on the promenade, where people keep right, and two on the path.
 */
export function streetLanes(camera: Camera): Lane[] {
  const lines: Omit<Lane, "begin" | "end">[] = [
    { name: "near", x: 0, z: -9, dx: 1, dz: 0, halfWidth: 1.5 },
    { name: "far", x: 0, z: -13, dx: -1, dz: 0, halfWidth: 1.5 },
    { name: "away", x: 5.9, z: 0, dx: 0, dz: -1, halfWidth: 0.6 },
    { name: "towards", x: 4.1, z: 0, dx: 0, dz: 1, halfWidth: 0.6 },
  ];
  return lines.map((line) => {
    const seen: number[] = [];
    for (let s = -60; s <= 60; s += 0.25) {
      const [x, z] = [line.x + line.dx * s, line.z + line.dz * s];
      if (z < FACADE - ARCH.depth + MARGIN) continue;
      if (camera.sees(x, z, 0.5, 2)) seen.push(s);
    }
    return { ...line, begin: Math.min(...seen) - MARGIN, end: Math.max(...seen) + MARGIN };
  });
}

/** Share of the light at this place: the archway is dark. */
export function lightAt(z: number): number {
  return z >= FACADE ? 1 : Math.max(0.25, 1 - 0.4 * (FACADE - z));
}

function times([blue, green, red]: Color, gain: number): Color {
  return [blue * gain, green * gain, red * gain];
}

/** Slabs in a bond, each slightly different, with darker joints. */
function slabs(x: number, z: number, width: number, length: number, joint: number, color: Color, seed: number): Color {
  const row = Math.floor(z / length);
  const shifted = x / width + (row % 2) / 2;
  const column = Math.floor(shifted);
  const fromEdge = Math.min(
    (shifted - column) * width,
    (column + 1 - shifted) * width,
    z - row * length,
    (row + 1) * length - z,
  );
  if (fromEdge < joint / 2) return times(color, 0.72);
  return times(color, 0.93 + (0.14 * mix(seed, row, column)) / 2 ** 32);
}

/** The ground's colour in full light. */
export function groundColor(x: number, z: number, seed: number): Color {
  const stains = 0.9 + 0.14 * valueNoise(x * 0.35, z * 0.35, seed) + 0.08 * valueNoise(x * 2.1, z * 2.1, seed + 1);
  if (z < FACADE) return [42, 46, 50];
  const onPromenade = z < PROMENADE.near && z > PROMENADE.far;
  const onPath = x > PATH.left && x < PATH.right;
  const edge = Math.min(Math.abs(z - PROMENADE.near), Math.abs(z - PROMENADE.far), Math.abs(z - PAVEMENT));
  if (edge < 0.12 && !onPath) return times([165, 170, 175], stains);
  if (onPromenade) {
    // A drain marks the middle.
    if (Math.abs(z + 11) < 0.14) return times([105, 110, 114], stains);
    return times(slabs(x, z, 1.1, 0.7, 0.05, [146, 154, 162], seed), stains);
  }
  if (z < PAVEMENT) return times(slabs(x, z, 2, 1.5, 0.06, [132, 134, 138], seed), stains);
  if (onPath) {
    if (Math.min(x - PATH.left, PATH.right - x) < 0.14) return times([165, 170, 175], stains);
    return times(slabs(x, z, 0.55, 0.55, 0.05, [128, 140, 156], seed + 2), stains);
  }
  const grass = valueNoise(x * 1.3, z * 1.3, seed + 3) * 0.5 + valueNoise(x * 7, z * 7, seed + 4) * 0.5;
  return times([62, 118, 96], 0.72 + 0.5 * grass);
}

/** Whether a point of the building's front is in the archway's opening. */
export function inArch(x: number, y: number): boolean {
  const off = Math.abs(x - ARCH.middle);
  const rise = ARCH.height - ARCH.half;
  return off < ARCH.half && (y < rise || Math.hypot(off, y - rise) < ARCH.half);
}

/** Whether a point is near enough to the archway to hide a person in there. */
export function nearArch(x: number, y: number): boolean {
  return Math.abs(x - ARCH.middle) < ARCH.half + 3 && y < ARCH.height + 1;
}

/** The colour of the building's front in full light. */
export function facadeColor(x: number, y: number, seed: number): Color {
  const wall = 0.94 + 0.1 * valueNoise(x * 0.8, y * 0.8, seed + 5) + 0.05 * valueNoise(x * 6, y * 6, seed + 6);
  if (inArch(x, y)) return [30, 33, 36];
  const rise = ARCH.height - ARCH.half;
  const off = Math.abs(x - ARCH.middle);
  const round = y < rise ? off : Math.hypot(off, y - rise);
  if (round < ARCH.half + 0.3) return times([150, 165, 178], wall);
  if (y < 0.55) return times([105, 112, 120], wall);
  if (Math.abs(y - 3.75) < 0.15) return times([165, 178, 188], wall);
  const bay = 2.8;
  const column = Math.floor((x - ARCH.middle) / bay + 0.5);
  const inBay = x - ARCH.middle - column * bay;
  if (column !== 0 && Math.abs(inBay) < 0.95) {
    const [low, high] = y > 3.9 ? [4.4, 6.4] : [0.8, 2.7];
    if (y > low && y < high) {
      const frame = Math.min(0.95 - Math.abs(inBay), Math.abs(inBay), y - low, high - y) < 0.06;
      if (frame) return [200, 205, 205];
      const shine = 0.8 + 0.5 * valueNoise(x * 1.1 + y, y * 0.9, seed + mix(column) / 2 ** 20);
      return times([92, 80, 70], shine);
    }
    // An awning over every other shop.
    if (y >= 2.7 && y < 3.2 && (mix(seed, column) & 1) === 0) {
      const stripe = Math.floor((inBay + 10) / 0.3) % 2;
      return stripe
        ? [205, 208, 210]
        : (
            [
              [70, 70, 150],
              [120, 90, 60],
              [70, 110, 70],
            ] as const
          )[mix(seed, column, 1) % 3];
    }
  }
  return times([128, 152, 176], wall);
}

/** A thing that stands in the street. */
export interface Furniture {
  x: number;
  z: number;
  parts: Part[];
}

/** Trees, lamp posts, benches and planters beside the lanes. They hide people but block nobody. */
export function streetFurniture(seed: number): Furniture[] {
  const draw = new Draw(seed, 11);
  const jitter = (x: number, by = 0.5) => x + draw.number(-by, by);
  return [
    tree(jitter(-7), -17.2, 3.4, 1.5, draw),
    tree(jitter(-1), -17.4, 3.2, 1.4, draw),
    tree(jitter(10.5), -17, 3.5, 1.5, draw),
    tree(jitter(15), -17.3, 3.2, 1.4, draw),
    lamp(jitter(1.2), -15.5),
    bench(jitter(-4.5), -15.7),
    bench(jitter(9.5, 0.3), -15.7),
    hedge(-12, -3.2, -18.6, draw),
    hedge(8.2, 20, -18.6, draw),
    lamp(jitter(2.4, 0.3), -6.7),
    tree(jitter(-2.5, 0.2), -6.4, 3.3, 0.75, draw),
    bench(jitter(0.2, 0.2), -6.55),
    planter(7.5, -6.5, draw),
    planter(-5.2, -6.5, draw),
  ];
}

function tree(x: number, z: number, height: number, radius: number, draw: Draw): Furniture {
  const bark: Color = [52, 66, 80];
  const middle: ReadonlyVec3 = [x, height, z];
  const parts: Part[] = [capsule([x, 0, z], [x, height, z], 0.14, bark, 0.08)];
  for (let i = 0; i < 150; i++) {
    const [around, up] = [draw.number(0, 2 * Math.PI), draw.number(-1, 1)];
    const out = radius * Math.cbrt(draw.number(0.15, 1));
    const flat = Math.sqrt(1 - up * up) * out;
    const at: ReadonlyVec3 = [
      middle[0] + flat * Math.cos(around),
      middle[1] + up * out * 0.85 + radius * 0.4,
      middle[2] + flat * Math.sin(around),
    ];
    const leaves = times([48, 105, 78], draw.number(0.6, 1.25) * (0.9 + 0.2 * up));
    parts.push(capsule(at, at, radius * draw.number(0.1, 0.22), leaves));
  }
  return { x, z, parts };
}

function lamp(x: number, z: number): Furniture {
  const iron: Color = [58, 62, 58];
  const parts: Part[] = [
    capsule([x, 0, z], [x, 0.5, z], 0.1, iron, 0.07),
    capsule([x, 0.5, z], [x, 3.6, z], 0.055, iron, 0.045),
    capsule([x, 3.75, z], [x, 3.9, z], 0.17, [205, 215, 218], 0.13),
    capsule([x, 4.05, z], [x, 4.06, z], 0.14, iron, 0.05),
  ];
  return { x, z, parts };
}

function bench(x: number, z: number): Furniture {
  const wood: Color = [62, 98, 138];
  const parts: Part[] = [
    ...box([x - 0.9, 0.4, z - 0.22], [x + 0.9, 0.46, z + 0.22], wood),
    ...box([x - 0.9, 0.52, z - 0.26], [x + 0.9, 0.85, z - 0.2], wood),
  ];
  for (const side of [-0.75, 0.75])
    parts.push(...box([x + side - 0.04, 0, z - 0.2], [x + side + 0.04, 0.4, z + 0.2], [60, 62, 60]));
  return { x, z, parts };
}

function planter(x: number, z: number, draw: Draw): Furniture {
  const parts: Part[] = [...box([x - 0.5, 0, z - 0.4], [x + 0.5, 0.5, z + 0.4], [122, 128, 134])];
  for (let i = 0; i < 50; i++) {
    const at: ReadonlyVec3 = [x + draw.number(-0.42, 0.42), 0.55 + draw.number(0, 0.35), z + draw.number(-0.32, 0.32)];
    const bloom = draw.chance(0.2);
    parts.push(
      capsule(at, at, draw.number(0.05, 0.12), bloom ? [90, 80, 190] : times([52, 112, 80], draw.number(0.6, 1.2))),
    );
  }
  return { x, z, parts };
}

function hedge(from: number, to: number, z: number, draw: Draw): Furniture {
  const parts: Part[] = [...box([from, 0, z - 0.3], [to, 0.75, z + 0.3], [42, 82, 60])];
  for (let i = 0; i < (to - from) * 14; i++) {
    const at: ReadonlyVec3 = [draw.number(from, to), draw.number(0.15, 0.85), z + draw.number(0, 0.34)];
    parts.push(capsule(at, at, draw.number(0.06, 0.13), times([48, 98, 70], draw.number(0.65, 1.2))));
  }
  return { x: (from + to) / 2, z, parts };
}
