// Which worker is to take which camera.

/** A camera that is to be watched. */
export interface SpreadCamera {
  id: string;
  /** Frames per second. */
  fps: number;
}

/** Thousandths of frames per second: sums of whole numbers are the same in any order. */
const framesOf = (fps: number): number => Math.round(1000 * fps);

/** Cameras that a worker has. */
export class Carried {
  frames = 0;
  /** Frames per second, by the cameras' ids. */
  private readonly cameras = new Map<string, number>();

  constructor(cameras: Iterable<SpreadCamera> = []) {
    for (const camera of cameras) this.add(camera);
  }

  get size(): number {
    return this.cameras.size;
  }

  add({ id, fps }: SpreadCamera): void {
    this.delete(id);
    this.cameras.set(id, fps);
    this.frames += framesOf(fps);
  }

  delete(id: string): void {
    this.frames -= framesOf(this.cameras.get(id) ?? 0);
    this.cameras.delete(id);
  }

  /** The camera that costs least. @param but ids of cameras that do not count */
  smallest(but: { has(id: string): boolean }): SpreadCamera | undefined {
    let smallest: SpreadCamera | undefined;
    for (const camera of this) {
      if (!but.has(camera.id) && (!smallest || bySize(camera, smallest) < 0)) smallest = camera;
    }
    return smallest;
  }

  *[Symbol.iterator](): Iterator<SpreadCamera> {
    for (const [id, fps] of this.cameras) yield { id, fps };
  }
}

/** A worker that is alive. */
export interface SpreadWorker {
  session: string;
  /**
   * Frames per second that it can score; absent: not known, and it takes one camera. From
   * MAX_SAFE_INTEGER on it was not measured, and `most` alone counts.
   */
  capacity?: number;
  /** Most cameras that it takes. */
  most?: number;
  /** Whether it takes cameras now. */
  isOpen: boolean;
  carried: Carried;
  /** Ids of cameras that it cannot watch. */
  refuses?: readonly string[];
}

/** What a worker carries, and can carry at most. */
interface Load {
  session: string;
  isOpen: boolean;
  frames: number;
  /** Infinite if it was not measured: then cameras are counted. */
  mostFrames: number;
  cameras: number;
  mostCameras: number;
  /** Among those that are used as much. */
  order: number;
  carried: Carried;
}

const shareOf = (part: number, whole: number): number => (part === 0 ? 0 : part / whole);
const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The share of a worker that is in use, with some frames and cameras more. */
const used = ({ frames, mostFrames, cameras, mostCameras }: Load, moreFrames = 0, more = 0): number =>
  mostFrames < Number.POSITIVE_INFINITY
    ? shareOf(frames + moreFrames, mostFrames)
    : shareOf(cameras + more, mostCameras);

const hasRoom = ({ isOpen, frames, mostFrames, cameras, mostCameras }: Load, more: number): boolean =>
  isOpen && frames + more <= mostFrames && cameras < mostCameras;

/** A number that is as good as drawn, and the same for all (FNV-1a, with its bits mixed). */
export function drawn(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

function loadOf({ session, isOpen, carried, capacity, most = Number.POSITIVE_INFINITY }: SpreadWorker): Load {
  const isMeasured = capacity !== undefined && (capacity < Number.MAX_SAFE_INTEGER || !Number.isFinite(most));
  return {
    ...{ session, isOpen, carried, frames: carried.frames, cameras: carried.size, order: drawn(session) },
    mostFrames: isMeasured ? framesOf(capacity) : Number.POSITIVE_INFINITY,
    mostCameras: capacity === undefined ? Math.min(1, most) : most,
  };
}

const bySize = (a: SpreadCamera, b: SpreadCamera): number => a.fps - b.fps || byText(a.id, b.id);

/** Sessions of the workers that cannot watch cameras, by these cameras' ids. */
function refusals(workers: readonly SpreadWorker[]): Map<string, Set<string>> {
  const refused = new Map<string, Set<string>>();
  for (const { session, refuses = [] } of workers) {
    for (const id of refuses) refused.set(id, (refused.get(id) ?? new Set()).add(session));
  }
  return refused;
}

const nobody: ReadonlySet<string> = new Set();

/**
 * Gives each camera that nobody has to the worker that is least used with it, if one has room and
 * can watch it.
 * @returns sessions, by the cameras' ids
 */
export function assign(free: readonly SpreadCamera[], workers: readonly SpreadWorker[]): Map<string, string> {
  const given = new Map<string, string>();
  if (free.length === 0) return given;
  const loads = workers.map(loadOf);
  const refused = refusals(workers);
  let queue: Queue | undefined;
  // Those that cost most come first: later they might fit nowhere.
  for (const { id, fps } of [...free].sort((a, b) => b.fps - a.fps || byText(a.id, b.id))) {
    const frames = framesOf(fps);
    if (queue?.frames !== frames) queue = new Queue(loads, frames);
    const session = queue.give(refused.get(id) ?? nobody);
    if (session !== undefined) given.set(id, session);
  }
  return given;
}

/** Workers that have room for a camera of so many frames; the last is least used with it. */
class Queue {
  private readonly loads: Load[];

  constructor(
    loads: readonly Load[],
    readonly frames: number,
  ) {
    this.loads = loads.filter((load) => hasRoom(load, frames)).sort((a, b) => this.compare(a, b));
  }

  /**
   * Gives such a camera to the worker that is least used with it.
   * @param but sessions that cannot have it
   * @returns the worker's session
   */
  give(but: ReadonlySet<string>): string | undefined {
    let at = this.loads.length - 1;
    while (at >= 0 && but.has(this.loads[at].session)) at--;
    if (at < 0) return undefined;
    const [load] = this.loads.splice(at, 1);
    load.frames += this.frames;
    load.cameras++;
    if (hasRoom(load, this.frames)) this.put(load);
    return load.session;
  }

  /** How much the least used would be used with it; undefined if none has room. */
  get least(): number | undefined {
    const load = this.loads.at(-1);
    return load && used(load, this.frames, 1);
  }

  private put(load: Load): void {
    let [low, high] = [0, this.loads.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.compare(this.loads[middle], load) < 0) low = middle + 1;
      else high = middle;
    }
    this.loads.splice(low, 0, load);
  }

  private compare(a: Load, b: Load): number {
    return compare(used(b, this.frames, 1), used(a, this.frames, 1)) || compare(used(b), used(a)) || beside(b, a);
  }
}

const compare = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0);
/** The order of workers that are used as much. */
const beside = (a: Load, b: Load): number => a.order - b.order || byText(a.session, b.session);

/** A camera that its worker is to give away. */
export interface Surplus {
  session: string;
  id: string;
}

/**
 * The camera that should move, if there is none that somebody is to take. It is given by the most
 * used worker that has one with which another would be used no more than this one is without it. So
 * the most used are used less after each step, and it ends. One camera moves at a time, and none
 * that some worker cannot watch.
 * @param stays ids of cameras that do not move
 */
export function surplus(
  workers: readonly SpreadWorker[],
  stays: { has(id: string): boolean } = nobody,
): Surplus | undefined {
  const loads = workers.map(loadOf);
  const refused = refusals(workers);
  const held = { has: (id: string) => refused.has(id) || stays.has(id) };
  const queues = new Map<number, Queue>();
  for (const load of [...loads].sort((a, b) => compare(used(b), used(a)) || beside(a, b))) {
    const smallest = load.carried.smallest(held);
    if (!smallest) continue;
    const frames = framesOf(smallest.fps);
    const queue = queues.get(frames) ?? new Queue(loads, frames);
    queues.set(frames, queue);
    const { least } = queue;
    if (least !== undefined && least <= used(load, -frames, -1)) return { session: load.session, id: smallest.id };
  }
  return undefined;
}
