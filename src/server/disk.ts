// The disk that holds the data folder: whether clips have room, and what goes if they have none.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { freeBytes } from "../node/files/free_bytes.js";
import { removeKept } from "./camera/normal_keeper.js";
import { normalFolder } from "./camera/normal_video.js";
import type { WatchConfig } from "./config/config.js";
import { keepWithin } from "./storage.js";

/** What {@link Disk} is made with. */
export interface DiskOptions {
  config: Pick<WatchConfig, "data" | "keep" | "reserve">;
  /** By how much looks are more frequent: files that are played fast bring more clips. */
  pace?: number;
  /** Takes in a line about what has changed. */
  onNotice(level: "info" | "error", line: string): void;
  /** `hasRoom` has changed. */
  onRoom(): void;
}

/** Seconds between looks at the disk's free space: another program may fill it fast. */
const LOOK = 2;
/** Seconds between looks at all clips, which may be many; and while there is too little space. */
const LOOK_AT_CLIPS = 60;
const MAKE_SPACE = 10;

/** Looks after the disk. */
export class Disk {
  /** Bytes of clips. */
  clipBytes = 0;
  /** Whether clips may be recorded. */
  hasRoom = true;
  /** Seconds between looks. */
  readonly interval: number;
  private readonly pace: number;
  private lookedAtClips = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: DiskOptions) {
    this.pace = options.pace ?? 1;
    this.interval = LOOK / this.pace;
  }

  /** Looks whether there is room, and makes some if there is too little. */
  async look(): Promise<void> {
    const { config, onNotice, onRoom } = this.options;
    const { data, reserve } = config;
    const every = (await freeBytes(data)) < reserve ? MAKE_SPACE : LOOK_AT_CLIPS;
    if (performance.now() - this.lookedAtClips >= (1000 * every) / this.pace) await this.lookAtClips();
    const free = await freeBytes(data);
    // Some distance between the two, so that it does not change all the time.
    const hasRoom = this.hasRoom ? free >= reserve : free >= 1.5 * reserve;
    if (hasRoom === this.hasRoom) return;
    this.hasRoom = hasRoom;
    if (hasRoom) onNotice("info", "there is room for clips again");
    else onNotice("error", "the disk is nearly full: clips and pictures stop, events go on");
    onRoom();
  }

  /** Counts the clips, and deletes what is beyond the quota. */
  private async lookAtClips(): Promise<void> {
    const { config, onNotice } = this.options;
    this.lookedAtClips = performance.now();
    const { data, keep, reserve } = config;
    const { bytes, deleted } = await keepWithin(join(data, "clips"), { ...keep, reserve });
    this.clipBytes = bytes;
    const oldest = Date.now() - 86_400_000 * keep.days;
    // Also of cameras that are not watched any longer.
    const ids = await readdir(join(data, "cameras")).catch(() => []);
    for (const id of ids) await removeKept(normalFolder(data, id), oldest);
    if (deleted > 0) onNotice("info", `the clips of ${deleted} old events were deleted`);
  }
}
