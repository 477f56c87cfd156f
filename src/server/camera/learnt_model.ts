// The models that were learnt for a camera: the present one, the one before, and what is known of
// them.
import { copyFile, link, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { InputError } from "../../errors.js";
import { cannotWrite, makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { oneLine, reasonOf } from "../../node/files/messages.js";

/** What is known of a model that was learnt. */
export interface LearntFacts {
  /** Hash of its weights. */
  model: string;
  /** When, ISO 8601. */
  learnt: string;
  /** Videos and minutes of normal video; a fifth of them only rated it. */
  clips: number;
  minutes: number;
  /** The model before: its hash, and its rating on the same videos as that of the new one. */
  before: { model: string; rating: number };
  rating: number;
}

const number = z.number();
const text = z.string();
const history = z.object({
  format: z.literal("sdmae-learnt-models-1"),
  models: z.array(
    z.object({
      ...{ model: text, learnt: text, clips: number, minutes: number, rating: number },
      before: z.object({ model: text, rating: number }),
    }),
  ),
});

/** Models that the list names; older ones are forgotten. */
const MOST = 20;

/** The models of a camera, in its folder. */
export class LearntModels {
  /** The model that `watch` takes; it need not exist. */
  readonly path: string;
  private readonly folder: string;
  private readonly previous: string;
  private readonly list: string;

  /** @param camera the camera's folder */
  constructor(camera: string) {
    this.folder = join(camera, "model");
    this.path = join(this.folder, "model.safetensors");
    this.previous = join(this.folder, "previous.safetensors");
    this.list = join(this.folder, "learnt.json");
  }

  /** Tells contents of {@link path} apart; undefined if there is no such file. */
  async stamp(): Promise<string | undefined> {
    const info = await stat(this.path).catch(() => undefined);
    return info?.isFile() ? `${info.ino} ${info.size} ${info.mtimeMs}` : undefined;
  }

  /** What is known of each model, the oldest first. @throws InputError if the list is damaged */
  async facts(): Promise<LearntFacts[]> {
    let json: unknown;
    try {
      json = JSON.parse(await readFile(this.list, "utf8"));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw new InputError(`${oneLine(this.list)} cannot be read: ${reasonOf(error)}`);
    }
    const { data, error } = history.safeParse(json);
    if (error) throw new InputError(`${oneLine(this.list)} is no list of models that were learnt`);
    return data.models;
  }

  /**
   * Makes a model the present one. The present one becomes the previous one.
   * @param bytes a checkpoint's file
   * @throws InputError if a file cannot be written; then the present model stays
   */
  async take(bytes: Uint8Array, facts: LearntFacts): Promise<void> {
    await makeFolder(this.folder);
    const all = [...(await this.facts().catch(() => [])), facts].slice(-MOST);
    if (await this.stamp()) await this.keepAs(this.previous);
    else await rm(this.previous, { force: true });
    await writeFileAtomic(this.list, `${JSON.stringify({ format: "sdmae-learnt-models-1", models: all }, null, 1)}\n`);
    await writeFileAtomic(this.path, bytes);
  }

  /**
   * Exchanges the present model and the previous one. If no model was learnt before the present
   * one, the camera gets the model of all cameras again.
   * @returns which model is the present one now
   * @throws InputError if there is none, or files cannot be renamed
   */
  async exchange(): Promise<"learnt" | "usual"> {
    const [present, previous] = await Promise.all([this.path, this.previous].map(exists));
    if (!present && !previous) throw new InputError(`${oneLine(this.folder)} holds no model that was learnt`);
    const between = `${this.path}.${process.pid}.tmp`;
    try {
      if (!present) await rename(this.previous, this.path);
      else if (!previous) await rename(this.path, this.previous);
      else {
        // At no moment is there no model.
        await this.keepAs(between);
        await rename(this.previous, this.path);
        await rename(between, this.previous);
      }
    } catch (error) {
      throw cannotWrite(this.folder, error);
    }
    return previous ? "learnt" : "usual";
  }

  /** Gives the present model another name, too. */
  private async keepAs(name: string): Promise<void> {
    const temporary = `${name}.${process.pid}.tmp`;
    try {
      await rm(temporary, { force: true });
      // Not every file system has links.
      await link(this.path, temporary).catch(() => copyFile(this.path, temporary));
      await rename(temporary, name);
    } catch (error) {
      throw cannotWrite(name, error);
    }
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
