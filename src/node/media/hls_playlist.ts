// Playlists of HLS (RFC 8216): which segments there are, and how they are stored.
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";

/** Where bytes are: an address, relative to the playlist's, and a part of what it leads to. */
export interface Place {
  uri: string;
  range?: { at: number; length: number };
}

/** How segments are encrypted: AES-128 with a key of 16 bytes. */
export interface SegmentKey {
  uri: string;
  /** Default: the segment's number. */
  iv?: Buffer;
}

/** A piece of the video. */
export interface Segment extends Place {
  /** Its number in the stream. */
  sequence: number;
  key?: SegmentKey;
  /** What comes before the segments in MP4, once. */
  map?: Place & { key?: SegmentKey };
  /** The server does not have it. */
  isGap: boolean;
}

/** A playlist of segments. */
export interface MediaPlaylist {
  kind: "segments";
  segments: Segment[];
  /** The longest segment, in seconds. */
  target: number;
  /** Whether no segment will be added. */
  isComplete: boolean;
}

/** A playlist of playlists: the same video in several sizes. */
export interface Variants {
  kind: "variants";
  /** Those with pictures, the highest bandwidth first. */
  uris: string[];
}

const MOST_SEGMENTS = 200_000;
/** Seconds; a longer time between two looks at a playlist would be none. */
const LONGEST_TARGET = 60;

/** @throws InputError (without the playlist's name) if it is not HLS, or cannot be read */
export function parsePlaylist(text: string): MediaPlaylist | Variants {
  const lines = text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .map((line) => line.trim());
  if (lines.some((line) => line.startsWith("#EXT-X-DEFINE"))) {
    throw new InputError("its playlist has variables (EXT-X-DEFINE), which are not supported");
  }
  if (lines.some((line) => line.startsWith("#EXT-X-STREAM-INF:"))) return variantsOf(lines);
  if (!lines.some((line) => line.startsWith("#EXT-X-TARGETDURATION:"))) {
    throw new InputError("it is a playlist, but not of HLS; name a video or a playlist of HLS");
  }
  return segmentsOf(lines);
}

function variantsOf(lines: readonly string[]): Variants {
  const found: { uri: string; bandwidth: number }[] = [];
  for (const [i, line] of lines.entries()) {
    if (!line.startsWith("#EXT-X-STREAM-INF:")) continue;
    const { BANDWIDTH, RESOLUTION, CODECS } = attributes(line);
    const uri = lines.slice(i + 1).find((next) => next !== "" && !next.startsWith("#"));
    // Sound alone: codecs are named, and none of them is of pictures.
    const isSound = !RESOLUTION && CODECS !== undefined && /^\s*((mp4a|ac-3|ec-3|opus|flac)[^,]*,?\s*)+$/i.test(CODECS);
    if (uri !== undefined && !isSound) found.push({ uri, bandwidth: Number(BANDWIDTH) || 0 });
  }
  if (found.length === 0) throw new InputError("its playlist names no variant with pictures");
  return { kind: "variants", uris: found.sort((a, b) => b.bandwidth - a.bandwidth).map(({ uri }) => uri) };
}

function segmentsOf(lines: readonly string[]): MediaPlaylist {
  const playlist: MediaPlaylist = { kind: "segments", segments: [], target: 1, isComplete: false };
  let sequence = 0;
  let key: SegmentKey | undefined;
  let unreadable: string | undefined;
  let map: Segment["map"];
  let range: Place["range"];
  let isGap = false;
  /** Where a range without a place begins. */
  let last: { uri: string; end: number } | undefined;
  let isKeyGroup = false;
  for (const line of lines) {
    const value = line.slice(line.indexOf(":") + 1);
    const isKey = line.startsWith("#EXT-X-KEY:");
    if (line.startsWith("#EXT-X-MEDIA-SEQUENCE:")) sequence = wholeNumber(value);
    else if (line.startsWith("#EXT-X-TARGETDURATION:")) {
      playlist.target = Math.min(Math.max(Number(value) || 1, 0.5), LONGEST_TARGET);
    } else if (line === "#EXT-X-ENDLIST") playlist.isComplete = true;
    else if (line === "#EXT-X-GAP") isGap = true;
    else if (line.startsWith("#EXT-X-BYTERANGE:")) range = rangeOf(value, undefined);
    else if (isKey) {
      const { METHOD, URI, IV, KEYFORMAT = "identity" } = attributes(line);
      // Several keys in a row are one key in several systems; this program knows the plain one.
      if (!isKeyGroup) [key, unreadable] = [undefined, undefined];
      if (METHOD === "AES-128" && KEYFORMAT === "identity" && URI !== undefined) key = { uri: URI, iv: ivOf(IV) };
      else if (METHOD !== "NONE") unreadable = `${METHOD}, ${KEYFORMAT}`;
    } else if (line.startsWith("#EXT-X-MAP:")) {
      const { URI, BYTERANGE } = attributes(line);
      if (URI === undefined) throw new InputError("its playlist has an EXT-X-MAP without URI");
      map = { uri: URI, range: BYTERANGE === undefined ? undefined : rangeOf(BYTERANGE, 0), key };
    } else if (line !== "" && !line.startsWith("#")) {
      if (unreadable !== undefined && !key) {
        throw new InputError(`it is encrypted in a way that is not supported (${oneLine(unreadable)})`);
      }
      if (playlist.segments.length === MOST_SEGMENTS) {
        throw new InputError(`its playlist names more than ${MOST_SEGMENTS} segments`);
      }
      if (range && Number.isNaN(range.at)) range = { ...range, at: last?.uri === line ? last.end : 0 };
      playlist.segments.push({ uri: line, range, sequence, key, map, isGap });
      last = range && { uri: line, end: range.at + range.length };
      [range, isGap] = [undefined, false];
      sequence++;
    }
    if (line !== "") isKeyGroup = isKey;
  }
  return playlist;
}

/** Attributes of a tag by name, without quotation marks. */
function attributes(line: string): Partial<Record<string, string>> {
  const found: Partial<Record<string, string>> = {};
  for (const [, name, quoted, plain] of line.matchAll(/([A-Z0-9-]+)=(?:"([^"]*)"|([^,"]*))/g)) {
    found[name] = quoted ?? plain;
  }
  return found;
}

/** `LENGTH[@PLACE]`; a place that is not named is `at`, or NaN. */
function rangeOf(text: string, at: number | undefined): NonNullable<Place["range"]> {
  const [length, place] = text.split("@");
  const range = { length: wholeNumber(length), at: place === undefined ? (at ?? Number.NaN) : wholeNumber(place) };
  if (range.length === 0) throw new InputError("its playlist names a part of no bytes");
  return range;
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text.trim()) || !Number.isSafeInteger(value)) {
    throw new InputError(`its playlist has ${oneLine(text)} where a number must be`);
  }
  return value;
}

function ivOf(text: string | undefined): Buffer | undefined {
  if (text === undefined) return undefined;
  const digits = /^0x([\da-f]{1,32})$/i.exec(text)?.[1];
  if (digits === undefined) throw new InputError("its playlist has an IV that is not a hexadecimal number of 128 bits");
  return Buffer.from(digits.padStart(32, "0"), "hex");
}
