// What a camera's source is for ffmpeg: an address, a device, or a file that is played as live.
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { isAddress, parseAddress, refuseScheme } from "./address.js";
import type { DecodedInput } from "./decode.js";
import { httpInput } from "./http.js";
import { rtspInput } from "./rtsp.js";
import { videoInput } from "./video.js";

/** A source, and how ffmpeg reads it. */
export interface LiveInput extends DecodedInput {
  /** Options before those of the feed. */
  before: readonly string[];
  /** Whether it ends by itself, as a file does. */
  ends: boolean;
  /** Whether it is raw frames, which are encoded for a recording. */
  isRaw?: boolean;
}

/** How a source that is no camera is played. */
export interface LiveOptions {
  /** Frames of a file come as fast as they are read, not at the rate of the file. */
  fast?: boolean;
}

/**
 * Finds out what a source is: an address (rtsp, rtsps, http, https), `device:/dev/video0`, or a
 * video file.
 * @throws InputError if it is none of these, or its host is not known
 */
export async function liveInput(source: string, { fast = false }: LiveOptions = {}): Promise<LiveInput> {
  if (isAddress(source)) {
    const address = parseAddress(source);
    const input = await (/^http/.test(address.url.protocol) ? httpInput(address) : rtspInput(address));
    return { ...input, before: [], ends: false };
  }
  const device = /^device:(.*)$/.exec(source)?.[1];
  if (device !== undefined) return { ...(await deviceInput(device)), before: [], ends: false };
  refuseScheme(source);
  return { ...(await videoInput(source)), before: fast ? [] : ["-re"], ends: true };
}

/** A camera of this machine (Video4Linux). */
async function deviceInput(path: string): Promise<DecodedInput> {
  const shown = oneLine(path);
  try {
    if (!(await stat(path)).isCharacterDevice()) throw new Error("it is no device");
    await access(path, constants.R_OK);
  } catch (error) {
    const isRefused = (error as NodeJS.ErrnoException).code === "EACCES";
    const hint = isRefused ? "; on most systems the group video may read cameras" : "";
    throw new InputError(`${shown} cannot be read: ${reasonOf(error)}${hint}`);
  }
  const args = ["-protocol_whitelist", "file", "-f", "v4l2", "-i", path];
  return { name: path, open: async () => ({ args, hidden: path }) };
}
