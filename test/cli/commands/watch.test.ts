import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { expectRefusal, sdmae } from "../../support/cli.js";
import { scratchPerTest } from "../../support/folders.js";

const at = scratchPerTest();

/** A configuration with a camera, and what else is said. */
function configuration(...lines: string[]): string {
  writeFileSync(at("w.yaml"), ["cameras:", "  front:", "    source: rtsp://me:s3cret@cam/x", ...lines, ""].join("\n"));
  return at("w.yaml");
}

test("a configuration is checked without watching, and what is wrong is named with its line", async () => {
  const good = await sdmae("watch", "--config", configuration(), "--check");
  expect(good).toEqual({
    code: 0,
    stderr: "",
    stdout: `the configuration is good: 1 camera, data in ${at("sdmae-data")}\n`,
  });
  expect(existsSync(at("sdmae-data"))).toBe(false);
  expectRefusal(
    await sdmae("watch", "--config", configuration("    treshold: 1"), "--check"),
    /w\.yaml:4:5: cameras\.front\.treshold: unknown key/,
  );
  expectRefusal(
    await sdmae("watch", "--config", configuration("    schedule: sometimes"), "--check"),
    /w\.yaml:4:15: cameras\.front\.schedule: /,
  );
  expectRefusal(await sdmae("watch", "--config", at("none.yaml")), /none\.yaml cannot be read/);
  // Several problems have a line each.
  const several = await sdmae("watch", "--config", configuration("    fps: 99", "    area: 2"), "--check");
  expect(several.stderr.trim().split("\n")).toEqual([
    expect.stringMatching(/^error: .*w\.yaml:4:10: cameras\.front\.fps: /),
    expect.stringMatching(/^error: .*w\.yaml:5:11: cameras\.front\.area: /),
  ]);
  expect(several.code).toBe(2);
});

test("all files and programs that are not there are named at once, with their lines", async () => {
  const sinks = [
    "sinks:",
    "  - { type: command, run: [/none/siren] }",
    "  - { type: command, run: [no-such-siren, x] }",
  ];
  const last = ["  - { type: command, run: [node, x.js] }"];
  const yaml = configuration("    record: a.mp4", "  back:", "    source: b.mp4", ...sinks, ...last);
  const { code, stderr } = await sdmae("watch", "--config", yaml, "--check");
  expect(code).toBe(2);
  expect(stderr.trim().split("\n")).toEqual([
    `error: ${yaml}:4:13: cameras.front.record: ${at("a.mp4")} cannot be read: no such file or folder`,
    `error: ${yaml}:6:13: cameras.back.source: ${at("b.mp4")} cannot be read: no such file or folder`,
    `error: ${yaml}:8:27: sinks[0].run: /none/siren cannot be run: no such file or folder`,
    `error: ${yaml}:9:27: sinks[1].run: no-such-siren cannot be run: no folder of PATH holds this program`,
  ]);
  const named = await sdmae("watch", at("a.mp4"), at("b.mp4"));
  expect(named.stderr.trim().split("\n")).toEqual([
    expect.stringContaining("a.mp4 cannot be read"),
    expect.stringContaining("b.mp4 cannot be read"),
  ]);
  expectRefusal(await sdmae("watch", at(), `${at()}/.`), /\/\. is named twice/);
});

test("it prints the schema of configurations for editors", async () => {
  const { code, stdout, stderr } = await sdmae("watch", "--schema");
  expect([code, stderr]).toEqual([0, ""]);
  expect(JSON.parse(stdout)).toMatchObject({ properties: { cameras: { type: "object" } }, required: ["cameras"] });
  expectRefusal(await sdmae("watch", "--schema", "rtsp://camera/x"), /--schema watches nothing/);
  expectRefusal(await sdmae("watch", "--schema", "--check"), /cannot be used with/);
});

test("it needs something to watch, and refuses what is not there", async () => {
  expectRefusal(await sdmae("watch"), /name what to watch/);
  expectRefusal(await sdmae("watch", "a.mp4", "--config", configuration()), /not both/);
  expectRefusal(await sdmae("watch", "a.mp4", "--threshold", "-1"), /Give a number above 0/);
  expectRefusal(await sdmae("watch", at("none.mp4")), /none\.mp4 cannot be read: no such file/);
  expectRefusal(await sdmae("watch", "ftp://me:s3cret@host/x"), /ftp:\/\/… cannot be read/);
  expectRefusal(await sdmae("watch", "/dev/null"), /\/dev\/null is no video file, folder or address/);
  expectRefusal(await sdmae("watch", "rtsp://me:s3@cret/x@cam/y"), /holds a second @/);
  const missing = configuration("  back:", "    source: none.mp4");
  expectRefusal(await sdmae("watch", "--config", missing, "--check"), /none\.mp4 cannot be read/);
  const wrong = ["--config", configuration(), "--check", "--checkpoint", at("w.yaml")];
  expectRefusal(await sdmae("watch", ...wrong), /w\.yaml is not a checkpoint|w\.yaml/);
  const off = configuration("    enabled: false");
  expectRefusal(await sdmae("watch", "--config", off), /no camera is enabled/);
});

test("a checkpoint that is none is refused, and nothing is left", async () => {
  const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", "10"];
  execFileSync(await findFfmpeg(), ["-v", "error", ...input, at("a.mp4")]);
  writeFileSync(at("no.safetensors"), "nothing");
  const ran = await sdmae("watch", at("a.mp4"), "--checkpoint", at("no.safetensors"), "--data", at("data"));
  expectRefusal(ran, /no\.safetensors/);
  expect(readdirSync(at()).sort()).toEqual(["a.mp4", "no.safetensors"]);
});
