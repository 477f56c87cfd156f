// A stream of HLS as one run of bytes. Node fetches playlists, segments and keys, all from the
// playlist's own origin; ffmpeg gets the segments' bytes, one segment after the other.
import { createDecipheriv } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { type MediaPlaylist, type Place, parsePlaylist, type Segment, type SegmentKey } from "./hls_playlist.js";
import { type Asked, gathered, Missing, SILENCE, type Site } from "./http_site.js";

/** Bytes of a playlist; one of a day has some 4 MB. */
export const LARGEST_PLAYLIST = 16 * 2 ** 20;
/** Bytes of what comes before MP4's segments. */
const LARGEST_MAP = 4 * 2 ** 20;
/** A live stream is read from this many segments before its end on (RFC 8216 §6.3.3). */
const LIVE_SEGMENTS = 3;

/** A stream of HLS, recorded or live. */
export class HlsStream {
  /** Segments of a live stream that were gone before they were read. */
  private lost = 0;
  /** Keys by their addresses: the last one only. */
  private key: { url: string; bytes: Buffer } | undefined;
  private readonly isLive: boolean;

  private constructor(
    private readonly site: Site,
    private playlist: MediaPlaylist,
    /** The playlist's. */
    private readonly url: URL,
    private readonly signal: AbortSignal,
  ) {
    this.isLive = !playlist.isComplete;
  }

  /**
   * Reads a playlist, and if it names several variants of a video, that of the highest bandwidth.
   * @param url where the playlist came from
   * @throws InputError if it cannot be read, or leads elsewhere
   */
  static async open(site: Site, text: string, url: URL, signal: AbortSignal): Promise<HlsStream> {
    const first = parsed(site, text);
    if (first.kind === "segments") return new HlsStream(site, first, url, signal);
    const variant = sameOrigin(site, url, first.uris[0]);
    const loaded = await site.bytes(variant, LARGEST_PLAYLIST, { signal, what: "its variant's playlist" });
    const playlist = parsed(site, loaded.bytes.toString("utf8"));
    if (playlist.kind !== "segments") {
      throw new InputError(`${site.shown()}: a variant in its playlist is not a playlist of segments`);
    }
    return new HlsStream(site, playlist, loaded.url, signal);
  }

  get warnings(): string[] {
    if (this.lost === 0) return [];
    const segments = this.lost === 1 ? "segment was" : "segments were";
    return [
      `${this.site.shown()}: ${this.lost} ${segments} gone from the server before they were read; their frames are missing`,
    ];
  }

  /** The bytes of all segments; of a live stream, of those that come. */
  async *bytes(): AsyncGenerator<Buffer> {
    let { segments } = this.playlist;
    let map: string | undefined;
    let next = firstOf(this.isLive ? segments.slice(-LIVE_SEGMENTS) : segments);
    let loaded = Date.now();
    let progressed = Date.now();
    for (;;) {
      // 1. The segments that are new.
      for (const segment of segments) {
        if (segment.sequence < next) continue;
        this.lost += segment.sequence - next;
        next = segment.sequence + 1;
        if (segment.isGap) continue;
        const found = await this.initial(segment, map);
        if (found.bytes) yield found.bytes;
        map = found.map;
        yield* this.segment(segment);
        progressed = Date.now();
      }
      if (this.playlist.isComplete) return;
      // 2. The playlist again: after the longest segment's duration, or half of it if nothing was
      // new (RFC 8216 §6.3.4).
      const { target } = this.playlist;
      const isOld = progressed < loaded;
      if (isOld && Date.now() - progressed > Math.max(SILENCE, 3000 * target)) {
        throw new InputError(`${this.site.shown()}: the live stream stands still`);
      }
      await sleep(Math.max(0, loaded + target * (isOld ? 500 : 1000) - Date.now()), undefined, { signal: this.signal });
      loaded = Date.now();
      const first = segments[0]?.sequence ?? next;
      await this.reload();
      segments = this.playlist.segments;
      // 3. A stream that was started again counts from the beginning. A cache may be late, and give
      // an older playlist.
      const end = segments.at(-1)?.sequence ?? next - 1;
      if (end < Math.min(first, next - 1)) next = firstOf(segments.slice(-LIVE_SEGMENTS));
    }
  }

  private async reload(): Promise<void> {
    const { bytes } = await this.site.bytes(this.url, LARGEST_PLAYLIST, { signal: this.signal });
    const playlist = parsed(this.site, bytes.toString("utf8"));
    if (playlist.kind !== "segments") throw new InputError(`${this.site.shown()}: its playlist changes its kind`);
    this.playlist = playlist;
  }

  /** What comes before a segment of MP4, if it has not come yet. */
  private async initial(
    { map, sequence }: Segment,
    before: string | undefined,
  ): Promise<{ map?: string; bytes?: Buffer }> {
    if (!map) return { map: before };
    const name = `${map.uri} ${map.range?.at} ${map.range?.length}`;
    if (name === before) return { map: name };
    if (before !== undefined) {
      throw new InputError(
        `${this.site.shown()}: from segment ${sequence} on the video is another one (EXT-X-MAP changes)`,
      );
    }
    const chunks = this.fetched(map, sequence, map.key);
    return { map: name, bytes: await gathered(chunks, LARGEST_MAP, `${this.site.shown()}: its EXT-X-MAP`) };
  }

  private async *segment(segment: Segment): AsyncGenerator<Buffer> {
    try {
      yield* this.fetched(segment, segment.sequence, segment.key);
    } catch (error) {
      if (!(error instanceof Missing) || !this.isLive) throw error;
      this.lost++;
    }
  }

  private async *fetched({ uri, range }: Place, sequence: number, key: SegmentKey | undefined): AsyncGenerator<Buffer> {
    const asked: Asked = { signal: this.signal, range, what: `segment ${sequence}` };
    const url = sameOrigin(this.site, this.url, uri);
    const secret = key && (await this.keyBytes(key));
    const { answer } = await this.site.get(url, asked);
    const chunks = this.site.chunks(answer, asked);
    if (!key || !secret) {
      yield* chunks;
      return;
    }
    const decipher = createDecipheriv("aes-128-cbc", secret, key.iv ?? numberAsIv(sequence));
    for await (const chunk of chunks) yield decipher.update(chunk);
    try {
      yield decipher.final();
    } catch {
      throw new InputError(`${this.site.shown(asked)} does not fit its key`);
    }
  }

  private async keyBytes({ uri }: SegmentKey): Promise<Buffer> {
    const url = sameOrigin(this.site, this.url, uri);
    if (this.key?.url === url.href) return this.key.bytes;
    const asked: Asked = { signal: this.signal, what: "its key" };
    const { bytes } = await this.site.bytes(url, 1024, asked);
    if (bytes.length !== 16) throw new InputError(`${this.site.shown(asked)} has ${bytes.length} bytes, not 16`);
    this.key = { url: url.href, bytes };
    return bytes;
  }
}

const firstOf = (segments: readonly Segment[]): number => segments[0]?.sequence ?? 0;

function numberAsIv(sequence: number): Buffer {
  const iv = Buffer.alloc(16);
  iv.writeBigUInt64BE(BigInt(sequence), 8);
  return iv;
}

function parsed(site: Site, text: string): ReturnType<typeof parsePlaylist> {
  try {
    return parsePlaylist(text);
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`${site.shown()}: ${error.message}`);
    throw error;
  }
}

/** @throws InputError if an entry of a playlist leads to another host, port or protocol */
function sameOrigin(site: Site, base: URL, uri: string): URL {
  let url: URL;
  try {
    url = new URL(uri, base);
  } catch {
    throw new InputError(`${site.shown()}: its playlist names an invalid address`);
  }
  if (url.origin === base.origin && /^https?:$/.test(url.protocol)) {
    url.username = url.password = "";
    return url;
  }
  throw new InputError(
    `${site.shown()}: its playlist names ${oneLine(url.protocol)}//${oneLine(url.host)}, which is not opened: ` +
      "only what lies beside the playlist is",
  );
}
