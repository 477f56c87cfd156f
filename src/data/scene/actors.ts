// Who moves in the scene: normal walkers, and the actors of each abnormal event.

import { mat4, vec3 } from "gl-matrix";
import { type Draw, smoothStep } from "./draw.js";
import { drawPerson, figure, gaitPose, type Person, strideLength } from "./figure.js";
import {
  type LaneWalk,
  linger,
  type Motion,
  type Place,
  STOPPING,
  TURNING,
  throwBall,
  turnBack,
  walkOn,
} from "./motion.js";
import type { Color } from "./raster.js";
import { capsule, type Part, placeParts } from "./solids.js";
import { type Lane, MARGIN } from "./street.js";
import { bicycle, cart } from "./vehicles.js";

/** The abnormal events that the scene can show. */
export const sceneAnomalies = ["runner", "bicycle", "cart", "thrown-object", "wrong-way", "loitering"] as const;
/** The name of an abnormal event. */
export type SceneAnomaly = (typeof sceneAnomalies)[number];

/** A person or thing that moves. Times are seconds of the video. */
export interface Actor {
  /** When it is in the scene. */
  begin: number;
  end: number;
  /** Radius in metres of its circle on the ground, which no other actor's circle overlaps. */
  radius: number;
  /** Its place on the ground, in metres. */
  at(time: number): { x: number; z: number };
  /** Its parts, in world coordinates. */
  parts(time: number): Part[];
  /** What makes it abnormal, and when. */
  anomaly?: { kind: SceneAnomaly; begin: number; end: number };
}

function placement({ x, z, heading }: Place): mat4 {
  const matrix = mat4.fromTranslation(mat4.create(), [x, 0, z]);
  return mat4.rotateY(matrix, matrix, heading);
}

/** Where the right hand is during a gesture, and how much of the gesture there is, 0 to 1. */
type Gesture = (time: number) => { hand: vec3; weight: number };

/** A person on foot. */
function pedestrian(person: Person, motion: Motion, speed: number, running = false, gesture?: Gesture) {
  const stride = strideLength(person, speed, running);
  const pose = (time: number) => {
    const { way, speed: now } = motion(time);
    return gaitPose(person, way / stride, stride * Math.sqrt(now / speed), running, gesture?.(time));
  };
  return {
    radius: 0.28,
    at: motion,
    pose,
    parts: (time: number) => placeParts(figure(person, pose(time)), placement(motion(time))),
  };
}

/** When a walker is on the lane. */
function timesOf({ lane, speed, start }: LaneWalk): { begin: number; end: number } {
  return { begin: start, end: start + (lane.end - lane.begin) / speed };
}

/** A normal walker. */
export function walker(person: Person, walk: LaneWalk): Actor {
  return { ...pedestrian(person, walkOn(walk), walk.speed), ...timesOf(walk) };
}

/** The part of a video in which something abnormal is to happen, in seconds. */
export interface Slot {
  begin: number;
  span: number;
}

/** The actors of an abnormal event. Only what is abnormal about them is labelled. */
export function stageAnomaly(kind: SceneAnomaly, lanes: readonly Lane[], slot: Slot, draw: Draw): Actor[] {
  const lane = (...names: Lane["name"][]) => draw.pick(lanes.filter(({ name }) => names.includes(name)));
  const any = () => lane("near", "far", "away", "towards");
  const moment = slot.begin + slot.span * draw.number(0.28, 0.34);
  const person = drawPerson(draw);
  /** Crosses the visible part of a lane in the middle of the slot, but not before `moment`. */
  const crossing = (on: Lane, lateral: number, speed: number): LaneWalk => {
    const visible = (on.end - on.begin - 2 * MARGIN) / speed;
    const enters = Math.max(moment, slot.begin + (slot.span - visible) / 2);
    return { lane: on, lateral, speed, start: enters - MARGIN / speed };
  };
  const throughout = (walk: LaneWalk) => ({ ...timesOf(walk), anomaly: { kind, ...timesOf(walk) } });

  switch (kind) {
    case "runner": {
      const on = any();
      const walk = crossing(on, draw.number(-0.6, 0.6) * on.halfWidth, draw.number(3.5, 6));
      return [{ ...pedestrian({ ...person, bag: "none" }, walkOn(walk), walk.speed, true), ...throughout(walk) }];
    }
    case "bicycle": {
      const on = any();
      const walk = crossing(on, -0.5 * on.halfWidth, draw.number(4, 6));
      const motion = walkOn(walk);
      const paint = draw.pick(paints);
      const parts = (time: number) => placeParts(bicycle(person, paint, motion(time).way), placement(motion(time)));
      return [{ radius: 0.75, at: motion, parts, ...throughout(walk) }];
    }
    case "cart": {
      const on = lane("near", "far");
      const walk = crossing(on, -0.9 * on.halfWidth, draw.number(3, 4.5));
      const motion = walkOn(walk);
      const built = cart(person, draw.pick(paints));
      return [
        { radius: 1.15, at: motion, parts: (time) => placeParts(built, placement(motion(time))), ...throughout(walk) },
      ];
    }
    case "wrong-way": {
      const on = any();
      const speed = draw.number(1.1, 1.6);
      const back = Math.min(0.36 * slot.span * speed, 0.7 * (on.end - on.begin - 2 * MARGIN));
      const walk = { lane: on, lateral: 0, speed, start: moment - (back + MARGIN) / speed };
      const begin = moment + TURNING / 2;
      const end = moment + TURNING + (back + MARGIN) / speed;
      return [
        { ...pedestrian(person, turnBack(walk, moment), speed), begin: walk.start, end, anomaly: { kind, begin, end } },
      ];
    }
    case "loitering": {
      const on = any();
      const speed = draw.number(1.1, 1.6);
      const place = MARGIN + draw.number(0.3, 0.6) * (on.end - on.begin - 2 * MARGIN);
      const walk = { lane: on, lateral: draw.number(-0.5, 0.5) * on.halfWidth, speed, start: moment - place / speed };
      const until = moment + Math.min(Math.max(0.36 * slot.span, 3), 12);
      const motion = linger(walk, moment, until);
      const [begin, end] = [moment + STOPPING / 2, until - STOPPING / 2];
      const gone = until + (on.end - on.begin) / speed;
      return [{ ...pedestrian(person, motion, speed), begin: walk.start, end: gone, anomaly: { kind, begin, end } }];
    }
    case "thrown-object": {
      const on = lane("near", "far");
      const speed = draw.number(1.1, 1.6);
      const place = MARGIN + draw.number(0.1, 0.35) * (on.end - on.begin - 2 * MARGIN);
      const walk = { lane: on, lateral: draw.number(-0.5, 0.5) * on.halfWidth, speed, start: moment - place / speed };
      return thrower(person, walk, moment, draw);
    }
  }
}

const paints: readonly Color[] = [
  [50, 50, 170],
  [150, 90, 40],
  [60, 120, 60],
  [200, 200, 200],
  [45, 45, 45],
  [60, 160, 200],
];

/** A walker who throws a ball forwards, and the ball. */
function thrower(person: Person, walk: LaneWalk, release: number, draw: Draw): Actor[] {
  const radius = draw.number(0.12, 0.17);
  const color = draw.pick(paints);
  const { height: h } = person;
  // The arm goes up and back, then forward. The ball leaves the hand above the head.
  const gesture: Gesture = (time) => {
    const t = time - release;
    const hand = vec3.lerp(
      vec3.create(),
      [-0.15 * h, 0.95 * h, -0.2 * h],
      [-0.12 * h, 1.04 * h, 0.14 * h],
      smoothStep((t + 0.25) / 0.25),
    );
    return { hand, weight: smoothStep((t + 0.8) / 0.4) * (1 - smoothStep((t - 0.1) / 0.4)) };
  };
  const motion = walkOn(walk);
  const { parts, pose, ...someone } = pedestrian({ ...person, bag: "none" }, motion, walk.speed, false, gesture);
  const handAt = (time: number) => vec3.transformMat4(vec3.create(), pose(time).hands[1], placement(motion(time)));
  const ball = (x: number, y: number, z: number) => capsule([x, y, z], [x, y, z], radius, color);

  const angle = motion(release).heading + draw.number(-0.2, 0.2);
  const forward = draw.number(4.5, 6.5);
  const velocity = [forward * Math.sin(angle), draw.number(4.5, 6.5), forward * Math.cos(angle)] as const;
  const [x, y, z] = handAt(release);
  const path = throwBall([x, y, z], velocity, radius);
  const flight = { begin: release, end: Number.POSITIVE_INFINITY };
  return [
    {
      ...someone,
      ...timesOf(walk),
      parts: (time) => {
        const [handX, handY, handZ] = handAt(time);
        return time < release ? [...parts(time), ball(handX, handY, handZ)] : parts(time);
      },
    },
    {
      ...flight,
      radius: 0,
      at: (time) => path(time - release),
      parts: (time) => {
        const at = path(time - release);
        return [ball(at.x, at.y, at.z)];
      },
      anomaly: { kind: "thrown-object", ...flight },
    },
  ];
}
