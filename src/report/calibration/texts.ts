// What a threshold means, in words and rates.
import { counted } from "../../counted.js";
import { alarmsAt, type NormalLevels, type RateThreshold } from "../../watch/calibration.js";
import { duration } from "../web/format.js";

/** What this much normal video can tell, and what it cannot, in a few sentences. */
export function support(normal: NormalLevels, { threshold, alarmsPerDay, extrapolation }: RateThreshold): string[] {
  const watched = duration(normal.seconds);
  const alarms = alarmsAt(normal, threshold);
  const seen = `the normal video raises ${counted(alarms, "alarm")} at this threshold, in ${watched}`;
  if (extrapolation <= 1) return [seen];
  const needed = duration(86_400 / alarmsPerDay);
  // With no alarm in a time t, a rate above 3 / t is ruled out with 95 % confidence.
  const bound = (3 * 86_400) / normal.seconds;
  return [
    `${seen}: this only shows, with 95 % confidence, that there are fewer than ${rate(bound)}`,
    `so the threshold is an estimate: the tail of the histogram is continued ${fold(extrapolation)}-fold; ${needed} of normal video would measure it`,
  ];
}

/** "3.2" or "14". */
export function fold(extrapolation: number): string {
  return extrapolation < 10 ? extrapolation.toFixed(1) : Math.round(extrapolation).toString();
}

/** A rate in the unit that suits it: "2 alarms per day", "3.5 alarms per hour". */
export function rate(perDay: number, what = "alarm"): string {
  if (perDay >= 72) return `${digits(perDay / 24)} ${what}s per hour`;
  return `${digits(perDay)} ${what}${perDay === 1 ? "" : "s"} per day`;
}

/** Two digits below 10, else a whole number. */
export function digits(value: number): string {
  return String(value < 10 ? Number(value.toPrecision(2)) : Math.round(value));
}
