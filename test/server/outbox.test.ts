import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { EventLog } from "../../src/server/event_log.js";
import { type DeliveryResult, Outbox, type OutboxOptions } from "../../src/server/outbox.js";
import type { CameraEvent, ChangeKind, EventChange, Sink } from "../../src/server/records.js";
import { scratchPerTest } from "../support/folders.js";

const root = scratchPerTest();

/** Noon of the day on which all happens. */
const noon = Date.parse("2026-11-30T12:00:00.000Z");

/** A change `seconds` after noon. */
function changeOf(id: string, seconds = 0, change: ChangeKind = "new", more: Partial<CameraEvent> = {}): EventChange {
  const time = new Date(noon + 1000 * seconds).toISOString();
  return { change, time, event: { id, camera: "front", kind: "anomaly", start: time, zones: [], ...more } };
}

const nameOf = ({ change, event }: EventChange) => `${event.id} ${change}`;

/** A sink that keeps what it gets, and fails while it is told to. */
class Recorder implements Sink {
  readonly name: string = "phone";
  readonly got: string[] = [];
  attempts = 0;
  failing: Error | undefined;

  async send(change: EventChange): Promise<void> {
    this.attempts++;
    if (this.failing) throw this.failing;
    this.got.push(nameOf(change));
  }
}

/** A log and an outbox that wait for nothing, and what it reported. */
async function setUp(options: Partial<OutboxOptions> = {}, first: EventChange[] = []) {
  const log = await EventLog.open(root("events"));
  onTestFinished(() => log.close());
  for (const change of first) await log.append(change);
  const sink = new Recorder();
  const results: string[] = [];
  const waits: number[] = [];
  const given = { log, sink, folder: root("outbox"), clock: () => noon, ...options };
  const openOutbox = async (more: Partial<OutboxOptions> = {}) => {
    const outbox = await Outbox.open({
      onResult: (result: DeliveryResult, change) => results.push(`${result} ${nameOf(change)}`),
      retry: { jitter: 0 },
      sleep: async (milliseconds) => {
        waits.push(milliseconds / 1000);
        await new Promise((resolve) => setImmediate(resolve));
      },
      ...given,
      ...more,
    });
    onTestFinished(() => outbox.close());
    return outbox;
  };
  const append = async (outbox: Outbox, ...changes: EventChange[]) => {
    await Promise.all(changes.map((change) => log.append(change)));
    outbox.notify();
  };
  return { log, sink, results, waits, openOutbox, append };
}

const cursor = () => JSON.parse(readFileSync(root("outbox", "phone.json"), "utf8")).next;

describe("delivering", () => {
  test("a new sink gets what is appended from then on, in order", async () => {
    const { sink, results, log, openOutbox, append } = await setUp({}, [changeOf("before")]);
    const outbox = await openOutbox();
    expect(outbox.queueLength).toBe(0);
    await append(outbox, changeOf("a"), changeOf("b"), changeOf("a", 1, "end"));
    await outbox.drained();
    await outbox.close();
    expect(sink.got).toEqual(["a new", "b new", "a end"]);
    expect(results).toEqual(["delivered a new", "delivered b new", "delivered a end"]);
    expect(cursor()).toEqual(log.end);
  });

  test("what was appended while the process was down is delivered after the next start", async () => {
    const { sink, log, openOutbox } = await setUp();
    await (await openOutbox()).close();
    await log.append(changeOf("a"));
    const outbox = await openOutbox();
    await outbox.drained();
    await outbox.close();
    expect(sink.got).toEqual(["a new"]);
    await (await openOutbox()).close();
    expect(sink.got).toEqual(["a new"]);
  });

  test("a failed change is tried again until it arrives, before all behind it", async () => {
    const { sink, results, waits, openOutbox, append } = await setUp();
    sink.failing = new Error("nobody\nthere");
    const outbox = await openOutbox();
    await append(outbox, changeOf("a"), changeOf("b"));
    await vi.waitFor(() => expect(sink.attempts).toBeGreaterThanOrEqual(9), { interval: 1 });
    expect(outbox.queueLength).toBe(2);
    expect(outbox.lastError).toBe("nobody there");
    sink.failing = undefined;
    await outbox.drained();
    await outbox.close();
    expect(sink.got).toEqual(["a new", "b new"]);
    expect(outbox.lastError).toBeUndefined();
    expect(waits.slice(0, 8)).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    expect(results.filter((result) => result !== "failed a new")).toEqual(["delivered a new", "delivered b new"]);
  });

  test("after a success the waits begin anew", async () => {
    const { sink, waits, openOutbox, append } = await setUp();
    const outbox = await openOutbox();
    for (const id of ["a", "b"]) {
      sink.failing = new Error("nobody there");
      const before = sink.attempts;
      await append(outbox, changeOf(id));
      await vi.waitFor(() => expect(sink.attempts).toBeGreaterThan(before + 1), { interval: 1 });
      sink.failing = undefined;
      await outbox.drained();
      waits.push(0);
    }
    expect(waits.join(" ")).toMatch(/^1 2 .*0 1 2/);
  });

  test("a sink that hangs is aborted, even if it ignores that", async () => {
    let attempts = 0;
    const signals: AbortSignal[] = [];
    const sink: Sink = {
      name: "phone",
      send: (_, signal) => {
        signals.push(signal);
        return ++attempts === 1 ? new Promise(() => {}) : Promise.resolve();
      },
    };
    const { results, openOutbox, append } = await setUp();
    const errors: unknown[] = [];
    const outbox = await openOutbox({
      sink,
      sendTimeout: 0.05,
      onResult: (result, change, error) => {
        results.push(`${result} ${nameOf(change)}`);
        errors.push(error?.message);
      },
    });
    await append(outbox, changeOf("a"));
    await outbox.drained();
    expect(results).toEqual(["failed a new", "delivered a new"]);
    expect(errors).toEqual(["phone: no answer within 0.05 s", undefined]);
    expect(signals[0].aborted).toBe(true);
  });

  test("closing aborts a delivery, which is repeated after the next start", async () => {
    const { sink, results, openOutbox, append } = await setUp();
    let sending = () => {};
    const started = new Promise<void>((resolve) => {
      sending = resolve;
    });
    const hanging: Sink = {
      name: "phone",
      send: (_, signal) => {
        sending();
        return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      },
    };
    const outbox = await openOutbox({ sink: hanging });
    await append(outbox, changeOf("a"));
    await started;
    await outbox.close();
    expect(results).toEqual([]);
    await (await openOutbox()).drained();
    expect(sink.got).toEqual(["a new"]);
  });

  test("closing with grace delivers what is left", async () => {
    const { sink, openOutbox, append } = await setUp();
    const outbox = await openOutbox();
    await append(outbox, ...Array.from({ length: 20 }, (_, i) => changeOf(`e${i}`)));
    await outbox.close({ grace: 60 });
    expect(sink.got).toHaveLength(20);
  });

  test("what a listener throws does not stop deliveries", async () => {
    const { sink, openOutbox, append } = await setUp();
    const outbox = await openOutbox({
      onResult: () => {
        throw new Error("a mistake");
      },
    });
    await append(outbox, changeOf("a"), changeOf("b"));
    await outbox.drained();
    expect(sink.got).toEqual(["a new", "b new"]);
  });
});

describe("what is left out", () => {
  test("a sink gets only what its filter lets pass, and no silent events", async () => {
    const { sink, openOutbox, append } = await setUp();
    const filter = { cameras: ["front"], kinds: ["anomaly"] as const, changes: ["new", "end"] as const };
    const outbox = await openOutbox({ filter });
    await append(
      outbox,
      changeOf("a"),
      changeOf("b", 0, "new", { camera: "yard" }),
      changeOf("c", 0, "new", { kind: "offline" }),
      changeOf("a", 1, "update"),
      changeOf("d", 0, "new", { silent: true }),
      changeOf("a", 2, "end"),
    );
    await outbox.drained();
    await outbox.close();
    expect(sink.got).toEqual(["a new", "a end"]);
  });

  test("an update with a newer change of its event behind it is left out", async () => {
    const { sink, results, openOutbox, append } = await setUp();
    sink.failing = new Error("nobody there");
    const outbox = await openOutbox();
    await append(outbox, changeOf("a"));
    await append(outbox, changeOf("a", 1, "update"), changeOf("b", 1, "update"), changeOf("a", 2, "update"));
    await vi.waitFor(() => expect(outbox.queueLength).toBe(3), { interval: 1 });
    await append(outbox, changeOf("a", 3, "end"), changeOf("a", 4, "clip"));
    await vi.waitFor(() => expect(outbox.queueLength).toBe(4), { interval: 1 });
    sink.failing = undefined;
    await outbox.drained();
    expect(sink.got).toEqual(["a new", "b update", "a end", "a clip"]);
    expect(results.filter((result) => !result.startsWith("failed"))).toHaveLength(4);
  });

  test("a change that is too old is given up and reported", async () => {
    const { sink, results, openOutbox, append } = await setUp();
    sink.failing = new Error("nobody there");
    let now = noon;
    const errors: (string | undefined)[] = [];
    const outbox = await openOutbox({
      expiry: 60,
      clock: () => now,
      onResult: (result, change, error) => {
        results.push(`${result} ${nameOf(change)}`);
        if (result === "expired") errors.push(error?.message);
      },
    });
    await append(outbox, changeOf("a"), changeOf("b", 50));
    await vi.waitFor(() => expect(sink.attempts).toBeGreaterThan(1), { interval: 1 });
    now = noon + 61_000;
    await vi.waitFor(() => expect(results).toContain("failed b new"), { interval: 1 });
    sink.failing = undefined;
    await outbox.drained();
    expect(sink.got).toEqual(["b new"]);
    expect(results.filter((result) => result.startsWith("expired"))).toEqual(["expired a new"]);
    expect(errors).toEqual(["nobody there"]);
  });
});

describe("the cursor", () => {
  test("it is written after each delivery", async () => {
    const { log, openOutbox, append } = await setUp();
    const places: unknown[] = [];
    const sink: Sink = {
      name: "phone",
      send: async () => {
        places.push(cursor());
      },
    };
    const outbox = await openOutbox({ sink });
    const at = [log.end];
    for (const id of ["a", "b", "c"]) {
      await append(outbox, changeOf(id));
      at.push(log.end);
    }
    await outbox.drained();
    await outbox.close();
    // The log had no day before the first change.
    expect(places.slice(1)).toEqual(at.slice(1, 3));
    expect(cursor()).toEqual(at[3]);
  });

  test("a damaged one leads to the changes that have not expired", async () => {
    const first = [changeOf("old", -100), changeOf("young", -10)];
    const { sink, openOutbox } = await setUp({ expiry: 60 }, first);
    await (await openOutbox()).close();
    writeFileSync(root("outbox", "phone.json"), "{");
    const warnings: string[] = [];
    const outbox = await openOutbox({ onWarning: (message) => warnings.push(message) });
    await outbox.drained();
    expect(sink.got).toEqual(["young new"]);
    expect(warnings).toEqual([
      `${root("outbox", "phone.json")}: is damaged; alerts that have not expired are sent again`,
    ]);
  });

  test("one behind the log's end, as after a restored backup, begins at the end", async () => {
    const { sink, log, openOutbox, append } = await setUp({}, [changeOf("a")]);
    await (await openOutbox()).close();
    writeFileSync(root("outbox", "phone.json"), '{"next":{"day":"2026-12-24","offset":5000}}');
    const outbox = await openOutbox();
    expect(cursor()).toEqual(log.end);
    await append(outbox, changeOf("b"));
    await outbox.drained();
    expect(sink.got).toEqual(["b new"]);
  });

  test("deliveries go on if it cannot be written", async () => {
    const { sink, openOutbox, append } = await setUp();
    const warnings: string[] = [];
    const outbox = await openOutbox({ onWarning: (message) => warnings.push(message) });
    rmSync(root("outbox"), { recursive: true });
    await append(outbox, changeOf("a"), changeOf("b"));
    await outbox.drained();
    await outbox.close();
    expect(sink.got).toEqual(["a new", "b new"]);
    expect(warnings).toEqual([expect.stringContaining("phone.json: cannot be written")]);
  });

  test("names of sinks cannot lead out of the folder", async () => {
    const { openOutbox, append } = await setUp();
    const sink = { name: "../../etc", send: async () => {} };
    const outbox = await openOutbox({ sink });
    await append(outbox, changeOf("a"));
    await outbox.drained();
    await outbox.close();
    expect(readFileSync(root("outbox", "..%2F..%2Fetc.json"), "utf8")).toContain('"sink":"../../etc"');
  });
});

test("a long queue is delivered whole, and only its head is held in memory", async () => {
  const { sink, log, openOutbox } = await setUp();
  await (await openOutbox()).close();
  const changes = Array.from({ length: 600 }, (_, i) => changeOf(`e${i}`));
  await Promise.all(changes.map((change) => log.append(change)));
  const outbox = await openOutbox();
  expect(outbox.queueLength).toBe(600);
  await outbox.drained();
  expect(sink.got).toEqual(changes.map(nameOf));
});

test("changes of a file that was removed are passed", async () => {
  const { sink, log, openOutbox } = await setUp();
  await (await openOutbox()).close();
  await Promise.all(Array.from({ length: 300 }, (_, i) => log.append(changeOf(`e${i}`))));
  await log.append(changeOf("last", 86_400));
  sink.failing = new Error("nobody there");
  const outbox = await openOutbox();
  rmSync(root("events", "2026-11-30.jsonl"));
  sink.failing = undefined;
  await outbox.drained();
  expect(sink.got.slice(-2)).toEqual(["e255 new", "last new"]);
});
