// The web page of the watch process and its API.
import { join } from "node:path";
import { type Context, Hono } from "hono";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../../node/files/messages.js";
import { histogramMarkup } from "../../report/calibration/histogram.js";
import { wasDeleted } from "../event_files.js";
import type { EventFilter } from "../event_query.js";
import { type EventKind, eventKinds } from "../records.js";
import type { ListedEvent, WatchState } from "./api.js";
import { type Elsewhere, machinesPath } from "./elsewhere.js";
import { clipFile, filesPath } from "./files.js";
import { forwarded, picturesOf } from "./forward.js";
import { type GuardOptions, guard } from "./guard.js";
import { Levels } from "./levels.js";
import { Login, type WebEnvironment } from "./login.js";
import { watchMetrics } from "./metrics.js";
import { pageFiles, watchPage } from "./page_file.js";
import { livePictures, livePicturesType } from "./pictures.js";
import { scrubbed, stateOf } from "./state.js";
import { Streams } from "./stream.js";
import type { SeenCamera, SeenWatch, WatchFeed } from "./watched.js";

/** Who may see the page, and what nobody may see. */
export interface WebOptions extends GuardOptions {
  /** Takes secrets out of texts. */
  scrub?(text: string): string;
  /** What is wrong with an edit of the configuration that is not used. */
  editProblem?(): string | undefined;
  /** Cameras of other machines, which the page shows too. */
  elsewhere?: Elsewhere;
}

/** Events that are sent at once, unless the request says otherwise, and at most. */
const USUAL_EVENTS = 50;
const MOST_EVENTS = 1000;
/** Readers of live pictures at a time. */
const MOST_LIVE = 20;

/** What routes need. */
interface Parts {
  watch: SeenWatch;
  levels: Levels;
  streams: Streams;
  state(): Promise<WatchState>;
  /** Answers with JSON without secrets. */
  json(c: Context, value: unknown): Response;
  elsewhere: Elsewhere | undefined;
}

/**
 * The page and its API, for `serveWeb`.
 * @param watch a supervisor
 * @param feed one of the supervisor's listeners
 */
export function webApp(watch: SeenWatch, feed: WatchFeed, options: WebOptions = {}): Hono<WebEnvironment> {
  const { token, scrub = (text) => text } = options;
  const levels = new Levels();
  feed.listen(levels);
  const started = Date.now();
  const { elsewhere } = options;
  const state = async () => {
    const own = await stateOf(watch, levels, started, options.editProblem?.());
    return elsewhere ? withOthers(own, elsewhere) : own;
  };
  const streams = new Streams(feed, { scrub, state, ...(elsewhere && { elsewhere }) });
  const json = (c: Context, value: unknown) => c.json(scrubbed(value, scrub) as object);
  const metrics = watchMetrics(watch, feed, elsewhere);

  const app = new Hono<WebEnvironment>();
  app.onError((error, c) => {
    const isTheirs = error instanceof InputError;
    const message = isTheirs ? error.message : `this went wrong: ${reasonOf(error)}`;
    return c.json({ error: scrub(oneLine(message)) }, isTheirs ? 400 : 500);
  });
  app.notFound((c) => c.json({ error: "there is no such page" }, 404));
  app.use(guard(options));
  app.get("/livez", (c) => c.text("ok\n"));
  if (token !== undefined) new Login(token).protect(app);
  app.get("/readyz", (c) => {
    if (elsewhere?.isInTouch === false) return c.text("cut off from the server: nothing is watched\n", 503);
    return watch.isReady ? c.text("ok\n") : c.text("the engine does not score yet\n", 503);
  });
  app.get("/metrics", async (c) => c.body(await metrics.metrics(), 200, { "Content-Type": metrics.contentType }));
  pageRoutes(app);
  const parts = { watch, levels, streams, state, json, elsewhere };
  eventRoutes(app, parts);
  cameraRoutes(app, parts);
  return app;
}

function pageRoutes(app: Hono<WebEnvironment>): void {
  app.get("/", (c) => c.html(watchPage));
  for (const { path, type, content } of pageFiles) {
    app.get(path, (c) => {
      const headers = { "Content-Type": type, "Cache-Control": "private, max-age=31536000, immutable" };
      return c.body(content, 200, headers);
    });
  }
}

function eventRoutes(app: Hono<WebEnvironment>, { watch, streams, state, json, elsewhere }: Parts): void {
  app.get("/api/state", async (c) => json(c, await state()));
  app.get("/api/events", async (c) => {
    const filter = filterOf(c.req.query());
    return json(c, await (elsewhere ? elsewhere.events(filter) : listed(watch, filter)));
  });
  app.on(["POST", "DELETE"], "/api/events/:id/normal", async (c) => {
    const { id } = c.req.param();
    const machine = await elsewhere?.machineOfEvent(id);
    if (machine !== undefined) return forwarded(c, elsewhere!, machine);
    const isNormal = c.req.method === "POST";
    await watch.markNormal(id, isNormal);
    return json(c, { id, feedback: isNormal ? "normal" : null });
  });
  app.get("/api/stream", (c) => streamed(c, "text/event-stream", () => streams.open(c.env?.outgoing)));
  app.get(`${filesPath}*`, (c) => clipFile(c, join(watch.config.data, "clips")));
  if (!elsewhere) return;
  app.get(`${machinesPath}:machine{[A-Za-z0-9][A-Za-z0-9_-]*}/clips/*`, (c) => {
    const { machine } = c.req.param();
    return forwarded(c, elsewhere, machine, c.req.path.replace(`${machinesPath}${machine}/`, "/files/"));
  });
}

/** A state with the cameras of other machines. */
async function withOthers(own: WatchState, elsewhere: Elsewhere): Promise<WatchState> {
  const { cameras, ...shared } = await elsewhere.state();
  const machine = shared.machines.find((one) => one.own)?.name ?? null;
  const others = cameras.filter(({ id }) => !own.cameras.some((camera) => camera.id === id));
  const all = [...own.cameras.map((camera) => ({ ...camera, machine })), ...others];
  all.sort((a, b) => (a.id < b.id ? -1 : 1));
  return { ...own, cameras: all, shared };
}

/** Events, with a mark on those whose files are gone. */
async function listed({ log, config }: SeenWatch, filter: EventFilter): Promise<ListedEvent[]> {
  const events = await log.events(filter);
  return Promise.all(
    events.map(async (event) => ({
      ...event,
      ...((await wasDeleted(config.data, event)) && { deleted: true as const }),
    })),
  );
}

function cameraRoutes(app: Hono<WebEnvironment>, { watch, levels, json, elsewhere }: Parts): void {
  const cameraOf = (c: Context): SeenCamera | undefined =>
    watch.cameras.find(({ config }) => config.id === c.req.param("id"));
  /** The machine of the camera that a request is about, if it is another one. */
  const machineOf = async (c: Context) => (cameraOf(c) ? undefined : elsewhere?.machineOf(c.req.param("id") ?? ""));
  const route = (name: string, answer: (c: Context<WebEnvironment>, camera: SeenCamera) => Response) =>
    app.get(`/api/cameras/:id/${name}`, async (c) => {
      const machine = await machineOf(c);
      if (machine !== undefined) return forwarded(c, elsewhere!, machine);
      const camera = cameraOf(c);
      return camera ? answer(c, camera) : c.json({ error: "there is no such camera" }, 404);
    });
  route("picture.jpg", (c, { picture }) => {
    if (!picture) return c.json({ error: "there is no picture yet" }, 404);
    return c.body(new Uint8Array(picture), 200, { "Content-Type": "image/jpeg" });
  });
  let live = 0;
  app.get("/api/cameras/:id/live.mjpeg", async (c) => {
    const machine = await machineOf(c);
    if (machine === undefined && !cameraOf(c)) return c.json({ error: "there is no such camera" }, 404);
    return streamed(c, livePicturesType, () => {
      if (live >= MOST_LIVE) return undefined;
      live++;
      const other = machine === undefined ? undefined : picturesOf(c.req.param("id"), elsewhere!);
      return livePictures(
        () => other ?? cameraOf(c),
        () => {
          live--;
          other?.close();
        },
      );
    });
  });
  route("levels", (c, { config: { id } }) => json(c, levels.pointsOf(id)));
  route("histogram", (c, camera) => {
    const markup = histogramOf(camera, watch);
    if (markup === undefined) return c.json({ error: "there is nothing learnt yet" }, 404);
    return c.html(markup);
  });
  app.post("/api/cameras/:id/calibrate", async (c) => {
    const { id } = c.req.param();
    const machine = await machineOf(c);
    if (machine !== undefined) return forwarded(c, elsewhere!, machine);
    if (!cameraOf(c)) return c.json({ error: "there is no such camera" }, 404);
    await watch.recalibrate(id);
    return json(c, { id });
  });
}

/**
 * Sends a stream that does not end. HEAD opens none.
 * @param open gives none if there are too many
 */
function streamed(c: Context, type: string, open: () => ReadableStream<Uint8Array> | undefined): Response {
  // Proxies must not hold back what is small.
  const headers = { "Content-Type": type, "X-Accel-Buffering": "no" };
  if (c.req.method === "HEAD") return c.body(null, 200, headers);
  const stream = open();
  if (stream) return c.body(stream, 200, headers);
  c.header("Retry-After", "10");
  return c.json({ error: "too many pages are open" }, 503);
}

/** Which events a request asks for. @throws InputError if it cannot be understood */
function filterOf({ camera, since, until, kind, limit }: Record<string, string | undefined>): EventFilter {
  if (kind && !eventKinds.some((known) => known === kind)) {
    throw new InputError(`kind is not one of ${eventKinds.join(", ")}`);
  }
  const most = limit === undefined ? USUAL_EVENTS : Number(limit);
  if (!Number.isInteger(most) || most < 1 || most > MOST_EVENTS) {
    throw new InputError(`limit is not a whole number from 1 to ${MOST_EVENTS}`);
  }
  return {
    limit: most,
    ...(camera && { camera }),
    ...(since && { since }),
    ...(until && { until }),
    ...(kind && { kind: kind as EventKind }),
  };
}

/** The levels of normal minutes, with the threshold; undefined if there are none. */
function histogramOf({ config, decisions }: SeenCamera, watch: SeenWatch): string | undefined {
  const learnt = watch.learnt(config.id);
  if (!learnt || learnt.minutes.length === 0) return undefined;
  const threshold = decisions.threshold ?? learnt.threshold;
  return histogramMarkup({ values: learnt.minutes, spans: "minutes", threshold, median: learnt.normal });
}
