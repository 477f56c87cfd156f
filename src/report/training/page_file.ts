import { join } from "node:path";
import { script, style } from "virtual:training-page";
import { writeFileAtomic } from "../../node/files/atomic.js";
import type { LogEntry } from "../../node/files/training_log.js";
import { htmlPage } from "../web/html.js";
import { TrainingCurves } from "./curves.js";
import type { TrainingState } from "./data.js";

export type { TrainingState } from "./data.js";

/**
 * A training run's page: `index.html`, which stays as it is, and `curves.js`, which it loads again and again. A page that was opened from a
 * disk may load scripts, but no data.
 */
export class TrainingPage {
  private readonly curves = new TrainingCurves();

  private constructor(private readonly folder: string) {}

  /** Writes the page; what it shows comes with {@link update}. @throws InputError where it cannot be written */
  static async open(folder: string, title: string): Promise<TrainingPage> {
    const body = "<noscript>These curves are drawn by a script: allow scripts to see them.</noscript>";
    // The page's own folder, by whatever way it was opened.
    const page = htmlPage({ title, script, style, body, scriptSources: "'self' file:" });
    await writeFileAtomic(join(folder, "index.html"), page);
    return new TrainingPage(folder);
  }

  /**
   * Gives the page news; one call at a time. Cheap where the log is the same array as before with more entries at its end, as
   * `TrainingLog.entries()` is.
   * @throws InputError where it cannot be written
   */
  async update(log: readonly LogEntry[], state: TrainingState): Promise<void> {
    this.curves.follow(log);
    await writeFileAtomic(join(this.folder, "curves.js"), `trainingCurves(${this.curves.json(state, new Date())});\n`);
  }
}
