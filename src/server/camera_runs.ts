// The cameras that run now: each begins and ends alone, and all of them end with one signal.
import type { Camera } from "./camera/camera.js";
import { Ending } from "./records.js";

/** A camera that runs. */
interface Run {
  end: AbortController;
  done: Promise<void>;
}

/** Runs cameras. */
export class CameraRuns {
  private readonly runs = new Map<Camera, Run>();
  /** Ends all cameras; absent before the start. */
  private all: AbortSignal | undefined;

  /** Starts cameras; those that come later start at once. @param all ends them */
  begin(cameras: readonly Camera[], all: AbortSignal): void {
    this.all = all;
    for (const camera of cameras) this.start(camera);
  }

  /** Starts a camera, unless nothing runs yet. */
  start(camera: Camera): void {
    if (!this.all) return;
    const end = new AbortController();
    this.runs.set(camera, { end, done: camera.run(AbortSignal.any([this.all, end.signal])) });
  }

  /** Ends a camera, its events and their clips. @param why its events end */
  async end(camera: Camera, why: string): Promise<void> {
    const run = this.runs.get(camera);
    run?.end.abort(new Ending(why));
    await run?.done;
    this.runs.delete(camera);
  }

  /** Resolves once all cameras have ended. @param settled resolves once no other one will start */
  async over(settled: () => Promise<unknown>): Promise<void> {
    for (let seen: Run[] = []; ; ) {
      const runs = [...this.runs.values()];
      if (runs.every((run) => seen.includes(run))) return;
      seen = runs;
      await Promise.all(runs.map(({ done }) => done));
      await settled();
    }
  }
}
