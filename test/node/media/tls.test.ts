// Videos by https and rtsps: whose certificates are trusted.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createPlainServer } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { openInput } from "../../../src/node/media/open.js";
import { type Certificate, hasOpenssl, selfSigned } from "../../support/certificate.js";
import { runInChild } from "../../support/child.js";
import { refusal } from "../../support/refusal.js";
import { startCamera } from "../../support/rtsp.js";

const FRAMES = 10;

/** Opens an address in a program of its own, which trusts a certificate; prints what comes. */
async function openTrusting(certificate: string, address: string): Promise<string> {
  const program = `
    import { openInput } from "./src/node/media/open.ts";
    try {
      let count = 0;
      for await (const frame of (await openInput(${JSON.stringify(address)})).frames()) count++;
      console.log(count);
    } catch (error) {
      console.log(error.message);
    }`;
  const { stdout, stderr } = await runInChild(program, { NODE_EXTRA_CA_CERTS: certificate });
  expect(stderr).toBe("");
  return stdout.trim();
}

describe.skipIf(!hasOpenssl())("by TLS", () => {
  let folder: string;
  let video: Buffer;
  const servers: Server[] = [];
  const cameras: { close(): void }[] = [];
  let own: Certificate;
  let other: Certificate;

  async function serve({ certificate, key }: Certificate): Promise<string> {
    const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (_, response) =>
      response.end(video),
    );
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `localhost:${(server.address() as AddressInfo).port}`;
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "sdmae-tls-"));
    own = selfSigned(folder, "own", "DNS:localhost,IP:127.0.0.1");
    other = selfSigned(folder, "other", "DNS:elsewhere.example");
    const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", String(FRAMES)];
    execFileSync(await findFfmpeg(), ["-v", "error", ...input, "-c:v", "mpeg4", "-g", "5", join(folder, "a.ts")]);
    video = readFileSync(join(folder, "a.ts"));
  });
  afterAll(() => {
    for (const server of servers) server.close();
    for (const camera of cameras) camera.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test("a certificate that nobody vouches for is refused, and the way to trust it is named", async () => {
    const host = await serve(own);
    expect(await refusal(openInput(`https://me:secret@${host}/a.ts`))).toBe(
      `https://${host}/a.ts cannot be reached: its certificate is not trusted (self-signed certificate); ` +
        "if it is yours, name its file in NODE_EXTRA_CA_CERTS",
    );
  });

  test("with its file in NODE_EXTRA_CA_CERTS it is trusted, by name and by number", async () => {
    const host = await serve(own);
    expect(await openTrusting(own.certificate, `https://${host}/a.ts`)).toBe(String(FRAMES));
    const byNumber = host.replace("localhost", "127.0.0.1");
    expect(await openTrusting(own.certificate, `https://${byNumber}/a.ts`)).toBe(String(FRAMES));
  });

  test("a trusted certificate for another host is refused", async () => {
    const host = await serve(other);
    expect(await openTrusting(other.certificate, `https://${host}/a.ts`)).toMatch(
      /^https:\/\/localhost:\d+\/a\.ts cannot be reached: .*localhost\. is not in the cert's altnames: DNS:elsewhere\.example$/,
    );
  });

  test("a server without TLS is one line", async () => {
    const plain = createPlainServer();
    cameras.push(plain);
    await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
    const { port } = plain.address() as AddressInfo;
    for (const protocol of ["https", "rtsps"]) {
      const address = `${protocol}://localhost:${port}/a`;
      expect(await refusal(openInput(address))).toBe(`${address} cannot be reached: it does not speak TLS there`);
    }
  });

  test("a camera by rtsps: refused, then trusted, by name and by number", async () => {
    const camera = await startCamera(video);
    cameras.push(camera);
    const secure = createTlsServer({ cert: readFileSync(own.certificate), key: readFileSync(own.key) }, (socket) =>
      camera.accept(socket),
    );
    cameras.push(secure);
    await new Promise<void>((resolve) => secure.listen(0, "127.0.0.1", resolve));
    const { port } = secure.address() as AddressInfo;
    expect(await refusal(openInput(`rtsps://localhost:${port}/live`))).toBe(
      `rtsps://localhost:${port}/live cannot be reached: its certificate is not trusted (self-signed certificate); ` +
        "if it is yours, name its file in NODE_EXTRA_CA_CERTS",
    );
    // The last frame of a transport stream that ends by RTSP does not come.
    for (const host of ["localhost", "127.0.0.1"]) {
      expect(await openTrusting(own.certificate, `rtsps://${host}:${port}/live`)).toBe(String(FRAMES - 1));
    }
  });
});
