// A training run's page: index.html, and curves.js beside it.
import { join } from "node:path";
import { script, style } from "virtual:training-page";
import { writeFileAtomic } from "../../node/files/atomic.js";
import type { LogEntry } from "../../node/files/training_log.js";
import { htmlPage } from "../web/html.js";
import { TrainingCurves } from "./curves.js";
import type { TrainingState } from "./data.js";

export type { TrainingState } from "./data.js";

/**
 * A training run's page: `index.html`, which is written once, and `curves.js`, which the page loads
 * again and again. It is a script because a page that is opened as a file may load scripts, but not
 * data.
 */
export class TrainingPage {
  private readonly curves = new TrainingCurves();

  private constructor(private readonly folder: string) {}

  /** Writes `index.html`. @throws InputError if it cannot be written */
  static async open(folder: string, title: string): Promise<TrainingPage> {
    const body = "<noscript>A script draws these curves: allow scripts to see them.</noscript>";
    // The page's folder, whether it is opened from a server or as a file.
    const page = htmlPage({ title, script, style, body, scriptSources: "'self' file:" });
    await writeFileAtomic(join(folder, "index.html"), page);
    return new TrainingPage(folder);
  }

  /**
   * Writes `curves.js`; one call at a time. This is cheap if the log is the same array as before
   * with more entries at its end, as `TrainingLog.entries()` is.
   * @throws InputError if it cannot be written
   */
  async update(log: readonly LogEntry[], state: TrainingState): Promise<void> {
    this.curves.follow(log);
    await writeFileAtomic(join(this.folder, "curves.js"), `trainingCurves(${this.curves.json(state, new Date())});\n`);
  }
}
