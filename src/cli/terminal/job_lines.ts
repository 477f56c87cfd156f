// Lines about archives that workers score.
import type { Progress } from "../../cluster/archive.js";
import type { VideoRecord } from "../../cluster/messages.js";
import { oneLine } from "../../node/files/messages.js";
import { table } from "./table.js";

/** A video that was put aside, and why. */
export function failureLine({ path, error, attempts }: VideoRecord): string {
  return `failed: ${oneLine(path)}: ${oneLine(error ?? "nobody knows why")} (${attempts} attempts)`;
}

/** Archives as a table, the videos that are scored now, and those that failed. */
export function jobLines(all: readonly Progress[]): string[] {
  const head = ["archive", "videos", "done", "running", "waiting", "failed", "frames", "frames/s", "left", "results"];
  const rows = all.map(({ archive, videos, counts, frames, seconds }) => {
    const rate = rateOf({ videos, counts, frames, seconds });
    return [
      ...[archive.id, videos.size, counts.done, counts.running, counts.queued, counts.failed, frames].map(String),
      rate === undefined ? "-" : rate.toPrecision(3),
      leftText({ videos, counts, frames, seconds }),
      oneLine(archive.out),
    ];
  });
  const running = all.flatMap(({ videos }) => [...videos.values()].filter(({ state }) => state === "running"));
  const failed = all.flatMap(({ videos }) => [...videos.values()].filter(({ state }) => state === "failed"));
  return [...table(head, rows, true), ...running.map(runningLine), ...failed.map(failureLine)];
}

function runningLine({ path, worker = "?", frames, total, attempts }: VideoRecord): string {
  const share = frames !== undefined && total ? `, ${Math.min(100, Math.round((100 * frames) / total))} %` : "";
  const again = attempts > 1 ? `, attempt ${attempts}` : "";
  return `running: ${oneLine(path)} on ${oneLine(worker)}${share}${again}`;
}

/** Frames per second of all workers together that score it now. */
function rateOf({ counts, frames, seconds, videos }: Omit<Progress, "archive">): number | undefined {
  const done = [...videos.values()].filter(({ state }) => state === "done");
  const doneFrames = done.reduce((sum, one) => sum + (one.frames ?? 0), 0);
  if (frames === 0 || seconds === 0) return undefined;
  return (doneFrames / seconds) * Math.max(1, counts.running);
}

/** How long what remains takes, if it goes on as until now. */
function leftText(progress: Omit<Progress, "archive">): string {
  const { counts, videos } = progress;
  const rate = rateOf(progress);
  const open = counts.queued + counts.running;
  if (open === 0) return "-";
  if (rate === undefined || counts.done === 0) return "?";
  const done = [...videos.values()].filter(({ state }) => state === "done");
  const perVideo = done.reduce((sum, one) => sum + (one.frames ?? 0), 0) / done.length;
  const begun = [...videos.values()].reduce((sum, one) => sum + (one.state === "running" ? (one.frames ?? 0) : 0), 0);
  const minutes = Math.max(0, open * perVideo - begun) / rate / 60;
  return minutes < 1 ? "1 min" : minutes < 120 ? `${Math.ceil(minutes)} min` : `${(minutes / 60).toFixed(1)} h`;
}
