import { type Actor, walker } from "./actors.js";
import type { Draw } from "./draw.js";
import { drawPerson } from "./figure.js";
import type { Lane } from "./street.js";

/** Speeds of normal walkers, in metres a second. */
export const WALKING = [1.1, 1.6] as const;
/** Mean seconds between two arrivals on a lane of the promenade, and on one of the path. */
const GAPS = { near: 3.2, far: 3.2, away: 7, towards: 7 } as const;

/**
 * Walkers, alone and in pairs, who come and go on every lane during a video and stand in nobody's way.
 * @param others who is there already
 * @param density how many there are, 1 the usual
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
    // From so early on that whoever is still there at the video's start has come.
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

/** Seconds between two looks for a collision. */
const LOOK = 0.15;

function collide(one: Actor, other: Actor, duration: number): boolean {
  const end = Math.min(one.end, other.end, duration);
  for (let time = Math.max(one.begin, other.begin, 0); time < end; time += LOOK) {
    const [a, b] = [one.at(time), other.at(time)];
    if (Math.hypot(a.x - b.x, a.z - b.z) < one.radius + other.radius) return true;
  }
  return false;
}
