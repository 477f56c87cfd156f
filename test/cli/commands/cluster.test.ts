import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { saveCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import type { Cluster } from "../../../src/cluster/connection.js";
import type { VideoRecord } from "../../../src/cluster/messages.js";
import { freePort } from "../../../src/node/local_nats.js";
import { atEnd, connected, endAll, natsFor, type Score, signedBy, startWorker, until } from "../../support/archive.js";
import { withBundle } from "../../support/child.js";
import { expectRefusal, sdmae, videoFile } from "../../support/cli.js";
import { scratch, scratchPerTest } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";
import { randomCheckpoint, tinyConfig } from "../../support/model.js";
import { hasNats, type NatsServer } from "../../support/nats.js";

const shared = scratch();
const at = scratchPerTest();
endAll();
const model = shared("tiny.safetensors");
writeFileSync(model, saveCheckpoint(randomCheckpoint(tinyConfig, 5)));
/** Its content is what `submit` looks at. */
const video = (path: string) => {
  mkdirSync(join(at("share", path), ".."), { recursive: true });
  writeFileSync(at("share", path), `content of ${path}`);
};
const share = () => ["--share", at("share")];
const out = () => ["--out", at("share", "scores")];
const plan = () => [...share(), ...out(), "--checkpoint", model];

beforeEach(() => {
  mkdirSync(at("share"));
  video("videos/a.mp4");
});
afterEach(() => vi.unstubAllEnvs());

/** An archive, as `jobs --json` prints it. */
interface Listed {
  id: string;
  out: string;
  counts: Record<string, number>;
  videos: Record<string, VideoRecord>;
}

describe("without a server", () => {
  const submit = (...options: string[]) => sdmae("submit", at("share", "videos"), ...options);

  test("missing options are named", async () => {
    for (const name of ["SDMAE_NATS", "SDMAE_SHARE"]) vi.stubEnv(name, undefined);
    const nats = ["--nats", "nats://127.0.0.1:1"];
    expectRefusal(await sdmae("submit", ...plan(), ...nats), /missing required argument 'videos'/);
    expectRefusal(await submit(...plan()), /required option '--nats <url>' not specified/);
    expectRefusal(await submit(...out(), "-c", model, ...nats), "submit needs --share, the folder that all");
    expectRefusal(await submit(...share(), "-c", model, ...nats), /required option '-o, --out <dir>' not specified/);
    expectRefusal(await submit(...share(), ...out(), ...nats), /required option '-c, --checkpoint <file>' not/);
    expectRefusal(await sdmae("jobs"), /required option '--nats <url>' not specified/);
    expectRefusal(await sdmae("worker"), /required option '--nats <url>' not specified/);
    const nothing = await sdmae("worker", ...nats, "--cameras", "0", "--no-videos");
    expectRefusal(nothing, "there is nothing to do: no cameras (--cameras 0), and no videos");
    const foreign = await sdmae("worker", ...nats, ...share(), "--adapter", "none-such");
    expectRefusal(foreign, 'no adapter named "none-such"');
  });

  test("what cannot be submitted is refused before a server is asked", async () => {
    const nats = ["--nats", "nats://127.0.0.1:1"];
    mkdirSync(at("share", "empty"));
    mkdirSync(at("elsewhere"));
    writeFileSync(at("elsewhere", "b.mp4"), "b");
    symlinkSync(at("elsewhere", "b.mp4"), at("share", "videos", "link.mp4"));
    const with_ = (input: string, ...options: string[]) => sdmae("submit", input, ...plan(), ...nats, ...options);
    expectRefusal(await with_(at("share", "empty")), "empty: there is no video in this folder");
    expectRefusal(await with_(at("share", "none.mp4")), "none.mp4 cannot be read: no such file or folder");
    expectRefusal(await with_(at("elsewhere", "b.mp4")), "b.mp4 is not below the shared folder");
    expectRefusal(await with_(at("share", "videos", "link.mp4")), "link.mp4 is not below the shared folder");
    expectRefusal(await submit(...plan(), ...nats, "--out", at("elsewhere")), "elsewhere is not below the shared");
    expectRefusal(await submit(...plan(), ...nats, "--share", at("none")), /--share .*none: no such file or folder/);
    expectRefusal(await submit(...plan(), ...nats, "-c", at("none.pth")), "none.pth");
    expectRefusal(await submit(...plan(), ...nats, "--size", "3x3"), "size 3x3 does not divide into patches");
    expectRefusal(await submit(...plan(), ...nats, "--events"), "--events and --report need --threshold");
    expectRefusal(await submit(...plan(), ...nats, "--threshold", "1"), "--threshold has no effect without");
  });

  test("a server that is not there, or no address, is an error of one line without the password", async () => {
    const port = await freePort();
    const nobody = `nats://127.0.0.1:${port}: no server answers there`;
    const nats = `nats://user:secret@127.0.0.1:${port}`;
    for (const ran of [await submit(...plan(), "--nats", nats), await sdmae("jobs", "--nats", nats)]) {
      expectRefusal(ran, nobody);
      expect(ran.stderr).not.toContain("secret");
    }
    expectRefusal(await sdmae("jobs", "--nats", `http://127.0.0.1:${port}`), "addresses begin with nats or tls");
    expectRefusal(await sdmae("jobs", "--nats", "nats://"), "names no host");
  });
});

test("a worker that is stopped ends well, also while it waits for a server", async () => {
  const nats = ["--nats", `nats://127.0.0.1:${await freePort()}`, "--data", at("data")];
  const running = sdmae("worker", ...nats, "--cameras", "0", ...share());
  await until(() => expect(process.listenerCount("SIGTERM")).toBe(1));
  process.emit("SIGTERM");
  expect(await running).toMatchObject({ code: 0, stdout: "" });
});

describe.skipIf(!hasNats())("a server that cannot be used", () => {
  const all = async (url: string) => [
    await sdmae("jobs", "--nats", url),
    await sdmae("submit", at("share", "videos"), ...plan(), "--nats", url),
    // It waits for a server that is away, but not for this.
    await sdmae("worker", ...share(), "--nats", url),
  ];

  test("is one without JetStream", async () => {
    const { url } = await natsFor(undefined);
    for (const ran of await all(url))
      expectRefusal(ran, `${url}: the server runs without JetStream (start it with -js)`);
  });

  test("is one that refuses the login, and the right one works", async () => {
    const { url, port } = await natsFor(at("nats"), "--user", "anna", "--pass", "right");
    for (const ran of await all(url)) expectRefusal(ran, `${url}: it refuses the login`);
    for (const ran of await all(`nats://anna:wrong@127.0.0.1:${port}`)) {
      expectRefusal(ran, `${url}: it refuses the login`);
      expect(ran.stderr).not.toContain("wrong");
    }
    const good = { code: 0, stdout: "", stderr: "nothing was submitted yet\n" };
    expect(await sdmae("jobs", "--nats", `nats://anna:right@127.0.0.1:${port}`)).toEqual(good);
    vi.stubEnv("SDMAE_NATS", url);
    vi.stubEnv("SDMAE_NATS_USER", "anna");
    vi.stubEnv("SDMAE_NATS_PASSWORD", "right");
    expect(await sdmae("jobs")).toEqual(good);
  });
});

describe.skipIf(!hasNats())("with a server", () => {
  let server: NatsServer;
  let cluster: Cluster;
  beforeEach(async () => {
    server = await natsFor(at("nats"));
    cluster = await connected(server.url);
    vi.stubEnv("SDMAE_NATS", server.url);
    vi.stubEnv("SDMAE_SHARE", at("share"));
  });
  const submit = (...options: string[]) =>
    sdmae("submit", at("share", "videos"), ...out(), "--checkpoint", model, ...options);
  const listed = async (): Promise<Listed[]> => {
    const { code, stdout } = await sdmae("jobs", "--json");
    expect(code).toBe(0);
    return stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Listed);
  };
  const work = (score = signedBy("one")) =>
    startWorker({ url: server.url, share: at("share"), models: at("models"), name: "one", lease: 3600, score });

  test("submitting says what is new, and what is known", async () => {
    video("videos/b/b.MP4");
    video("videos/notes.txt");
    writeFileSync(at("share", "videos", "twin.mkv"), "content of videos/a.mp4");
    const first = await submit();
    expect(first.code).toBe(0);
    expect(first.stdout).toMatch(/^archive [0-9a-f]{16}: 2 videos: 2 queued\n$/);
    expect(first.stderr).toContain("videos/twin.mkv is the same video as videos/a.mp4\n");
    expect((await submit()).stdout).toMatch(/: 2 videos: 2 waiting already\n$/);
    // Scored in another way, it is another archive.
    expect((await submit("--seed", "1")).stdout).toMatch(/: 2 videos: 2 queued\n$/);
    const archives = await listed();
    expect(archives.map(({ out, counts }) => ({ out, counts }))).toEqual(
      Array(2).fill({ out: "scores", counts: { queued: 2, running: 0, done: 0, failed: 0 } }),
    );
    expect(Object.values(archives[0].videos).map(({ path }) => path)).toEqual(["videos/a.mp4", "videos/b/b.MP4"]);
  });

  test("jobs shows what is done, being scored and put aside, of all archives or one", async () => {
    const id = /archive (\S+):/.exec((await submit()).stdout)?.[1] ?? "";
    await submit("--seed", "1");
    const key = `${id}.${Object.keys((await listed())[0].videos)[0]}`;
    const known = { path: "videos/a.mp4", attempts: 3, since: "2026-11-30T14:15:02.123Z" };
    const failed = { ...known, state: "failed", failures: 3, error: "the video is damaged" };
    await cluster.videos.put(key, JSON.stringify(failed));
    const one = await sdmae("jobs", id);
    expect(one).toMatchObject({ code: 0, stderr: "" });
    expect(one.stdout.trimEnd().split("\n")).toHaveLength(4);
    expect(one.stdout).toMatch(new RegExp(`^${id} +1 +0 +0 +0 +1 +0 +- +- +scores$`, "m"));
    expect(one.stdout).toContain("failed: videos/a.mp4: the video is damaged (3 attempts)\n");
    const running = { ...known, state: "running", worker: "one", frames: 25, total: 100 };
    await cluster.videos.put(key, JSON.stringify(running));
    expect((await sdmae("jobs")).stdout).toContain("running: videos/a.mp4 on one, 25 %, attempt 3\n");
    expect((await sdmae("jobs")).stdout.match(/^[0-9a-f]{16} /gm)).toHaveLength(2);
    expectRefusal(await sdmae("jobs", "0".repeat(16)), "there is no archive 0000000000000000");
  });

  test("a worker waits for a server that is away, and Ctrl-C ends that", async () => {
    await server.end();
    const lines: string[] = [];
    const { openCluster } = await import("../../../src/cluster/connection.js");
    const stopping = new AbortController();
    const wait = () =>
      openCluster({ url: server.url }, { lease: 30, signal: stopping.signal, onWait: (line) => lines.push(line) });
    const opened = wait();
    await until(() => expect(lines).toEqual([`${server.url}: no server answers there`]));
    await server.start();
    await (await opened).close();
    await server.end();
    const ended = expect(wait()).rejects.toThrow("Ctrl-C");
    await until(() => expect(lines).toHaveLength(2));
    stopping.abort(new Error("Ctrl-C"));
    await ended;
  });

  test("only workers change the lease that they share", async () => {
    const lease = async () => (await cluster.manager.consumers.info("sdmae_queue", "workers")).config.ack_wait;
    const worker = await work();
    expect(await lease()).toBe(3600e9);
    await worker.stop();
    await submit();
    await sdmae("jobs");
    expect(await lease()).toBe(3600e9);
  });

  test("submit --wait ends with 0 when all are done", async () => {
    video("videos/b.mp4");
    await work();
    const ran = await submit("--wait");
    expect(ran).toMatchObject({ code: 0 });
    expect(readdirSync(at("share", "scores", "videos")).sort()).toEqual(["a.mp4.csv", "b.mp4.csv"]);
    expect((await submit("--wait")).stdout).toMatch(/: 2 videos: 2 done before\n$/);
  });

  test("submit --wait ends with 1 if one failed, and says why", async () => {
    video("videos/b.mp4");
    await work(async (job, signal) => {
      if (job.input.endsWith("b.mp4")) throw new Error("the video is damaged");
      return signedBy("one")(job, signal);
    });
    const ran = await submit("--wait");
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("failed: videos/b.mp4: the video is damaged (3 attempts, the last by one)\n");
    expect(ran.stderr).toMatch(/^.*1 video failed$/m);
    expect((await submit()).stdout).toMatch(/: 2 videos: 1 done before, 1 put aside \(--retry tries them again\)\n$/);
    expect((await submit("--retry")).stdout).toMatch(/: 2 videos: 1 queued, 1 done before\n$/);
  });

  test("an archive is cancelled: nobody scores it, and it can be submitted again", async () => {
    await submit();
    const [{ id }] = await listed();
    expectRefusal(await sdmae("jobs", "--cancel"), "--cancel needs an archive");
    expectRefusal(await sdmae("jobs", "none", "--cancel"), "there is no archive none");
    expectRefusal(await sdmae("jobs", id, "--cancel", "--keep"), "--out and --keep have no effect without --fetch");
    const ran = await sdmae("jobs", id, "--cancel");
    expect(ran.stdout).toMatch(new RegExp(`^archive ${id}: cancelled; \\d+ videos? will not be scored\n$`));
    expect((await sdmae("jobs")).stderr).toBe("nothing was submitted yet\n");
    const { manager } = await connected(server.url);
    expect((await manager.streams.info("sdmae_queue")).state.messages).toBe(0);
    expect((await submit()).stdout).toContain("queued");
  });

  describe("uploaded videos", () => {
    const files = () => [at("here", "videos"), "--upload", "--out", at("here", "scores"), "--checkpoint", model];
    const upload = (...options: string[]) => sdmae("submit", ...files(), ...options);
    const found = (folder: string) => readdirSync(at(folder), { recursive: true }).map(String).sort();
    const score: Score = async (job, signal) => {
      if (job.events) writeFileSync(job.events, "events");
      if (job.report) {
        mkdirSync(job.report);
        writeFileSync(join(job.report, "index.html"), "page");
      }
      return signedBy("one")(job, signal);
    };
    const workHere = (url = server.url) =>
      startWorker({ ...{ url, models: at("models"), name: "one", lease: 3600, score } });
    beforeEach(() => {
      vi.stubEnv("SDMAE_SHARE", undefined);
      mkdirSync(at("here", "videos", "b"), { recursive: true });
      writeFileSync(at("here", "videos", "a.mp4"), "content of a");
      writeFileSync(at("here", "videos", "b", "b.mp4"), "content of b");
    });

    test("come back as results of the same names, with --wait", async () => {
      await workHere();
      const ran = await upload("--wait", "--events", "--report", "--threshold", "1");
      expect(ran).toMatchObject({ code: 0 });
      expect(ran.stdout).toMatch(/: 2 videos: 2 queued\nresults of 2 videos in .*scores\n$/);
      const names = ["a.mp4.csv", "a.mp4.events.csv", "a.mp4.report", "a.mp4.report/index.html"];
      const all = [
        ".sdmae-unfinished",
        ...names,
        "b",
        ...names.map((name) => `b/${name.replaceAll("a.mp4", "b.mp4")}`),
      ];
      expect(found("here/scores")).toEqual(all);
      expect(readFileSync(at("here", "scores", "b", "b.mp4.csv"), "utf8")).toBe("by one");
      expect(found("share")).toEqual(["videos", "videos/a.mp4"]);
      const again = await upload("--wait", "--events", "--report", "--threshold", "1");
      expect(again.stdout).toMatch(/: 2 videos: 2 done before\nresults of 0 videos in /);
      rmSync(at("here", "scores", "a.mp4.csv"));
      const third = await upload("--wait", "--events", "--report", "--threshold", "1");
      expect(third.stdout).toMatch(/: 2 videos: 1 queued, 1 done before\nresults of 1 video in /);
      expect(found("here/scores")).toEqual(all);
    });

    test("wait at the server for `jobs --fetch`", async () => {
      await upload();
      const [{ id }] = await listed();
      await workHere();
      await until(async () => expect((await listed())[0].counts.done).toBe(2));
      expect((await sdmae("jobs")).stdout).toMatch(/ at the server$/m);
      const fetch = (...options: string[]) => sdmae("jobs", id, "--fetch", "--out", at("fetched"), ...options);
      for (const options of [["--keep"], []]) {
        expect((await fetch(...options)).stdout).toBe(`results of 2 videos in ${at("fetched")}\n`);
        expect(found("fetched")).toEqual([".sdmae-unfinished", "a.mp4.csv", "b", "b/b.mp4.csv"]);
      }
      expect((await fetch()).stdout).toBe(`results of 0 videos in ${at("fetched")}\n`);
      expect((await sdmae("jobs")).stdout).toMatch(/ fetched$/m);
    });

    test("that only have the same names as others keep results of their own", async () => {
      mkdirSync(at("other"));
      writeFileSync(at("other", "a.mp4"), "another video");
      const other = (...to: string[]) =>
        sdmae("submit", at("other"), "--upload", "--out", at(...to), "--checkpoint", model);
      const ran = await upload();
      const [{ id }] = await listed();
      expect(ran.stdout).toContain(`results: sdmae jobs ${id} --fetch --out ${at("here", "scores")}\n`);
      expectRefusal(await other("here", "scores"), "would have the results of another a.mp4, which was submitted");
      expect((await other("there")).code).toBe(0);
      await workHere();
      await until(async () => expect((await listed()).map(({ counts }) => counts.done)).toEqual([2, 1]));
      for (const [i, { id: one }] of (await listed()).entries()) {
        const fetched = await sdmae("jobs", one, "--fetch", "--out", at(`fetched ${i}`));
        expect(fetched.stdout).toBe(`results of ${["2 videos", "1 video"][i]} in ${at(`fetched ${i}`)}\n`);
      }
    });

    test("leave the server when their archive is cancelled", async () => {
      await upload();
      const [{ id }] = await listed();
      const { manager } = await connected(server.url);
      const stored = async () => (await manager.streams.info("OBJ_sdmae_files")).state.bytes;
      const before = await stored();
      expect((await sdmae("jobs", id, "--cancel")).stdout).toContain("; 2 videos will not be scored\n");
      expect((await manager.streams.info("sdmae_uploads")).state.messages).toBe(0);
      expect(await stored()).toBeLessThan(before);
      expect((await sdmae("jobs")).stderr).toBe("nothing was submitted yet\n");
    });

    test("what does not fit is refused in a line", async () => {
      writeFileSync(at("here", "a.mp4"), "another");
      expectRefusal(await upload("--wait", "--keep", at("here", "a.mp4")), "would have the same results");
      expectRefusal(await sdmae("submit", at("here", "videos"), ...out(), "-c", model), "needs --share");
      expectRefusal(await sdmae("submit", at("here", "videos"), ...plan(), "--keep"), "--keep has no effect");
      expectRefusal(await sdmae("jobs", "--fetch"), "--fetch needs an archive and --out");
      expectRefusal(await sdmae("jobs", "--out", at("x")), "--out and --keep have no effect without --fetch");
      await submit(...share());
      const [{ id }] = await listed();
      expectRefusal(await sdmae("jobs", id, "--fetch", "--out", at("x")), "its videos were not uploaded");
    });

    test("need no more rights than examples/cluster/nats.conf gives, and neither do others", async () => {
      const conf = readFileSync("examples/cluster/nats.conf", "utf8");
      writeFileSync(at("nats.conf"), conf.replace("/var/lib/nats", at("nats with users")));
      vi.stubEnv("SUBMITTER_PASSWORD", "submitting");
      vi.stubEnv("WORKER_PASSWORD", "working");
      const { port } = await natsFor(undefined, "-c", at("nats.conf"));
      vi.stubEnv("SDMAE_NATS", `nats://submitter:submitting@127.0.0.1:${port}`);
      // Whoever submits makes what workers use.
      expect((await submit(...share())).code).toBe(0);
      expect((await upload()).code).toBe(0);
      const url = `nats://worker:working@127.0.0.1:${port}`;
      const worker = await startWorker({
        ...{ url, share: at("share"), models: at("models"), name: "one", lease: 30, score },
      });
      const rest = ["--wait", "--report", "--threshold", "1"];
      const ran = await upload(...rest);
      expect(ran).toMatchObject({ code: 0 });
      expect(found("here/scores")).toContain("b/b.mp4.report/index.html");
      await until(async () => expect((await listed()).map(({ counts }) => counts.done).sort()).toEqual([1, 2, 2]));
      expect(worker.lines).toHaveLength(5);
      const [{ state }] = await connected(`nats://submitter:submitting@127.0.0.1:${port}`).then(({ manager }) =>
        Promise.all([manager.streams.info("sdmae_uploads")]),
      );
      expect(state.messages).toBe(0);
    });
  });

  test("what the real scorer writes is what `score` writes, byte by byte", async () => {
    rmSync(at("share", "videos"), { recursive: true });
    mkdirSync(at("share", "videos"));
    const input = await videoFile(at("share", "videos", "a.avi"), 6, "-c:v", "ffv1");
    const how = ["--size", "32x64", "--seed", "3"];
    const direct = ["score", input, "--checkpoint", model, ...how, "--adapter", testAdapter, "--quiet"];
    const more = ["--events", "--report", "--threshold", "0.01"];
    const outputs = ["--events", at("expected.events.csv"), "--report", at("expected.report"), "--threshold", "0.01"];
    const expected = await sdmae(...direct, "--out", at("expected.csv"), ...outputs);
    expect(expected).toMatchObject({ code: 0 });
    await withBundle(`import "./src/cli/scorer_process.ts";`, async (file) => {
      const { Scorer } = await import("../../../src/cluster/scorer.js");
      const scorer = new Scorer(file, [JSON.stringify({ adapter: testAdapter, tune: false })]);
      atEnd(() => scorer.close());
      await work((job, signal) => scorer.score(job, signal, () => {}));
      expect(await submit(...how, ...more, "--wait")).toMatchObject({ code: 0 });
      await scorer.close();
    });
    for (const name of [".csv", ".events.csv"]) {
      const written = readFileSync(at("share", "scores", "videos", `a.avi${name}`));
      expect(written.equals(readFileSync(at(`expected${name}`))), name).toBe(true);
    }
    // Facts name files of the machine; the page's own program is bundled in another way here.
    const shown = (folder: string) => {
      const page = readFileSync(join(folder, "index.html"), "utf8");
      const data = JSON.parse(/id="report">(.*?)<\/script>/s.exec(page)?.[1] ?? "") as Record<string, unknown>;
      return JSON.stringify({ ...data, created: "", facts: [] });
    };
    const expectedPage = shown(at("expected.report"));
    expect(expectedPage).toContain('"title":"a.avi, tiny.safetensors"');
    expect(shown(at("share", "scores", "videos", "a.avi.report")) === expectedPage).toBe(true);
    const [record] = Object.values((await listed())[0].videos);
    expect(record).toMatchObject({ state: "done", path: "videos/a.avi", attempts: 1, frames: 6, total: 6 });
  });
});
