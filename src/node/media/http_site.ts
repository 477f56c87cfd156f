// Requests to one host by HTTP or HTTPS: name and password, redirects, silence, ranges.
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { LookupFunction } from "node:net";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { type Address, authorization, connectionReason, resolveHost } from "./address.js";

const MOST_REDIRECTS = 5;
/** A server that says nothing for this long has failed, in ms. */
export const SILENCE = 30_000;

/** What is asked for. */
export interface Asked {
  signal?: AbortSignal;
  range?: { at: number; length: number };
  /** In messages, behind the address: what is asked for, if it is not the address itself. */
  what?: string;
}

/** The server's answer says that there is no such thing, or not any longer. */
export class Missing extends InputError {}

/** All chunks together. @throws InputError, with the name that is shown, if they are larger */
export async function gathered(chunks: AsyncIterable<Buffer>, most: number, shown: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  let count = 0;
  for await (const chunk of chunks) {
    parts.push(chunk);
    count += chunk.length;
    if (count > most) throw new InputError(`${shown} is larger than ${most} bytes`);
  }
  return Buffer.concat(parts);
}

/** A host, and how it is read. */
export class Site {
  /** What the server has asked for; so not every request is refused at first. */
  private challenge: string | undefined;

  private constructor(
    readonly address: Address,
    private readonly lookup: LookupFunction,
  ) {}

  static async find(address: Address): Promise<Site> {
    return new Site(address, await resolveHost(address));
  }

  /**
   * Asks for a path. Redirects are followed on the same host only, never from HTTPS to HTTP.
   * @returns the answer, and where it came from
   * @throws InputError if the answer is not 200 (206 for a range)
   */
  async get(asked: URL, options: Asked = {}): Promise<{ answer: IncomingMessage; url: URL }> {
    const { login } = this.address;
    const shown = this.shown(options);
    let url = asked;
    let isRepeated = false;
    for (let redirects = 0; ; ) {
      const answer = await this.send(url, options);
      const status = answer.statusCode ?? 0;
      if (status === (options.range ? 206 : 200)) return { answer, url };
      answer.destroy();
      const { location, "www-authenticate": challenge = "" } = answer.headers;
      if (status === 401 && login && !isRepeated && authorization(login, challenge, "GET", "/") !== undefined) {
        this.challenge = challenge;
        isRepeated = true;
        continue;
      }
      if (status === 401) {
        const why = login ? "refuses this name and password" : "needs a name and a password (http://NAME:PASSWORD@…)";
        throw new InputError(`${shown}: the server ${why}`);
      }
      if (status === 200) throw new InputError(`${shown}: the server gives no parts of a file`);
      if (status < 300 || status > 399 || location === undefined) {
        const Kind = status === 404 || status === 410 ? Missing : InputError;
        throw new Kind(`${shown}: the server answers ${status} ${oneLine(answer.statusMessage ?? "")}`.trim());
      }
      if (++redirects > MOST_REDIRECTS)
        throw new InputError(`${shown}: the server redirects more than ${MOST_REDIRECTS} times`);
      url = this.redirected(url, location, shown);
      isRepeated = false;
    }
  }

  /**
   * A whole answer.
   * @param most bytes
   * @throws InputError if it is larger, or as {@link get}
   */
  async bytes(asked: URL, most: number, options: Asked = {}): Promise<{ bytes: Buffer; url: URL }> {
    const { answer, url } = await this.get(asked, options);
    return { bytes: await gathered(this.chunks(answer, options), most, this.shown(options)), url };
  }

  /** An answer's bytes. @throws InputError if the connection breaks off */
  async *chunks(answer: IncomingMessage, options: Asked = {}): AsyncGenerator<Buffer> {
    try {
      yield* answer as AsyncIterable<Buffer>;
    } catch (error) {
      options.signal?.throwIfAborted();
      throw new InputError(`${this.shown(options)}: the connection broke off: ${connectionReason(error)}`);
    } finally {
      answer.destroy();
    }
  }

  shown({ what }: Asked = {}): string {
    return what === undefined ? this.address.shown : `${this.address.shown}: ${what}`;
  }

  private redirected(from: URL, location: string, shown: string): URL {
    let to: URL;
    try {
      to = new URL(location, from);
    } catch {
      throw new InputError(`${shown}: the server redirects to an invalid address`);
    }
    if (to.hostname !== from.hostname || !/^https?:$/.test(to.protocol)) {
      throw new InputError(
        `${shown}: the server redirects to ${oneLine(to.protocol)}//${oneLine(to.host)}, which is not followed: ` +
          "name that address instead",
      );
    }
    if (from.protocol === "https:" && to.protocol === "http:") {
      throw new InputError(`${shown}: the server redirects from https to http, which is not followed`);
    }
    return to;
  }

  private send(url: URL, { signal, range, what }: Asked): Promise<IncomingMessage> {
    const start = url.protocol === "https:" ? requestHttps : requestHttp;
    const { login } = this.address;
    const authorized =
      login && this.challenge !== undefined
        ? authorization(login, this.challenge, "GET", `${url.pathname}${url.search}`)
        : undefined;
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
            ...(range ? { range: `bytes=${range.at}-${range.at + range.length - 1}` } : {}),
            ...(authorized === undefined ? {} : { authorization: authorized }),
          },
        },
        (answer) => {
          received = answer;
          resolve(answer);
        },
      );
      // The request itself would hear of silence once only.
      sent.on("socket", (socket) => {
        socket.on("timeout", () => {
          // Bytes that wait to be read: then it is our side that is slow.
          if (received?.readableLength) socket.setTimeout(SILENCE);
          else sent.destroy(new Error(`the server says nothing for ${SILENCE / 1000} s`));
        });
      });
      sent.on("error", (error) =>
        reject(
          signal?.aborted
            ? signal.reason
            : new InputError(`${this.shown({ what })} cannot be reached: ${connectionReason(error)}`),
        ),
      );
      sent.end();
    });
  }
}
