// What cameras have learnt, kept in their folders while they watch.
import { reasonOf } from "../node/files/messages.js";
import type { Decisions } from "./camera/decisions.js";
import { changeKnown, folderOf, type Kept, readKnown, removeKnown, scoredBy, writeKnown } from "./camera/known.js";
import type { CameraConfig } from "./config/config.js";
import type { EngineFacts } from "./engine/messages.js";

/** A camera that learns. */
export interface LearningCamera {
  readonly config: Pick<CameraConfig, "id">;
  readonly decisions: Pick<Decisions, "known" | "seconds" | "view" | "forget">;
}

/** What {@link Memory} is made with. */
export interface MemoryOptions {
  /** The data folder. */
  data: string;
  /** Cameras are calibrated: the usual view is learnt again; if `fresh`, all else too. */
  calibrate?: { fresh: boolean };
  /** Of the engine that scores a camera now; undefined while there is none. @param camera its id */
  factsOf(camera: string): EngineFacts | undefined;
  /** Whether the disk has room. If not, nobody is told that something could not be written. */
  hasRoom(): boolean;
  /** Takes in a line about a file that cannot be read or written. @param camera its id */
  warn(camera: string, line: string): void;
}

/** Keeps what cameras have learnt. Files are read and written one after the other. */
export class Memory {
  /** Seconds of video that the last copy of what a camera has learnt was made of, by its id. */
  private readonly copied = new Map<string, number>();
  private last: Promise<void> = Promise.resolve();

  constructor(private readonly options: MemoryOptions) {}

  /**
   * What was kept of a camera for the model and settings of an engine. What it has learnt until now
   * is kept before.
   */
  async recall(camera: LearningCamera, facts: EngineFacts): Promise<Kept> {
    await this.remember(camera);
    const { options } = this;
    // An engine that starts again goes on with what this process has learnt.
    if (options.calibrate?.fresh) return { modes: camera.decisions.known, references: {} };
    const [folder, by] = [folderOf(options.data, camera.config), scoredBy(facts)];
    return this.inTurn(async () => {
      await changeKnown(folder, by);
      return readKnown(folder, by);
    }).catch((error: unknown): Kept => {
      options.warn(camera.config.id, reasonOf(error));
      return { modes: {}, references: {} };
    });
  }

  /** A camera goes on with the view that was kept, and learns for other scores from now on. */
  begin({ config, decisions }: LearningCamera, { references }: Pick<Kept, "references">): void {
    this.copied.set(config.id, 0);
    decisions.view.begin(references, this.options.calibrate !== undefined);
  }

  /** Keeps what a camera has learnt, for the scores of the engine that it has then. */
  remember({ config, decisions }: LearningCamera): Promise<void> {
    const { options } = this;
    return this.inTurn(async () => {
      const facts = options.factsOf(config.id);
      const { known: modes, view, seconds } = decisions;
      if (!facts || (Object.keys(modes).length === 0 && !view.hasLearnt)) return;
      const { references } = view;
      const folder = folderOf(options.data, config);
      try {
        await writeKnown(folder, scoredBy(facts), { modes, references });
        this.copied.set(config.id, seconds);
        view.hasLearnt = false;
      } catch (error) {
        // That the disk is full was said.
        if (options.hasRoom()) options.warn(config.id, reasonOf(error));
      }
    });
  }

  /**
   * Keeps what cameras have learnt since the last copy.
   * @param more by which share there must be more than in that copy
   */
  async rememberAll(cameras: readonly LearningCamera[], more = 0): Promise<void> {
    const changed = cameras.filter(({ config, decisions: { view, seconds } }) => {
      return view.hasLearnt || seconds > (1 + more) * (this.copied.get(config.id) ?? 0);
    });
    await Promise.all(changed.map((camera) => this.remember(camera)));
  }

  /**
   * A camera forgets what it has learnt, and so does its folder.
   * @throws InputError if what was kept cannot be removed
   */
  async forget({ config, decisions }: LearningCamera): Promise<void> {
    await this.inTurn(async () => {
      await removeKnown(folderOf(this.options.data, config));
      decisions.forget();
      this.copied.delete(config.id);
    });
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work);
    this.last = done.then(
      () => {},
      () => {},
    );
    return done;
  }
}
