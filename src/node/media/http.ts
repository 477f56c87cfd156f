// A video that comes by HTTP. Node makes the requests, and ffmpeg gets the bytes through a pipe: so
// nothing in the video or the answer can make ffmpeg open a file or a connection.
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FrameSource } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { reasonOf } from "../files/messages.js";
import type { Address } from "./address.js";
import { type DecodedInput, type Feed, openDecoded, PIPE_INPUT } from "./decode.js";
import { HlsStream, LARGEST_PLAYLIST } from "./hls.js";
import { Site } from "./http_site.js";
import { movieIndexFirst } from "./movie_index.js";

/** Bytes of the answer that are looked at before the rest is passed on. */
const HEAD = 65_536;

/**
 * Opens a video or an HLS playlist by HTTP or HTTPS, as openVideo opens a file. Redirects are
 * followed on the same host only, never from HTTPS to HTTP. Other playlists are refused.
 * @param opening ends the opening
 * @throws InputError if the host or the answer is of no use, or as openVideo does
 */
export async function openHttp(program: string, address: Address, opening?: AbortSignal): Promise<FrameSource> {
  return openDecoded(program, await httpInput(address), opening);
}

/** A video by HTTP as an input of ffmpeg. @throws InputError if its host is not known */
export async function httpInput(address: Address): Promise<DecodedInput> {
  const site = await Site.find(address);
  return {
    name: address.shown,
    open: async (signal) => {
      // What waits for the server ends with the feed.
      const closing = new AbortController();
      const any = AbortSignal.any(signal ? [signal, closing.signal] : [closing.signal]);
      const { bytes, live, warnings } = await content(site, any);
      return {
        ...PIPE_INPUT,
        ...(live && { live }),
        write: (stdin) => passOn(bytes, stdin, address.shown, closing.signal),
        warnings,
        close: async () => closing.abort(),
      };
    },
  };
}

/** @throws InputError if the body ends in an error; that ffmpeg has read enough is none */
async function passOn(
  body: AsyncIterable<Buffer>,
  stdin: Writable,
  shown: string,
  closing: AbortSignal,
): Promise<void> {
  let failure: unknown;
  async function* watched(): AsyncGenerator<Buffer> {
    try {
      yield* body;
    } catch (error) {
      if (!closing.aborted) failure = error;
    }
  }
  await pipeline(Readable.from(watched()), stdin).catch(() => {});
  if (failure instanceof InputError) throw failure;
  if (failure !== undefined) throw new InputError(`${shown}: the connection broke off: ${reasonOf(failure)}`);
}

/** A video's bytes, in an order that can be read without jumps. */
interface Content {
  bytes: AsyncIterable<Buffer>;
  live?: Feed["live"];
  warnings?(): string[];
}

async function content(site: Site, signal: AbortSignal): Promise<Content> {
  const { shown } = site.address;
  const { answer, url } = await site.get(site.address.url, { signal });
  const chunks = site.chunks(answer, { signal });
  let head: Buffer = Buffer.alloc(0);
  let done = false;
  const isPlaylist = () => /^(\u00ef\u00bb\u00bf)?#EXTM3U/.test(head.toString("latin1", 0, 16));
  while (!done && head.length < (isPlaylist() ? LARGEST_PLAYLIST : HEAD)) {
    const next = await chunks.next();
    if (next.done) done = true;
    else head = Buffer.concat([head, next.value]);
    // Enough to tell what it is, unless it is a movie: live pictures come slowly.
    if (head.length >= 16 && !isPlaylist() && head.toString("latin1", 4, 8) !== "ftyp") break;
  }
  if (head.length === 0) throw new InputError(`${shown} is empty`);
  if (isPlaylist()) {
    await chunks.return(undefined);
    if (!done) throw new InputError(`${shown} is a playlist of more than ${LARGEST_PLAYLIST} bytes`);
    const stream = await HlsStream.open(site, head.toString("utf8"), url, signal);
    // Segments come in bursts, which are read at the rate of the video.
    return { bytes: stream.bytes(), live: ["-re"], warnings: () => stream.warnings };
  }
  if (
    /dash\+xml/i.test(answer.headers["content-type"] ?? "") ||
    /^\s*(<\?xml.*\s*)?<MPD/.test(head.toString("latin1"))
  ) {
    await chunks.return(undefined);
    throw new InputError(`${shown} is a playlist of DASH, which is not read; name a video or a playlist of HLS`);
  }
  const part =
    answer.headers["accept-ranges"] === "bytes"
      ? async (at: number, length: number) => {
          const { bytes } = await site.bytes(url, length, { range: { at, length }, signal });
          return bytes;
        }
      : undefined;
  const size = Number(answer.headers["content-length"]) || undefined;
  const first = part && size ? await movieIndexFirst(head, size, part) : undefined;
  async function* bytes(): AsyncGenerator<Buffer> {
    if (first) yield* first;
    else yield head;
    yield* chunks;
  }
  // Pictures one after the other have no times. ffmpeg would take them for 25 per second.
  const isPictures = /^multipart\//i.test(answer.headers["content-type"] ?? "");
  return { bytes: bytes(), ...(isPictures && { live: ["-use_wallclock_as_timestamps", "1"] }) };
}
