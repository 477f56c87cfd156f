// People: how they look, how they walk, and the parts that they are drawn of.

import { type ReadonlyVec3, vec3 } from "gl-matrix";
import { type Draw, smoothStep } from "./draw.js";
import type { Color } from "./raster.js";
import { type Capsule, capsule, type Part } from "./solids.js";

/** How a person looks and walks. */
export interface Person {
  /** In metres. */
  height: number;
  /** Width of the body; 1 is usual. */
  build: number;
  skin: Color;
  hair: Color;
  longHair: boolean;
  top: Color;
  shortSleeves: boolean;
  bottom: Color;
  shorts: boolean;
  /** How far the top reaches below the hip, as a share of the thigh: a coat or a dress. */
  coat: number;
  shoes: Color;
  bag: "none" | "backpack" | "shoulder" | "hand";
  bagColor: Color;
  /** Length of the steps; 1 is usual. */
  strideFactor: number;
  /** Swing of the arms; 1 is usual. */
  armSwing: number;
  /** The phase of the step at the start, in cycles. */
  phase: number;
}

const skins: readonly Color[] = [
  [150, 180, 220],
  [125, 160, 205],
  [95, 125, 170],
  [60, 85, 125],
];
const hairs: readonly Color[] = [
  [25, 25, 30],
  [30, 45, 65],
  [45, 75, 110],
  [90, 140, 175],
  [150, 150, 150],
];
const clothes: readonly Color[] = [
  [40, 36, 34],
  [90, 55, 35],
  [70, 70, 75],
  [120, 120, 122],
  [205, 205, 205],
  [150, 180, 195],
  [60, 60, 165],
  [130, 90, 55],
  [165, 135, 105],
  [70, 105, 65],
  [75, 150, 190],
  [95, 60, 110],
];
const bottoms: readonly Color[] = [
  [38, 36, 36],
  [85, 60, 42],
  [110, 82, 60],
  [75, 72, 70],
  [110, 130, 145],
  [140, 165, 175],
];

/** A random person. */
export function drawPerson(draw: Draw): Person {
  const varied = (color: Color): Color => {
    const gain = draw.number(0.8, 1.2);
    return [color[0] * gain, color[1] * gain, color[2] * gain];
  };
  return {
    height: draw.number(1.55, 1.92),
    build: draw.number(0.9, 1.2),
    skin: varied(draw.pick(skins)),
    hair: varied(draw.pick(hairs)),
    longHair: draw.chance(0.35),
    top: varied(draw.pick(clothes)),
    shortSleeves: draw.chance(0.4),
    bottom: varied(draw.pick(bottoms)),
    shorts: draw.chance(0.15),
    coat: draw.chance(0.3) ? draw.number(0.4, 0.95) : 0.1,
    shoes: varied(
      draw.pick([
        [35, 35, 38],
        [190, 190, 195],
        [50, 70, 100],
      ] as const),
    ),
    bag: draw.pick(["none", "none", "backpack", "shoulder", "hand"] as const),
    bagColor: varied(draw.pick(clothes)),
    strideFactor: draw.number(0.92, 1.08),
    armSwing: draw.number(0.6, 1.3),
    phase: draw.number(),
  };
}

/**
 * Joints of a body in its own coordinates, in metres: x to its left, y up from the ground, z ahead.
 * In pairs the left one comes first. Knees and elbows follow from these.
 */
export interface Pose {
  /** The middle between the hip joints. */
  hip: ReadonlyVec3;
  /** How far the trunk leans forward, in radians. */
  lean: number;
  /** The tips of the feet, and how far the heels are lifted above them, in radians. */
  toes: readonly [ReadonlyVec3, ReadonlyVec3];
  heels: readonly [number, number];
  hands: readonly [ReadonlyVec3, ReadonlyVec3];
}

// Shares of the height. Thigh and shin are equally long.
const LIMB = 0.245;
const SOLE = 0.022;
const FOOT = 0.14;
const STANDING_HIP = 0.53;
const TRUNK = 0.29;
const [UPPER_ARM, LOWER_ARM] = [0.165, 0.165];
/** The head's centre above the hip. Its radius completes the height. */
const HEAD = 0.405;
const HEAD_RADIUS = 1 - STANDING_HIP - HEAD;

const sides = [1, -1] as const;

/** Metres that a person covers in two steps, at a speed in metres per second. */
export function strideLength(person: Person, speed: number, running: boolean): number {
  // Runners make about 85 double steps per minute at any speed. Walkers' steps grow with the root
  // of the speed.
  if (running) return (speed / 1.42) * person.strideFactor;
  return 0.76 * person.height * Math.sqrt(speed / 1.35) * person.strideFactor;
}

/**
 * The pose of a person who walks or runs. A foot on the ground stays in place while the body moves.
 * @param cycle double steps so far
 * @param stride metres per double step; 0 stands still
 * @param gesture where the right hand is instead, and how much of that, 0 to 1
 */
export function gaitPose(
  person: Person,
  cycle: number,
  stride: number,
  running = false,
  gesture?: { hand: ReadonlyVec3; weight: number },
): Pose {
  const { height } = person;
  const phase = cycle + person.phase;
  // Share of a full step: a person who slows down lifts feet and arms less.
  const full = Math.min(1, stride / (0.6 * height));
  const onGround = running ? 0.3 : 0.58;
  const bounce = running ? -0.022 * Math.cos(4 * Math.PI * (phase - 0.15)) : -0.01 * Math.cos(4 * Math.PI * phase);
  const hip = STANDING_HIP + full * ((running ? -0.025 : -0.016) + bounce);
  const lean = full * (running ? 0.17 : 0.03);
  const feet = sides.map((side, i) => {
    const p = phase + i / 2 - Math.floor(phase + i / 2);
    const reach = onGround * stride;
    const x = side * 0.045 * height;
    const ahead = 0.1 * height;
    if (p < onGround) {
      const u = p / onGround;
      const heel = full * (running ? 0.9 : 0.75) * smoothStep((u - 0.5) / 0.5);
      return { toe: [x, SOLE * height, reach * (0.42 - u) + ahead] as const, heel };
    }
    const u = (p - onGround) / (1 - onGround);
    const lift = (running ? 0.2 : 0.05) * Math.sin(Math.PI * u) * full;
    const heel =
      full * ((running ? 0.9 : 0.75) * (1 - smoothStep(u * 1.4)) + (running ? 0.7 : 0) * Math.sin(Math.PI * u));
    return { toe: [x, (SOLE + lift) * height, reach * (smoothStep(u) - 0.58) + ahead] as const, heel };
  });
  const shoulders = shoulderJoints(person, [0, hip * height, 0], lean);
  const hands = sides.map((side, i) => {
    const swing = side * -Math.cos(2 * Math.PI * phase) * full * person.armSwing;
    const upper = running ? 0.75 * swing - 0.2 : 0.38 * swing;
    const lower = upper + (running ? 1.5 : 0.18 + 0.15 * full);
    const [x, y, z] = shoulders[i];
    const hand: vec3 = [
      x + side * 0.02 * height,
      y - height * (UPPER_ARM * Math.cos(upper) + LOWER_ARM * Math.cos(lower)),
      z + height * (UPPER_ARM * Math.sin(upper) + LOWER_ARM * Math.sin(lower)),
    ];
    return gesture && side < 0 ? vec3.lerp(hand, hand, gesture.hand, gesture.weight) : hand;
  });
  return {
    hip: [0, hip * height, 0],
    lean,
    toes: [feet[0].toe, feet[1].toe],
    heels: [feet[0].heel, feet[1].heel],
    hands: [hands[0], hands[1]],
  };
}

function shoulderJoints({ height, build }: Person, hip: ReadonlyVec3, lean: number): vec3[] {
  const up = TRUNK * height;
  return sides.map((side) => [
    hip[0] + side * 0.105 * height * build,
    hip[1] + up * Math.cos(lean),
    hip[2] + up * Math.sin(lean),
  ]);
}

/**
 * Two bones of the same length from one point to another, bent towards `pole`.
 * @returns their joint, and their end, which is nearer than `to` if the bones are too short
 */
function bend(from: ReadonlyVec3, to: ReadonlyVec3, bone: number, pole: ReadonlyVec3): [joint: vec3, end: vec3] {
  const way = vec3.subtract(vec3.create(), to, from);
  const length = vec3.length(way) || 1e-6;
  const reach = Math.min(length, 1.998 * bone);
  vec3.scale(way, way, 1 / length);
  const end = vec3.scaleAndAdd(vec3.create(), from, way, reach);
  const across = vec3.scaleAndAdd(vec3.create(), pole, way, -vec3.dot(pole, way));
  vec3.normalize(across, across);
  const joint = vec3.scaleAndAdd(vec3.create(), from, way, reach / 2);
  vec3.scaleAndAdd(joint, joint, across, Math.sqrt(bone * bone - (reach * reach) / 4));
  return [joint, end];
}

/** A person's parts in a pose, in the pose's coordinates. */
export function figure(person: Person, pose: Pose): Part[] {
  const { height: h, build, skin, hair, top } = person;
  const { hip, lean } = pose;
  const [sine, cosine] = [Math.sin(lean), Math.cos(lean)];
  /** A point of the trunk: to the left, above the hip, ahead. */
  const trunk = (x: number, y: number, z: number): vec3 => [
    hip[0] + x * h,
    hip[1] + (y * cosine - z * sine) * h,
    hip[2] + (y * sine + z * cosine) * h,
  ];
  // The head stays upright.
  const neck = trunk(0, TRUNK + 0.02, 0);
  const headAt = (y: number, z: number): vec3 => [neck[0], neck[1] + (y - TRUNK - 0.02) * h, neck[2] + z * h];
  const round = 0.052 * h;
  const drop = HEAD_RADIUS * h - round;
  const parts: Capsule[] = [
    capsule(neck, headAt(HEAD - 0.03, 0), 0.028 * h, skin),
    capsule(headAt(HEAD - drop / h, 0.008), headAt(HEAD + drop / h, 0), round, skin),
    capsule(headAt(HEAD, -0.02), headAt(HEAD + drop / h - 0.002, -0.008), round, hair),
    capsule(trunk(0, 0.26, 0), trunk(0, 0.02, 0), 0.062 * h * build, top),
  ];
  if (person.longHair) parts.push(capsule(headAt(HEAD, -0.03), trunk(0, 0.22, -0.05), 0.045 * h, hair, 0.03 * h));
  const shoulders = shoulderJoints(person, hip, lean);
  for (const [i, side] of sides.entries()) {
    const joint = trunk(side * 0.048 * build, 0, 0);
    parts.push(capsule(trunk(side * 0.07 * build, 0.255, 0), joint, 0.05 * h * build, top, 0.054 * h * build));
    const [elbow, hand] = bend(shoulders[i], pose.hands[i], UPPER_ARM * h, [side * 0.25, -0.3, -1]);
    parts.push(capsule(shoulders[i], elbow, 0.034 * h * build, top, 0.028 * h));
    parts.push(capsule(elbow, hand, 0.026 * h, person.shortSleeves ? skin : top, 0.02 * h));
    parts.push(capsule(hand, [hand[0], hand[1] - 0.02 * h, hand[2]], 0.022 * h, skin));
    parts.push(...leg(person, joint, pose.toes[i], pose.heels[i]));
    if (side < 0 && person.bag === "hand") {
      parts.push(
        capsule(
          [hand[0], hand[1] - 0.1 * h, hand[2]],
          [hand[0], hand[1] - 0.14 * h, hand[2]],
          0.06 * h,
          person.bagColor,
        ),
      );
    }
  }
  if (person.bag === "backpack")
    parts.push(capsule(trunk(0, 0.23, -0.1), trunk(0, 0.09, -0.11), 0.065 * h, person.bagColor));
  if (person.bag === "shoulder") {
    parts.push(capsule(trunk(0.12, -0.02, 0.03), trunk(0.12, -0.02, -0.06), 0.05 * h, person.bagColor));
    parts.push(capsule(trunk(-0.05, 0.29, 0), trunk(0.12, 0, 0), 0.012 * h, person.bagColor));
  }
  return parts;
}

/** A leg from the hip joint to the tip of the foot, with the part of a coat that covers it. */
function leg(person: Person, joint: ReadonlyVec3, toe: ReadonlyVec3, lift: number): Capsule[] {
  const { height: h, build, skin, top, bottom, shoes } = person;
  // From the toe back to the heel and up to the ankle.
  const heel: vec3 = [toe[0], toe[1] + FOOT * h * Math.sin(lift), toe[2] - FOOT * h * Math.cos(lift)];
  const [knee, ankle] = bend(joint, [heel[0], heel[1] + 0.03 * h, heel[2] + 0.03 * h], LIMB * h, [0, 0.2, 1]);
  const parts = [
    capsule(joint, knee, 0.052 * h * build, bottom, 0.037 * h),
    capsule(knee, ankle, 0.036 * h, person.shorts ? skin : bottom, 0.025 * h),
    capsule(heel, toe, 0.024 * h, shoes, SOLE * h),
  ];
  if (person.coat > 0) {
    const hem = vec3.lerp(vec3.create(), joint, knee, person.coat);
    parts.push(capsule(joint, hem, 0.058 * h * build, top, 0.06 * h * build));
  }
  return parts;
}
