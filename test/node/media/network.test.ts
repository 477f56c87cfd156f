import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { FrameSource } from "../../../src/data/frame.js";
import { authorization, parseAddress } from "../../../src/node/media/address.js";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { openInput } from "../../../src/node/media/open.js";
import { collect, refusal } from "../../support/dataset.js";
import { type Camera, type CameraOptions, startCamera } from "../../support/rtsp.js";

let folder: string;
let server: Server;
let site: string;
const requests: IncomingMessage[] = [];
/** Ten frames a tenth of a second apart, 96×64, in each container. */
const made: Record<string, Buffer> = {};

function answer(request: IncomingMessage, response: ServerResponse): void {
  requests.push(request);
  const path = new URL(request.url ?? "", "http://x").pathname;
  const redirects: Record<string, string> = {
    "/same": "/a.ts",
    "/loop": "/loop",
    "/away": "http://127.0.0.2:9/a.ts",
    "/file": "file:///etc/hostname",
  };
  if (redirects[path]) return void response.writeHead(302, { location: redirects[path] }).end();
  if (path === "/list") return void response.end("#EXTM3U\n#EXTINF:-1,Channel\nhttp://127.0.0.2:9/a.ts\n");
  if (path === "/dash") return void response.end('<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>');
  if (path === "/concat") return void response.end("ffconcat version 1.0\nfile /etc/hostname\n");
  if (path === "/text") return void response.end("hello\n".repeat(50));
  if (path === "/broken") {
    response.writeHead(200, { "content-length": 1e6 });
    return void response.write(made["a.ts"], () => response.destroy());
  }
  if (path === "/locked" && request.headers.authorization !== `Basic ${btoa("me:it's secret")}`) {
    return void response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
  }
  const bytes = made[path === "/locked" ? "a.ts" : path.slice(1)];
  if (!bytes) return void response.writeHead(404).end();
  const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "");
  if (range) return void response.writeHead(206).end(bytes.subarray(Number(range[1]), Number(range[2]) + 1));
  response.writeHead(200, { "content-length": bytes.length, "accept-ranges": "bytes" }).end(bytes);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sdmae-network-"));
  const ffmpeg = await findFfmpeg();
  const input = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", "10"];
  for (const name of ["a.ts", "a.mp4", "a.avi"]) {
    const path = join(folder, name);
    execFileSync(ffmpeg, ["-v", "error", "-y", ...input, "-c:v", "mpeg4", "-g", "5", path]);
    made[name] = readFileSync(path);
  }
  server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  site = `http://localhost:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
});

const tenths = Array.from({ length: 10 }, (_, i) => i / 10);

/** Ten frames, the same bytes as those of the file, a tenth of a second apart. */
async function expectFrames(source: FrameSource, name: string, count = 10): Promise<void> {
  const frames = await collect(source.frames());
  const wanted = await collect((await openInput(join(folder, name))).frames());
  expect(frames.map(({ time }) => Number(time?.toFixed(6)))).toEqual(tenths.slice(0, count));
  for (const [i, { data }] of frames.entries()) expect(Buffer.compare(data, wanted[i].data)).toBe(0);
}

describe("by HTTP", () => {
  test.each(["a.ts", "a.avi", "a.mp4"])("%s gives the frames of the file, twice", async (name) => {
    const source = await openInput(`${site}/${name}`);
    expect([source.width, source.height]).toEqual([96, 64]);
    for (let pass = 0; pass < 2; pass++) await expectFrames(source, name);
    expect(source.warnings).toEqual([]);
  });

  test("an MP4 whose index is at the end is asked for it", async () => {
    // The index is the last box: its place is worked out from the file's own bytes.
    const at = made["a.mp4"].lastIndexOf("moov") - 4;
    expect(at).toBeGreaterThan(made["a.mp4"].indexOf("mdat"));
    requests.length = 0;
    await openInput(`${site}/a.mp4`);
    expect(requests.map(({ headers }) => headers.range)).toContain(`bytes=${at}-${made["a.mp4"].length - 1}`);
  });

  test("the server gets the host's name, and redirects on it are followed", async () => {
    requests.length = 0;
    await expectFrames(await openInput(`${site}/same`), "a.ts");
    for (const { headers } of requests) expect(headers.host).toBe(new URL(site).host);
  });

  test("redirects to other hosts, to files and in circles are not followed", async () => {
    expect(await refusal(openInput(`${site}/away`))).toContain(
      "redirects to http://127.0.0.2:9, which is not followed",
    );
    expect(await refusal(openInput(`${site}/file`))).toMatch(/redirects to file:\/\/, which is not followed/);
    expect(await refusal(openInput(`${site}/loop`))).toContain("redirects more than 5 times");
  });

  test("a playlist opens nothing, whatever its kind", async () => {
    expect(await refusal(openInput(`${site}/list`))).toContain("list: it is a playlist, but not of HLS; name a video");
    expect(await refusal(openInput(`${site}/dash`))).toContain("dash is a playlist of DASH, which is not read");
    expect(await refusal(openInput(`${site}/concat`))).not.toMatch(/has no video|Invalid data found.*hostname/);
  });

  test("text, an answer of 404, an unknown host, a closed port", async () => {
    expect(await refusal(openInput(`${site}/text`))).toMatch(/text is (text, )?not a video/);
    expect(await refusal(openInput(`${site}/none`))).toBe(`${site}/none: the server answers 404 Not Found`);
    expect(await refusal(openInput("http://nowhere.invalid/a"))).toContain("the host nowhere.invalid is not known");
    expect(await refusal(openInput("http://127.0.0.1:1/a"))).toContain("http://127.0.0.1:1/a cannot be reached");
    expect(await refusal(openInput("http://me:secret@:/"))).not.toContain("secret");
  });

  test("a connection that breaks off is an error, after the frames before", async () => {
    expect(await refusal(openInput(`${site}/broken`).then((source) => collect(source.frames())))).toContain(
      "broken: the connection broke off",
    );
  });

  test("name and password open it and are shown nowhere; nor is the query", async () => {
    const { host } = new URL(site);
    const source = await openInput(`http://me:it's%20secret@${host}/locked?key=k1`);
    await expectFrames(source, "a.ts");
    expect(source.name).toBe(`http://${host}/locked?…`);
    for (const login of ["me:wrong@", ""]) {
      const message = await refusal(openInput(`http://${login}${host}/locked?key=k1`));
      expect(message).toMatch(/the server (refuses this name and password|needs a name and a password)/);
      expect(message).not.toMatch(/wrong|k1/);
    }
  });
});

// Examples of RFC 2617 §3.5 and RFC 7616 §3.9.1; without "qop" worked out by md5sum and sha256sum.
test("a Digest is that of the standards", () => {
  const login = { user: "Mufasa", password: "Circle Of Life" };
  const challenge = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc"';
  expect(authorization(login, challenge, "GET", "/dir/index.html")).toContain(
    'response="670fd8c2df070c60b045671b8b24ff02", opaque="5ccc"',
  );
  const unknown = `Digest realm="r", nonce="n", algorithm=SHA-512-256`;
  const newer = 'Digest realm="http-auth@example.org", nonce="7ypf/xlj9XXwfDPEoM4URrv", algorithm=SHA-256';
  const person = { user: "Mufasa", password: "Circle of Life" };
  expect(authorization(person, `${unknown}, ${newer}, ${challenge}`, "GET", "/dir/index.html")).toContain(
    'response="eac5c5d423bd0b3d90b6a5555ebd00069d64f93e274452ec2413dc205e96ad58", algorithm=SHA-256',
  );
  expect(authorization(login, "Negotiate", "GET", "/")).toBeUndefined();
  expect(authorization(login, unknown, "GET", "/")).toBeUndefined();
});

test("an address is shown without name, password, query and fragment", () => {
  const { url, shown, login } = parseAddress("rtsp://a%40b:p%3Aw@cam:8554/live/1?token=x#y");
  expect(shown).toBe("rtsp://cam:8554/live/1?…");
  expect(url.href).toBe("rtsp://cam:8554/live/1?token=x");
  expect(login).toEqual({ user: "a@b", password: "p:w" });
});

describe("by RTSP", () => {
  /** Frames of a transport stream that ends: ffmpeg waits for what follows the last one. */
  const LIVE = 9;
  const cameras: Camera[] = [];
  afterAll(() => {
    for (const camera of cameras) camera.close();
  });
  const camera = async (options?: CameraOptions) => {
    cameras.push(await startCamera(made["a.ts"], options));
    return cameras[cameras.length - 1];
  };

  test("a camera gives its frames; it sees its own address", async () => {
    const { port, requests: asked } = await camera();
    await expectFrames(await openInput(`rtsp://localhost:${port}/live`), "a.ts", LIVE);
    const describe = asked.find((request) => request.startsWith("DESCRIBE"));
    expect(describe?.split(" ")[1]).toBe(`rtsp://localhost:${port}/live`);
    expect(asked.some((request) => request.includes(`SETUP rtsp://localhost:${port}/live/`))).toBe(true);
  });

  test("a camera that refuses TCP sends by UDP", async () => {
    const { port, requests: asked } = await camera({ udp: true });
    await expectFrames(await openInput(`rtsp://localhost:${port}/live`), "a.ts", LIVE);
    const setups = asked.filter((request) => request.startsWith("SETUP"));
    expect(setups[0]).toContain("RTP/AVP/TCP;unicast;interleaved=0-1");
    const [, video, control] = /Transport: RTP\/AVP;unicast;client_port=(\d+)-(\d+)\r/.exec(setups[1]) ?? [];
    expect(Number(video) % 2).toBe(0);
    expect(Number(control)).toBe(Number(video) + 1);
  });

  test("a camera that leaves without saying so is an error, after the frames before", async () => {
    const { port } = await camera({ breaksOff: true });
    const source = await openInput(`rtsp://localhost:${port}/live`);
    const numbers: number[] = [];
    const reading = (async () => {
      for await (const { number } of source.frames()) numbers.push(number);
    })();
    expect(await refusal(reading)).toBe(`rtsp://localhost:${port}/live: the camera closed the connection`);
    expect(numbers.length).toBeGreaterThanOrEqual(LIVE);
  });

  test.each(["Digest", "Basic"] as const)("name and password by %s", async (scheme) => {
    const { port } = await camera({ udp: scheme === "Basic", login: { user: "me", password: "s/cret", scheme } });
    const source = await openInput(`rtsp://me:s%2Fcret@localhost:${port}/live`);
    expect(source.name).toBe(`rtsp://localhost:${port}/live`);
    await expectFrames(source, "a.ts", LIVE);
    expect(await refusal(openInput(`rtsp://me:wrong@localhost:${port}/live`))).toMatch(
      /refuses this name and password$/,
    );
    expect(await refusal(openInput(`rtsp://localhost:${port}/live`))).toContain("needs a name and a password");
  });

  test("a redirect is not followed, and a camera that is not there is one line", async () => {
    const other = await camera();
    const { port } = await camera({ redirect: `rtsp://127.0.0.1:${other.port}/live` });
    expect(await refusal(openInput(`rtsp://localhost:${port}/live`))).toContain("redirects to another address");
    expect(other.requests).toEqual([]);
    expect(await refusal(openInput("rtsp://127.0.0.1:1/live"))).toContain("rtsp://127.0.0.1:1/live cannot be reached");
  });
});

describe("from a pipe", () => {
  test("a container, once", async () => {
    const stdin = openSync(join(folder, "a.ts"), "r");
    const source = await openInput("-", { stdin });
    // ffmpeg has ended by then: kernels may be compiled before the first frame is read.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await expectFrames(source, "a.ts");
    expect(await refusal(collect(source.frames()))).toBe("standard input can be read only once");
    closeSync(stdin);
  });

  test("what is not a video, and a playlist", async () => {
    for (const text of ["hello\n".repeat(50), "#EXTM3U\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"]) {
      writeFileSync(join(folder, "text"), text);
      const stdin = openSync(join(folder, "text"), "r");
      expect(await refusal(openInput("-", { stdin }))).toMatch(/^standard input is (text, )?not a video/);
      closeSync(stdin);
    }
  });

  test("raw frames of a pipe or a file, in any layout", async () => {
    const path = join(folder, "frames.raw");
    // Two frames of 8×9 pixels: R, G, B count up.
    writeFileSync(
      path,
      Uint8Array.from({ length: 2 * 9 * 8 * 3 }, (_, i) => i % 251),
    );
    const raw = { width: 8, height: 9, format: "rgb", fps: 4 } as const;
    const stdin = openSync(path, "r");
    for (const source of [await openInput("-", { stdin, raw }), await openInput(path, { raw })]) {
      const frames = await collect(source.frames());
      expect(frames.map(({ time }) => time)).toEqual([0, 0.25]);
      expect([...frames[0].data.subarray(0, 6)]).toEqual([2, 1, 0, 5, 4, 3]);
    }
    expect((await openInput(path, { raw })).frameCount).toBe(2);
    const cut = await openInput(path, { raw: { width: 8, height: 10 } });
    expect(await refusal(collect(cut.frames()))).toMatch(
      /frames\.raw ends within frame 1: a raw frame of 8×10 bgr pixels has 240 bytes/,
    );
  });
});
