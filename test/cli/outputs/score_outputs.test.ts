import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { runInChild } from "../../support/child.js";
import { expectRefusal, filesIn, frameFolder, type Row, readCsv, sdmae, videoFile } from "../../support/cli.js";
import { fixturePath } from "../../support/fixtures.js";
import { scratch } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";

const at = scratch();
const model = [
  ...["--checkpoint", fixturePath("tiny-checkpoint-best.pth")],
  ...["--student", fixturePath("tiny-checkpoint-best-student.pth")],
  ...["--size", "32x64", "--adapter", testAdapter, "--quiet"],
];
/** 12 frames of 48 × 80 pixels, 10 per second. */
let video: string;
/** 9 images, which at --fps 1 are averaged with nothing. */
let folder: string;
let rows: Row[];
beforeAll(async () => {
  video = await videoFile(at("street.avi"), 12, "-c:v", "ffv1");
  folder = await frameFolder(
    at("frames"),
    Array.from({ length: 9 }, (_, i) => i + 3),
  );
  rows = readCsv((await sdmae("score", folder, ...model)).stdout);
});

/** Runs of rows at or above a threshold. */
function runs(threshold: number): Row[][] {
  const found: Row[][] = [];
  for (const [i, row] of rows.entries()) {
    if (row.score < threshold) continue;
    if (i > 0 && rows[i - 1].score >= threshold) found.at(-1)?.push(row);
    else found.push([row]);
  }
  return found;
}

describe("score --events", () => {
  it("lists the spans at or above the threshold, with their peaks and boxes", async () => {
    const threshold = rows.map(({ score }) => score).sort((a, b) => a - b)[5];
    const ran = await sdmae(
      "score",
      folder,
      ...model,
      "--fps",
      "1",
      "--events",
      at("e.csv"),
      "--threshold",
      String(threshold - 1e-7),
    );
    expect(ran).toEqual({ code: 0, stdout: "", stderr: "" });
    const [head, ...lines] = readFileSync(at("e.csv"), "utf8").trim().split("\n");
    expect(head).toBe("event,start_frame,end_frame,peak_frame,start,end,peak,score,x1,y1,x2,y2");
    // The first frame alone is no event: it lasts until the second, which is not known yet.
    const expected = runs(threshold - 1e-7).filter((run) => run.at(-1) !== rows[0]);
    expect(expected.length).toBeGreaterThan(0);
    expect(lines).toHaveLength(expected.length);
    for (const [i, line] of lines.entries()) {
      const run = expected[i];
      const peak = run.toSorted((a, b) => b.score - a.score)[0];
      const cells = line.split(",").map(Number);
      const [first, last] = [run[0].frame, run[run.length - 1].frame];
      // The first image, number 3, is at 0 s.
      expect(cells.slice(0, 7)).toEqual([i + 1, first, last, peak.frame, first - 3, last - 3, peak.frame - 3]);
      expect(cells[7]).toBeCloseTo(peak.score, 6);
      const [x1, y1, x2, y2] = cells.slice(8);
      expect(x1).toBeGreaterThanOrEqual(0);
      expect(y1).toBeGreaterThanOrEqual(0);
      expect(x2).toBeGreaterThan(x1);
      expect(y2).toBeGreaterThan(y1);
      expect(x2).toBeLessThan(72);
      expect(y2).toBeLessThan(40);
    }
  });

  it("has no times if the frames have no clock, and says which rate is assumed", async () => {
    const loud = model.filter((word) => word !== "--quiet");
    const ran = await sdmae("score", folder, ...loud, "--events", at("c.csv"), "--threshold", "0");
    expect(ran.stderr).toContain("the frames have no clock: 25 per second are assumed (--fps)");
    expect(ran.stderr).toContain("0 events at or above 0.000");
    // 9 frames at 25 per second last 0.36 s, and an alarm needs half a second.
    expect(readFileSync(at("c.csv"), "utf8").split("\n")).toHaveLength(2);
    const slow = await sdmae("score", video, ...model, "--events", at("c.csv"), "--threshold", "0");
    expect(slow.code).toBe(0);
    expect(readFileSync(at("c.csv"), "utf8").split("\n")[1]).toMatch(/^1,0,11,\d+,0,1.1,/);
  });

  it("takes the threshold as a quantile of a normal video, and says what it means", async () => {
    const loud = model.filter((word) => word !== "--quiet");
    const ran = await sdmae(
      "score",
      folder,
      ...loud,
      "--fps",
      "1",
      "--events",
      at("n.csv"),
      "--normal",
      folder,
      "--normal-quantile",
      "1",
    );
    expect(ran.code).toBe(0);
    const highest = Math.max(...rows.map(({ score }) => score));
    const [, said] = /threshold ([\d.]+): the 1 quantile of the normal video/.exec(ran.stderr) ?? [];
    expect(Number(said)).toBeCloseTo(highest, 3);
    // 8 s from the first frame to the last; the highest frame is one alarm: 3600 / 8 per hour.
    expect(ran.stderr).toContain("raises 1 false alarm in 8 s (450 per hour)");
  });
});

describe("score --video", () => {
  it("writes every frame, with a strip below", async () => {
    const out = at("out.mp4");
    const ran = await sdmae("score", video, ...model, "--video", out, "--threshold", "0");
    expect(ran).toEqual({ code: 0, stdout: "", stderr: "" });
    const raw = execFileSync(await findFfmpeg(), [
      "-v",
      "error",
      "-i",
      out,
      "-f",
      "rawvideo",
      "-pix_fmt",
      "rgb24",
      "pipe:1",
    ]);
    // 48 rows of the frame and 48 of the strip.
    expect(raw.length).toBe(12 * (48 + 48) * 80 * 3);
    expect(filesIn(at()).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("needs no threshold", async () => {
    expect(await sdmae("score", folder, ...model, "--video", at("plain.mp4"))).toMatchObject({ code: 0, stderr: "" });
    expect(filesIn(at())).toContain("plain.mp4");
  });
});

describe("score --report", () => {
  it("writes a page without ground truth, with events", async () => {
    const ran = await sdmae("score", video, ...model, "--report", at("page"), "--threshold", "0", "--out", at("s.csv"));
    expect(ran).toMatchObject({ code: 0, stdout: "" });
    const html = readFileSync(at("page/index.html"), "utf8");
    const data = JSON.parse(/id="report">(.*?)<\/script>/s.exec(html)![1]);
    const scores = readCsv(readFileSync(at("s.csv"), "utf8")).map(({ score }) => score);
    expect(data).toMatchObject({ threshold: 0, curves: [], notes: [] });
    expect(data.metrics.map(({ name, text }: { name: string; text: string }) => [name, text]).slice(0, 3)).toEqual([
      ["Events", "1"],
      ["Abnormal", "1.2 s"],
      ["Video", "1 s"],
    ]);
    const [shown] = data.videos;
    expect(shown).toMatchObject({ name: "street.avi", events: [{ first: 0, last: 11 }] });
    expect(shown.raw).toHaveLength(12);
    for (const [i, score] of scores.entries()) {
      expect(shown.raw[i]).toBeCloseTo(score, 4);
      // The mean of the last half second: five frames.
      const last = scores.slice(Math.max(0, i - 4), i + 1);
      expect(shown.scores[i]).toBeCloseTo(last.reduce((a, b) => a + b) / last.length, 4);
    }
    expect(shown.strip).toHaveLength(12);
    expect(data.moments).toHaveLength(1);
    expect(data.moments[0]).toMatchObject({ kind: "event", note: expect.stringMatching(/^event 1, 1\.[12] s long$/) });
  });

  it("shows the highest scores if there is no threshold", async () => {
    expect((await sdmae("score", video, ...model, "--report", at("page"))).code).toBe(0);
    const html = readFileSync(at("page/index.html"), "utf8");
    const data = JSON.parse(/id="report">(.*?)<\/script>/s.exec(html)![1]);
    expect(data.threshold).toBeUndefined();
    expect(data.moments.map(({ kind }: { kind: string }) => kind)).toEqual(["highest"]);
    expect(data.notes).toEqual(["No threshold was given, so no events are marked."]);
  });
});

describe("options of score that watch", () => {
  it("are refused if they cannot work", async () => {
    const score = (...options: string[]) => sdmae("score", folder, ...model, ...options);
    expectRefusal(await score("--events", at("x.txt"), "--threshold", "1"), "must end in .csv");
    expectRefusal(await score("--events", at("x.csv")), "--events needs a threshold", "sdmae calibrate");
    expectRefusal(await score("--threshold", "1"), "--threshold has no effect without");
    expectRefusal(await score("--normal-quantile", "0.5"), "--normal-quantile has no effect without --normal");
    expectRefusal(await score("--video", at("x.avi")), "must end in .mp4");
    expectRefusal(await score("--video", at("no/x.mp4")), "there is no folder");
    copyFileSync(video, at("same.mp4"));
    expectRefusal(await sdmae("score", at("same.mp4"), ...model, "--video", at("same.mp4")), "is the input itself");
    expectRefusal(await score("--threshold", "much", "--events", at("x.csv")), "Give a number");
    expectRefusal(await score("--threshold", "1", "--normal", folder, "--events", at("x.csv")), "cannot be used with");
    expectRefusal(await score("--normal", at("none.mp4"), "--events", at("x.csv"), "--report", at("new")), "none.mp4");
    expect(filesIn(at()).filter((name) => /^x\.|new|tmp$/.test(name))).toEqual([]);
  });

  it("leave nothing behind after Ctrl-C", async () => {
    const out = at("stopped");
    mkdirSync(out);
    const long = await videoFile(at("long.avi"), 400, "-c:v", "ffv1");
    const args = ["score", long, ...model, "--threshold", "0"];
    const { code, stdout } = await runInChild(`
      import { readdirSync } from "node:fs";
      import { runCli } from "./src/cli/index.js";
      const out = ${JSON.stringify(out)};
      const watch = setInterval(() => {
        // The video's file is there once frames were encoded.
        if (!readdirSync(out).some((name) => name.startsWith("v.mp4"))) return;
        clearInterval(watch);
        console.log(readdirSync(out).length);
        process.kill(process.pid, "SIGINT");
      }, 5);
      const files = ["--video", out + "/v.mp4", "--events", out + "/e.csv", "--report", out + "/page"];
      process.exitCode = await runCli([...${JSON.stringify(args)}, ...files]);`);
    expect({ code, stdout }).toEqual({ code: 130, stdout: "3\n" });
    expect(filesIn(out)).toEqual([]);
    rmSync(long);
  });
});
