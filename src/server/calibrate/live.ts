// Calibrates a camera by watching it for a while.
import { InputError } from "../../errors.js";
import { LONGEST } from "../camera/learner.js";
import type { CameraConfig, WatchConfig } from "../config/config.js";
import type { EngineFacts } from "../engine/messages.js";
import { Supervisor, type SupervisorOptions } from "../supervisor.js";
import { type CalibrationListener, type CameraCalibration, inShadow, keepCalibration } from "./calibration.js";

/** How long a camera is watched, and with what. */
export interface LiveCalibrationOptions extends Omit<SupervisorOptions, "calibrate"> {
  /** Seconds of scored video. */
  seconds: number;
  /** Forget what was learnt before. */
  fresh: boolean;
}

/** Seconds: a longer time between two scores is a gap, in which nothing was seen. */
const GAP = 5;

/**
 * Calibrates a camera by watching it, in shadow mode, until enough video was scored, a file ends,
 * or the signal ends it. What was seen is kept in any case.
 * @throws LogInUseError if a process watches with this data folder; InputError if something cannot
 * be used, or nothing was scored; the signal's reason if nothing was scored until then
 */
export async function calibrateLive(
  config: WatchConfig,
  camera: CameraConfig,
  { seconds: wanted, fresh, ...options }: LiveCalibrationOptions,
  listener: CalibrationListener,
  signal: AbortSignal,
): Promise<CameraCalibration> {
  const stop = new AbortController();
  let facts: EngineFacts | undefined;
  let [seconds, last] = [0, Number.NaN];
  let isFull = false;
  const supervisor = await Supervisor.open(
    { ...config, cameras: [inShadow(camera)], sinks: [] },
    { ...options, calibrate: { fresh } },
    {
      onOutcome: ({ decisions }, { time: { steady }, mode }) => {
        facts = [...supervisor.facts.values()].at(0) ?? facts;
        if (Number.isNaN(last) && (decisions.known[mode]?.seen.seconds ?? 0) >= LONGEST) {
          isFull = true;
          listener.onNotice("a day of video was learnt from already: more adds nothing (--fresh learns again)");
        }
        // Not every scored frame is learnt from, such as those after a gap.
        const now = isFull ? steady : decisions.added;
        const step = now - last;
        last = now;
        if (!(step > 0 && step <= GAP)) return;
        seconds += step;
        listener.onSeconds(step);
        if (seconds >= wanted) stop.abort();
      },
      onNotice: (level, from, line) => {
        if (level !== "info") listener.onWarning(`${from}: ${line}`);
        else if (from === "engine") listener.onNotice(line);
      },
      onChange: ({ change, event: { kind, text } }) => {
        if (kind === "offline" && change === "new") listener.onWarning(`${camera.id} is offline: ${text ?? ""}`);
      },
    },
  );
  try {
    await supervisor.run(new Map(), AbortSignal.any([signal, stop.signal]));
    if (!facts) {
      signal.throwIfAborted();
      throw new InputError(`${camera.id}: the video ended before anything was scored`);
    }
    const [{ decisions }] = supervisor.cameras;
    return await keepCalibration(config.data, camera, facts, decisions);
  } finally {
    await supervisor.close();
  }
}
