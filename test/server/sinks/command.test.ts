import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { expect, onTestFinished, test, vi } from "vitest";
import type { EventChange } from "../../../src/server/records.js";
import { commandSink } from "../../../src/server/sinks/command.js";
import { scratchPerTest } from "../../support/folders.js";

const root = scratchPerTest();
const time = "2026-11-30T14:15:02.123Z";
const change: EventChange = {
  change: "end",
  time,
  event: { id: "20261130T141502123-front-3f2a91", camera: "front", kind: "anomaly", start: time, end: time, zones: [] },
};
const never = new AbortController().signal;

/** Runs a script of Node's with arguments. @returns the error's message, if it failed */
function run(
  script: string,
  given: string[] = [],
  options: { folder?: string } = {},
  signal: AbortSignal = never,
): Promise<string | undefined> {
  writeFileSync(root("script.mjs"), script);
  const sink = commandSink({ name: "script", command: [process.execPath, root("script.mjs"), ...given], ...options });
  return sink.send(change, signal).then(
    () => undefined,
    (error: Error) => error.message,
  );
}

test("variables that hold a secret are not passed on", async () => {
  Object.assign(process.env, { SDMAE_TEST_SECRET: "s3cret-0123", SDMAE_TEST_PLAIN: "plain" });
  try {
    const script = "require('fs').writeFileSync(process.argv[1], JSON.stringify(process.env))";
    const command = [process.execPath, "-e", script, root("env.json")] as const;
    await commandSink({ name: "run", command, secrets: () => ["s3cret-0123"] }).send(change, never);
    const seen = JSON.parse(readFileSync(root("env.json"), "utf8")) as Record<string, string>;
    expect(seen).toMatchObject({ SDMAE_TEST_PLAIN: "plain", SDMAE_CAMERA: change.event.camera });
    expect(seen).not.toHaveProperty("SDMAE_TEST_SECRET");
  } finally {
    for (const name of ["SDMAE_TEST_SECRET", "SDMAE_TEST_PLAIN"]) delete process.env[name];
  }
});

test("a program gets the change on standard input and its names in the environment", async () => {
  const script = `
    import { readFileSync, writeFileSync } from "node:fs";
    const { SDMAE_EVENT_ID, SDMAE_CAMERA, SDMAE_CHANGE, SDMAE_KIND, PATH } = process.env;
    const variables = { SDMAE_EVENT_ID, SDMAE_CAMERA, SDMAE_CHANGE, SDMAE_KIND, PATH };
    const input = readFileSync(0, "utf8");
    writeFileSync("got.json", JSON.stringify({ input, variables, given: process.argv.slice(2) }));
  `;
  expect(await run(script, ["$HOME; exit 1", "b c"], { folder: root() })).toBeUndefined();
  const { input, variables, given } = JSON.parse(readFileSync(root("got.json"), "utf8"));
  expect(JSON.parse(input)).toEqual(change);
  expect(variables).toEqual({
    SDMAE_EVENT_ID: change.event.id,
    SDMAE_CAMERA: "front",
    SDMAE_CHANGE: "end",
    SDMAE_KIND: "anomaly",
    PATH: process.env.PATH,
  });
  expect(given).toEqual(["$HOME; exit 1", "b c"]);
});

test("a program that ends without reading its input is fine", async () => {
  expect(await run("process.exit(0)")).toBeUndefined();
});

test("an exit code other than 0 is an error with the first line of its messages", async () => {
  const script = `process.stderr.write("\\nno\\tnetwork\\nat all\\n", () => process.exit(3));`;
  expect(await run(script, ["--token=secret"])).toBe(`${process.execPath}: ended with exit code 3 (no network)`);
  expect(await run("process.exit(1)")).toBe(`${process.execPath}: ended with exit code 1`);
  expect(await run('process.kill(process.pid, "SIGTERM"); setInterval(() => {}, 1000)')).toBe(
    `${process.execPath}: was ended by SIGTERM`,
  );
});

test("much that nobody reads does not block a program", async () => {
  const script = `
    const text = "x".repeat(1_000_000);
    process.stdout.write(text);
    process.stderr.write(text, () => process.exit(2));
  `;
  expect(await run(script)).toMatch(/: ended with exit code 2 \(x{300}…\)$/);
});

test("a program that is not there is an error", async () => {
  const sink = commandSink({ name: "nothing", command: [root("nothing")] });
  await expect(sink.send(change, never)).rejects.toThrow(`${root("nothing")}: cannot be run (no such file or folder)`);
});

/** Starts another program, which counts in a file, and hangs. */
const hanging = `
  import { spawn } from "node:child_process";
  import { writeFileSync } from "node:fs";
  const counting = 'let n = 0; setInterval(() => require("node:fs").writeFileSync(process.argv[1], String(process.pid)), 5)';
  spawn(process.execPath, ["-e", counting, process.argv[2]], { stdio: "inherit" });
  setInterval(() => {}, 1000);
`;

/** Whether a process is there; one that waits to be reaped is not. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !existsSync(`/proc/${pid}/stat`) || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

const pidIn = (file: string) => Number(existsSync(file) ? readFileSync(file, "utf8") : 0);

/** Waits until the other program is there. @returns its number */
async function started(): Promise<number> {
  while (pidIn(root("pid")) === 0) await wait(5);
  return pidIn(root("pid"));
}

test.skipIf(process.platform === "win32")("a program that hangs is killed with all that it started", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const failure = run(hanging, [root("pid")]);
  const pid = await started();
  vi.advanceTimersByTime(20_000);
  expect(await failure).toBe(`${process.execPath}: did not end within 20 s and was killed`);
  vi.useRealTimers();
  await vi.waitFor(() => expect(isRunning(pid)).toBe(false), 10_000);
});

test.skipIf(process.platform === "win32")("an aborted delivery kills the program, too", async () => {
  const aborting = new AbortController();
  const failure = run(hanging, [root("pid")], {}, aborting.signal);
  const pid = await started();
  aborting.abort(new Error("closing"));
  expect(await failure).toBe("closing");
  await vi.waitFor(() => expect(isRunning(pid)).toBe(false), 10_000);
});

test("a program that fails may leave others behind that hold its messages open", async () => {
  const script = `
    import { spawn } from "node:child_process";
    spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "inherit" });
    process.stderr.write("gave up\\n", () => process.exit(1));
  `;
  expect(await run(script)).toBe(`${process.execPath}: ended with exit code 1 (gave up)`);
});
