// Which worker is to take which camera. All workers know the same and come to the same result, so
// that they need nobody who decides.
import { createHash } from "node:crypto";

/** A worker that is alive. */
export interface SpreadWorker {
  session: string;
  /** Frames per second that it can score; absent: not known, and it takes one camera. */
  capacity?: number;
  /** Most cameras that it takes. */
  most?: number;
  /** Whether it takes cameras now. */
  isOpen: boolean;
}

/** A camera that is to be watched. */
export interface SpreadCamera {
  id: string;
  /** Frames per second. */
  fps: number;
  /** The live session that has it. */
  owner?: string;
}

/** What is carried by a worker. */
interface Load {
  worker: SpreadWorker;
  fps: number;
  cameras: number;
  /** How many frames per second count as all that it can do. */
  weight: number;
  /** Among those that are used as much. */
  order: number;
}

/** The share of a worker that is in use with so many frames per second more. */
const used = ({ fps, weight }: Load, more = 0): number => (fps + more) / weight;

const hasRoom = ({ worker: { capacity, most, isOpen }, fps, cameras }: Load, more: number): boolean => {
  const fits = capacity === undefined ? cameras === 0 : fps + more <= capacity;
  return isOpen && fits && (most === undefined || cameras < most);
};

/** A number that is as good as drawn, and the same for all. */
const drawn = (text: string): number => createHash("sha256").update(text).digest().readUInt32BE(0);

function loadsOf(cameras: readonly SpreadCamera[], workers: readonly SpreadWorker[]): Map<string, Load> {
  const known = workers.flatMap(({ capacity }) => (capacity ? [capacity] : []));
  // Those that are not known are taken for the usual ones.
  const usual = known.length > 0 ? known.reduce((sum, one) => sum + one, 0) / known.length : 1;
  const loads = new Map<string, Load>();
  for (const worker of workers) {
    const { session, capacity } = worker;
    loads.set(session, { worker, fps: 0, cameras: 0, weight: capacity || usual, order: drawn(session) });
  }
  for (const { owner, fps } of cameras) {
    const load = owner === undefined ? undefined : loads.get(owner);
    if (!load) continue;
    load.fps += fps;
    load.cameras++;
  }
  return loads;
}

/**
 * Gives each camera that nobody has to the worker that is least used then, if one has room.
 * @returns sessions, by the cameras' ids
 */
export function assign(cameras: readonly SpreadCamera[], workers: readonly SpreadWorker[]): Map<string, string> {
  const free = cameras.filter(({ owner }) => owner === undefined);
  const given = new Map<string, string>();
  if (free.length === 0) return given;
  const loads = new Queue([...loadsOf(cameras, workers).values()]);
  for (const { id, fps } of free.sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const load = loads.take((one) => hasRoom(one, fps));
    if (!load) continue;
    load.fps += fps;
    load.cameras++;
    loads.put(load);
    given.set(id, load.worker.session);
  }
  return given;
}

/** Workers by how much they are used: those that carry least come first. */
class Queue {
  private readonly loads: Load[];

  constructor(loads: Load[]) {
    this.loads = loads.sort(before);
  }

  /** Takes out the first that fits. */
  take(fits: (load: Load) => boolean): Load | undefined {
    const at = this.loads.findIndex(fits);
    return at < 0 ? undefined : this.loads.splice(at, 1)[0];
  }

  put(load: Load): void {
    let [low, high] = [0, this.loads.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(this.loads[middle], load) < 0) low = middle + 1;
      else high = middle;
    }
    this.loads.splice(low, 0, load);
  }
}

const before = (a: Load, b: Load): number =>
  used(a) - used(b) || a.order - b.order || (a.worker.session < b.worker.session ? -1 : 1);

/**
 * The camera that a worker should give away, for another worker is used so much less that it will
 * not be used more than this one afterwards. Only the worker that is used most gives, one camera at
 * a time.
 */
export function surplus(
  me: string,
  cameras: readonly SpreadCamera[],
  workers: readonly SpreadWorker[],
): string | undefined {
  // Those that nobody has come first.
  if (cameras.some(({ owner }) => owner === undefined)) return undefined;
  const loads = [...loadsOf(cameras, workers).values()].sort(before);
  const fullest = loads.at(-1);
  if (!fullest || fullest.worker.session !== me || loads.length < 2) return undefined;
  const mine = cameras.filter(({ owner }) => owner === me).sort((a, b) => a.fps - b.fps || (a.id < b.id ? -1 : 1));
  for (const { id, fps } of mine) {
    if (loads.some((other) => other !== fullest && hasRoom(other, fps) && used(other, fps) <= used(fullest, -fps))) {
      return id;
    }
  }
  return undefined;
}
