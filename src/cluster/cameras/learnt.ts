// What was learnt of cameras goes with them to other workers: thresholds, without any picture.
import type { KV } from "@nats-io/kv";
import { reasonOf } from "../../node/files/messages.js";
import { folderOf, knownText, takeKnown } from "../../server/camera/known.js";

/** Bytes; a server takes messages of a megabyte. */
const LARGEST = 900_000;

/** Brings what was learnt to the store, and back. */
export class Learnt {
  /** What the store has, by the cameras' ids. */
  private readonly sent = new Map<string, string>();

  /** @param data the folder of this machine */
  constructor(
    private readonly store: KV,
    private readonly data: string,
    private readonly warn: (line: string) => void,
  ) {}

  /** Takes over what others have learnt of a camera. Never throws. */
  async fetch(id: string): Promise<void> {
    try {
      const entry = await this.store.get(id);
      if (entry?.operation !== "PUT") return;
      this.sent.set(id, entry.string());
      await takeKnown(folderOf(this.data, { id }), entry.string());
    } catch (error) {
      this.warn(`${id}: ${reasonOf(error)}`);
    }
  }

  /** Brings what was learnt of cameras to the store, if it is news. Never throws. */
  async share(ids: Iterable<string>): Promise<void> {
    for (const id of ids) {
      const text = await knownText(folderOf(this.data, { id }));
      if (text === undefined || text === this.sent.get(id) || text.length > LARGEST) continue;
      try {
        await this.store.put(id, text);
        this.sent.set(id, text);
      } catch {
        // It is tried again.
      }
    }
  }
}
