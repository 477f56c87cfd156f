// Thresholds of what was learnt before, found again.
import type { ScoreSettings } from "../../detector/settings.js";
import type { Known } from "./known.js";
import { normalState } from "./learner.js";

/**
 * What was learnt, with thresholds from all that was seen.
 * @param alarmsPerDay false alarms that are acceptable
 */
export function settled(known: Known, alarmsPerDay: number, { frameScore }: Pick<ScoreSettings, "frameScore">): Known {
  const modes = Object.entries(known).map(([mode, { seen, state: before }]) => {
    const state = normalState(seen, alarmsPerDay, frameScore) ?? before;
    return [mode, { seen, ...(state && { state }) }];
  });
  return Object.fromEntries(modes);
}

/** What was learnt, its thresholds for this rate of false alarms. */
export function atRate(known: Known, alarmsPerDay: number, settings: Pick<ScoreSettings, "frameScore">): Known {
  const isOther = Object.values(known).some(({ state }) => state && state.alarmsPerDay !== alarmsPerDay);
  return isOther ? settled(known, alarmsPerDay, settings) : known;
}
