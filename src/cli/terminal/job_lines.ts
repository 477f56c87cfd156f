// Lines about archives that workers score.
import type { Progress } from "../../cluster/archive.js";
import type { VideoRecord } from "../../cluster/messages.js";
import { oneLine } from "../../node/files/messages.js";
import { table } from "./table.js";

/** A video that was put aside, and why. */
export function failureLine({ path, error, attempts, worker }: VideoRecord): string {
  const last = worker === undefined ? "" : `, the last by ${worker}`;
  return `failed: ${oneLine(path)}: ${oneLine(error ?? "nobody knows why")} (${attempts} attempts${last})`;
}

/** Whether anybody works at a server, once that changes. */
export function workersLine(server: string, areThere: boolean): string {
  return areThere ? "a worker is there again" : `no worker takes videos at ${server}: waiting for one`;
}

/** Archives as a table, the videos that are scored now, and those that failed. */
export function jobLines(all: readonly Progress[]): string[] {
  const head = ["archive", "videos", "done", "running", "waiting", "failed", "frames", "frames/s", "left", "results"];
  const rows = all.map((progress) => {
    const { archive, videos, counts, frames } = progress;
    const rate = rateOf(progress);
    return [
      ...[archive.id, videos.size, counts.done, counts.running, counts.queued, counts.failed, frames].map(String),
      rate === undefined ? "-" : rate.toPrecision(3),
      leftText(progress, rate),
      resultsText(progress),
    ];
  });
  const running = all.flatMap((progress) => inState(progress, "running"));
  /** Which archive a failure is of, unless there is one only. */
  const of = ({ archive }: Progress) => (all.length === 1 ? "" : `archive ${archive.id}: `);
  const failed = all.flatMap((progress) =>
    inState(progress, "failed").map((record) => `${of(progress)}${failureLine(record)}`),
  );
  return [...table(head, rows, true), ...running.map(runningLine), ...failed];
}

/** Where the results are: those of uploaded videos are at the server until they are fetched. */
function resultsText(progress: Progress): string {
  const { out } = progress.archive;
  if (out !== undefined) return oneLine(out);
  const done = inState(progress, "done");
  const there = done.filter(({ results }) => results !== undefined).length;
  if (there === 0 && done.length > 0) return "fetched";
  return there === done.length ? "at the server" : `${there} at the server`;
}

const inState = ({ videos }: Progress, wanted: VideoRecord["state"]): VideoRecord[] =>
  [...videos.values()].filter(({ state }) => state === wanted);

/** Frames of the videos in a state that were scored. */
const framesIn = (progress: Progress, state: VideoRecord["state"]): number =>
  inState(progress, state).reduce((sum, { frames = 0 }) => sum + frames, 0);

function runningLine({ path, worker = "?", frames, total, attempts }: VideoRecord): string {
  const share = frames !== undefined && total ? `, ${Math.min(100, Math.round((100 * frames) / total))} %` : "";
  const again = attempts > 1 ? `, attempt ${attempts}` : "";
  return `running: ${oneLine(path)} on ${oneLine(worker)}${share}${again}`;
}

/** Frames per second of all workers together that score it now. */
function rateOf(progress: Progress): number | undefined {
  const { counts, frames, seconds } = progress;
  if (frames === 0 || seconds === 0) return undefined;
  return (framesIn(progress, "done") / seconds) * Math.max(1, counts.running);
}

/** How long what remains takes, if it goes on as until now. */
function leftText(progress: Progress, rate: number | undefined): string {
  const { counts } = progress;
  const open = counts.queued + counts.running;
  if (open === 0) return "-";
  if (rate === undefined || counts.done === 0) return "?";
  const perVideo = framesIn(progress, "done") / counts.done;
  const minutes = Math.max(0, open * perVideo - framesIn(progress, "running")) / rate / 60;
  return minutes < 1 ? "1 min" : minutes < 120 ? `${Math.ceil(minutes)} min` : `${(minutes / 60).toFixed(1)} h`;
}
