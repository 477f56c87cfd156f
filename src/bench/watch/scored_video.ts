// Plays a video file through the watch process's capture and engine as fast as it is scored, and
// hands all frames and scores to whoever decides.
import type { ScoreSettings } from "../../detector/settings.js";
import { InputError } from "../../errors.js";
import type { FrameTime } from "../../server/camera/frame_time.js";
import { capture } from "../../server/capture.js";
import { Engine, type EngineOptions, MOST_UNSCORED } from "../../server/engine/engine.js";
import type { EngineScore, EngineSetup } from "../../server/engine/messages.js";

/** Who decides; see `Decisions`, whose calls these are. */
export interface Decider {
  ready(settings: ScoreSettings): void;
  frame(data: Uint8Array, size: { width: number; height: number }, number: number, time: FrameTime): void;
  score(score: EngineScore): void;
}

/** A video, and how it is scored. */
export interface ScoredVideo {
  path: string;
  /** Frames per second that are scored. */
  fps: number;
  checkpoint: string;
  /** Of the frames that the engine gets, in pixels. */
  size: { width: number; height: number };
  detector: EngineSetup["detector"];
  engine?: EngineOptions;
  onNotice(line: string): void;
}

/**
 * Scores a video to its end. No frame is left out.
 * @param start milliseconds since 1970 of the first frame
 * @throws InputError if the video cannot be read or the engine fails, the signal's reason
 */
export async function scoreVideo(video: ScoredVideo, start: number, decider: Decider, signal: AbortSignal) {
  const { path, fps, checkpoint, size, detector } = video;
  const failed = new AbortController();
  const all = AbortSignal.any([signal, failed.signal]);
  let scored = -1;
  let proceed: () => void = () => {};
  /** Waits until something has happened, again and again until it is what is waited for. */
  const until = async (isThere: () => boolean) => {
    while (!isThere() && !all.aborted) {
      await new Promise<void>((resolve) => {
        proceed = resolve;
      });
    }
  };
  all.addEventListener("abort", () => proceed(), { once: true });
  let isReady = false;
  const engine = new Engine(
    { checkpoint: [checkpoint], places: 1, ...size, detector, everyFrame: true },
    {
      onReady: ({ settings }) => {
        decider.ready(settings);
        isReady = true;
        proceed();
      },
      onScore: (score) => {
        scored = score.number;
        decider.score(score);
        proceed();
      },
      onNotice: video.onNotice,
      onLost: (why) => failed.abort(new InputError(`the engine: ${why}`)),
    },
    video.engine,
  );
  try {
    await until(() => isReady);
    const onFrame = async ({ data, index }: { data: Uint8Array; index: number }) => {
      await until(() => index - scored <= MOST_UNSCORED);
      if (all.aborted) return;
      const seconds = index / fps;
      decider.frame(data, size, index, { steady: seconds, wall: start + 1000 * seconds, stream: seconds });
      engine.send({ camera: 0, number: index, data });
    };
    await capture({ source: path, fps, ...size, fast: true }, "", { onFrame }, all);
  } finally {
    await engine.close();
  }
}
