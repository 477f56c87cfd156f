// A bicycle and a cart.

import type { vec3 } from "gl-matrix";
import { figure, type Person, type Pose } from "./figure.js";
import type { Color } from "./raster.js";
import { box, capsule, type Part } from "./solids.js";

const tyre: Color = [30, 30, 32];
const metal: Color = [150, 150, 150];
const [WHEEL, SPOKES, CRANK] = [0.34, 14, 0.17];

/**
 * A bicycle and its rider, in their own coordinates in metres: x left, y up, z ahead.
 * @param way metres ridden so far, which turn the cranks
 */
export function bicycle(rider: Person, paint: Color, way: number): Part[] {
  const parts: Part[] = [];
  for (const hub of [-0.5, 0.55]) {
    const rim = (i: number): vec3 => {
      const angle = (2 * Math.PI * i) / SPOKES;
      return [0, WHEEL + (WHEEL - 0.025) * Math.sin(angle), hub + (WHEEL - 0.025) * Math.cos(angle)];
    };
    for (let i = 0; i < SPOKES; i++) parts.push(capsule(rim(i), rim(i + 1), 0.025, tyre));
  }
  const [rear, front, bottom, saddle, head]: vec3[] = [
    [0, WHEEL, -0.5],
    [0, WHEEL, 0.55],
    [0, 0.3, 0],
    [0, 0.88, -0.2],
    [0, 0.88, 0.42],
  ];
  for (const [a, b] of [
    [rear, bottom],
    [rear, saddle],
    [bottom, saddle],
    [bottom, head],
    [saddle, head],
    [head, front],
  ]) {
    parts.push(capsule(a, b, 0.022, paint));
  }
  parts.push(capsule([0, 0.92, -0.3], [0, 0.92, -0.1], 0.05, tyre));
  parts.push(
    capsule(head, [0, 1.04, 0.38], 0.018, metal),
    capsule([0.25, 1.04, 0.34], [-0.25, 1.04, 0.34], 0.018, metal),
  );
  const turn = way / 0.9;
  const pedal = (side: number): vec3 => {
    const angle = turn + (side > 0 ? 0 : Math.PI);
    return [side * 0.09, 0.32 + CRANK * Math.sin(angle), 0.1 + CRANK * Math.cos(angle)];
  };
  const pose: Pose = {
    hip: [0, 0.97, -0.2],
    lean: 0.55,
    toes: [pedal(1), pedal(-1)],
    heels: [0.2, 0.2],
    hands: [
      [0.23, 1.06, 0.34],
      [-0.23, 1.06, 0.34],
    ],
  };
  return [...parts, ...figure({ ...rider, bag: rider.bag === "backpack" ? "backpack" : "none", coat: 0 }, pose)];
}

/** A small electric cart with a roof, and its driver, in their own coordinates. */
export function cart(driver: Person, paint: Color): Part[] {
  const dark: Color = [55, 55, 58];
  const seat: Color = [120, 150, 175];
  const parts: Part[] = [
    ...box([-0.58, 0.26, -1.15], [0.58, 0.5, 1.15], paint),
    ...box([-0.55, 0.5, 0.7], [0.55, 0.95, 1.12], paint),
    ...box([-0.55, 0.5, -1.15], [0.55, 0.85, -0.62], dark),
    ...box([-0.5, 0.5, -0.5], [0.5, 0.75, 0], seat),
    ...box([-0.5, 0.75, -0.6], [0.5, 1.15, -0.48], seat),
    ...box([-0.62, 1.86, -0.8], [0.62, 1.93, 0.85], [205, 210, 210]),
  ];
  for (const x of [-0.55, 0.55]) {
    parts.push(
      capsule([x, 0.5, -0.7], [x, 1.86, -0.7], 0.025, metal),
      capsule([x, 0.95, 0.8], [x, 1.86, 0.72], 0.025, metal),
    );
    for (const z of [-0.75, 0.8]) {
      for (const inset of [0, 0.08]) {
        const wheel = x - Math.sign(x) * (inset - 0.04);
        parts.push(capsule([wheel, 0.23, z], [wheel, 0.23, z], 0.23, tyre));
      }
    }
  }
  parts.push(capsule([0.22, 0.95, 0.62], [0.22, 1.1, 0.42], 0.02, dark));
  const pose: Pose = {
    hip: [0.22, 0.84, -0.32],
    lean: 0,
    toes: [
      [0.32, 0.55, 0.55],
      [0.14, 0.55, 0.55],
    ],
    heels: [-0.3, -0.3],
    hands: [
      [0.36, 1.12, 0.36],
      [0.1, 1.12, 0.36],
    ],
  };
  return [...parts, ...figure({ ...driver, bag: "none", coat: 0 }, pose)];
}
