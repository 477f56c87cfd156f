import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { score } from "../../../src/report/web/format.js";
import { EventLog } from "../../../src/server/event_log.js";
import { expectRefusal, filesIn, frameFolder, readCsv, sdmae, videoFile } from "../../support/cli.js";
import { fixturePath } from "../../support/fixtures.js";
import { scratch } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";

const at = scratch();
let model: string[];
let normal: string;
/** 14 frames, 5 s apart. Each but the first, which lasts no time, is a block of its own. */
const count = 14;
const blocks = 13;
beforeAll(async () => {
  for (const name of ["tiny-checkpoint-best.pth", "tiny-checkpoint-best-student.pth"]) {
    copyFileSync(fixturePath(name), at(name));
  }
  model = [
    ...["--checkpoint", at("tiny-checkpoint-best.pth"), "--student", at("tiny-checkpoint-best-student.pth")],
    ...["--size", "32x64", "--adapter", testAdapter, "--quiet"],
  ];
  normal = await frameFolder(
    at("normal"),
    Array.from({ length: count }, (_, i) => i),
  );
});
const kept = () => at("tiny-checkpoint-best.pth.calibration.json");

describe("calibrate", () => {
  it("keeps a threshold beside the checkpoint, from the tail of the normal scores", async () => {
    const ran = await sdmae("calibrate", normal, ...model, "--fps", "0.2", "--alarms-per-day", "1");
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    const { stdout } = await sdmae("score", normal, ...model);
    const scores = readCsv(stdout)
      .map(({ score }) => score)
      .slice(1);
    // The highest 5 of 13 blocks over the sixth, continued to one of a day's 17,280 blocks.
    const falling = scores.toSorted((a, b) => b - a);
    const excess = falling.slice(0, 5).reduce((sum, score) => sum + score - falling[5], 0) / 5;
    const threshold = falling[5] + excess * Math.log(((5 / blocks) * 86_400) / 5);
    const found = JSON.parse(readFileSync(kept(), "utf8"));
    expect(found).toMatchObject({
      format: "sdmae-calibration-1",
      alarmsPerDay: 1,
      seconds: 65,
      videos: ["normal"],
    });
    expect(found.threshold).toBeCloseTo(threshold, 5);
    expect(found.normal).toBeCloseTo(falling[6], 5);
    // 12 blocks are a minute.
    expect(found.minutes).toHaveLength(2);
    expect(found.minutes[0]).toBeCloseTo(Math.max(...scores.slice(0, 12)), 5);
    expect(ran.stdout).toContain(
      "highest level of each 5 s, in 1 min 5 s of normal video; each row begins at the level shown:",
    );
    expect(ran.stdout).toMatch(/^ *[\d.]+ {2}╌+ threshold$/m);
    expect(ran.stdout).toMatch(/^threshold [\d.]+ for 1 alarm per day$/m);
    expect(ran.stdout).toContain("the normal video raises 0 alarms at this threshold, in 1 min 5 s");
    // 3 · 86,400 / 65 per day are 166 per hour.
    expect(ran.stdout).toContain("only shows, with 95 % confidence, that there are fewer than 166 alarms per hour");
    // 13 blocks of 5 s: a day is 1329 times as long.
    expect(ran.stdout).toContain("continued 1329-fold; 1 d of normal video would measure it");
  });

  it("is found by score, which raises no alarm on the same video", async () => {
    const events = at("none.csv");
    const ran = await sdmae("score", normal, ...model, "--fps", "0.2", "--events", events);
    expect(ran).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(readFileSync(events, "utf8").split("\n")).toHaveLength(2);
  });

  it("writes a page of the same threshold, and no folder if it fails", async () => {
    const before = readFileSync(kept(), "utf8");
    const out = ["--fps", "0.2", "--out", at("again.json"), "--report", at("page")];
    expect((await sdmae("calibrate", normal, ...model, ...out)).code).toBe(0);
    const { threshold } = JSON.parse(readFileSync(at("again.json"), "utf8")) as { threshold: number };
    expect(filesIn(at("page"))).toEqual(["index.html"]);
    const html = readFileSync(at("page/index.html"), "utf8");
    expect(html).toContain("<title>Threshold of tiny-checkpoint-best.pth</title>");
    expect(html).toContain(`<h3>Threshold</h3><p class="value">${score(threshold)}</p>`);
    expect(html).toContain("The highest level of each 5 s of normal video");
    expect(html).toContain("estimate: the tail, continued 1329-fold");
    // How long a video file is shows only at its end.
    const brief = await videoFile(at("brief.avi"), 20, "-c:v", "ffv1");
    const none = await sdmae("calibrate", brief, ...model, "--report", at("no-page"));
    expectRefusal(none, "are too little for a threshold");
    expect(filesIn(at())).not.toContain("no-page");
    expect(readFileSync(kept(), "utf8")).toBe(before);
  });

  it("does not fit another size or another model", async () => {
    const other = model.map((word) => (word === "32x64" ? "64x64" : word));
    const events = at("other.csv");
    expectRefusal(await sdmae("score", normal, ...other, "--events", events), "other settings", "calibrate again");
    const patch8 = ["--checkpoint", fixturePath("tiny-patch8.pth"), "--size", "32x64", "--adapter", testAdapter, "-q"];
    expectRefusal(
      await sdmae("score", normal, ...patch8, "--events", events, "--calibration", kept()),
      "another model",
    );
    expect(filesIn(at())).not.toContain("other.csv");
  });

  it("refuses a damaged calibration", async () => {
    const good = readFileSync(kept(), "utf8");
    const run = () => sdmae("score", normal, ...model, "--events", at("x.csv"), "--calibration", at("bad.json"));
    expectRefusal(await run(), "bad.json cannot be read: no such file");
    writeFileSync(at("bad.json"), "{");
    expectRefusal(await run(), "bad.json is not JSON");
    writeFileSync(at("bad.json"), "[1]");
    expectRefusal(await run(), "bad.json is not a calibration");
    writeFileSync(at("bad.json"), good.replace(/"threshold": [\d.]+/, '"threshold": "1"'));
    expectRefusal(await run(), "bad.json: threshold is not a number");
    expect(filesIn(at())).not.toContain("x.csv");
  });

  it("needs a minute, and leaves the old file as it is", async () => {
    const before = readFileSync(kept(), "utf8");
    const short = await videoFile(at("short.avi"), 20, "-c:v", "ffv1");
    expectRefusal(await sdmae("calibrate", short, ...model), "2 s of normal video are too little", "at least a minute");
    expect(readFileSync(kept(), "utf8")).toBe(before);
    expect(filesIn(at()).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("refuses folders of images that are too short before it opens an adapter", async () => {
    const noAdapter = model.map((word) => (word === testAdapter ? "no such adapter" : word));
    cpSync(normal, at("again"), { recursive: true });
    const twice = ["calibrate", normal, at("again"), ...noAdapter, "--fps"];
    expectRefusal(await sdmae(...twice, "1"), "26 s of normal video are too little", "at least a minute");
    // 2 · 65 s, at 0.2 frames per second, are enough.
    expectRefusal(await sdmae(...twice, "0.2"), "no such adapter");
    expect((await sdmae("calibrate", "--help")).stdout).toMatch(/at\s+least\s+a\s+minute\s+in\s+all/);
  });

  it("refuses videos and files before it computes", async () => {
    const slow = [...model, "--fps", "0.2"];
    expectRefusal(await sdmae("calibrate", at("nothing.mp4"), ...model), "nothing.mp4 cannot be read");
    expectRefusal(await sdmae("calibrate", normal, ...slow, "--out", at("no/where.json")), "there is no folder");
    expectRefusal(await sdmae("calibrate", normal, ...slow, "--out", at("normal")), "it is a folder");
    expectRefusal(await sdmae("calibrate", normal, ...model, "--alarms-per-day", "0"), "--alarms-per-day");
    expect((await sdmae("calibrate", "--help")).stdout).toContain("--alarms-per-day");
    rmSync(kept());
  });
});

describe("calibrate a camera", () => {
  let yaml: string;
  beforeAll(async () => {
    yaml = at("w.yaml");
    const black = ["-f", "lavfi", "-i", "color=black:size=96x64:rate=1", "-frames:v", "2"];
    execFileSync(await findFfmpeg(), ["-v", "error", ...black, at("two.avi")]);
    writeFileSync(yaml, "cameras:\n  front:\n    source: two.avi\n  yard:\n    source: rtsp://me:s3cret@cam/x\n");
  });

  it("refuses cameras and videos that are not there, and options without an effect", async () => {
    const run = (...args: string[]) => sdmae("calibrate", ...args, "--config", yaml);
    expectRefusal(await run("back"), /w\.yaml has no camera back: name one of front, yard$/m);
    expectRefusal(await run("front", at("none.mp4")), "none.mp4 cannot be read");
    expectRefusal(await run("front", "rtsp://me:s3cret@cam/y"), "a recorded video is a file, not an address");
    const twice = [at("two.avi"), at(".", "two.avi")];
    expectRefusal(await run("front", ...twice), "two.avi is named twice");
    expectRefusal(await sdmae("calibrate", ...twice, ...model), "two.avi is named twice");
    expectRefusal(await run("front", "--out", at("x.json")), "--out has no effect with --config");
    expectRefusal(await run("front", "--student", "x"), "--student has no effect with --config");
    expectRefusal(await run("front", "--no-tune"), "--no-tune has no effect with --config");
    expectRefusal(await run("front", "--alarms-per-day", "2"), "set alarms_per_day of the camera there");
    for (const option of [["--hours", "2"], ["--loop"]]) {
      expectRefusal(await run("front", at("two.avi"), ...option), `${option[0]} has no effect on recorded videos`);
    }
    expectRefusal(await run("front", "--hours", "25"), "--hours");
    for (const option of [["--hours", "2"], ["--fresh"], ["--data", at()], ["--loop"]]) {
      const ran = await sdmae("calibrate", normal, ...model, ...option);
      expectRefusal(ran, `${option[0]} has no effect without --config`);
    }
    expectRefusal(await sdmae("calibrate", "front"), "name the model (--checkpoint FILE), or the configuration");
    expect(filesIn(at())).not.toContain("sdmae-data");
  });

  it("refuses a data folder that is in use, and leaves no folder for the report", async () => {
    const lock = await EventLog.open(at("busy", "events"));
    const args = ["front", "--config", yaml, "--data", at("busy"), "--report", at("no-page")];
    for (const video of [[], [at("two.avi")]]) {
      const ran = await sdmae("calibrate", ...args, ...video);
      expectRefusal(ran, `process ${process.pid} uses ${at("busy")}: \`watch\` learns by itself`, "Learn again");
    }
    await lock.close();
    expect(filesIn(at())).not.toContain("no-page");
    expect(filesIn(at("busy"))).toEqual(["events"]);
  });
});
