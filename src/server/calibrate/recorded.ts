// Calibrates a camera from recorded videos, which are scored as the camera itself would be.
import { once } from "node:events";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { type Frame, type FrameSource, sampleStride } from "../../data/frame.js";
import { Detector, type NodeDetectorOptions } from "../../node/detector.js";
import { makeFolder } from "../../node/files/atomic.js";
import { reasonOf } from "../../node/files/messages.js";
import { weightsHash } from "../../node/files/weights_hash.js";
import { Decisions } from "../camera/decisions.js";
import { changeKnown, folderOf, type Kept, type Known, readKnown, scoredBy } from "../camera/known.js";
import { UsualView } from "../camera/view.js";
import { type CaptureOptions, capture } from "../capture.js";
import type { CameraConfig } from "../config/config.js";
import type { EngineFacts } from "../engine/messages.js";
import { EventLog } from "../event_log.js";
import { Models, sizeOf } from "../models.js";
import { type CalibrationListener, type CameraCalibration, inShadow, keepCalibration } from "./calibration.js";

/** What recorded videos are scored with. */
export interface RecordedCalibrationOptions {
  /** The data folder. */
  data: string;
  /** Paths of the checkpoint, unless the camera has a model of its own. */
  checkpoint: readonly string[];
  detector?: Omit<NodeDetectorOptions, "onNotice" | "tokenMaps">;
  /** Forget what was learnt before. */
  fresh: boolean;
}

/** A calibration from videos. */
export interface RecordedCalibration extends CameraCalibration {
  /** The videos that were scored to their end. Only these count. */
  videos: readonly string[];
}

/** Frames that wait for the detector. */
const MOST_WAITING = 4;
/** Seconds between two videos, on the clock of the usual view. */
const BETWEEN = 60;

/**
 * Calibrates a camera from files of normal video. If the signal ends it, the videos that are
 * complete by then are kept.
 * @throws LogInUseError if a process watches with this data folder; InputError if something cannot
 * be used; GpuError if the GPU fails
 */
export async function calibrateRecorded(
  camera: CameraConfig,
  videos: readonly string[],
  { data, checkpoint, detector: options, fresh }: RecordedCalibrationOptions,
  listener: CalibrationListener,
  signal: AbortSignal,
): Promise<RecordedCalibration> {
  await makeFolder(data);
  // Nobody else may write what was learnt meanwhile.
  const lock = await EventLog.open(join(data, "events"));
  let detector: Detector | undefined;
  try {
    const onNotice = (line: string) => listener.onNotice(line);
    const onWarning = (_: string, line: string) => listener.onWarning(line);
    const models = await Models.open({ data, cameras: [camera] }, checkpoint, options ?? {}, onWarning);
    const { paths } = await models.of(camera);
    detector = await Detector.open([...paths], { ...options, tokenMaps: true, onNotice });
    const facts = factsOf(detector);
    const { modes, references } = await keptBefore(data, camera, facts, fresh, listener);
    const view = new UsualView();
    view.begin(references, true);
    const run = { camera: inShadow(camera), detector, view, listener };
    let known = modes;
    let begin = 0;
    const complete: string[] = [];
    try {
      for (const video of videos) {
        signal.throwIfAborted();
        const seen = await watchVideo(video, run, known, begin, signal);
        known = seen.known;
        begin = seen.end + BETWEEN;
        complete.push(video);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    return { ...(await keepCalibration(data, camera, facts, { known, view })), videos: complete };
  } finally {
    detector?.close();
    await lock.close();
  }
}

function factsOf({ gpu, settings, checkpoint }: Detector): EngineFacts {
  return { adapter: gpu.adapter.description, settings, model: weightsHash(checkpoint.weights) };
}

async function keptBefore(
  data: string,
  camera: CameraConfig,
  facts: EngineFacts,
  fresh: boolean,
  listener: CalibrationListener,
): Promise<Kept> {
  const nothing: Kept = { modes: {}, references: {} };
  if (fresh) return nothing;
  const [folder, by] = [folderOf(data, camera), scoredBy(facts)];
  try {
    await changeKnown(folder, by);
    return await readKnown(folder, by);
  } catch (error) {
    listener.onWarning(reasonOf(error));
    return nothing;
  }
}

interface Run {
  camera: CameraConfig;
  detector: Detector;
  view: UsualView;
  listener: CalibrationListener;
}

/**
 * Scores a video.
 * @param known what was learnt before it
 * @param begin seconds, of its first frame
 * @returns what is known after it, and when it ended
 */
async function watchVideo(
  video: string,
  { camera, detector, view, listener }: Run,
  known: Known,
  begin: number,
  signal: AbortSignal,
): Promise<{ known: Known; end: number }> {
  const { fps } = camera;
  const size = sizeOf(camera, detector);
  const decisions = new Decisions(camera, { newId: () => "", emit: () => {}, view });
  decisions.ready(detector.settings, known);
  decisions.connected(0);
  const waiting = new Map<number, Uint8Array>();
  const source: FrameSource = {
    ...{ name: video, fps, ...size },
    async *frames(stop = signal): AsyncGenerator<Frame> {
      let index = 0;
      const options = { source: video, fps, ...size, privacy: camera.privacy, fast: true };
      for await (const frame of capturedFrames(options, stop)) {
        waiting.set(index, frame);
        yield { data: frame, ...size, index, number: index };
        index++;
      }
    },
  };
  const timeOf = (number: number) => {
    const stream = number / fps;
    return { steady: begin + stream, wall: 1000 * (begin + stream), stream };
  };
  let [last, looked] = [0, 0];
  for await (const { frame, tokens } of detector.stream(source, signal)) {
    // However many frames are on their way, those that a score is made of are looked at before it.
    for (; looked <= frame + sampleStride && waiting.has(looked); looked++) {
      decisions.frame(waiting.get(looked)!, size, looked, timeOf(looked));
      waiting.delete(looked);
    }
    decisions.score({ number: frame, tokens: tokens! });
    last = frame;
    listener.onSeconds(1 / fps);
  }
  decisions.close(timeOf(last), "the video is over");
  return { known: decisions.known, end: begin + last / fps };
}

/** The frames that a camera would give of a file, as fast as they are taken. */
async function* capturedFrames(options: CaptureOptions, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const frames = new PassThrough({ objectMode: true, highWaterMark: MOST_WAITING });
  const onFrame = ({ data }: { data: Uint8Array }) =>
    frames.write(data) || once(frames, "drain", { signal: either }).then(() => true);
  const reading = capture(options, "", { onFrame }, either).then(
    () => frames.end(),
    (error: Error) => frames.destroy(error),
  );
  try {
    yield* frames as AsyncIterable<Uint8Array>;
  } finally {
    stop.abort();
    await reading;
  }
}
