import { expect, test } from "vitest";
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
  const { code, stdout } = await sdmae("events", "--data", at());
  expect(code).toBe(0);
  const lines = stdout.trim().split("\n");
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(/^2026-01-02T10:00:00\.000Z {2}back +offline +goes on/);
  expect(lines[1]).toMatch(/^2026-01-01T10:00:00\.000Z {2}front +anomaly +7 s {2}0\.710 {2}door$/);

  const json = await sdmae("events", "--data", at(), "--camera", "front", "--json");
  expect(
    json.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).id),
  ).toEqual(["a"]);
  expect((await sdmae("events", "--data", at(), "--since", "2026-01-02", "--json")).stdout).toContain('"id":"b"');
  expect((await sdmae("events", "--data", at(), "--limit", "1")).stdout.trim().split("\n")).toHaveLength(1);
});

test("it says that there are none, and what is no time", async () => {
  expectRefusal(await sdmae("events", "--data", at("none")), /none is not a folder of `watch`/);
  await keep(["new", { id: "a", start: "2026-01-01T10:00:00.000Z" }]);
  const late = await sdmae("events", "--data", at(), "--since", "24h");
  expect(late).toEqual({ code: 0, stdout: "", stderr: "no events since then\n" });
  expectRefusal(await sdmae("events", "--since", "lately"), /Give a date/);
});
