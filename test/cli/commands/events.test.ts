import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { expect, test, vi } from "vitest";
import { EventLog } from "../../../src/server/event_log.js";
import type { CameraEvent, ChangeKind } from "../../../src/server/records.js";
import { expectRefusal, sdmae } from "../../support/cli.js";
import { scratchPerTest } from "../../support/folders.js";

const at = scratchPerTest();

/** Keeps changes of events. */
async function keep(...changes: [ChangeKind, Partial<CameraEvent> & Pick<CameraEvent, "id" | "start">][]) {
  const log = await EventLog.open(at("events"));
  for (const [change, event] of changes)
    await log.append({ change, time: event.start, event: { camera: "front", kind: "anomaly", zones: [], ...event } });
  await log.close();
}

test("events are listed, the newest first, each once", async () => {
  await keep(
    ["new", { id: "a", start: "2026-01-01T10:00:00.000Z" }],
    [
      "end",
      {
        id: "a",
        start: "2026-01-01T10:00:00.000Z",
        end: "2026-01-01T10:00:07.400Z",
        peak: { time: "", level: 0.71 },
        zones: ["door"],
      },
    ],
    ["new", { id: "b", start: "2026-01-02T10:00:00.000Z", camera: "back", kind: "offline" }],
  );
  const { code, stdout } = await sdmae("events", "--data", at(), "--utc");
  expect(code).toBe(0);
  const lines = stdout.trim().split("\n");
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(/^Fri 2026-01-02 10:00:00 UTC {2}back +offline +goes on$/);
  expect(lines[1]).toMatch(/^Thu 2026-01-01 10:00:00 UTC {2}front +anomaly +7\.4 s {2}0\.710 +door$/);

  const json = await sdmae("events", "--data", at(), "--camera", "front", "--json");
  expect(
    json.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).id),
  ).toEqual(["a"]);
  expect((await sdmae("events", "--data", at(), "--since", "2026-01-02", "--utc", "--json")).stdout).toContain(
    '"id":"b"',
  );
  const ids = async (...args: string[]) =>
    [...(await sdmae("events", "--data", at(), "--json", ...args)).stdout.matchAll(/"id":"(\w)"/g)].map(([, id]) => id);
  expect(await ids("--since", "2026-01-01T10:00:01Z")).toEqual(["b"]);
  expect(await ids("--until", "2026-01-02T10:00Z")).toEqual(["a"]);
  expect(await ids("--kind", "offline")).toEqual(["b"]);
  expect((await sdmae("events", "--data", at(), "--limit", "1")).stdout.trim().split("\n")).toHaveLength(1);
});

test("times are local, and a date begins at local midnight", async () => {
  const midnight = new Date(2026, 4, 6);
  await keep(
    ["new", { id: "a", start: new Date(midnight.getTime() - 1000).toISOString() }],
    ["new", { id: "b", start: midnight.toISOString() }],
  );
  const { stdout } = await sdmae("events", "--data", at(), "--since", "2026-05-06");
  expect(stdout).toMatch(/^Wed 2026-05-06 00:00:00 {2}front +anomaly +goes on\n$/);
});

test("a clip is a path that can be opened, unless it was deleted", async () => {
  const clip = "clips/front/2026-01-01/a.mp4";
  const start = "2026-01-01T10:00:00.000Z";
  await keep(["clip", { id: "a", start, end: start, clip }]);
  expect((await sdmae("events", "--data", at())).stdout).toMatch(/ {2}\(the clip was deleted\)\n$/);
  mkdirSync(dirname(at(clip)), { recursive: true });
  writeFileSync(at(clip), "");
  const { stdout } = await sdmae("events", "--data", at());
  expect(stdout.trim().split("  ").at(-1)).toBe(at(clip));
});

test("the newest 50 are shown to people, and all to programs", async () => {
  const event = (i: number) => ({ id: `e${i}`, start: new Date(Date.UTC(2026, 0, 1) + 1000 * i).toISOString() });
  await keep(...Array.from({ length: 51 }, (_, i): ["new", ReturnType<typeof event>] => ["new", event(i)]));
  const { stdout, stderr } = await sdmae("events", "--data", at());
  expect(stdout.trim().split("\n")).toHaveLength(50);
  expect(stderr).toBe("there are older ones: --limit or --since shows them\n");
  expect((await sdmae("events", "--data", at(), "--json")).stdout.trim().split("\n")).toHaveLength(51);
  expect(
    (await sdmae("events", "--data", at(), "--since", "2026-01-01T00:00Z")).stdout.trim().split("\n"),
  ).toHaveLength(51);
});

test("changes are followed until Ctrl-C", async () => {
  await keep(["new", { id: "a", start: "2026-01-01T10:00:00.000Z" }]);
  const following = sdmae("events", "--data", at(), "--follow", "--json", "--since", "2026-01-01");
  // It prints by console.log, which is replaced while a command runs.
  await vi.waitFor(() => expect(vi.mocked(console.log).mock?.calls).toHaveLength(1), { timeout: 60_000 });
  process.emit("SIGINT");
  const { code, stdout } = await following;
  expect(code).toBe(130);
  expect(JSON.parse(stdout)).toMatchObject({ change: "new", event: { id: "a" } });
});

test("whoever follows a camera that is not known is told so", async () => {
  await keep(["new", { id: "a", start: "2026-01-01T10:00:00.000Z" }]);
  const following = sdmae("events", "--data", at(), "--follow", "--camera", "yard", "--since", "2026-01-01");
  await vi.waitFor(() => expect(vi.mocked(process.stderr.write).mock?.calls).toHaveLength(1), { timeout: 60_000 });
  await keep(["new", { id: "b", camera: "yard", start: "2026-01-01T11:00:00.000Z" }]);
  await vi.waitFor(() => expect(vi.mocked(console.log).mock?.calls).toHaveLength(1), { timeout: 60_000 });
  process.emit("SIGINT");
  const { code, stderr } = await following;
  expect(code).toBe(130);
  expect(stderr).toMatch(/^warning: .* knows no camera yard: it has front; waiting for it\n/);
});

test("the configuration names the folder, and cameras that have no event yet", async () => {
  await keep(["new", { id: "a", start: "2026-01-01T10:00:00.000Z" }]);
  const yaml = at("w.yaml");
  writeFileSync(yaml, "data: .\ncameras:\n  front: { source: a.mp4 }\n  gate: { source: b.mp4 }\n");
  const { stdout } = await sdmae("events", "--config", yaml, "--json");
  expect(JSON.parse(stdout)).toMatchObject({ id: "a" });
  const quiet = await sdmae("events", "--config", yaml, "--camera", "gate");
  expect(quiet).toEqual({ code: 0, stdout: "", stderr: "no events (of gate)\n" });
  expectRefusal(
    await sdmae("events", "--config", yaml, "--camera", "yard"),
    /knows no camera yard: it has front, gate$/m,
  );
});

test("it says that there are none, and what is no time", async () => {
  expectRefusal(await sdmae("events", "--data", at("none")), /none is not a folder of `watch`/);
  await keep(["new", { id: "a", start: "2026-01-01T10:00:00.000Z" }]);
  const late = await sdmae("events", "--data", at(), "--since", "24h");
  expect(late).toEqual({ code: 0, stdout: "", stderr: "no events since then\n" });
  const none = await sdmae("events", "--data", at(), "--camera", "front", "--kind", "offline");
  expect(none).toEqual({ code: 0, stdout: "", stderr: "no events (offline of front)\n" });
  expectRefusal(await sdmae("events", "--data", at(), "--camera", "yard"), /knows no camera yard: it has front$/m);
  mkdirSync(at("cameras", "yard"), { recursive: true });
  expect((await sdmae("events", "--data", at(), "--camera", "yard")).stderr).toBe("no events (of yard)\n");
  expectRefusal(
    await sdmae("events", "--data", at(), "--since", "2026-01-02", "--until", "2026-01-01"),
    "--since is later than --until",
  );
  expectRefusal(await sdmae("events", "--since", "lately"), /--since "lately": give a date/);
  expectRefusal(await sdmae("events", "--until", "5"), /--until "5": give a date/);
  expectRefusal(await sdmae("events", "--kind", "cat"), /Allowed choices are anomaly/);
  expectRefusal(await sdmae("events", "--limit", "0"), /whole number/);
  expectRefusal(await sdmae("events", "--follow", "--limit", "3"), /cannot be used with/);
});
