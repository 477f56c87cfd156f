// The normal people of the scene, who come and go without collisions.
import { type Actor, walker } from "./actors.js";
import type { Draw } from "./draw.js";
import { drawPerson } from "./figure.js";
import type { Lane } from "./street.js";

/** Range of normal walking speeds, in metres per second. */
export const WALKING = [1.1, 1.6] as const;
/** Mean seconds between two arrivals, by lane. */
const GAPS = { near: 3.2, far: 3.2, away: 7, towards: 7 } as const;

/**
 * Normal walkers, alone and in pairs, who come and go on every lane and collide with nobody.
 * @param others the actors who are already there
 * @param duration of the video, in seconds
 * @param density how many walkers there are; 1 is usual
 */
export function crowd(
  lanes: readonly Lane[],
  others: readonly Actor[],
  duration: number,
  density: number,
  draw: Draw,
): Actor[] {
  const actors = [...others];
  for (const lane of lanes) {
    const length = lane.end - lane.begin;
    // Starts early enough for walkers who are already on the lane when the video begins.
    let start = -length / WALKING[0];
    while (start < duration) {
      const pair = draw.chance(0.3);
      for (let attempt = 0; attempt < 5; attempt++) {
        const speed = draw.number(...WALKING);
        const lateral = draw.number(-1, 1) * (lane.halfWidth - (pair ? 0.33 : 0));
        const group = (pair ? [-0.33, 0.33] : [0]).map((beside) =>
          walker(drawPerson(draw), { lane, lateral: lateral + beside, speed, start }),
        );
        if (group.some((one) => actors.some((other) => collide(one, other, duration)))) continue;
        actors.push(...group);
        break;
      }
      start += (0.4 - Math.log(1 - draw.number())) * (GAPS[lane.name] / density);
    }
  }
  return actors.slice(others.length);
}

/** Seconds between two checks for a collision. */
const LOOK = 0.15;

function collide(one: Actor, other: Actor, duration: number): boolean {
  const end = Math.min(one.end, other.end, duration);
  for (let time = Math.max(one.begin, other.begin, 0); time < end; time += LOOK) {
    const [a, b] = [one.at(time), other.at(time)];
    if (Math.hypot(a.x - b.x, a.z - b.z) < one.radius + other.radius) return true;
  }
  return false;
}
