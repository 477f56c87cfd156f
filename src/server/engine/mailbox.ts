import type { Frame, FrameSource } from "../../data/frame.js";
import type { EngineFrame } from "./messages.js";

/** A camera's frames on their way to the detector: a source that never fails. */
export class Mailbox implements FrameSource {
  private readonly waiting: EngineFrame[] = [];
  private isClosed = false;
  private announce: () => void = () => {};
  private count = 0;

  /** @param onTaken called when the detector takes a frame */
  constructor(
    readonly name: string,
    readonly width: number,
    readonly height: number,
    private readonly onTaken: () => void,
  ) {}

  /** Takes in the next frame. */
  push(frame: EngineFrame): void {
    this.waiting.push(frame);
    this.announce();
  }

  /** No frame follows. */
  end(): void {
    this.isClosed = true;
    this.announce();
  }

  async *frames(signal?: AbortSignal): AsyncGenerator<Frame> {
    const onAbort = () => this.announce();
    signal?.addEventListener("abort", onAbort, { once: true });
    const { width, height } = this;
    try {
      for (;;) {
        signal?.throwIfAborted();
        const next = this.waiting.shift();
        if (next) {
          this.onTaken();
          yield { data: next.data, width, height, index: this.count++, number: next.number };
        } else if (this.isClosed) return;
        else {
          await new Promise<void>((resolve) => {
            this.announce = resolve;
          });
        }
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }
}
