// Learns from a camera's normal video what is normal, by the scores of one model, as `watch` does.
import type { Frame, FrameSource } from "../../data/frame.js";
import type { FrameScore } from "../../detector/scores.js";
import type { Detector } from "../../node/detector.js";
import { Decisions, type WatchedCamera } from "./decisions.js";
import type { FrameTime } from "./frame_time.js";
import type { Known } from "./known.js";
import { FIRST, normalState } from "./learner.js";
import { clipFrames, type NormalClip, type ScoredFrames } from "./normal_video.js";

/** Numbers and seconds between two videos, as between two connections. */
const GAP = 1000;
const PAUSE = 60;
/** Frames at a video's end without all their neighbours. */
const NEIGHBOURS = 3;

/**
 * Scores normal videos.
 * @param detector opened with `tokenMaps`
 * @returns what is known of each mode; its state is absent if there are less than ten minutes
 * @throws InputError if a video cannot be read, GpuError if the GPU fails, the signal's reason
 */
export async function scoreNormal(
  detector: Detector,
  clips: readonly NormalClip[],
  camera: WatchedCamera & { alarmsPerDay: number },
  how: ScoredFrames,
  { signal, onFrame }: { signal: AbortSignal; onFrame: () => void },
): Promise<Known> {
  // With a threshold nothing would be learnt. The threshold is found at the end, from all of it.
  const options = { newId: () => "", emit: () => {}, learnFirst: Number.POSITIVE_INFINITY };
  const decisions = new Decisions({ ...camera, threshold: {} }, options);
  decisions.ready(detector.settings);
  let [first, begin] = [GAP, 0];
  for (const clip of clips) {
    decisions.connected(first);
    const source = clipFrames(clip, how);
    const timeOf = (index: number): FrameTime => {
      const stream = index / how.fps;
      return { steady: begin + stream, wall: 1000 * (begin + stream), stream };
    };
    const show = ({ data, index }: Frame) => decisions.frame(data, how.size, first + index, timeOf(index));
    const waiting: FrameScore[] = [];
    let count = 0;
    for await (const score of detector.stream(seen(source, show), signal)) {
      count++;
      onFrame();
      waiting.push(score);
      if (waiting.length <= NEIGHBOURS) continue;
      const { index, tokens } = waiting.shift()!;
      decisions.score({ number: first + index, tokens: tokens! });
    }
    first += count + GAP;
    begin += count / how.fps + PAUSE;
  }
  const { known } = decisions;
  for (const mode of Object.values(known)) {
    const { seconds } = mode.seen;
    const state =
      seconds < FIRST ? undefined : normalState(mode.seen, camera.alarmsPerDay, detector.settings.frameScore);
    if (state) mode.state = state;
  }
  return known;
}

/** A source whose frames somebody sees before they are scored. */
function seen(source: FrameSource, show: (frame: Frame) => void): FrameSource {
  async function* frames(signal?: AbortSignal): AsyncGenerator<Frame> {
    for await (const frame of source.frames(signal)) {
      show(frame);
      yield frame;
    }
  }
  return { ...source, frames };
}
