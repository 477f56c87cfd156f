import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { saveCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { progressOf } from "../../src/cluster/archive.js";
import { Scorer, type ScoringJob, Unfit } from "../../src/cluster/scorer.js";
import { atEnd, connected, endAll, natsFor, type Score, startWorker, until } from "../support/archive.js";
import { withBundle } from "../support/child.js";
import { expectRefusal, filesIn, frameFolder, sdmae } from "../support/cli.js";
import { scratch, scratchPerTest } from "../support/folders.js";
import { testAdapter } from "../support/gpu.js";
import { randomCheckpoint, tinyConfig } from "../support/model.js";
import { hasNats, type NatsServer } from "../support/nats.js";

const shared = scratch();
const at = scratchPerTest();
endAll();
const share = shared("share");
const root = join(share, "sets", "own");
const model = shared("tiny.safetensors");

beforeAll(async () => {
  writeFileSync(model, saveCheckpoint(randomCheckpoint(tinyConfig, 5)));
  for (const folder of ["train/frames", "test/frames", "test/labels"])
    mkdirSync(join(root, folder), { recursive: true });
  await frameFolder(join(root, "train/frames/01"), [0, 1, 2]);
  await frameFolder(join(root, "test/frames/01"), [0, 1, 2, 3]);
  await frameFolder(join(root, "test/frames/02"), [0, 1, 3]);
  writeFileSync(join(root, "test/labels/01.txt"), "0\n0\n1\n1\n");
  writeFileSync(join(root, "test/labels/02.txt"), "1\n0\n0\n");
});
beforeEach(() => rmSync(join(share, "work"), { recursive: true, force: true }));

const how = ["--checkpoint", model, "--size", "32x64", "--adapter", testAdapter, "--maskings", "2", "--seed", "7"];
const evaluate = (...options: string[]) => sdmae("eval", "--root", root, ...how, "--quiet", ...options);

test("folders that workers do not have are refused before a server is asked", async () => {
  const nats = ["--nats", "nats://127.0.0.1:1"];
  expectRefusal(await evaluate(...nats), "--nats needs --share");
  expectRefusal(await evaluate(...nats, "--share", share), "--nats needs --work");
  const away = ["--share", share, "--work", at("work")];
  expectRefusal(await evaluate(...nats, ...away), "work is not below the shared folder");
  const elsewhere = ["--share", join(share, "sets", "own", "test"), "--work", join(root, "test", "work")];
  expectRefusal(await evaluate(...nats, ...elsewhere), "own is not below the shared folder");
});

describe.skipIf(!hasNats())("eval with workers", () => {
  let server: NatsServer;
  beforeEach(async () => {
    server = await natsFor(at("nats"));
  });
  const onWorkers = (...options: string[]) =>
    evaluate("--nats", server.url, "--share", share, "--work", join(share, "work"), ...options);
  const work = (name: string, score: Score) =>
    startWorker({ ...{ url: server.url, share, models: at("models"), name, lease: 3600, score } });
  const videosOf = (jobs: readonly ScoringJob[]) => jobs.map(({ record }) => `${record?.video} ${record?.seed}`).sort();

  test("gives the same figures and records as on one machine, and does nothing twice", async () => {
    const json = (name: string) => readFileSync(at(name), "utf8");
    expect(await evaluate("--work", at("alone"), "--json", at("alone.json"))).toMatchObject({ code: 0 });
    await withBundle(`import "./src/cli/scorer_process.ts";`, async (file) => {
      const scorer = new Scorer(file, [JSON.stringify({ adapter: testAdapter, tune: false })]);
      atEnd(() => scorer.close());
      const jobs: ScoringJob[] = [];
      await work("one", (job, signal) => {
        jobs.push(job);
        return scorer.score(job, signal, () => {});
      });
      const many = await onWorkers("--json", at("many.json"));
      expect(many).toMatchObject({ code: 0, stderr: "" });
      expect(json("many.json")).toBe(json("alone.json"));
      expect(videosOf(jobs)).toEqual(["01 7", "01 8", "02 7", "02 8"]);
      const [folder] = readdirSync(at("alone"));
      expect(filesIn(join(share, "work", folder))).toEqual(filesIn(at("alone", folder)));
      for (const name of filesIn(at("alone", folder))) {
        const [one, other] = [at("alone", folder, name), join(share, "work", folder, name)];
        expect(readFileSync(other).equals(readFileSync(one)), name).toBe(true);
      }
      expect(filesIn(join(share, "work", ".sdmae-unfinished"))).toEqual([]);
      rmSync(join(share, "work", folder, "02.8.safetensors"));
      jobs.length = 0;
      expect(await onWorkers("--json", at("again.json"))).toMatchObject({ code: 0 });
      expect(json("again.json")).toBe(json("alone.json"));
      expect(videosOf(jobs)).toEqual(["02 8"]);
      await scorer.close();
    });
  });

  test("names each video that cannot be scored, and ends with 1", async () => {
    await work("one", async ({ record, scores }) => {
      if (record?.video === "02" && record.seed === 8) throw new Error("frame 3 is damaged");
      await writeFile(scores, "");
      return { frames: 4, seconds: 0.1 };
    });
    const ran = await onWorkers();
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("sets/own/02: frame 3 is damaged\n");
    expect(ran.stderr).toContain("failed: sets/own/02: frame 3 is damaged (3 attempts, the last by one)\n");
    expect(ran.stderr).toContain("1 record could not be made\n");
  });

  test("leaves videos to workers that come to the same records", async () => {
    const other = await work("other", async () => {
      throw new Unfit("its adapter is B, but records are made with A");
    });
    const ran = onWorkers();
    await until(() => expect(other.lines).toHaveLength(1));
    expect(other.lines[0]).toMatch(/^archive \w{16} is left to other workers: its adapter is B, but/);
    const done: string[] = [];
    await work("one", async ({ record, scores }) => {
      done.push(record!.video);
      await writeFile(scores, "");
      return { frames: 4, seconds: 0.1 };
    });
    const { stderr } = await ran;
    expect(done.sort()).toEqual(["01", "01", "02", "02"]);
    expect(other.scored).toHaveLength(1);
    expect(stderr).toContain(": not on other: its adapter is B, but records are made with A\n");
    const [{ videos }] = await progressOf(await connected(server.url));
    expect([...videos.values()].map(({ attempts, worker }) => [attempts, worker])).toEqual(Array(4).fill([1, "one"]));
  });
});
