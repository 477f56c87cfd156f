// Calibrates a camera of a configuration, live or from recorded videos, and shows what was found.
import { rmdir } from "node:fs/promises";
import { basename } from "node:path";
import { InputError } from "../errors.js";
import { makeFolder } from "../node/files/atomic.js";
import { oneLine } from "../node/files/messages.js";
import { isAddress } from "../node/media/address.js";
import { openInput } from "../node/media/open.js";
import { duration } from "../report/web/format.js";
import type { CalibrationListener, CameraCalibration } from "../server/calibrate/calibration.js";
import { calibrateLive } from "../server/calibrate/live.js";
import { calibrateRecorded } from "../server/calibrate/recorded.js";
import type { CameraConfig, WatchConfig } from "../server/config/config.js";
import { scrubber } from "../server/config/secrets.js";
import { LogInUseError } from "../server/log_lock.js";
import { checkPath, checkpointOf, refuseRepeated } from "./config_paths.js";
import { lengthOf } from "./normal_video.js";
import { type DeviceOptions, deviceOf } from "./options/device.js";
import { usualHours } from "./options/watch.js";
import { type CalibratedCamera, modeNames, modesOf, showCalibration } from "./outputs/camera_calibration.js";
import { Progress } from "./terminal/progress.js";
import { readWatchConfig } from "./watching.js";

/** The options of `calibrate` that a camera has. */
export interface CameraCalibrateOptions extends DeviceOptions {
  config: string;
  checkpoint?: string;
  data?: string;
  hours?: number;
  fresh?: boolean;
  loop?: boolean;
  report?: string;
  quiet?: boolean;
}

/** What one calibration is about. */
interface Job extends CalibratedCamera {
  config: WatchConfig;
}

/**
 * Calibrates a camera, and keeps what was found for `watch`. If the signal ends it, what was seen
 * is kept.
 * @param names the camera's id, then videos; without any, the camera itself is watched
 * @throws InputError if something cannot be used, another process watches with the data folder, or
 * the video is too short for a threshold; the signal's reason
 */
export async function calibrateCamera(
  [id, ...videos]: readonly string[],
  options: CameraCalibrateOptions,
  signal: AbortSignal,
): Promise<void> {
  const { data, report } = options;
  const read = await readWatchConfig(options.config);
  const config = { ...read, ...(data !== undefined && { data }) };
  const camera = cameraOf(config, id, options.config);
  const job = { config, data: config.data, camera, videos, checkpoint: checkpointOf(config, options.checkpoint) };
  const scrub = scrubber(config.secrets);
  const isQuiet = options.quiet ?? false;
  const say = (line: string) => {
    if (!isQuiet) process.stderr.write(`${scrub(line)}\n`);
  };
  // What is wrong with files is reported before anything is scored.
  const total = videos.length > 0 ? await secondsOf(videos) : 3600 * (options.hours ?? usualHours);
  if (videos.length === 0) await checkPath(camera.source);
  const madeFolder = report !== undefined && (await makeFolder(report, `--report ${report}`));
  const progress = new Seconds(total, isQuiet);
  const listener: CalibrationListener = {
    onSeconds: (seconds) => progress.add(seconds),
    onNotice: (line) => {
      if (!isQuiet) progress.print(scrub(line));
    },
    onWarning: (line) => progress.print(`warning: ${scrub(line)}`),
  };
  try {
    const found = await run(job, options, total, listener, signal).finally(() => progress.stop());
    if (signal.aborted) {
      process.stderr.write(`${interruption(found, options.fresh ?? false)}\n`);
      throw signal.reason;
    }
    await showCalibration(found, job, report, say);
  } catch (error) {
    // A run that failed leaves no new folder if it is empty.
    if (madeFolder) await rmdir(report).catch(() => undefined);
    throw error instanceof LogInUseError ? inUse(error, config.data) : error;
  }
}

function cameraOf({ cameras }: WatchConfig, id: string, file: string): CameraConfig {
  const camera = cameras.find((one) => one.id === id);
  if (camera) return camera;
  const ids = cameras.map((one) => one.id).join(", ");
  throw new InputError(`${oneLine(file)} has no camera ${oneLine(id)}: name one of ${ids}`);
}

/** Seconds of all videos; undefined if it is not known. @throws InputError if one cannot be read */
async function secondsOf(videos: readonly string[]): Promise<number | undefined> {
  await refuseRepeated(videos);
  let sum: number | undefined = 0;
  for (const video of videos) {
    if (isAddress(video)) throw new InputError("a recorded video is a file, not an address");
    await checkPath(video);
    const source = await openInput(video);
    const length = lengthOf(source) ?? (source.estimatedFrameCount ?? Number.NaN) / (source.fps ?? Number.NaN);
    await source.close?.();
    sum = sum === undefined || Number.isNaN(length) ? undefined : sum + length;
  }
  return sum;
}

function run(
  { config, camera, videos, checkpoint }: Job,
  options: CameraCalibrateOptions,
  total: number | undefined,
  listener: CalibrationListener,
  signal: AbortSignal,
): Promise<CameraCalibration & { videos?: readonly string[] }> {
  const { fresh = false, loop = false } = options;
  const how = { checkpoint: [checkpoint], detector: deviceOf(options), fresh };
  if (videos.length > 0) return calibrateRecorded(camera, videos, { ...how, data: config.data }, listener, signal);
  return calibrateLive(config, camera, { ...how, seconds: total!, play: { loop } }, listener, signal);
}

/** The error of a data folder that is in use, for somebody who calibrates. */
const inUse = ({ pid }: LogInUseError, data: string): InputError =>
  new InputError(
    `process ${pid} uses ${data}: \`watch\` learns by itself, and begins again with "Learn again" on its page (under Threshold); to calibrate here, end that process first`,
  );

/** Shows seconds of video as they are scored. */
class Seconds {
  private readonly progress: Progress;
  private seconds = 0;
  private shown = 0;

  constructor(total: number | undefined, quiet: boolean) {
    this.progress = new Progress("seconds of video", total && Math.max(1, Math.round(total)), quiet, true);
  }

  add(seconds: number): void {
    this.seconds += seconds;
    const whole = Math.floor(this.seconds + 1e-6) - this.shown;
    if (whole <= 0) return;
    this.shown += whole;
    this.progress.advance(whole);
  }

  print(line: string): void {
    this.progress.print(line, process.stderr);
  }

  stop(): void {
    this.progress.stop();
  }
}

function interruption(found: CameraCalibration & { videos?: readonly string[] }, fresh: boolean): string {
  const again = fresh ? "run it again without --fresh" : "run it again";
  if (found.videos) {
    const names = found.videos.map((video) => basename(video)).join(", ");
    return names === ""
      ? "interrupted: no video was complete, so nothing is kept"
      : `interrupted: ${names} ${found.videos.length === 1 ? "is" : "are"} kept; ${again} with the other videos`;
  }
  const seen = modesOf(found).map(([mode, { seen }]) => `${duration(seen.seconds)} ${modeNames[mode]}`);
  if (seen.length === 0) return "interrupted: nothing was learnt yet";
  return `interrupted: what was learnt is kept (${seen.join(", ")}); ${again} to go on`;
}
