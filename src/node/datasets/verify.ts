// Checks the videos of a data set, for the dataset command.

import { stat } from "node:fs/promises";
import { counted } from "../../counted.js";
import { checkLabelCount, type DatasetVideo, type TrackBox } from "../../data/dataset.js";
import { checkFrameSize } from "../../data/frame.js";
import { InputError } from "../../errors.js";
import { oneLine, reasonOf } from "../files/messages.js";
import { listFrameFiles } from "../media/frame_folder.js";
import { readImage } from "../media/images.js";
import { inFlight } from "../media/in_flight.js";

/**
 * What was found in a video. What the data set does not have, or what cannot be read, is absent.
 */
export interface VideoFindings {
  frames?: number;
  /** What a video file's header promises, if frames were not counted. */
  estimatedFrames?: number;
  width?: number;
  height?: number;
  /** Frames per second, of a video file. */
  fps?: number;
  /** 0 or 1 per frame. */
  labels?: Uint8Array;
  /** The number of frames with a pixel mask; absent if not counted. */
  masks?: number;
  /** Every region of every track; absent if not read. */
  tracks?: TrackBox[];
  /** One line for each thing that is wrong. */
  faults: string[];
}

/** How a video is checked. */
export interface ExamineOptions {
  /** Leave out tracks: some data sets compute them from images, which takes long. */
  skipTracks?: boolean;
  signal?: AbortSignal;
}

const DECODES_IN_FLIGHT = 4;

/**
 * Reads a video's first frame and first mask, its labels and its tracks. What is wrong is in the
 * findings' `faults`; nothing but an abort is thrown.
 */
export async function glance(video: DatasetVideo, { skipTracks, signal }: ExamineOptions = {}): Promise<VideoFindings> {
  const findings: VideoFindings = { faults: [] };
  const attempt = collector(findings.faults);
  await attempt(async () => {
    const { width, height, fps, frameCount, estimatedFrameCount } = await video.open();
    Object.assign(findings, { width, height, fps, frames: frameCount, estimatedFrames: estimatedFrameCount });
  });
  findings.frames ??= video.frameCount;
  signal?.throwIfAborted();
  await attempt(async () => {
    findings.labels = await video.labels?.();
  });
  const { mask } = video;
  if (mask) {
    await attempt(async () => {
      await mask(0);
      findings.masks = video.frameCount;
    });
  }
  if (!skipTracks) {
    await attempt(async () => {
      findings.tracks = await video.tracks?.();
    });
  }
  return findings;
}

/**
 * Decodes every frame and every mask of a video, and reads its labels and tracks. After a fault it
 * continues if it can: after a damaged image in a folder, but not after ffmpeg has given up.
 * @param onImage called after each frame and each mask
 */
export async function verify(
  video: DatasetVideo,
  options: ExamineOptions = {},
  onImage: () => void = () => {},
): Promise<VideoFindings> {
  const findings: VideoFindings = { faults: [] };
  const { signal } = options;
  const attempt = collector(findings.faults);
  await attempt(async () => {
    const info = await stat(video.path).catch((error: unknown) => {
      throw new InputError(`${oneLine(video.path)} cannot be read: ${reasonOf(error)}`);
    });
    if (info.isDirectory()) await verifyFolder(video, findings, attempt, onImage, signal);
    else await verifyFile(video, findings, onImage, signal);
  });
  const { frames } = findings;
  await attempt(async () => {
    const labels = await video.labels?.();
    if (labels && frames !== undefined) checkLabelCount(`the label file of ${oneLine(video.path)}`, labels, frames);
    findings.labels = labels;
  });
  await verifyMasks(video, findings, attempt, onImage, signal);
  signal?.throwIfAborted();
  await attempt(async () => {
    findings.tracks = await video.tracks?.();
  });
  const { width = Number.POSITIVE_INFINITY, height = Number.POSITIVE_INFINITY } = findings;
  const over = findings.tracks?.find((b) => b.x1 < 0 || b.y1 < 0 || b.x2 >= width || b.y2 >= height);
  if (over) {
    const { track, frame, x1, y1, x2, y2 } = over;
    findings.faults.push(
      `${oneLine(video.path)}: the box ${x1},${y1},${x2},${y2} of track ${track} at position ${frame} reaches beyond the frame, ${width}×${height} pixels`,
    );
  }
  // A fault of a folder of masks is found once per frame.
  findings.faults = [...new Set(findings.faults)];
  return findings;
}

async function verifyMasks(
  video: DatasetVideo,
  findings: VideoFindings,
  attempt: Attempt,
  onImage: () => void,
  signal?: AbortSignal,
): Promise<void> {
  const { mask } = video;
  const { frames } = findings;
  if (!mask || frames === undefined) return;
  const good = new Set<number>();
  const contradicted: number[] = [];
  await inFlight(Array(frames).keys(), DECODES_IN_FLIGHT, async (frame) => {
    signal?.throwIfAborted();
    await attempt(async () => {
      const { data } = await mask(frame);
      good.add(frame);
      if (findings.labels?.[frame] === 0 && data.includes(1)) contradicted.push(frame);
    });
    onImage();
  });
  findings.masks = good.size;
  if (contradicted.length === 0) return;
  const first = Math.min(...contradicted);
  findings.faults.push(
    `${oneLine(video.path)}: labels and masks disagree in ${contradicted.length} of ${counted(frames, "frame")}: labelled normal, but with abnormal pixels; the first is at position ${first}`,
  );
}

type Attempt = (work: () => Promise<void>) => Promise<void>;

/** Runs work whose InputError is kept as a fault. */
function collector(faults: string[]): Attempt {
  return (work) =>
    work().catch((error: unknown) => {
      if (!(error instanceof InputError)) throw error;
      faults.push(error.message);
    });
}

async function verifyFolder(
  video: DatasetVideo,
  findings: VideoFindings,
  attempt: Attempt,
  onImage: () => void,
  signal?: AbortSignal,
): Promise<void> {
  const files = await listFrameFiles(video.path);
  findings.frames = files.length;
  // Images finish out of order, but the first one decides the size of the video.
  const sizes: ({ width: number; height: number } | undefined)[] = [];
  await inFlight(files, DECODES_IN_FLIGHT, async (file, i) => {
    signal?.throwIfAborted();
    await attempt(async () => {
      const { width, height } = await readImage(file.path);
      checkFrameSize(oneLine(file.path), width, height);
      sizes[i] = { width, height };
    });
    onImage();
  });
  const reference = sizes.findIndex((size) => size !== undefined);
  const own = sizes[reference];
  if (!own) return;
  Object.assign(findings, own);
  for (const [i, size] of sizes.entries()) {
    if (!size || (size.width === own.width && size.height === own.height)) continue;
    findings.faults.push(
      `${oneLine(files[i].path)} is ${size.width}×${size.height} pixels, ` +
        `but ${oneLine(files[reference].name)} is ${own.width}×${own.height}`,
    );
  }
}

async function verifyFile(
  video: DatasetVideo,
  findings: VideoFindings,
  onImage: () => void,
  signal?: AbortSignal,
): Promise<void> {
  const source = await video.open();
  const { width, height, fps } = source;
  Object.assign(findings, { width, height, fps });
  let count = 0;
  for await (const _ of source.frames(signal)) {
    count++;
    onImage();
  }
  findings.frames = count;
  findings.faults.push(...(source.warnings ?? []));
}
