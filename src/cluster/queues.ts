// The queues from which a worker takes its videos, one video at a time.
import type { Consumer, JsMsg } from "@nats-io/jetstream";

/** Takes the next video from whichever queue has one. */
export class Queues {
  /** Each queue, and the question for a video that it has not answered yet. */
  private readonly questions = new Map<Consumer, Promise<void> | undefined>();
  private take: ((message: JsMsg) => void) | undefined;

  /** @param wait seconds that a queue is asked for a video */
  constructor(private readonly wait: number) {}

  add(consumer: Consumer): void {
    this.questions.set(consumer, undefined);
  }

  /** The next video, if there is one soon. The signal ends the wait. */
  next(signal: AbortSignal): Promise<JsMsg | undefined> {
    return new Promise((resolve, reject) => {
      const take = (message: JsMsg) => {
        this.take = undefined;
        resolve(message);
      };
      /** A later call may wait by now: its video is its own. */
      const stop = () => {
        if (this.take === take) this.take = undefined;
      };
      this.take = take;
      const all = [...this.questions].map(([consumer, before]) => before ?? this.ask(consumer, signal));
      Promise.all(all)
        .finally(stop)
        .then(() => resolve(undefined), reject);
    });
  }

  /** Asks a queue. A video that comes while another one is scored goes back at once. */
  private ask(consumer: Consumer, signal: AbortSignal): Promise<void> {
    const answered = this.answer(consumer, signal).finally(() => this.questions.set(consumer, undefined));
    this.questions.set(consumer, answered);
    // Nobody may be waiting for it any more.
    answered.catch(() => {});
    return answered;
  }

  private async answer(consumer: Consumer, signal: AbortSignal): Promise<void> {
    const messages = await consumer.fetch({ max_messages: 1, expires: 1000 * this.wait });
    const stop = () => void messages.close();
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
    try {
      for await (const message of messages) {
        if (this.take) this.take(message);
        else message.nak();
        break;
      }
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }
}
