// A page that is open, without a browser: it reads the stream of events, the live pictures of each
// camera, and asks now and then for what the page asks for.
import { setMaxListeners } from "node:events";
import { get, type IncomingMessage } from "node:http";

/** Milliseconds between looks at state, events and metrics. */
const LOOK_EVERY = 10_000;

/** What came to a page. */
export interface PageCounts {
  frames: number;
  changes: number;
  /** Bytes of live pictures. */
  pictureBytes: number;
}

/** An open page. */
export class PageClient {
  readonly counts: PageCounts = { frames: 0, changes: 0, pictureBytes: 0 };
  private readonly closing = new AbortController();
  private readonly timer: NodeJS.Timeout;

  /**
   * @param cameras ids
   * @param onChange hears of each change, at once
   */
  constructor(
    private readonly url: string,
    cameras: readonly string[],
    private readonly onChange: (change: string, event: string) => void = () => {},
  ) {
    // Each response that goes on listens for the end.
    setMaxListeners(0, this.closing.signal);
    this.read("api/stream", (response) => this.readStream(response));
    for (const camera of cameras) {
      this.read(`api/cameras/${camera}/live.mjpeg`, (response) => {
        response.on("data", (chunk: Buffer) => {
          this.counts.pictureBytes += chunk.length;
        });
      });
      this.read(`api/cameras/${camera}/levels`, (response) => response.resume());
    }
    this.look();
    this.timer = setInterval(() => this.look(), LOOK_EVERY);
  }

  /** Closes the page. */
  close(): void {
    clearInterval(this.timer);
    this.closing.abort();
  }

  private look(): void {
    for (const path of ["api/state", "api/events?limit=50", "metrics"])
      this.read(path, (response) => response.resume());
  }

  private read(path: string, take: (response: IncomingMessage) => void): void {
    // Whoever measures hears of a process that has ended by other ways.
    get(`${this.url}${path}`, { signal: this.closing.signal }, (response) => {
      response.on("error", () => {});
      take(response);
    }).on("error", () => {});
  }

  private readStream(response: IncomingMessage): void {
    let rest = "";
    response.setEncoding("utf8").on("data", (text: string) => {
      const messages = (rest + text).split("\n\n");
      rest = messages.pop()!;
      for (const message of messages) {
        const [, event, data] = /^event: (\w+)\ndata: (.*)$/s.exec(message) ?? [];
        if (event === "frame") this.counts.frames++;
        if (event !== "change") continue;
        this.counts.changes++;
        const change = JSON.parse(data) as { change: string; event: { id: string } };
        this.onChange(change.change, change.event.id);
      }
    });
  }
}
