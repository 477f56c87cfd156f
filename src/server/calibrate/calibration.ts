// What a calibration of a camera finds, and how it is kept for `watch`.
import type { ScoreSettings } from "../../detector/settings.js";
import type { CameraMode } from "../../watch/scene_change.js";
import { folderOf, type Known, scoredBy, writeKnown } from "../camera/known.js";
import { settled } from "../camera/thresholds.js";
import type { UsualView } from "../camera/view.js";
import type { CameraConfig } from "../config/config.js";
import type { EngineFacts } from "../engine/messages.js";

/** What is known of a camera after its calibration. */
export interface CameraCalibration {
  /** All that was learnt, before too. A mode with less than a minute of video has no state. */
  modes: Known;
  /** Modes in which the camera shows another view than before. */
  changed: readonly CameraMode[];
  adapter: string;
  settings: ScoreSettings;
}

/** Hears how a calibration gets on. */
export interface CalibrationListener {
  /** More was scored: seconds of video. */
  onSeconds(seconds: number): void;
  /** A line worth a look, and one about something that went wrong and ended nothing. */
  onNotice(line: string): void;
  onWarning(line: string): void;
}

/** The camera as it is calibrated: it learns, alerts nobody, and makes no clips. */
export function inShadow({ clip: _clip, record: _record, ...camera }: CameraConfig): CameraConfig {
  return { ...camera, threshold: {}, shadow: true, enabled: true };
}

/**
 * Finds the thresholds of all that was seen, and keeps them with the usual view.
 * @param data the data folder
 * @throws InputError if the file cannot be written
 */
export async function keepCalibration(
  data: string,
  camera: CameraConfig,
  facts: EngineFacts,
  { known, view }: { known: Known; view: UsualView },
): Promise<CameraCalibration> {
  const { adapter, settings } = facts;
  const modes = settled(known, camera.alarmsPerDay, settings);
  view.settle();
  const { references } = view;
  if (Object.keys(modes).length > 0) {
    await writeKnown(folderOf(data, camera), scoredBy(facts), { modes, references });
  }
  return { modes, changed: [...view.changed], adapter, settings };
}
