import { expect, test } from "vitest";
import { jobLines } from "../../../src/cli/terminal/job_lines.js";
import type { Progress } from "../../../src/cluster/archive.js";
import type { Archive, VideoRecord } from "../../../src/cluster/messages.js";

const archive = (id: string, out?: string): Archive => ({
  ...{ id, created: "2026-01-01T00:00:00Z", events: false, report: false },
  ...{ model: { hash: "0".repeat(64), name: "m.safetensors", extension: ".safetensors" }, how: { seed: 0 } },
  ...(out !== undefined && { out }),
});

const video = (path: string, state: VideoRecord["state"], more: Partial<VideoRecord> = {}): VideoRecord => ({
  ...{ path, state, attempts: 1, since: "2026-01-01T00:00:00Z" },
  ...more,
});

function progress(of: Archive, videos: readonly VideoRecord[]): Progress {
  const counts = { queued: 0, running: 0, done: 0, failed: 0 };
  for (const { state } of videos) counts[state]++;
  const named = new Map(videos.map((one, i) => [String(i), one]));
  return { archive: of, videos: named, counts, frames: 0, seconds: 0 };
}

const failure = video("b.mp4", "failed", { attempts: 3, error: "damaged", worker: "one" });
const failedLine = "failed: b.mp4: damaged (3 attempts, the last by one)";

test("a failure of one of several archives names it", () => {
  const all = [progress(archive("aaaa", "scores"), [failure]), progress(archive("bbbb", "scores"), [failure])];
  expect(jobLines(all.slice(0, 1)).at(-1)).toBe(failedLine);
  expect(jobLines(all).slice(-2)).toEqual([`archive aaaa: ${failedLine}`, `archive bbbb: ${failedLine}`]);
});

test.each([
  ["at the server", []],
  ["at the server", ["r", "r"]],
  ["1 at the server", ["r", undefined]],
  ["fetched", [undefined, undefined]],
])("results of uploaded videos are %s", (text, results) => {
  const videos = results.map((one, i) => video(`${i}.mp4`, "done", one === undefined ? {} : { results: one }));
  const lines = jobLines([progress(archive("aaaa"), videos)]);
  expect(lines[2]).toMatch(new RegExp(`  ${text}$`));
});
