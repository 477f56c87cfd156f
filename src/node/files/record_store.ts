// Records of scored videos in files, and what each says of how it was made.
import { createHash } from "node:crypto";
import { access, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Dataset, TestSplit } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { decodeRecord, encodeRecord, type VideoRecord } from "../../eval/record.js";
import type { Detector } from "../detector.js";
import { mkdirs, writeFileAtomic } from "./atomic.js";
import { reasonOf } from "./messages.js";
import { weightsHash } from "./weights_hash.js";

/** How records are made, as each says of itself. */
export interface Made {
  /** The weights' hash. */
  model: string;
  settings: string;
  adapter: string;
  /** Its layout and folder. */
  dataset: string;
  split?: TestSplit;
}

/** How a detector makes the records of a data set. */
export function madeBy(detector: Detector, dataset: Dataset): Made {
  // A record holds token maps: how frames are scored from them does not matter here.
  const { frameScore: _, ...computed } = detector.settings;
  return {
    model: weightsHash(detector.checkpoint.weights),
    settings: JSON.stringify(computed),
    adapter: detector.gpu.adapter.description,
    dataset: `${dataset.layout} ${resolve(dataset.root)}`,
    ...(dataset.testSplit !== undefined && { split: dataset.testSplit }),
  };
}

/** The sub-folder of records that are made in one way. */
function folderOf({ model, settings, adapter, dataset, split }: Made): string {
  const made = { model, settings, adapter, dataset, ...(split !== undefined && { split }) };
  return createHash("sha256").update(JSON.stringify(made)).digest("hex").slice(0, 16);
}

/** Characters of a video's name in a file's name, which has room for 255 with all that follows. */
const LONGEST_NAME = 180;

function fileOf(video: string, seed: number): string {
  const name = encodeURIComponent(video);
  const hash = () => createHash("sha256").update(video).digest("hex").slice(0, 16);
  const short = name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 17)}-${hash()}` : name;
  return `${short}.${seed}.safetensors`;
}

/** Where a record lies in a folder of {@link RecordStore}. */
export const recordPath = (made: Made, video: string, seed: number): string =>
  `${folderOf(made)}/${fileOf(video, seed)}`;

/** A record's file: its token maps, and how it was made. */
export function recordBytes(record: VideoRecord, made: Made, video: string, seed: number): Uint8Array {
  return encodeRecord(record, { ...made, video, seed: String(seed) });
}

/**
 * Keeps the records of scored videos in files. So only one video's record is in memory, and a
 * stopped run continues where it was.
 */
export class RecordStore {
  private constructor(
    private readonly folder: string,
    private readonly temporary: boolean,
    readonly made: Made,
  ) {}

  /**
   * @param folder where records stay, in a sub-folder for each combination of model, settings,
   * adapter and data set; undefined: a temporary folder, which {@link close} removes
   * @throws InputError if it cannot be written
   */
  static async open(folder: string | undefined, dataset: Dataset, detector: Detector): Promise<RecordStore> {
    const made = madeBy(detector, dataset);
    try {
      if (folder === undefined) return new RecordStore(await mkdtemp(join(tmpdir(), "sdmae-eval-")), true, made);
      const own = join(folder, folderOf(made));
      await mkdirs(own);
      return new RecordStore(own, false, made);
    } catch (error) {
      throw new InputError(`${folder ?? tmpdir()}: cannot be written (${reasonOf(error)})`);
    }
  }

  /**
   * The record of a video with a masking's seed, if there is one.
   * @throws InputError if the file cannot be read or is damaged
   */
  async read(video: string, seed: number): Promise<VideoRecord | undefined> {
    const path = this.path(video, seed);
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
    });
    return bytes && decodeRecord(bytes, path);
  }

  /** Whether there is a record of a video with a masking's seed. */
  has(video: string, seed: number): Promise<boolean> {
    return access(this.path(video, seed)).then(
      () => true,
      () => false,
    );
  }

  /** Keeps a record. @throws InputError if it cannot be written */
  async write(video: string, seed: number, record: VideoRecord): Promise<void> {
    await writeFileAtomic(this.path(video, seed), recordBytes(record, this.made, video, seed));
  }

  /** Removes a temporary folder. */
  async close(): Promise<void> {
    if (this.temporary) await rm(this.folder, { recursive: true, force: true });
  }

  private path(video: string, seed: number): string {
    return join(this.folder, fileOf(video, seed));
  }
}
