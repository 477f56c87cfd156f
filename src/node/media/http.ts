// A video that comes by HTTP. Node makes the requests, and ffmpeg gets the bytes through a pipe: so
// nothing in the video or the answer can make ffmpeg open a file or a connection.
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { LookupFunction } from "node:net";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { type Address, authorization, resolveHost } from "./address.js";
import { openDecoded, PIPE_INPUT } from "./decode.js";
import { movieIndexFirst } from "./movie_index.js";

const MOST_REDIRECTS = 5;
/** A server that says nothing for this long has failed, in ms. */
const SILENCE = 30_000;
/** Bytes of the answer that are looked at before the rest is passed on. */
const HEAD = 65_536;

/**
 * Opens a video by HTTP or HTTPS, as openVideo opens a file. Redirects are followed on the same
 * host only, never from HTTPS to HTTP. Playlists are refused.
 * @throws InputError if the host or the answer is of no use, or as openVideo does
 */
export async function openHttp(program: string, address: Address): Promise<FrameSource> {
  const site = await Site.find(address);
  return openDecoded(program, {
    name: address.shown,
    open: async (signal) => {
      const body = await site.body(signal);
      return {
        ...PIPE_INPUT,
        write: (stdin) => passOn(body, stdin, address.shown),
        close: async () => void body.return(undefined),
      };
    },
  });
}

/** @throws InputError if the body ends in an error; that ffmpeg has read enough is none */
async function passOn(body: AsyncIterable<Buffer>, stdin: Writable, shown: string): Promise<void> {
  let failure: unknown;
  async function* watched(): AsyncGenerator<Buffer> {
    try {
      yield* body;
    } catch (error) {
      failure = error;
    }
  }
  await pipeline(Readable.from(watched()), stdin).catch(() => {});
  if (failure instanceof InputError) throw failure;
  if (failure !== undefined) throw new InputError(`${shown}: the connection broke off: ${reasonOf(failure)}`);
}

/** A host, and how one path of it is read. */
class Site {
  private url: URL;

  private constructor(
    private readonly address: Address,
    private readonly lookup: LookupFunction,
  ) {
    this.url = address.url;
  }

  static async find(address: Address): Promise<Site> {
    return new Site(address, await resolveHost(address));
  }

  /** The video's bytes, in an order that can be read without jumps. */
  async body(signal?: AbortSignal): Promise<AsyncGenerator<Buffer>> {
    const { shown } = this.address;
    const answer = await this.get(undefined, signal);
    const chunks = answer[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    let head: Buffer = Buffer.alloc(0);
    let done = false;
    try {
      while (head.length < HEAD && !done) {
        const next = await chunks.next();
        if (next.done) done = true;
        else head = Buffer.concat([head, next.value]);
        // Enough to tell what it is, unless it is a movie: live pictures come slowly.
        if (head.length >= 16 && head.toString("latin1", 4, 8) !== "ftyp") break;
      }
    } catch (error) {
      throw new InputError(`${shown}: the connection broke off: ${reasonOf(error)}`);
    }
    if (head.length === 0) throw new InputError(`${shown} is empty`);
    const type = answer.headers["content-type"] ?? "";
    if (
      /mpegurl|dash\+xml/i.test(type) ||
      /^(\u00ef\u00bb\u00bf)?#EXTM3U|^\s*(<\?xml.*\s*)?<MPD/.test(head.toString("latin1"))
    ) {
      answer.destroy();
      throw new InputError(
        `${shown} is a playlist; name a video: what a playlist names is not opened, because it may lead anywhere`,
      );
    }
    const range =
      answer.headers["accept-ranges"] === "bytes"
        ? (at: number, length: number) => this.part(at, length, signal)
        : undefined;
    const size = Number(answer.headers["content-length"]) || undefined;
    const first = range && size ? await movieIndexFirst(head, size, range) : undefined;
    async function* bytes(): AsyncGenerator<Buffer> {
      try {
        if (first) yield* first;
        else yield head;
        while (!done) {
          const next = await chunks.next();
          if (next.done) return;
          yield next.value;
        }
      } finally {
        answer.destroy();
      }
    }
    return bytes();
  }

  /** Bytes from a place on. */
  private async part(at: number, length: number, signal?: AbortSignal): Promise<Buffer> {
    const answer = await this.get(`bytes=${at}-${at + length - 1}`, signal);
    const parts: Buffer[] = [];
    let count = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      parts.push(chunk);
      count += chunk.length;
      if (count >= length) break;
    }
    answer.destroy();
    return Buffer.concat(parts).subarray(0, length);
  }

  /** @throws InputError if the answer is not 200 (206 for a range) */
  private async get(range?: string, signal?: AbortSignal): Promise<IncomingMessage> {
    const { shown, login } = this.address;
    let authorized: string | undefined;
    for (let redirects = 0; ; ) {
      const answer = await this.send(this.url, range, authorized, signal);
      const status = answer.statusCode ?? 0;
      if (status === (range ? 206 : 200)) return answer;
      answer.destroy();
      const { location, "www-authenticate": challenge = "" } = answer.headers;
      if (status === 401 && login && authorized === undefined) {
        authorized = authorization(login, challenge, "GET", `${this.url.pathname}${this.url.search}`);
        if (authorized !== undefined) continue;
      }
      if (status === 401) {
        const why = login ? "refuses this name and password" : "needs a name and a password (http://NAME:PASSWORD@…)";
        throw new InputError(`${shown}: the server ${why}`);
      }
      if (status < 300 || status > 399 || location === undefined) {
        throw new InputError(`${shown}: the server answers ${status} ${oneLine(answer.statusMessage ?? "")}`.trim());
      }
      if (++redirects > MOST_REDIRECTS)
        throw new InputError(`${shown}: the server redirects more than ${MOST_REDIRECTS} times`);
      this.url = this.redirected(location);
      authorized = undefined;
    }
  }

  private redirected(location: string): URL {
    const { shown } = this.address;
    let to: URL;
    try {
      to = new URL(location, this.url);
    } catch {
      throw new InputError(`${shown}: the server redirects to an invalid address`);
    }
    if (to.hostname !== this.url.hostname || !/^https?:$/.test(to.protocol)) {
      throw new InputError(
        `${shown}: the server redirects to ${oneLine(to.protocol)}//${oneLine(to.host)}, which is not followed: ` +
          "name that address instead",
      );
    }
    if (this.url.protocol === "https:" && to.protocol === "http:") {
      throw new InputError(`${shown}: the server redirects from https to http, which is not followed`);
    }
    return to;
  }

  private send(
    url: URL,
    range: string | undefined,
    authorized: string | undefined,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    const start = url.protocol === "https:" ? requestHttps : requestHttp;
    return new Promise((resolve, reject) => {
      let received: IncomingMessage | undefined;
      const sent = start(
        url,
        {
          signal,
          agent: false,
          timeout: SILENCE,
          lookup: this.lookup,
          headers: {
            accept: "*/*",
            "user-agent": "sdmae",
            ...(range ? { range } : {}),
            ...(authorized === undefined ? {} : { authorization: authorized }),
          },
        },
        (answer) => {
          received = answer;
          resolve(answer);
        },
      );
      sent.on("timeout", () => {
        // Bytes that wait to be read: then it is our side that is slow.
        if (!received?.readableLength) sent.destroy(new Error(`the server says nothing for ${SILENCE / 1000} s`));
      });
      sent.on("error", (error) =>
        reject(
          signal?.aborted
            ? signal.reason
            : new InputError(`${this.address.shown} cannot be reached: ${reasonOf(error)}`),
        ),
      );
      sent.end();
    });
  }
}
