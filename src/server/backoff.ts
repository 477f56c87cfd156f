// How long to wait before something is tried again, and waiting.
import { setTimeout as sleep } from "node:timers/promises";

/** Seconds. */
export interface BackoffOptions {
  /** The first wait. */
  first: number;
  /** The longest wait. */
  most: number;
  /** Waits differ by up to this share, so that many cameras do not come back at once. */
  jitter?: number;
  random?: () => number;
}

/** Waits that double until a limit. */
export class Backoff {
  private wait: number;

  constructor(private readonly options: BackoffOptions) {
    this.wait = options.first;
  }

  /** Seconds to wait now. */
  next(): number {
    const { most, jitter = 0.2, random = Math.random } = this.options;
    const wait = this.wait;
    this.wait = Math.min(2 * wait, most);
    return wait * (1 + jitter * (2 * random() - 1));
  }

  /** It worked: the next wait is the first again. */
  reset(): void {
    this.wait = this.options.first;
  }
}

/** Waits so many seconds, or until the signal ends it. Never throws. */
export function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return sleep(1000 * Math.max(0, seconds), undefined, { signal }).catch(() => {});
}
