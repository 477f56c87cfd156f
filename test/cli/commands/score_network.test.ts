// `sdmae score` with addresses: passwords stay hidden, a camera is scored like a file.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withLogin } from "../../../src/cli/options/input.js";
import { withBundle } from "../../support/child.js";
import { expectRefusal, readCsv, sdmae, videoFile } from "../../support/cli.js";
import { fixturePath } from "../../support/fixtures.js";
import { scratch } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";
import { hasRtspServer, startRtspServer } from "../../support/rtsp_server.js";

const at = scratch();
const checkpoint = fixturePath("tiny-checkpoint-best.pth");
const model = [
  ...["--checkpoint", checkpoint, "--student", fixturePath("tiny-checkpoint-best-student.pth")],
  ...["--size", "32x64", "--adapter", testAdapter],
];

describe("a password", () => {
  const password = "p@ss/w:rd%$";
  const encoded = encodeURIComponent(password);
  const secrets = [password, encoded, encoded.slice(3), "k3y", Buffer.from(`me:${password}`).toString("base64")];
  let server: Server;
  let host: string;

  beforeAll(async () => {
    const video = readFileSync(await videoFile(at("a.ts"), 12, "-c:v", "mpeg4"));
    const minute = readFileSync(await videoFile(at("minute.ts"), 620, "-c:v", "mpeg4"));
    const wanted = `Basic ${Buffer.from(`me:${password}`).toString("base64")}`;
    server = createServer((request, response) => {
      if (request.headers.authorization !== wanted) {
        response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      } else if (request.url?.startsWith("/a.ts")) response.end(video);
      else if (request.url?.startsWith("/minute.ts")) response.end(minute);
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    host = `localhost:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.close();
    server.closeAllConnections();
  });

  function expectHidden(...texts: readonly string[]): void {
    for (const text of texts) for (const secret of secrets) expect(text).not.toContain(secret);
  }

  it("is in nothing that score writes or prints", async () => {
    const address = `http://me:${encoded}@${host}/a.ts?key=k3y`;
    const files = ["--report", at("report"), "--events", at("events.csv"), "--out", at("scores.json")];
    const ran = await sdmae("score", address, ...model, ...files, "--normal", address);
    expect({ ...ran, stderr: "" }).toEqual({ code: 0, stdout: "", stderr: "" });
    const written = [
      ...["events.csv", "scores.json"].map((name) => readFileSync(at(name), "utf8")),
      ...readdirSync(at("report")).map((name) => readFileSync(at("report", name), "utf8")),
    ];
    // Each names the source, so each could have held the password.
    for (const text of [...written.slice(1), ran.stderr]) expect(text).toContain(`${host}/a.ts?`);
    expectHidden(ran.stderr, ...written);
    const csv = await sdmae("score", address, ...model);
    expect(readCsv(csv.stdout)).toHaveLength(12);
    expectHidden(csv.stdout, csv.stderr);
  });

  it("is in no calibration", async () => {
    const ran = await sdmae(
      "calibrate",
      `http://me:${encoded}@${host}/minute.ts?key=k3y`,
      ...model,
      "--out",
      at("c.json"),
    );
    expect(ran).toMatchObject({ code: 0 });
    const stored = readFileSync(at("c.json"), "utf8");
    expect(JSON.parse(stored).videos).toEqual(["minute.ts?…"]);
    expectHidden(ran.stdout, ran.stderr, stored);
  });

  it("is in no error", async () => {
    const login = `me:${encoded}@`;
    const model = ["-c", checkpoint];
    for (const args of [
      ["score", `http://${login}${host}/none?key=k3y`, ...model],
      ["score", `http://me:wrong${encoded}@${host}/a.ts`, ...model],
      ["score", `http://${login}nowhere.invalid/a`, ...model],
      ["score", `rtsp://${login}127.0.0.1:1/a`, ...model],
      ["score", `http://me:${password}@${host}/a`, ...model],
      // Misspelt, or for a command that takes no address.
      ["score", `rstp://me:${password}@${host}/a`, ...model],
      ["score", "--checkpoint", `http://${login}${host}/model`, "a.ts"],
      ["score", `rtsp://${login}${host}/a`, `rtsp://${login}${host}/b`, ...model],
      ["eval", `rtsp://${login}${host}/a`, ...model],
      ["dataset", `rtsp://me:${password}@${host}/a`],
      [`rtsp://${login}${host}/a`],
      ["score", `--seed=rtsp://${login}${host}/a`, "a.ts", ...model],
    ]) {
      const ran = await sdmae(...args);
      expect(ran.code).toBe(2);
      expectHidden(ran.stdout, ran.stderr);
    }
  });

  it.skipIf(process.platform !== "linux")("is on no command line once the program runs", async () => {
    const program = `import { runCli } from "./src/cli/index.ts"; process.exitCode = await runCli(process.argv.slice(2));`;
    await withBundle(program, async (file) => {
      const address = `http://me:${encoded}@${host}/a.ts?key=k3y`;
      const child = spawn(process.execPath, [file, "score", address, ...model], { stdio: ["ignore", "pipe", "pipe"] });
      // The first thing that it says comes after its start.
      const [lines, ended] = [commandLines, new Promise((resolve) => child.once("close", resolve))];
      await new Promise((resolve) => child.stderr.once("data", resolve));
      const seen = lines(child.pid!);
      child.stdout.resume();
      child.stderr.resume();
      await ended;
      expect(child.exitCode).toBe(0);
      expect(seen.join()).toContain("sdmae");
      expectHidden(...seen);
    });
  });

  it("may come from the environment", async () => {
    const held = (name: string) => `\${${name}}`;
    const environment = { CAMERA_USER: "me", CAMERA_PASSWORD: password };
    const filled = withLogin(
      `http://${held("CAMERA_USER")}:${held("CAMERA_PASSWORD")}@cam/${held("X")}?a=${held("Y")}`,
      environment,
    );
    expect(filled).toBe(`http://me:${encoded}@cam/${held("X")}?a=${held("Y")}`);
    expect(withLogin(`frames/${held("CAMERA_USER")}@2`, environment)).toBe(`frames/${held("CAMERA_USER")}@2`);
    const ran = await sdmae("score", `rtsp://me:${held("SDMAE_TEST_NOT_SET")}@cam/live`, ...model);
    expectRefusal(
      ran,
      `the address holds ${held("SDMAE_TEST_NOT_SET")}, and the environment has no variable SDMAE_TEST_NOT_SET`,
    );
    process.env.SDMAE_TEST_PASSWORD = password;
    try {
      const scored = await sdmae("score", `http://me:${held("SDMAE_TEST_PASSWORD")}@${host}/a.ts`, ...model, "--quiet");
      expect(readCsv(scored.stdout)).toHaveLength(12);
      expect(scored).toMatchObject({ code: 0, stderr: "" });
    } finally {
      delete process.env.SDMAE_TEST_PASSWORD;
    }
  });
});

/** The command lines of a process and its children, such as ffmpeg. */
function commandLines(pid: number): string[] {
  const read = (path: string) => {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return "";
    }
  };
  const children = read(`/proc/${pid}/task/${pid}/children`).trim().split(" ").filter(Boolean);
  return [read(`/proc/${pid}/cmdline`), ...children.flatMap((child) => commandLines(Number(child)))];
}

describe.skipIf(!hasRtspServer())("a camera", () => {
  it.each([false, true])("is scored like a file (UDP: %s); one that is gone ends with 2", async (udp) => {
    const codec = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "0", "-g", "5"];
    const video = await videoFile(at(`camera${udp}.mp4`), 40, ...codec);
    const payload = "rtph264pay name=pay0 pt=96 config-interval=1";
    const pipeline = `( filesrc location=${video} ! qtdemux ! ${payload} )`;
    const server = await startRtspServer({ pipeline, udp, login: { user: "me", password: "pw", scheme: "Digest" } });
    try {
      const address = `rtsp://me:pw@localhost:${server.port}/live`;
      const camera = await sdmae("score", address, ...model, "--quiet");
      const file = await sdmae("score", video, ...model, "--quiet");
      expect(camera).toEqual({ ...file, code: 0 });
      expect(readCsv(camera.stdout)).toHaveLength(40);
      setTimeout(() => server.process.kill("SIGKILL"), 3000);
      const gone = await sdmae("score", address, ...model, "--quiet", "--out", at("gone.csv"));
      expectRefusal(gone, /the camera closed the connection|cannot be reached/);
      expect(readdirSync(at())).not.toContain("gone.csv");
    } finally {
      server.process.kill("SIGKILL");
    }
  });
});
