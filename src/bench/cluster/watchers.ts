// Who watches which camera, as workers tell it.

/** Cameras, and the workers that watch them. */
export class Watchers {
  /** By camera. */
  private readonly watchers = new Map<string, Set<string>>();
  /** By worker. */
  private readonly cameras = new Map<string, ReadonlySet<string>>();
  /** When each camera was last begun by some worker. */
  private readonly begun = new Map<string, number>();
  /** Times that a worker began to watch a camera, and those at which another one still did. */
  begins = 0;
  overlaps = 0;
  /** When the last camera was begun. */
  last = 0;

  /** Takes in all that a worker watches from now on. */
  take(worker: string, at: number, cameras: readonly string[]): void {
    const [before, now] = [this.cameras.get(worker) ?? new Set<string>(), new Set(cameras)];
    for (const camera of before) if (!now.has(camera)) this.watchers.get(camera)?.delete(worker);
    for (const camera of now) if (!before.has(camera)) this.begin(camera, worker, at);
    this.cameras.set(worker, now);
  }

  /** A worker is gone. @returns what it watched */
  lose(worker: string): string[] {
    const lost = [...(this.cameras.get(worker) ?? [])];
    for (const camera of lost) this.watchers.get(camera)?.delete(worker);
    this.cameras.delete(worker);
    return lost;
  }

  /** How many cameras somebody watches. */
  get watched(): number {
    let count = 0;
    for (const workers of this.watchers.values()) if (workers.size > 0) count++;
    return count;
  }

  /** Workers by how many cameras they watch, the fewest first. */
  get spread(): { worker: string; cameras: number }[] {
    const spread = [...this.cameras].map(([worker, { size }]) => ({ worker, cameras: size }));
    return spread.sort((a, b) => a.cameras - b.cameras);
  }

  /** When each of some cameras was begun since a moment; those that were not are left out. */
  begunSince(cameras: readonly string[], moment: number): number[] {
    return cameras.flatMap((camera) => this.begun.get(camera) ?? []).filter((at) => at >= moment);
  }

  private begin(camera: string, worker: string, at: number): void {
    const workers = this.watchers.get(camera) ?? new Set();
    this.begins++;
    if (workers.size > 0) this.overlaps++;
    this.watchers.set(camera, workers.add(worker));
    this.begun.set(camera, at);
    this.last = Math.max(this.last, at);
  }
}
