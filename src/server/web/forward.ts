// Answers of other machines.
import { setTimeout as sleep } from "node:timers/promises";
import type { Context } from "hono";
import { reasonOf } from "../../node/files/messages.js";
import type { Elsewhere, ForwardedRequest } from "./elsewhere.js";

/** Headers that go there, and those that come back. */
const there = ["accept", "range", "if-range", "if-none-match"];
const back = ["content-type", "content-length", "content-range", "accept-ranges", "etag", "cache-control"];

/** Milliseconds between pictures of another machine's camera. */
const PICTURE = 500;

/** Lets another machine answer a request. @param path default: the request's */
export async function forwarded(
  c: Context,
  elsewhere: Pick<Elsewhere, "ask">,
  machine: string,
  path = c.req.path,
): Promise<Response> {
  const headers = Object.fromEntries(
    there.flatMap((name) => {
      const value = c.req.header(name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const method = c.req.method as ForwardedRequest["method"];
  let answer: Response;
  try {
    answer = await elsewhere.ask(machine, { method, path, headers });
  } catch (error) {
    return c.json({ error: `${machine} does not answer: ${reasonOf(error)}` }, 502);
  }
  // The headers that keep other sites out are this page's own.
  for (const name of back) {
    const value = answer.headers.get(name);
    if (value !== null) c.header(name, value);
  }
  return c.body(answer.body as ReadableStream, answer.status as 200);
}

/** Pictures of a camera that another machine watches, as long as somebody looks. */
export function picturesOf(
  camera: string,
  elsewhere: Pick<Elsewhere, "ask" | "machineOf">,
): { picture: Uint8Array | undefined; close(): void } {
  const gone = new AbortController();
  const pictures = { picture: undefined as Uint8Array | undefined, close: () => gone.abort() };
  const follow = async () => {
    while (!gone.signal.aborted) {
      const machine = await elsewhere.machineOf(camera).catch(() => undefined);
      const path = `/api/cameras/${camera}/picture.jpg`;
      const answer =
        machine === undefined
          ? undefined
          : await elsewhere.ask(machine, { method: "GET", path, headers: {} }).catch(() => undefined);
      if (answer?.ok) pictures.picture = new Uint8Array(await answer.arrayBuffer());
      await sleep(PICTURE, undefined, { signal: gone.signal, ref: false }).catch(() => {});
    }
  };
  void follow();
  return pictures;
}
