// A machine's side of the pages of others: it tells what its cameras do while somebody looks, and
// answers for its pictures and clips. Nothing leaves the machine unless it is asked for.
import type { Msg, Subscription } from "@nats-io/transport-node";
import { reasonOf } from "../../node/files/messages.js";
import type { WatchState } from "../../server/web/api.js";
import { frameMessage } from "../../server/web/state.js";
import type { WatchFeed } from "../../server/web/watched.js";
import type { Cluster } from "../connection.js";
import {
  CHUNK,
  LOOK,
  type Look,
  lookSchema,
  packAnswer,
  pageSubject,
  readMessage,
  requestSchema,
  type Seen,
  seenSubject,
} from "./messages.js";

/** What {@link PageServer} is made with. */
export interface PageServerOptions {
  nats: Cluster["nats"];
  /** The machine's name. */
  name: string;
  feed: WatchFeed;
  /** The page's app, which asks for no token: who may ask here is the server's to say. */
  app: { fetch(request: Request): Response | Promise<Response> };
}

/** Milliseconds for which a look holds. */
const HOLDS = 6000;
/** What others may ask for. */
const paths =
  /^\/(api\/cameras\/[a-z0-9_-]+\/(picture\.jpg|levels|histogram|calibrate)|api\/events\/[\w.:-]+\/normal|files\/clips\/[\w./-]+)$/;

/** A page that is open on another machine. */
interface Viewer {
  until: number;
  frames: number;
  /** When the next frame of each camera may be sent. */
  due: Map<string, number>;
}

/** Answers pages of other machines. */
export class PageServer {
  private readonly viewers = new Map<string, Viewer>();
  private readonly subscriptions: Subscription[];
  private readonly endListening: () => void;

  constructor(private readonly options: PageServerOptions) {
    const { nats, name, feed } = options;
    this.subscriptions = [
      nats.subscribe(LOOK, { callback: (_, message) => void this.look(message).catch(unanswered) }),
      nats.subscribe(pageSubject(name), { callback: (_, message) => void this.answer(message).catch(unanswered) }),
    ];
    this.endListening = feed.listen({
      onOutcome: ({ config: { id } }, outcome) => {
        const now = performance.now();
        for (const [page, viewer] of this.viewers) {
          if (now > viewer.until) this.viewers.delete(page);
          else if (viewer.frames > 0 && now >= (viewer.due.get(id) ?? 0)) {
            viewer.due.set(id, now + 1000 / viewer.frames);
            this.tell(page, { type: "frame", machine: name, frame: frameMessage(id, outcome) });
          }
        }
      },
    });
  }

  close(): void {
    this.endListening();
    for (const one of this.subscriptions) one.unsubscribe();
  }

  private async look(message: Msg): Promise<void> {
    const look = readMessage(lookSchema, message.data);
    if (!look || look.page === this.options.name) return;
    this.see(look);
    const answer = await this.ask("GET", "/api/state", {});
    if (!answer.ok) return;
    const { cameras, problem, queues } = (await answer.json()) as WatchState;
    const problems = [
      ...(problem === null ? [] : [problem]),
      ...queues.flatMap(({ sink, problem: why }) => (why === null ? [] : [`alerts by ${sink}: ${why}`])),
    ];
    this.tell(look.page, { type: "state", machine: this.options.name, cameras, problems });
  }

  private see({ page, frames }: Look): void {
    const until = performance.now() + HOLDS;
    const viewer = this.viewers.get(page);
    if (viewer) Object.assign(viewer, { until, frames });
    else this.viewers.set(page, { until, frames, due: new Map() });
  }

  private tell(page: string, seen: Seen): void {
    // A connection that is closed says so elsewhere.
    if (!this.options.nats.isClosed()) this.options.nats.publish(seenSubject(page), JSON.stringify(seen));
  }

  private async answer(message: Msg): Promise<void> {
    const request = readMessage(requestSchema, message.data);
    const respond = (status: number, headers: Record<string, string>, body: Uint8Array) =>
      void message.respond(packAnswer({ status, headers }, body));
    const refuse = (status: number, error: string) =>
      respond(status, { "content-type": "application/json" }, Buffer.from(JSON.stringify({ error })));
    if (!request || !paths.test(request.path)) return refuse(404, "there is no such page");
    try {
      const { method, path, headers } = request;
      const isFile = path.startsWith("/files/");
      const answer = await this.ask(method, path, isFile && method === "GET" ? inParts(headers) : headers);
      const body = new Uint8Array(await answer.arrayBuffer());
      if (body.length > CHUNK + 100) return refuse(413, "the answer is too long");
      respond(answer.status, Object.fromEntries(answer.headers), body);
    } catch (error) {
      refuse(500, reasonOf(error));
    }
  }

  private async ask(method: string, path: string, headers: Record<string, string>): Promise<Response> {
    const own = { host: "localhost", origin: "http://localhost" };
    return this.options.app.fetch(new Request(`http://localhost${path}`, { method, headers: { ...headers, ...own } }));
  }
}

/** Whoever asked asks again, or gives up. A connection that is closed says so elsewhere. */
const unanswered = (): void => {};

/** A request for as much of a file as a message holds. */
function inParts(headers: Record<string, string>): Record<string, string> {
  const [, from = "0", to = ""] = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(headers.range ?? "") ?? [];
  const most = Number(from) + CHUNK - 1;
  return { ...headers, range: `bytes=${from}-${to === "" ? most : Math.min(Number(to), most)}` };
}
