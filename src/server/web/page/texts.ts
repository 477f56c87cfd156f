// Words and numbers of the page.
import * as format from "../../../report/web/format.js";
import type { CameraEvent, EventKind } from "../../records.js";
import type { CameraState, WatchState } from "../api.js";

/** Kinds of events as people call them. */
export const kindNames: Readonly<Record<EventKind, string>> = {
  anomaly: "Anomaly",
  scene_change: "Scene change",
  camera_moved: "Camera moved",
  offline: "Offline",
};

/** A level or threshold: three digits; just below 1, as many as tell it from 1. */
export function level(value: number | null | undefined): string {
  if (value == null) return "\u2013";
  if (value <= 0.99 || value >= 1) return Number(value.toPrecision(3)).toString();
  return Number(value.toFixed(Math.max(3, Math.ceil(-Math.log10(1 - value))))).toString();
}

const two = (value: number): string => String(value).padStart(2, "0");

/** The time of day, "14:15:02", in the browser's zone. */
export function clock(time: Date): string {
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** "14:15:02" of today, "2026-11-30 14:15:02" of other days. */
export function moment(time: Date, now = new Date()): string {
  const day = (date: Date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return day(time) === day(now) ? clock(time) : `${day(time)} ${clock(time)}`;
}

/** "12 s", "1 h 5 min"; what is not over lasts. */
export function lasting({ start, end }: Pick<CameraEvent, "start" | "end">): string {
  if (end === undefined) return "goes on";
  const seconds = (Date.parse(end) - Date.parse(start)) / 1000;
  const text = seconds < 10 ? `${seconds.toFixed(1)} s` : format.duration(seconds);
  return text.replaceAll(" ", "\u00a0");
}

/** "1.2 GB", with powers of 1000. */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.max(0, Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3)));
  const value = count / 1000 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** What a camera does, in a word or two. */
export function statusText({ status, lastFrame }: Pick<CameraState, "status" | "lastFrame">, now: number): string {
  switch (status) {
    case "online":
      return "live";
    case "offline":
      return lastFrame === null ? "offline" : `offline for ${format.duration(Math.max(0, now - lastFrame) / 1000)}`;
    case "waiting":
      return "waits for files";
    default:
      return status;
  }
}

/** How long clips are kept: "30 days, up to 20.0 GB". */
export const keptText = ({ days, most }: Pick<WatchState["storage"], "days" | "most">): string =>
  `${days} ${days === 1 ? "day" : "days"}, up to ${bytes(most)}`;

/** What somebody should look after, a line each. */
export function problemLines({ ready, cameras, queues, storage, problem, editProblem, shared }: WatchState): string[] {
  const { free, reserve } = storage;
  const offline = cameras.filter(({ status }) => status === "offline");
  return [
    ...(problem === null ? [] : [`Events cannot be written: ${problem}`]),
    ...(editProblem === null ? [] : [`The edited configuration is not used: ${editProblem}`]),
    ...(shared && shared.problem !== null ? [shared.problem] : []),
    ...(shared && shared.unwatched.length > 0 ? [unwatchedText(shared.unwatched)] : []),
    ...(shared?.machines ?? []).flatMap(({ name, problems }) => problems.map((line) => `${name}: ${line}`)),
    ...(ready ? [] : ["Nothing is scored: the engine starts, or starts again."]),
    ...offline.map(({ name, problem: why }) => `${name} is offline${why === null ? "" : `: ${why}`}`),
    ...cameras.flatMap(({ name, slowness }) => (slowness === null ? [] : [`${name} ${slowness}`])),
    ...queues.flatMap(({ sink, length, problem: why }) =>
      why === null ? [] : [`Alerts by ${sink}: ${waitText(length)} (${why})`],
    ),
    ...(free !== null && free < reserve ? [`The disk is almost full: no clips are kept below ${bytes(reserve)}.`] : []),
  ];
}

const unwatchedText = (ids: readonly string[]): string =>
  `Nobody watches ${ids.length > 5 ? `${ids.length} cameras` : ids.join(", ")}: no machine has room, or has taken them yet.`;

/** How many alerts wait for a sink. */
export const waitText = (length: number): string =>
  length === 0 ? "nothing waits" : `${length} ${length === 1 ? "waits" : "wait"}`;

/** "learning what is normal: 40 %". */
export function learningText(share: number): string {
  return `learning what is normal: ${Math.floor(100 * share)}\u00a0%`;
}
