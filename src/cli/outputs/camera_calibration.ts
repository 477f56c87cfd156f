// What `calibrate` prints of a camera, and its pages.
import { basename, join } from "node:path";
import { scoreLimit } from "../../detector/settings.js";
import { InputError } from "../../errors.js";
import { writeFileAtomic } from "../../node/files/atomic.js";
import { packageFile } from "../../node/files/package_files.js";
import { versions } from "../../node/files/versions.js";
import { calibrationPage } from "../../report/calibration/page_file.js";
import type { CameraCalibration } from "../../server/calibrate/calibration.js";
import { folderOf, type KnownMode } from "../../server/camera/known.js";
import { misfitOf, type NormalState } from "../../server/camera/learner.js";
import type { CameraConfig } from "../../server/config/config.js";
import { usualAlarmRule } from "../../watch/alarm_rule.js";
import type { CameraMode } from "../../watch/scene_change.js";
import { calibrationLines } from "../terminal/calibration_summary.js";
import { alarmRuleText, type Fact, frameScoreText } from "../terminal/facts.js";

/** A camera, and what it was calibrated with. */
export interface CalibratedCamera {
  /** The data folder. */
  data: string;
  camera: CameraConfig;
  /** Recorded videos; none: it was watched live. */
  videos: readonly string[];
  /** The model's file. */
  checkpoint: string;
}

/** Modes as the terminal names them. */
export const modeNames: Readonly<Record<CameraMode, string>> = { day: "by day", infrared: "in infrared" };

/** What was learnt in each mode, the day first. */
export function modesOf({ modes }: CameraCalibration): [CameraMode, KnownMode][] {
  return (["day", "infrared"] as const).flatMap((mode): [CameraMode, KnownMode][] => {
    const known = modes[mode];
    return known ? [[mode, known]] : [];
  });
}

/** A mode with a threshold. */
interface Found {
  mode: CameraMode;
  state: NormalState;
  seen: KnownMode["seen"];
}

/**
 * Prints what was found, and writes a page of each mode.
 * @param report folder of the pages
 * @param say prints a line that is no result
 * @throws InputError if the video was too short, or a page cannot be written
 */
export async function showCalibration(
  calibration: CameraCalibration,
  calibrated: CalibratedCamera,
  report: string | undefined,
  say: (line: string) => void,
): Promise<void> {
  const { camera, data } = calibrated;
  const all = modesOf(calibration);
  const found = all.flatMap(([mode, { state, seen }]): Found[] => (state ? [{ mode, state, seen }] : []));
  if (found.length === 0) throw tooShort(camera.id, all);
  for (const [i, { mode, state, seen }] of found.entries()) {
    console.log(`${i > 0 ? "\n" : ""}${camera.id}, ${modeNames[mode]}:`);
    for (const line of calibrationLines(seen, state)) console.log(line);
  }
  for (const line of notes(calibration, calibrated)) say(line);
  for (const [i, one] of found.entries()) {
    if (report === undefined) break;
    const path = join(report, i === 0 ? "index.html" : "infrared.html");
    await writeFileAtomic(path, page(one, calibration, calibrated));
    say(`report: ${path}`);
  }
  say(`kept in ${join(folderOf(data, camera), "calibration.json")}; ${use(calibrated)}`);
}

function tooShort(id: string, modes: readonly [CameraMode, KnownMode][]): InputError {
  if (modes.length === 0) return new InputError(`${id}: the video is too short: nothing was learnt`);
  const seconds = modes.reduce((sum, [, { seen }]) => sum + seen.seconds, 0);
  return new InputError(
    `${id}: ${seconds.toFixed(0)} s of normal video are too little for a threshold: it takes a minute, better a day; they are kept, and the next run adds to them`,
  );
}

/** What somebody should know who calibrates this camera. */
function notes(calibration: CameraCalibration, { camera: { id } }: CalibratedCamera): string[] {
  const lines: string[] = [];
  for (const [mode, { state, seen }] of modesOf(calibration)) {
    const problem = state
      ? misfitOf(state, calibration.settings)
      : `${seen.seconds.toFixed(0)} s are too little for a threshold; they are kept`;
    if (problem !== undefined) lines.push(`${id}, ${modeNames[mode]}: ${problem}`);
  }
  for (const mode of calibration.changed) {
    lines.push(
      `${id} shows another view than before, ${modeNames[mode]}: what was learnt of the old one counts too, unless you give --fresh`,
    );
  }
  return lines;
}

/** What `watch` does with what was kept. */
function use({ camera: { id, threshold } }: CalibratedCamera): string {
  const own = (["day", "infrared"] as const).filter((mode) => threshold[mode] !== undefined);
  if (own.length === 0) return "`watch` takes it from its next start";
  const when = own.length === 1 ? ` ${modeNames[own[0]]}` : "";
  return `but \`watch\` uses the configuration's threshold of ${id}${when} until you remove it there`;
}

function page(
  { mode, state, seen }: Found,
  { adapter, settings }: CameraCalibration,
  { camera, videos, checkpoint }: CalibratedCamera,
): string {
  const { minimum, hold, name } = camera;
  const { frameScore, score, norm, size } = settings;
  const { sdmae, node } = versions();
  const rule = { ...usualAlarmRule, minimum, hold };
  const facts: Fact[] = [
    ["camera", name],
    ["normal video", videos.length > 0 ? videos.map((video) => basename(video)).join(", ") : "live"],
    ["model", checkpoint === packageFile("models", "scene.safetensors") ? "the bundled one" : checkpoint],
    ["input size", `${size.height}x${size.width}`],
    ["frame score", frameScoreText({ ...frameScore, rule: score }, norm)],
    ["events", alarmRuleText(rule)],
    ["adapter", adapter],
    ["sdmae", sdmae],
    ["node", node],
  ];
  const [title, created] = [`Threshold of ${name} ${modeNames[mode]}`, new Date().toISOString()];
  return calibrationPage({ title, created, normal: seen, found: state, limit: scoreLimit(settings), rule, facts });
}
