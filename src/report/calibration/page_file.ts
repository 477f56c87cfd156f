// The page of a calibration: which threshold, why, and what it means.

import { script, style } from "virtual:calibration-page";
import { counted } from "../../counted.js";
import { type AlarmRule, usualAlarmRule } from "../../watch/alarm_rule.js";
import {
  alarmsAt,
  blockSeconds,
  minutePeaks,
  type NormalLevels,
  type RateThreshold,
  thresholdFor,
} from "../../watch/calibration.js";
import { duration, score } from "../web/format.js";
import { escaped, staticPage, tableMarkup } from "../web/static_page.js";
import { histogramMarkup } from "./histogram.js";
import { digits, fold, rate, support } from "./texts.js";

/** What the page shows. */
export interface CalibrationData {
  title: string;
  /** ISO 8601. */
  created: string;
  normal: NormalLevels;
  found: RateThreshold;
  /** The largest possible score, if there is one. */
  limit?: number;
  /** How scores become alarms; default: as `score` does. */
  rule?: AlarmRule;
  /** Settings and versions. */
  facts: readonly (readonly [name: string, value: string])[];
}

/** Rates beside the wanted one, in alarms per day: 10 and 1 per hour, 1 per day, 1 per week. */
const otherRates = [240, 24, 1, 1 / 7];

/** So few minutes make no histogram; their blocks do. */
const mostFew = 9;

/** The values that a calibration's histogram counts, and the length of time of each. */
export function histogramValues(normal: NormalLevels): { values: readonly number[]; unit: string } {
  const minutes = minutePeaks(normal);
  return minutes.length > mostFew
    ? { values: minutes, unit: "minute" }
    : { values: normal.blocks, unit: `${blockSeconds} s` };
}

/** A calibration as one HTML file that loads nothing. */
export function calibrationPage(data: CalibrationData): string {
  const { normal, found } = data;
  const { values, unit } = histogramValues(normal);
  const sections = [
    { id: "metrics", heading: "At a glance", markup: tiles(data) },
    {
      id: "levels",
      heading: `The highest level of each ${unit} of normal video`,
      markup:
        `<p class="hint">${escaped(explanation(data))}</p>\n` +
        histogramMarkup({
          values,
          spans: unit === "minute" ? "minutes" : `blocks of ${unit}`,
          threshold: found.threshold,
          median: normal.median,
        }),
    },
    { id: "rates", heading: "False alarms at other thresholds", markup: rates(data) },
  ];
  const notes = support(normal, found).map((text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`);
  const { title, created, facts } = data;
  return staticPage({ title, created, sections, notes, facts, script, style });
}

function explanation({ found: { threshold, alarmsPerDay }, rule = usualAlarmRule }: CalibrationData): string {
  const { average, minimum } = rule;
  return (
    `The level is the score, averaged over ${average} s. It raises an alarm if it stays at or above the threshold for ` +
    `${minimum} s. At ${score(threshold)}, expect ${rate(alarmsPerDay, "false alarm")}, as long as the camera sees ` +
    "what this video shows."
  );
}

function tiles({ normal, found }: CalibrationData): string {
  const { threshold, alarmsPerDay, extrapolation } = found;
  const alarms = alarmsAt(normal, threshold);
  const list: [name: string, value: string, note: string][] = [
    ["Threshold", score(threshold), `the median of normal video is ${score(normal.median)}`],
    ["False alarms", `${digits(alarmsPerDay)} / day`, `as wanted; ${digits(alarmsPerDay / 24)} per hour`],
    ["Normal video", duration(normal.seconds), `${counted(alarms, "alarm")} in it at this threshold`],
    extrapolation <= 1
      ? ["Basis", "seen", "the video is long enough to show this rate"]
      : ["Basis", "estimate", `${fold(extrapolation)} times as much video would show this rate`],
  ];
  const items = list.map(
    ([name, value, note]) =>
      `<li><h3>${escaped(name)}</h3><p class="value">${escaped(value)}</p><p class="note">${escaped(note)}</p></li>`,
  );
  return `<ul class="tiles">${items.join("\n")}</ul>`;
}

function rates({ normal, found, limit }: CalibrationData): string {
  const all = [...new Set([...otherRates, found.alarmsPerDay])].sort((a, b) => b - a);
  const rows = all.map((perDay) => {
    const own = perDay === found.alarmsPerDay;
    const { threshold, extrapolation } = own ? found : thresholdFor(normal, perDay, limit);
    const basis =
      extrapolation <= 1 ? "seen in this video" : `estimate: the tail, continued ${fold(extrapolation)}-fold`;
    return {
      cells: [score(threshold), digits(perDay / 24), digits(perDay), String(alarmsAt(normal, threshold)), basis],
      own,
    };
  });
  const hint =
    "How many false alarms a threshold raises. The highlighted line was kept; for another, calibrate with " +
    "--alarms-per-day, or give its threshold to score (--threshold).";
  const head = ["Threshold", "Per hour", "Per day", "In this video", "Basis"];
  return `<p class="hint">${escaped(hint)}</p>\n${tableMarkup({ section: "rates", head, rows, words: true })}`;
}
