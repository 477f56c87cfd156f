import { describe, expect, it } from "vitest";
import type { VideoResult } from "../../../src/eval/evaluation.js";
import { findMoments } from "../../../src/report/evaluation/moments.js";

/** A video of 200 frames whose scores are 0, except those given. */
function video(name: string, scores: Record<number, number>, abnormal?: (frame: number) => boolean): VideoResult {
  const all = Float64Array.from({ length: 200 }, (_, i) => scores[i] ?? 0);
  const frames = Array.from(all.keys(), (i) => 1000 + i);
  const labels = abnormal && Uint8Array.from(all, (_, i) => (abnormal(i) ? 1 : 0));
  return { name, frames, raw: all, scores: all, ...(labels && { labels }) };
}

describe("moments worth looking at", () => {
  const late = (frame: number) => frame >= 100;

  it("are the extremes on each side of the threshold, apart from each other", () => {
    const moments = findMoments([video("a", { 20: 5, 21: 6, 80: 4, 100: 1, 150: 9, 151: 8, 195: 3 }, late)], 2);
    const short = moments.map((m) => [m.kind, m.index, m.score]);
    expect(short).toEqual([
      ["detected", 150, 9],
      ["detected", 195, 3],
      ["false positive", 21, 6],
      ["false positive", 80, 4],
      ["missed", 101, 0],
      ["missed", 141, 0],
      ["missed", 181, 0],
    ]);
    expect(moments[0]).toEqual({ kind: "detected", video: "a", index: 150, frame: 1150, score: 9, label: 1 });
  });

  it("come from as many videos as possible, at most four of a kind", () => {
    const videos = ["a", "b", "c", "d", "e"].map((name, i) => video(name, { 110: 10 + i, 160: 20 + i }, late));
    const detected = findMoments(videos, 5).filter((m) => m.kind === "detected");
    expect(detected.map((m) => [m.video, m.score])).toEqual([
      ["e", 24],
      ["d", 23],
      ["c", 22],
      ["b", 21],
    ]);
  });

  it("are only the highest scores if there is no threshold", () => {
    const moments = findMoments([video("a", { 3: 7, 90: 8 })], undefined);
    expect(moments.slice(0, 2)).toEqual([
      { kind: "highest", video: "a", index: 90, frame: 1090, score: 8 },
      { kind: "highest", video: "a", index: 3, frame: 1003, score: 7 },
    ]);
  });

  it("lack the kinds that did not occur", () => {
    const kinds = findMoments([video("a", { 150: 1 }, (frame) => frame === 150)], 0.5).map((m) => m.kind);
    expect(kinds).toEqual(["detected"]);
  });
});
