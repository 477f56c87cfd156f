import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openInput } from "../../../src/node/media/open.js";
import { useClips } from "../../support/clips.js";
import { collect } from "../../support/dataset.js";
import { refusal } from "../../support/refusal.js";

const { bytes: made, expectFrames } = useClips("a.ts", "a.mp4", "a.avi");
let server: Server;
let site: string;
const requests: IncomingMessage[] = [];

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
  server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  site = `http://localhost:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

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
