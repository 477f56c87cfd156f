// Movements over the ground, and the flight of a ball.

import { smoothStep } from "./draw.js";
import type { Lane } from "./street.js";

/** A place on the ground, and the movement there. */
export interface Place {
  /** In metres. */
  x: number;
  z: number;
  /** Radians from the z axis towards the x axis. */
  heading: number;
  /** Metres covered so far. */
  way: number;
  /** Metres per second. */
  speed: number;
}

/** A movement over the ground as a function of time in seconds. */
export type Motion = (time: number) => Place;

/** A walk along a lane at constant speed. */
export interface LaneWalk {
  lane: Lane;
  /** Metres beside the lane's middle line. */
  lateral: number;
  /** Metres per second. */
  speed: number;
  /** When the walk passes the lane's begin, in seconds. */
  start: number;
}

function onLane(lane: Lane, lateral: number, s: number): { x: number; z: number } {
  return { x: lane.x + lane.dx * s - lane.dz * lateral, z: lane.z + lane.dz * s + lane.dx * lateral };
}

function laneHeading(lane: Lane): number {
  return Math.atan2(lane.dx, lane.dz);
}

/** Walks along a lane. */
export function walkOn({ lane, lateral, speed, start }: LaneWalk): Motion {
  return (time) => {
    const way = speed * (time - start);
    return { ...onLane(lane, lateral, lane.begin + way), heading: laneHeading(lane), way, speed };
  };
}

/** Seconds that turning around takes. */
export const TURNING = 0.9;

/**
 * Walks along a lane until `turn`, then back. The velocity changes its sign at `turn` +
 * {@link TURNING} / 2.
 */
export function turnBack(walk: LaneWalk, turn: number): Motion {
  const { lane, lateral, speed, start } = walk;
  const before = walkOn(walk);
  return (time) => {
    if (time <= turn) return before(time);
    const u = Math.min(1, (time - turn) / TURNING);
    // The velocity along the lane follows half a cosine wave.
    const swing = (speed * TURNING * Math.sin(Math.PI * u)) / Math.PI;
    const after = speed * Math.max(0, time - turn - TURNING);
    const reached = speed * (turn - start);
    const turned = (2 * speed * TURNING) / Math.PI;
    return {
      ...onLane(lane, lateral, lane.begin + reached + swing - after),
      heading: laneHeading(lane) + Math.PI * smoothStep(u),
      way: reached + (u < 0.5 ? swing : turned - swing) + after,
      speed: speed * Math.abs(Math.cos(Math.PI * u)),
    };
  };
}

/** Seconds in which a walker stops or starts. */
export const STOPPING = 0.7;

/** Walks along a lane, but loiters between two times: stands, or walks slowly in a small circle. */
export function linger(walk: LaneWalk, from: number, until: number): Motion {
  const { lane, lateral, speed, start } = walk;
  const before = walkOn(walk);
  const heading = laneHeading(lane);
  /** Metres and speed while slowing down, for a share of the time. The speed follows a cosine. */
  const slowing = (u: number) => ({
    way: speed * STOPPING * (u / 2 + Math.sin(Math.PI * u) / (2 * Math.PI)),
    speed: speed * (0.5 + 0.5 * Math.cos(Math.PI * u)),
  });
  const stop = from + STOPPING;
  const staying = Math.max(0.1, until - STOPPING - stop);
  const rounds = Math.max(1, Math.round(staying / 5));
  // Slow enough for half a metre per second.
  const radius = (0.05 * staying) / rounds;
  const circle = 2 * Math.PI * radius;
  return (time) => {
    if (time <= from) return before(time);
    const reached = speed * (from - start);
    const down = slowing(Math.min(1, (time - from) / STOPPING));
    if (time <= stop)
      return {
        ...onLane(lane, lateral, lane.begin + reached + down.way),
        heading,
        way: reached + down.way,
        speed: down.speed,
      };
    const stopped = reached + down.way;
    if (time < stop + staying) {
      const u = ((time - stop) / staying) * rounds;
      const part = u - Math.floor(u);
      // Half a circle, a rest, the other half, a rest.
      const turned = Math.floor(u) + 0.5 * smoothStep((part - 0.05) / 0.35) + 0.5 * smoothStep((part - 0.6) / 0.35);
      const angle = 2 * Math.PI * turned;
      const moving = (part > 0.05 && part < 0.4) || (part > 0.6 && part < 0.95);
      return {
        ...onLane(lane, lateral + radius * (1 - Math.cos(angle)), lane.begin + stopped + radius * Math.sin(angle)),
        heading: heading - angle,
        way: stopped + turned * circle,
        speed: moving ? 0.3 : 0,
      };
    }
    const u = Math.min(1, (time - stop - staying) / STOPPING);
    const away = slowing(1).way - slowing(1 - u).way + speed * Math.max(0, time - stop - staying - STOPPING);
    return {
      ...onLane(lane, lateral, lane.begin + stopped + away),
      heading,
      way: stopped + rounds * circle + away,
      speed: slowing(1 - u).speed,
    };
  };
}

/** In m/s². */
export const GRAVITY = 9.81;
/** Shares of upward and forward speed that a bounce leaves; deceleration of rolling in m/s². */
const [BOUNCE, SKID, ROLLING] = [0.55, 0.75, 0.3];

/** A point in the air, in metres; y is above the ground. */
export interface Flight {
  x: number;
  y: number;
  z: number;
}

/**
 * A thrown ball: a parabola until it hits the ground, then lower ones, then it rolls.
 * @param from where it leaves the hand at time 0, in metres
 * @param velocity in metres per second
 * @param radius the ball's, in metres
 * @returns its centre by the time in seconds
 */
export function throwBall(
  from: readonly [x: number, y: number, z: number],
  velocity: readonly [x: number, y: number, z: number],
  radius: number,
): (time: number) => Flight {
  const arcs: { start: number; from: Flight; vx: number; vy: number; vz: number }[] = [];
  let [x, y, z] = from;
  let [vx, vy, vz] = velocity;
  let start = 0;
  do {
    arcs.push({ start, from: { x, y, z }, vx, vy, vz });
    const landing = (vy + Math.sqrt(vy * vy + 2 * GRAVITY * (y - radius))) / GRAVITY;
    vy = BOUNCE * (GRAVITY * landing - vy);
    [x, y, z] = [x + vx * landing, radius, z + vz * landing];
    [vx, vz] = [vx * SKID, vz * SKID];
    start += landing;
  } while (vy > 0.8);
  const speed = Math.hypot(vx, vz) || 1e-9;
  const rolls = { start, from: { x, y, z }, vx, vz };
  return (time) => {
    if (time >= rolls.start) {
      const t = Math.min(time - rolls.start, speed / ROLLING);
      const way = t - (ROLLING * t * t) / (2 * speed);
      return { x: rolls.from.x + rolls.vx * way, y: radius, z: rolls.from.z + rolls.vz * way };
    }
    const arc = arcs.findLast(({ start }) => start <= time) ?? arcs[0];
    const t = time - arc.start;
    return {
      x: arc.from.x + arc.vx * t,
      y: arc.from.y + arc.vy * t - (GRAVITY / 2) * t * t,
      z: arc.from.z + arc.vz * t,
    };
  };
}
