// The last minutes of every camera: levels for curves, and how many frames are scored per second.
import type { Outcome } from "../camera/decisions.js";
import type { LevelPoint } from "./api.js";
import type { SeenCamera } from "./watched.js";

/** Seconds that are kept. */
const KEPT = 600;
/** Seconds over which frames are counted. */
const COUNTED = 5;

interface Last {
  points: LevelPoint[];
  /** When the last frames were scored, in seconds. */
  arrivals: number[];
}

/** Remembers levels. */
export class Levels {
  private readonly cameras = new Map<string, Last>();
  private readonly began: number;

  /** @param clock seconds; never steps back */
  constructor(private readonly clock: () => number = () => performance.now() / 1000) {
    this.began = clock();
  }

  /** Takes in a frame's outcome. */
  onOutcome({ config: { id } }: SeenCamera, { time, level, threshold }: Outcome): void {
    const { points, arrivals } = this.of(id);
    const now = this.clock();
    arrivals.push(now);
    while (arrivals[0] < now - COUNTED) arrivals.shift();
    const second = 1000 * Math.floor(time.wall / 1000);
    const last = points.at(-1);
    // Somebody has set the clock back: curves go forward only.
    if (last && second < last[0]) points.length = 0;
    const known = Number.isFinite(level) ? level : null;
    if (last?.[0] === second) {
      last[1] = known === null ? last[1] : Math.max(known, last[1] ?? known);
      last[2] = threshold ?? null;
      return;
    }
    points.push([second, known, threshold ?? null]);
    if (points.length > KEPT) points.shift();
  }

  /** The seconds of a camera in which frames were scored, in order. */
  pointsOf(camera: string): readonly LevelPoint[] {
    return this.cameras.get(camera)?.points ?? [];
  }

  /** Frames per second that were scored in the last seconds. */
  fpsOf(camera: string): number {
    const now = this.clock();
    const count = this.of(camera).arrivals.filter((arrival) => arrival >= now - COUNTED).length;
    return count / Math.max(1, Math.min(COUNTED, now - this.began));
  }

  private of(camera: string): Last {
    const known = this.cameras.get(camera);
    if (known) return known;
    const last = { points: [], arrivals: [] };
    this.cameras.set(camera, last);
    return last;
  }
}
