// Cameras as a real RTSP server plays them: GStreamer's, see test/support/rtsp_server.ts.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { openInput } from "../../../src/node/media/open.js";
import { hasOpenssl, selfSigned } from "../../support/certificate.js";
import { runInChild } from "../../support/child.js";
import { collect } from "../../support/dataset.js";
import { refusal } from "../../support/refusal.js";
import { hasRtspServer, type RtspServerSettings, startRtspServer } from "../../support/rtsp_server.js";

describe.skipIf(!hasRtspServer())("a real RTSP server", () => {
  const FRAMES = 20;
  let folder: string;
  /** Frames a tenth of a second apart, in H.264 without pictures that refer to later ones. */
  let video: string;
  const servers: { process: { kill(): void } }[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "sdmae-rtsp-"));
    video = join(folder, "a.mp4");
    video = await encode("a.mp4", FRAMES);
  });
  afterAll(() => {
    for (const server of servers) server.process.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  async function encode(name: string, count: number): Promise<string> {
    const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", String(count)];
    const codec = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "0", "-g", "5"];
    execFileSync(await findFfmpeg(), ["-v", "error", ...input, ...codec, join(folder, name)]);
    return join(folder, name);
  }

  async function serve(settings: Omit<RtspServerSettings, "pipeline"> = {}, file = video) {
    const payload = "rtph264pay name=pay0 pt=96 config-interval=1";
    const server = await startRtspServer({
      pipeline: `( filesrc location=${file} ! qtdemux ! ${payload} )`,
      ...settings,
    });
    servers.push(server);
    return server;
  }

  const user = { user: "me", password: "s/cret" };
  test.each<[string, Omit<RtspServerSettings, "pipeline">]>([
    ["by TCP", {}],
    ["by UDP", { udp: true }],
    ["by TCP, with a Digest", { login: { ...user, scheme: "Digest" } }],
    ["by UDP, with a Digest", { udp: true, login: { ...user, scheme: "Digest" } }],
    ["by TCP, with Basic", { login: { ...user, scheme: "Basic" } }],
  ])("%s gives the frames of the file, and takes no other path or login", async (_, settings) => {
    const { port } = await serve(settings);
    const address = (login: string, path: string) => `rtsp://${settings.login ? login : ""}localhost:${port}/${path}`;
    const source = await openInput(address("me:s%2Fcret@", "live"));
    const frames = await collect(source.frames());
    const wanted = await collect((await openInput(video)).frames());
    expect(frames.map(({ time }) => time?.toFixed(6))).toEqual(wanted.map(({ time }) => time?.toFixed(6)));
    for (const [i, { data }] of frames.entries()) expect(Buffer.compare(data, wanted[i].data)).toBe(0);
    expect(source.warnings).toEqual([]);
    const shown = `rtsp://localhost:${port}`;
    expect(await refusal(openInput(address("me:s%2Fcret@", "none")))).toBe(
      `${shown}/none: the camera answers 404 Not Found`,
    );
    if (!settings.login) return;
    expect(await refusal(openInput(address("me:wrong@", "live")))).toBe(
      `${shown}/live: the camera refuses this name and password`,
    );
    expect(await refusal(openInput(address("", "live")))).toContain("the camera needs a name and a password");
  });

  test.each([false, true])("that is gone in the middle (UDP: %s) is an error, after the frames before", async (udp) => {
    // ffmpeg takes in some seconds before it gives a frame.
    const count = 120;
    const server = await serve({ udp }, await encode(`long${udp}.mp4`, count));
    const source = await openInput(`rtsp://localhost:${server.port}/live`);
    let read = 0;
    const reading = (async () => {
      for await (const _ of source.frames()) if (++read === 3) server.process.kill("SIGKILL");
    })();
    expect(await refusal(reading)).toMatch(
      /live(: the camera closed the connection| cannot be reached: .*ECONNRESET)$/,
    );
    expect(read).toBeGreaterThanOrEqual(3);
    expect(read).toBeLessThan(count);
  });

  test.skipIf(!hasOpenssl())("by rtsps, once its certificate is trusted", async () => {
    const tls = selfSigned(folder, "camera", "DNS:localhost");
    const { port } = await serve({ tls, login: { ...user, scheme: "Digest" } });
    const address = `rtsps://me:s%2Fcret@localhost:${port}/live`;
    expect(await refusal(openInput(address))).toContain("its certificate is not trusted");
    const program = `
      import { openInput } from "./src/node/media/open.ts";
      let count = 0;
      for await (const frame of (await openInput("${address}")).frames()) count++;
      console.log(count);`;
    const { stdout, stderr } = await runInChild(program, { NODE_EXTRA_CA_CERTS: tls.certificate });
    expect({ stdout, stderr }).toEqual({ stdout: `${FRAMES}\n`, stderr: "" });
  });
});
