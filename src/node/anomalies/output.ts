// The folders that create-anomalies writes.
import { readFile, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { BgrImage } from "../../data/resize.js";
import { InputError } from "../../errors.js";
import { mkdirs, writeFileAtomic } from "../files/atomic.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { ImageFolder, namesIn } from "./folders.js";

/** A file beside the folders: the settings that made them. */
const recordName = "anomalies.json";

/**
 * The names of the two folders: as the original's tool writes them, or as its training reads them.
 */
const folderNames = {
  original: { frames: "frames", masks: "masks" },
  training: { frames: "frames_abnormal", masks: "masks_abnormal" },
} as const;

/**
 * Frames with anomalies and their masks in a folder: `<frames>/<video>/<number>.png` and
 * `<masks>/<video>/<number>.png`, without leading zeros. A video appears whole or not at all.
 */
export class AnomalyOutput {
  private constructor(
    private readonly frames: string,
    private readonly masks: string,
    private readonly done: ReadonlySet<string>,
    private readonly made: readonly string[],
  ) {}

  /**
   * Opens a folder to write into, or to continue in.
   * @param train the folder for both, such as `<root>/train`
   * @param settings everything that the images depend on
   * @throws InputError if it holds something else or anomalies made with other settings, or cannot
   * be written
   */
  static async open(
    train: string,
    naming: keyof typeof folderNames,
    settings: Readonly<Record<string, unknown>>,
  ): Promise<AnomalyOutput> {
    const [frames, masks] = [join(train, folderNames[naming].frames), join(train, folderNames[naming].masks)];
    const record = join(train, recordName);
    const [haveFrames, haveMasks] = await Promise.all([namesIn(frames), namesIn(masks)]);
    const own = JSON.parse(JSON.stringify(settings)) as unknown;
    const recorded = await readFile(record, "utf8").catch(() => undefined);
    const there = haveFrames.length > 0 ? frames : haveMasks.length > 0 ? masks : undefined;
    if (there !== undefined && recorded === undefined) {
      throw new InputError(`${oneLine(there)} is not empty, and this command did not make it: name another folder`);
    }
    if (there !== undefined && !isDeepStrictEqual(parse(recorded), own)) {
      throw new InputError(
        `${oneLine(record)}: these anomalies were made with other settings; delete them or name another folder`,
      );
    }
    const made: string[] = [];
    try {
      for (const folder of [dirname(train), train, frames, masks]) if (await mkdirs(folder)) made.push(folder);
    } catch (error) {
      throw new InputError(`${oneLine(train)} cannot be written: ${reasonOf(error)}`);
    }
    if (there === undefined) await writeFileAtomic(record, `${JSON.stringify(own, null, 2)}\n`);
    const whole = new Set(haveMasks);
    const done = new Set(haveFrames.filter((name) => whole.has(name)));
    return new AnomalyOutput(frames, masks, done, made);
  }

  /** Removes the folders that {@link open} made, if no video was written. */
  async tidy(): Promise<void> {
    if ((await namesIn(this.frames)).length > 0 || (await namesIn(this.masks)).length > 0) return;
    await rm(join(dirname(this.frames), recordName), { force: true });
    for (const folder of [...this.made].reverse()) await rmdir(folder).catch(() => undefined);
  }

  /** Whether an earlier run wrote this video. */
  has(video: string): boolean {
    return this.done.has(video);
  }

  /** Begins a video. @throws InputError if it cannot be written */
  async video(name: string): Promise<AnomalyVideo> {
    return new AnomalyVideo(
      await ImageFolder.create(join(this.frames, name)),
      await ImageFolder.create(join(this.masks, name)),
    );
  }
}

/** A video that is being written. */
export class AnomalyVideo {
  constructor(
    private readonly frames: ImageFolder,
    private readonly masks: ImageFolder,
  ) {}

  /** Writes a frame and its mask. @throws InputError if an earlier image could not be written */
  async write(number: number, frame: BgrImage, mask: BgrImage): Promise<void> {
    await this.frames.write(`${number}.png`, frame);
    await this.masks.write(`${number}.png`, mask);
  }

  /** Gives both folders their names. @throws InputError if that fails */
  async commit(): Promise<void> {
    await this.masks.commit();
    await this.frames.commit();
  }

  /** Removes what was written, unless it was committed. */
  async discard(): Promise<void> {
    await this.masks.discard();
    await this.frames.discard();
  }
}

function parse(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch {
    return undefined;
  }
}
