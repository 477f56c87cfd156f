import { mkdirSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { saveCheckpoint } from "../../../src/checkpoint/checkpoint.js";
import { cameraSchema } from "../../../src/cluster/cameras/messages.js";
import type { Overview } from "../../../src/cluster/cameras/overview.js";
import { type CameraStores, openCameraStores } from "../../../src/cluster/cameras/stores.js";
import type { Cluster } from "../../../src/cluster/connection.js";
import { freePort } from "../../../src/node/local_nats.js";
import { reportPageForEsbuild } from "../../../tools/report-page.js";
import { shadersForEsbuild } from "../../../tools/wgsl.js";
import { connected, endAll, natsFor, until } from "../../support/archive.js";
import { startMember } from "../../support/cameras.js";
import { expectRefusal, sdmae } from "../../support/cli.js";
import { scratch, scratchPerTest } from "../../support/folders.js";
import { randomCheckpoint, tinyConfig } from "../../support/model.js";
import { hasNats, type NatsServer } from "../../support/nats.js";
import { repository } from "../../support/package.js";

const shared = scratch();
const at = scratchPerTest();
endAll();
const model = shared("tiny.safetensors");
writeFileSync(model, saveCheckpoint(randomCheckpoint(tinyConfig, 5)));

const write = (text: string, name = "sdmae.yaml") => {
  writeFileSync(at(name), text);
  return at(name);
};
const two = `cameras:
  front: { source: "rtsp://admin:\${CAMERA_PASSWORD}@camera/stream", fps: 5 }
  back: { source: share/back.mp4 }
`;
beforeEach(() => {
  mkdirSync(at("share"));
  writeFileSync(at("share", "back.mp4"), "a video");
  for (const name of ["SDMAE_NATS", "SDMAE_SHARE"]) vi.stubEnv(name, undefined);
});
afterEach(() => vi.unstubAllEnvs());

describe("without a server", () => {
  const nobody = ["--nats", "nats://127.0.0.1:1"];
  const share = () => ["--share", at("share")];
  const put = (text: string, ...options: string[]) => sdmae("cameras", "put", write(text), ...nobody, ...options);

  test("missing options are named", async () => {
    expectRefusal(await sdmae("cameras", "put", ...nobody), /missing required argument 'config'/);
    expectRefusal(await sdmae("cameras", "rm", ...nobody), /missing required argument 'ids'/);
    for (const command of [["put", "x.yaml"], ["list"], ["rm", "a"]]) {
      expectRefusal(await sdmae("cameras", ...command), /required option '--nats <url>' not specified/);
    }
    expectRefusal(await sdmae("cameras", "add", ...nobody), /unknown command 'add'/);
  });

  test("help says what each command does", async () => {
    const all = await sdmae("cameras", "--help");
    expect(all).toMatchObject({ code: 0, stderr: "" });
    for (const name of ["put", "list", "rm"]) expect(all.stdout).toMatch(new RegExp(`^ +${name} `, "m"));
    for (const name of ["put", "list", "rm"]) {
      const { code, stdout } = await sdmae("cameras", name, "--help");
      expect(code).toBe(0);
      expect(stdout).toMatch(new RegExp(`^Usage: sdmae cameras ${name} `));
      expect(stdout).toContain("--nats <url>");
    }
  });

  test("what cannot be used is refused before a server is asked", async () => {
    expectRefusal(await sdmae("cameras", "put", at("none.yaml"), ...nobody), "none.yaml cannot be read");
    expectRefusal(await put("cameras: { a: { source: rtsp://c/s, fsp: 5 } }"), /sdmae\.yaml:1:\d+: cameras\.a\.fsp/);
    expectRefusal(await put("cameras: {}"), "there is no camera; name at least one");
    expectRefusal(await put(two), "cameras.back.source: a file or folder must be below --share");
    expectRefusal(await put("cameras: { a: { source: device:/dev/video0 } }"), "a device belongs to one machine");
    expectRefusal(await put(`cameras: { a: { source: "rtsp://u:\${HOME}@c/s" } }`), "begins with CAMERA_, not HOME");
    expectRefusal(await put(two, "--share", at("none")), /--share .*none: no such file or folder/);
    expectRefusal(await put(two, ...share(), "--checkpoint", at("none.pth")), "none.pth");
  });

  test("a model that no worker could run is refused", async () => {
    const odd = { ...randomCheckpoint(tinyConfig, 5), settings: { inputSize: [33, 50] as [number, number] } };
    writeFileSync(at("odd.safetensors"), saveCheckpoint(odd));
    const good = write("cameras: { a: { source: rtsp://c/s } }");
    const ran = await sdmae("cameras", "put", good, ...nobody, "--checkpoint", at("odd.safetensors"));
    expectRefusal(ran, "size 33x50 does not divide into patches of 8 pixels");
  });

  test("a server that is not there is an error of one line", async () => {
    const nats = ["--nats", `nats://user:secret@127.0.0.1:${await freePort()}`];
    const good = write("cameras: { a: { source: rtsp://c/s } }");
    for (const command of [["put", good, "--checkpoint", model], ["list"], ["rm", "a"]]) {
      const ran = await sdmae("cameras", ...command, ...nats);
      expectRefusal(ran, /nats:\/\/127\.0\.0\.1:\d+: no server answers there/);
      expect(ran.stderr).not.toContain("secret");
    }
  });

  test("a worker needs something to do, and no cameras of its own", async () => {
    const noVideos = ["--cameras", "0", "--no-videos", ...share()];
    expectRefusal(await sdmae("worker", ...nobody, ...noVideos), "there is nothing to do");
    const config = write("log: { level: warn }\ncameras: { a: { source: rtsp://c/s } }");
    expectRefusal(
      await sdmae("worker", ...nobody, "--config", config),
      /sdmae\.yaml:2:1: cameras: a worker's cameras come from the server \(sdmae cameras put\)/,
    );
    expectRefusal(await sdmae("worker", ...nobody, "--cameras", "many"), /--cameras/);
  });

  test("no client is loaded without --nats", async () => {
    const { metafile } = await build({
      entryPoints: ["src/cli/index.ts"],
      ...{ absWorkingDir: repository, bundle: true, write: false, metafile: true, outdir: "none", splitting: true },
      ...{ format: "esm", platform: "node", target: "node20", packages: "external" },
      plugins: [shadersForEsbuild, reportPageForEsbuild],
    });
    /** What a file loads when it is loaded, and, if asked for, later. */
    const loads = (file: string, later: boolean, seen = new Set<string>()): Set<string> => {
      if (seen.has(file)) return seen;
      seen.add(file);
      for (const { path, kind } of metafile.inputs[file]?.imports ?? []) {
        if (later || kind !== "dynamic-import") loads(path, later, seen);
      }
      return seen;
    };
    const clients = (files: Set<string>) => [...files].filter((file) => /^@nats-io\/|^src\/cluster\/conn/.test(file));
    expect(clients(loads("src/cli/index.ts", false))).toEqual([]);
    expect(clients(loads("src/cli/commands/watch.ts", true))).toEqual([]);
    // So that this is no test of names that nothing has.
    expect(clients(loads("src/cli/commands/worker.ts", true))).toContain("@nats-io/transport-node");
  });
});

describe.skipIf(!hasNats())("with a server", () => {
  let server: NatsServer;
  let cluster: Cluster;
  let stores: CameraStores;
  beforeEach(async () => {
    server = await natsFor(at("nats"));
    cluster = await connected(server.url);
    stores = await openCameraStores(cluster);
    vi.stubEnv("SDMAE_NATS", server.url);
    vi.stubEnv("SDMAE_SHARE", at("share"));
  });
  const put = (text = two) => sdmae("cameras", "put", write(text), "--checkpoint", model);
  const listed = async (): Promise<Overview> => {
    const ran = await sdmae("cameras", "list", "--json");
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    return JSON.parse(ran.stdout) as Overview;
  };
  const recordOf = async (id: string) => cameraSchema.parse((await stores.cameras.get(id))?.json());

  test("put adds cameras and changes them, with their model", async () => {
    vi.stubEnv("CAMERA_PASSWORD", "hunter-42");
    const ran = await put();
    expect(ran).toEqual({ code: 0, stdout: "front: new\nback: new\n", stderr: "" });
    const front = await recordOf("front");
    expect(front).toMatchObject({
      settings: { source: `rtsp://admin:\${CAMERA_PASSWORD}@camera/stream`, fps: 5 },
      ...{ fps: 5, enabled: true, model: { name: "tiny.safetensors", extension: ".safetensors" } },
    });
    expect((await recordOf("back")).settings.source).toBe("back.mp4");
    expect(await cluster.models.info(front.model.hash)).toBeTruthy();
    // Only what has changed begins again.
    const before = await stores.cameras.get("back");
    const again = await put(two.replace("fps: 5", "fps: 7"));
    expect(again).toMatchObject({ code: 0, stdout: "front: changed\nback: as before\n" });
    expect((await stores.cameras.get("back"))?.revision).toBe(before?.revision);
    expect((await recordOf("front")).fps).toBe(7);
  });

  test("put warns of a password that is written out", async () => {
    const { code, stderr } = await put('cameras: { a: { source: "rtsp://u:hunter-42@c/s" } }');
    expect(code).toBe(0);
    expect(stderr).toMatch(/^warning: a: its password goes to the server as it is; [^\n]+\n$/);
    expect(stderr).not.toContain("hunter");
  });

  test("list shows cameras, who watches them, and what is wrong", async () => {
    expect(await listed()).toEqual({ cameras: [], workers: [] });
    await put(`${two}  off: { source: rtsp://camera/off, enabled: false }\n`);
    expect((await sdmae("cameras", "list")).stdout).toContain("not watched: back, front: no worker is there\n");
    const one = await startMember({ url: server.url, name: "one", lease: 2, most: 1 });
    await until(() => expect(one.ids()).toHaveLength(1));
    const [mine] = one.ids();
    const { cameras, workers } = await listed();
    const fps = { front: 5, back: 10, off: 10 }[mine];
    expect(workers).toEqual([{ name: "one", cameras: 1, fps, most: 1 }]);
    const watched = ["watched", "one"];
    const free = ["not watched", undefined];
    expect(cameras.map(({ id, state, worker }) => [id, state, worker])).toEqual([
      ["back", ...(mine === "back" ? watched : free)],
      ["front", ...(mine === "front" ? watched : free)],
      ["off", "off", undefined],
    ]);
    const { stdout } = await sdmae("cameras", "list");
    expect(stdout).toMatch(new RegExp(`^${mine} +${fps} +\\S+\\.safetensors +one +\\w{3} 20\\S+ \\S+ +watched$`, "m"));
    expect(stdout).toMatch(/^off +10 +\S+\.safetensors +- +- +off$/m);
    expect(stdout).toMatch(/^(front|back) .* not watched$/m);
    expect(stdout).not.toContain("rtsp");
    // One that was killed is not shown for long.
    await one.cluster.nats.close();
    await until(async () => expect((await listed()).cameras.filter(({ worker }) => worker)).toEqual([]));
  });

  test("list does no harm with what is no record, claim or sign", async () => {
    await put();
    for (const text of ["", "[", "null", '{"settings":{}}', "x".repeat(100_000)]) {
      await stores.cameras.put("bad", text);
      await stores.claims.put("front", text);
      await stores.workers.put("one", text);
      await cluster.nats.flush();
      const { cameras, workers } = await listed();
      expect([cameras.map(({ id, worker }) => [id, worker]), workers]).toEqual([
        [
          ["back", undefined],
          ["front", undefined],
        ],
        [],
      ]);
    }
  });

  test("rm removes cameras, all or none", async () => {
    await put();
    await stores.learnt.put("front", "{}");
    expectRefusal(await sdmae("cameras", "rm", "front", "none"), "there is no camera none");
    expectRefusal(await sdmae("cameras", "rm", "../front"), "there is no camera ../front");
    expect((await listed()).cameras).toHaveLength(2);
    expect(await sdmae("cameras", "rm", "front")).toEqual({ code: 0, stdout: "1 camera removed: front\n", stderr: "" });
    expect((await listed()).cameras.map(({ id }) => id)).toEqual(["back"]);
    expect((await stores.learnt.get("front"))?.operation).not.toBe("PUT");
    expectRefusal(await sdmae("cameras", "rm", "front"), "there is no camera front");
  });
});
