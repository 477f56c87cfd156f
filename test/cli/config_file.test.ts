import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { beforeAll, expect, onTestFinished, test, vi } from "vitest";
import type { EventChange } from "../../src/server/records.js";
import type { WatchState } from "../../src/server/web/api.js";
import { withBundle } from "../support/child.js";
import { writeWatched } from "../support/fake_engine.js";
import { scratch } from "../support/folders.js";

const at = scratch();
beforeAll(() => writeWatched(at));
const until = (check: () => unknown) => vi.waitFor(check, { timeout: 200_000, interval: 20 });

/** Runs `watch --config` with an engine that computes nothing. */
const program = (loop = true) => `
  import { watch } from "./src/cli/watching.js";
  const stop = new AbortController();
  process.on("SIGTERM", () => stop.abort());
  const engine = { program: ${JSON.stringify(at("engine.mjs"))} };
  await watch([], { config: ${JSON.stringify(at("w.yaml"))}, loop: ${loop}, engine }, stop.signal);
`;

/** A configuration of cameras that show a video, with more lines at the end. */
function edit(cameras: readonly string[], ...lines: string[]): void {
  const each = cameras.flatMap((id) => [`  ${id}:`, "    source: cam.mp4"]);
  const defaults = "defaults: { threshold: 0.5, cooldown: 0 s, hold: 2 s, clip: { before: 1 s, after: 1 s } }";
  const all = [
    "checkpoint: tiny.safetensors",
    "web: { address: 127.0.0.1:0 }",
    defaults,
    "cameras:",
    ...each,
    ...lines,
    "",
  ];
  writeFileSync(at("w.yaml"), all.join("\n"));
}

/** A process that watches, and what it printed. */
function watching(file: string) {
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const said = { out: "", error: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said.out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said.error += text;
  });
  return { child, said };
}

const ended = (child: ChildProcess) => new Promise((resolve) => child.once("close", resolve));

function changesIn(folder: string): EventChange[] {
  const names = readdirSync(at(folder, "events")).filter((name) => name.endsWith(".jsonl"));
  const lines = names.flatMap((name) =>
    readFileSync(at(folder, "events", name), "utf8")
      .trim()
      .split("\n"),
  );
  return lines.map((line) => JSON.parse(line) as EventChange);
}

test("it ends when all files are over, and says so", async () => {
  edit(["once"], "data: over");
  await withBundle(program(false), async (file) => {
    const { child, said } = watching(file);
    expect(await ended(child)).toBe(0);
    expect(said.error).toMatch(/^all files are over \(--loop plays them again and again\)$/m);
  });
}, 300_000);

test("a configuration is edited while it is in use: wrong edits change nothing, good ones begin in order", async () => {
  edit(["one"]);
  await withBundle(program(), async (file) => {
    const { child, said } = watching(file);
    /** Resolves once something was printed from now on. */
    const soon = async (stream: "out" | "error", pattern: RegExp) => {
      const from = said[stream].length;
      await until(() => expect(said[stream].slice(from)).toMatch(pattern));
    };
    await soon("out", / one anomaly new /);
    const url = /^page: (\S+)$/m.exec(said.error)![1];
    const editProblem = async () => ((await (await fetch(`${url}api/state`)).json()) as WatchState).editProblem;
    expect(await editProblem()).toBeNull();

    // Wrong edits: all problems, with their lines. The old one stays.
    edit(["one"], "    fps: 99", "    area: 2");
    child.kill("SIGHUP");
    await soon("error", /w\.yaml cannot be used now: the configuration before stays in use\n/);
    expect(said.error).toMatch(/error: configuration: \S*w\.yaml:7:10: cameras\.one\.fps: .*\n/);
    expect(said.error).toMatch(/error: configuration: \S*w\.yaml:8:11: cameras\.one\.area: .*\n/);
    expect(await editProblem()).toMatch(/^\S*w\.yaml:7:10: cameras\.one\.fps: .*; 1 more in the log$/);
    edit(["one"], "data: cam.mp4/inside");
    child.kill("SIGHUP");
    await soon("error", /w\.yaml:\d+:\d+: data: \S+inside cannot be written: \S+cam\.mp4: it is not a folder\n/);
    edit(["one"], "    record: nothing.mp4");
    child.kill("SIGHUP");
    await soon("error", /nothing\.mp4 cannot be read: no such file/);
    await soon("out", / one anomaly new /);
    rmSync(at("w.yaml"));
    child.kill("SIGHUP");
    await soon("error", /w\.yaml cannot be read: no such file/);
    edit(["one"]);
    child.kill("SIGHUP");
    await soon("error", /w\.yaml says what it said before\n/);
    expect(await editProblem()).toBeNull();
    expect(said.error.match(/^model: /gm)).toHaveLength(1);

    // Another camera: the one that is watched does not notice, nor does its event.
    await soon("out", / one anomaly new /);
    edit(["one", "two"]);
    child.kill("SIGHUP");
    await soon("error", /goes on with the edited cameras: 1 added, 0 removed, 0 changed, 1 as before\n/);
    await soon("out", / two anomaly new /);
    expect(said.out).not.toContain("the configuration has changed");
    const cameras = async () => ((await (await fetch(`${url}api/state`)).json()) as WatchState).cameras;
    expect((await cameras()).map(({ id }) => id)).toEqual(["one", "two"]);

    // Another setting of a camera: its event ends, with its clip.
    await soon("out", / two anomaly clip/);
    await soon("out", / two anomaly new /);
    edit(["one", "two"], "    hold: 1");
    child.kill("SIGHUP");
    await soon("out", / two anomaly end .*: the configuration has changed \[/);
    await soon("out", / two anomaly new /);
    expect(said.error).toMatch(/goes on with the edited cameras: 0 added, 0 removed, 1 changed, 1 as before\n/);
    expect(said.error.match(/^model: /gm)).toHaveLength(1);

    // A model that cannot be used changes nothing.
    edit(["one", "two"], "    checkpoint: cam.mp4");
    child.kill("SIGHUP");
    await soon("error", /cam\.mp4/);
    await soon("out", / two anomaly new /);

    // What fails only when it begins gives way to the one before.
    const other = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void other.close());
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    edit(["one", "two"]);
    writeFileSync(at("w.yaml"), readFileSync(at("w.yaml"), "utf8").replace("127.0.0.1:0", `127.0.0.1:${port}`));
    child.kill("SIGHUP");
    await soon("error", /more than cameras has changed: events end, clips are made, all begins again\n/);
    await soon("error", /cannot be used: .*; the configuration before is used again\n/);
    expect(said.error).toContain(`:${port}`);
    await soon("out", / two anomaly new /);

    // Without a signal, too; another folder is a setting like any other.
    edit(["two"], "data: other");
    await soon("error", /events and clips: \S+other\n/);
    await soon("out", / two anomaly new /);
    child.kill("SIGTERM");
    await ended(child);
    expect(child.exitCode).toBe(0);
  });
  for (const folder of ["sdmae-data", "other"]) {
    const changes = changesIn(folder);
    const ids = (kind: string) => changes.filter(({ change }) => change === kind).map(({ event }) => event.id);
    expect([...ids("end")].sort()).toEqual([...ids("new")].sort());
    const byEdit = changes.find(({ event }) => event.reason === "the configuration has changed")?.event.id;
    if (folder === "sdmae-data") expect(ids("clip")).toContain(byEdit);
    else expect(new Set(changes.map(({ event }) => event.camera))).toEqual(new Set(["two"]));
  }
}, 600_000);
