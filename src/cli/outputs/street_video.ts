// Drawn streets as video files.
import type { SceneAnomaly } from "../../data/scene/actors.js";
import { createScene } from "../../data/scene/scene.js";
import { VideoWriter } from "../../node/media/video_writer.js";
import { trainingScene } from "../../train/presets.js";

/** A drawn street, seen from where the bundled model saw its streets. */
export interface StreetVideo {
  seed: number;
  /** The video's number: each has its own people and weather. */
  index: number;
  frames: number;
  /** Frames per second of the street's time. */
  fps: number;
  /** Frames per second of the video; default: the same. */
  played?: number;
  /** In pixels, both even. */
  size: { height: number; width: number };
  anomalies: readonly SceneAnomaly[] | "none";
}

/**
 * Draws a street into a video (.mp4), which appears whole or not at all.
 * @param onFrame called for each frame
 * @throws the signal's reason
 */
export async function drawStreet(
  path: string,
  { seed, fps, played = fps, size, ...what }: StreetVideo,
  onFrame: () => void,
  signal: AbortSignal,
): Promise<void> {
  const video = createScene({ ...size, fps, view: trainingScene.view, seed }).video(what);
  const writer = await VideoWriter.create(path, {
    ...size,
    fps: played,
    keyFrames: Math.max(1, Math.round(2 * played)),
  });
  try {
    for (let frame = 0; frame < what.frames; frame++) {
      signal.throwIfAborted();
      await writer.write(video.render(frame).image);
      onFrame();
      // So that Ctrl-C is heard.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await writer.commit();
  } finally {
    await writer.discard();
  }
}
