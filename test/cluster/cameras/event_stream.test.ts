import { beforeEach, describe, expect, test } from "vitest";
import { EVENTS, openCameraStores } from "../../../src/cluster/cameras/stores.js";
import type { Cluster } from "../../../src/cluster/connection.js";
import { connected, endAll, natsFor, until } from "../../support/archive.js";
import { inWords, streamed, streamWith } from "../../support/cameras.js";
import { changeOf } from "../../support/event_changes.js";
import { scratchPerTest } from "../../support/folders.js";
import { hasNats, type NatsServer } from "../../support/nats.js";

const at = scratchPerTest();
endAll();

let server: NatsServer;
let cluster: Cluster;

const begins = changeOf("e1", "10:00:00", "new");
const peaks = changeOf("e1", "10:00:02", "update", { start: "2026-11-30T10:00:00.000Z" });
const ends = changeOf("e1", "10:00:09", "end", {
  start: "2026-11-30T10:00:00.000Z",
  end: "2026-11-30T10:00:08.000Z",
});

describe.skipIf(!hasNats())("with a real server", () => {
  beforeEach(async () => {
    server = await natsFor(at("nats"));
    cluster = await connected(server.url);
    await openCameraStores(cluster);
  });

  const words = async () => inWords(await streamed(cluster));
  /** A worker that has the camera `front`. */
  const worker = (name: string, revision?: number, of: Pick<Cluster, "jetstream" | "manager"> = cluster) => {
    const made = streamWith(of, name);
    if (revision !== undefined) made.leases.set("front", revision);
    const taken = (lease: number) => {
      made.leases.set("front", lease);
      return made.stream.taken({ id: "front", revision: lease });
    };
    return { ...made, taken };
  };
  /** Fails publishing: before it is done, or behind it, as if the answer was lost. */
  function failing(fails: (text: string) => "before" | "behind" | undefined): Pick<Cluster, "jetstream" | "manager"> {
    const jetstream = Object.assign(Object.create(cluster.jetstream) as Cluster["jetstream"], {
      publish: async (...message: Parameters<Cluster["jetstream"]["publish"]>) => {
        const when = fails(String(message[1]));
        if (when === "before") throw new Error("the server is away");
        const answer = await cluster.jetstream.publish(...message);
        if (when === "behind") throw new Error("the answer was lost");
        return answer;
      },
    });
    return { jetstream, manager: cluster.manager };
  }
  /** Fails once, for a message that has this in it. */
  const failingOnce = (text: string, when: "before" | "behind", skip = 0) => {
    let left = 1;
    return failing((message) => (message.includes(text) && skip-- <= 0 && left-- > 0 ? when : undefined));
  };

  test("changes come in order, with the lease's revision and the events that go on", async () => {
    const one = worker("one");
    await one.taken(3);
    for (const change of [begins, peaks, ends]) await one.stream.send(change);
    const found = await streamed(cluster);
    expect(inWords(found)).toEqual(["one 3 taken -", "one 3 new e1", "one 3 update e1", "one 3 end e1"]);
    expect(found.map(({ camera }) => camera)).toEqual(Array(4).fill("front"));
    expect(found.slice(1).map(({ event }) => event)).toEqual([begins, peaks, ends].map(({ event }) => event));
    expect(found.map(({ open }) => open)).toEqual([
      [],
      [{ worker: "one", event: begins.event }],
      [{ worker: "one", event: peaks.event }],
      [],
    ]);
    expect(one.stream.problem).toBeUndefined();
  });

  test("a change that comes again arrives once, also from a process that was started again", async () => {
    const one = worker("one", 3);
    await one.stream.send(begins);
    await one.stream.send(begins);
    const again = worker("one", 4);
    await again.stream.send(begins);
    await again.stream.send(peaks);
    await again.stream.send(ends);
    await worker("one", 5).stream.send(ends);
    expect(await words()).toEqual([
      ...["one 3 taken -", "one 3 new e1", "one 4 taken -", "one 4 update e1", "one 4 end e1", "one 5 taken -"],
    ]);
    expect((await streamed(cluster)).at(-1)?.open).toEqual([]);
  });

  test.each(["new", "update", "end"] as const)("the answer of %s may be lost", async (change) => {
    const one = worker("one", 3, failingOnce(`{"change":"${change}"`, "behind"));
    for (const one_ of [begins, peaks, ends]) {
      await one.stream.send(one_).catch(async (error: unknown) => {
        expect(String(error)).toMatch("the answer was lost");
        expect(one.stream.problem).toBe("the answer was lost");
        await one.stream.send(one_);
      });
    }
    expect(await words()).toEqual(["one 3 taken -", "one 3 new e1", "one 3 update e1", "one 3 end e1"]);
    expect((await streamed(cluster)).at(-1)?.open).toEqual([]);
  });

  test("an update that was left out for a newer one may have arrived all the same", async () => {
    const one = worker("one", 3, failingOnce('{"change":"update"', "behind"));
    await one.stream.send(begins);
    await expect(one.stream.send(peaks)).rejects.toThrow("the answer was lost");
    await one.stream.send({ ...peaks, time: "2026-11-30T10:00:05.000Z" });
    await one.stream.send(ends);
    expect(await words()).toEqual([
      ...["one 3 taken -", "one 3 new e1", "one 3 update e1", "one 3 update e1", "one 3 end e1"],
    ]);
  });

  test("an older owner is refused once another one has taken the camera", async () => {
    const one = worker("one", 3);
    await one.stream.send(begins);
    const two = worker("two");
    await two.taken(4);
    await one.stream.send(peaks);
    await one.stream.send(changeOf("e2", "10:00:03"));
    await expect(one.stream.taken({ id: "front", revision: 3 })).resolves.toBeDefined();
    await expect(worker("one", 3).stream.send(changeOf("e3", "10:00:04"))).rejects.toThrow("front has another worker");
    expect(one.refused.map(({ event }) => event.id)).toEqual(["e1", "e2"]);
    expect(await words()).toEqual(["one 3 taken -", "one 3 new e1", "two 4 taken -", "two 4 end e1"]);
  });

  test("what an older owner sent before it lost the camera, and what arrives later, is refused", async () => {
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const jetstream = Object.assign(Object.create(cluster.jetstream) as Cluster["jetstream"], {
      publish: async (...message: Parameters<Cluster["jetstream"]["publish"]>) => {
        if (String(message[1]).includes('"e2"')) await released;
        return cluster.jetstream.publish(...message);
      },
    });
    const one = worker("one", 3, { jetstream, manager: cluster.manager });
    await one.stream.send(begins);
    await one.stream.send(ends);
    const late = one.stream.send(changeOf("e2", "10:00:03"));
    await worker("two").taken(4);
    release();
    await late;
    expect(one.refused.map(({ event }) => event.id)).toEqual(["e2"]);
    expect((await words()).at(-1)).toBe("two 4 taken -");
  });

  test("a new owner ends what a lost one left open, when it was last heard of", async () => {
    await worker("one", 3).stream.send(begins);
    const two = worker("two");
    await two.taken(4);
    await two.taken(4);
    const [, , , end, ...more] = await streamed(cluster);
    expect(more).toEqual([]);
    expect(end.event).toEqual({ ...begins.event, end: begins.time, reason: "its worker was lost" });
    expect(Date.parse(end.time)).toBeGreaterThan(Date.parse(begins.time));
  });

  test.each(["before", "behind"] as const)("a new owner is cut off %s the ends are written", async (when) => {
    const one = worker("one", 3);
    await one.stream.send(begins);
    await one.stream.send(changeOf("e2", "10:00:03", "new", { kind: "offline" }));
    // It fails at the second of two ends.
    const two = worker("two", 4, failingOnce('{"change":"end"', when, 1));
    await expect(two.taken(4)).rejects.toThrow();
    await two.stream.send(changeOf("e3", "10:01:00"));
    expect(await words()).toEqual([
      ...["one 3 taken -", "one 3 new e1", "one 3 new e2", "two 4 taken -", "two 4 end e1", "two 4 end e2"],
      "two 4 new e3",
    ]);
  });

  test.each(["two", "three"])("a new owner is lost before the ends; %s has the camera then", async (next) => {
    await worker("one", 3).stream.send(begins);
    const two = worker("two", 4, failingOnce('{"change":"end"', "before"));
    await expect(two.taken(4)).rejects.toThrow();
    await worker(next).taken(5);
    expect((await words()).slice(2)).toEqual(["two 4 taken -", `${next} 5 taken -`, `${next} 5 end e1`]);
  });

  test("the answer of taking may be lost", async () => {
    await worker("one", 3).stream.send(begins);
    const two = worker("two", 4, failingOnce('{"change":"taken"', "behind"));
    await expect(two.taken(4)).rejects.toThrow();
    await two.stream.send(changeOf("e2", "10:01:00"));
    expect((await words()).slice(2)).toEqual(["two 4 taken -", "two 4 end e1", "two 4 new e2"]);
  });

  test("a worker that comes back ends its events itself", async () => {
    await worker("one", 3).stream.send(begins);
    const again = worker("one");
    await again.taken(4);
    await again.stream.send(ends);
    expect((await words()).slice(2)).toEqual(["one 4 taken -", "one 4 end e1"]);
  });

  test("what a process before had given up to end, ends with the next event", async () => {
    await worker("one", 3).stream.send(begins);
    const again = worker("one", 4);
    for (const id of ["e2", "e3"]) await again.stream.send(changeOf(id, "10:01:00"));
    expect((await words()).slice(2)).toEqual(["one 4 taken -", "one 4 end e1", "one 4 new e2", "one 4 new e3"]);
  });

  test("a worker that comes back after another one does not begin and end its events again", async () => {
    const one = worker("one", 3, failingOnce('{"change":"new"', "behind"));
    await expect(one.stream.send(begins)).rejects.toThrow("the answer was lost");
    await worker("two").taken(4);
    await one.taken(5);
    for (const change of [begins, peaks, ends]) await one.stream.send(change);
    // What had not arrived does.
    await one.stream.send(changeOf("e2", "10:00:30"));
    expect((await words()).slice(1)).toEqual([
      ...["one 3 new e1", "two 4 taken -", "two 4 end e1", "one 5 taken -", "one 5 new e2"],
    ]);
    expect((await streamed(cluster)).at(-1)?.open.map(({ event }) => event.id)).toEqual(["e2"]);
  });

  test("an owner that was overtaken does not take the camera back", async () => {
    await worker("two").taken(4);
    const one = worker("one");
    await expect(one.taken(3)).rejects.toThrow("front has another worker");
    expect(await words()).toEqual(["two 4 taken -"]);
  });

  test("changes wait for a worker of their camera, and are given up if there is none", async () => {
    const one = worker("one", 3);
    await one.stream.send(begins);
    one.leases.clear();
    await expect(one.stream.send(ends)).rejects.toThrow("the camera front has no worker: its events wait");
    expect(one.stream.problem).toBe("the camera front has no worker: its events wait");
    one.state.isElsewhere = true;
    await one.stream.send(ends);
    expect(one.stream.problem).toBeUndefined();
    expect(one.refused).toEqual([ends]);
    // What was given up ends when the camera is taken again.
    await one.taken(5);
    expect((await words()).slice(2)).toEqual(["one 5 taken -", "one 5 end e1"]);
  });

  test("cameras do not concern each other", async () => {
    const one = worker("one", 3);
    await one.stream.send(begins);
    const two = worker("two");
    two.leases.set("back", 9);
    const ofBack = changeOf("e2", "10:00:03", "new", { camera: "back" });
    await Promise.all([two.stream.send(ofBack), one.stream.send(peaks)]);
    await one.stream.send(ends);
    expect((await words()).sort()).toEqual(
      ["one 3 taken -", "one 3 new e1", "one 3 update e1", "one 3 end e1", "two 9 taken -", "two 9 new e2"].sort(),
    );
  });

  test("hostile messages in the stream do no harm", async () => {
    const one = worker("one", 3);
    await one.stream.send(begins);
    const good = { change: "taken", time: begins.time, revision: 1, worker: "evil", open: [] };
    const ofOther = { ...begins.event, camera: "back" };
    const texts = [
      ...["", "[", "null", "7", '"text"', "{}", "\u0000", `${"[".repeat(5000)}${"]".repeat(5000)}`],
      ...[
        { ...good, more: 1 },
        { ...good, revision: -1 },
        { ...good, worker: "a.b" },
      ].map((one) => JSON.stringify(one)),
      JSON.stringify({ ...good, open: Array(21).fill({ worker: "evil", event: begins.event }) }),
      JSON.stringify({ ...good, open: [{ worker: "evil", event: { ...begins.event, id: "../x" } }] }),
      JSON.stringify({ ...good, open: [{ worker: "evil", event: ofOther }] }),
    ];
    for (const text of texts) await cluster.jetstream.publish("sdmae.event.front", text);
    await one.stream.send(peaks);
    await one.stream.send(ends);
    // Nothing is known of what went on before; a new owner goes on all the same.
    await cluster.jetstream.publish("sdmae.event.front", texts.at(-1));
    const two = worker("two");
    await two.taken(4);
    await two.stream.send(changeOf("e2", "10:01:00"));
    const own = (await streamed(cluster)).filter(({ worker: name }) => name !== "evil");
    expect(inWords(own)).toEqual([
      ...["one 3 taken -", "one 3 new e1", "one 3 update e1", "one 3 end e1", "two 4 taken -", "two 4 new e2"],
    ]);
  });

  test("the server knows a message that comes again before it looks at the one before it", async () => {
    const publish = (msgID: string, lastSubjectSequence: number) =>
      cluster.jetstream.publish("sdmae.event.front", "{}", { msgID, expect: { lastSubjectSequence } });
    expect(await publish("a", 0)).toMatchObject({ seq: 1, duplicate: false });
    expect(await publish("b", 1)).toMatchObject({ seq: 2, duplicate: false });
    expect(await publish("a", 0)).toMatchObject({ seq: 1, duplicate: true });
    await expect(publish("c", 0)).rejects.toThrow(/wrong last sequence/i);
    // Also once it was started again, with what it had.
    await server.end();
    await server.start();
    await until(() => cluster.nats.rtt());
    expect(await publish("a", 0)).toMatchObject({ seq: 1, duplicate: true });
    const { config } = await cluster.manager.streams.info(EVENTS);
    expect(config.duplicate_window).toBe(24 * 3600 * 1e9);
  });
});
