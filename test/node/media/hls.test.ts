// Streams of HLS: recorded and live, in every form that ffmpeg writes; and hostile playlists.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { FrameSource } from "../../../src/data/frame.js";
import { findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { parsePlaylist } from "../../../src/node/media/hls_playlist.js";
import { openInput } from "../../../src/node/media/open.js";
import { collect } from "../../support/dataset.js";
import { refusal } from "../../support/refusal.js";

let folder: string;
let server: Server;
let site: string;
/** Paths that were asked for. */
let asked: string[];
/** What a path answers, other than the file of that name. */
let answers: Record<string, (response: ServerResponse) => void>;
/** 30 frames of 96×64, a tenth of a second apart; a key frame every half second. */
const FRAMES = 30;
const PER_SEGMENT = 5;
let wanted: Buffer[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sdmae-hls-"));
  const ffmpeg = await findFfmpeg();
  const run = (...args: string[]) => execFileSync(ffmpeg, ["-v", "error", "-y", ...args], { cwd: folder });
  const picture = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=10", "-frames:v", String(FRAMES)];
  run(...picture, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "0", "-g", String(PER_SEGMENT), "a.mp4");
  writeFileSync(join(folder, "key.bin"), "0123456789abcdef");
  writeFileSync(join(folder, "key.info"), `/key.bin\n${join(folder, "key.bin")}\n`);
  const forms = {
    ts: [],
    encrypted: ["-hls_key_info_file", "key.info"],
    single: ["-hls_flags", "single_file"],
    mp4: ["-hls_segment_type", "fmp4"],
  };
  for (const [name, options] of Object.entries(forms)) {
    mkdirSync(join(folder, name));
    const hls = ["-f", "hls", "-hls_time", "0.5", "-hls_list_size", "0", ...options];
    run("-i", "a.mp4", "-c", "copy", ...hls, `${name}/list.m3u8`);
  }
  wanted = (await collect((await openInput(join(folder, "a.mp4"))).frames())).map(({ data }) => Buffer.from(data));
  expect(wanted).toHaveLength(FRAMES);
  server = createServer((request, response) => {
    const path = new URL(request.url ?? "", "http://x").pathname;
    asked.push(path);
    if (answers[path]) return answers[path](response);
    let bytes: Buffer;
    try {
      bytes = readFileSync(join(folder, path));
    } catch {
      return void response.writeHead(404).end();
    }
    const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "");
    if (range) return void response.writeHead(206).end(bytes.subarray(Number(range[1]), Number(range[2]) + 1));
    response.end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  site = `http://localhost:${(server.address() as AddressInfo).port}`;
});
beforeEach(() => {
  asked = [];
  answers = {};
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
});

/** The frames from `first` on, the same bytes as those of the file, a tenth of a second apart. */
async function expectFrames(source: FrameSource, first = 0, count = FRAMES - first): Promise<void> {
  const frames = await collect(source.frames());
  expect(frames).toHaveLength(count);
  for (const [i, { data, time }] of frames.entries()) {
    expect(Buffer.compare(data, wanted[first + i])).toBe(0);
    expect(time).toBeCloseTo(i / 10, 6);
  }
}

const answerWith = (text: string) => (response: ServerResponse) => void response.end(text);

/** A playlist of segments. */
const listOf = (...lines: string[]) =>
  ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", ...lines, "#EXT-X-ENDLIST", ""].join("\n");

describe("a recorded stream", () => {
  test.each(["ts", "encrypted", "single", "mp4"])(
    "in the form %s gives the frames of the file, twice",
    async (form) => {
      const source = await openInput(`${site}/${form}/list.m3u8`);
      expect([source.width, source.height, source.fps]).toEqual([96, 64, 10]);
      for (let pass = 0; pass < 2; pass++) await expectFrames(source);
      expect(source.warnings).toEqual([]);
    },
  );

  test("of several variants the one of the highest bandwidth with pictures is read", async () => {
    answers["/main"] = answerWith(
      [
        "#EXTM3U",
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="http://127.0.0.2:9/sound.m3u8"',
        '#EXT-X-STREAM-INF:BANDWIDTH=100,RESOLUTION=96x64,CODECS="avc1.4d401f,mp4a.40.2"',
        "low.m3u8",
        '#EXT-X-STREAM-INF:BANDWIDTH=200,RESOLUTION=96x64,CODECS="avc1.4d401f"',
        "ts/list.m3u8",
        '#EXT-X-STREAM-INF:BANDWIDTH=900,CODECS="mp4a.40.2"',
        "sound.m3u8",
      ].join("\n"),
    );
    await expectFrames(await openInput(`${site}/main`));
    expect(asked).toContain("/ts/list.m3u8");
    for (const path of ["/low.m3u8", "/sound.m3u8"]) expect(asked).not.toContain(path);
  });

  test("what the server says it does not have is left out; what it lacks is an error", async () => {
    const files = [0, 1, 2, 3, 4, 5].map((i) => `#EXTINF:0.5,\n${i === 2 ? "#EXT-X-GAP\n" : ""}ts/list${i}.ts`);
    answers["/gap"] = answerWith(listOf(...files));
    const source = await openInput(`${site}/gap`);
    expect(await collect(source.frames())).toHaveLength(FRAMES - PER_SEGMENT);
    answers["/ts/list3.ts"] = (response) => void response.writeHead(404).end();
    const frames = openInput(`${site}/gap`).then((again) => collect(again.frames()));
    expect(await refusal(frames)).toBe(`${site}/gap: segment 3: the server answers 404 Not Found`);
  });
});

describe("a live stream", () => {
  /** A playlist that begins at one segment and ends before another. */
  const windowed = (from: number, to: number) => {
    const lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", `#EXT-X-MEDIA-SEQUENCE:${from}`];
    for (let i = from; i < to; i++) lines.push("#EXTINF:0.5,", `ts/list${i}.ts`);
    if (to === FRAMES / PER_SEGMENT) lines.push("#EXT-X-ENDLIST");
    return `${lines.join("\n")}\n`;
  };

  /** Answers each look at the playlist with the next window, and the last one after that. */
  function live(...windows: [from: number, to: number][]): { restart(): void } {
    let looks = 0;
    answers["/live"] = (response) => {
      response.end(windowed(...windows[Math.min(looks, windows.length - 1)]));
      looks++;
    };
    return {
      restart: () => {
        looks = 0;
      },
    };
  }

  test("begins three segments before its end, and goes on while it grows", async () => {
    const stream = live([0, 4], [1, 5], [1, 5], [2, 6]);
    const source = await openInput(`${site}/live`);
    stream.restart();
    await expectFrames(source, PER_SEGMENT);
    expect(source.warnings).toEqual([]);
  });

  test("a playlist that a cache gives late repeats nothing", async () => {
    const stream = live([0, 4], [1, 5], [0, 4], [2, 6]);
    const source = await openInput(`${site}/live`);
    stream.restart();
    await expectFrames(source, PER_SEGMENT);
    expect(source.warnings).toEqual([]);
  });

  test("segments that are gone before they were read are counted", async () => {
    const stream = live([0, 3], [4, 6]);
    const source = await openInput(`${site}/live`);
    stream.restart();
    answers["/ts/list4.ts"] = (response) => void response.writeHead(404).end();
    const frames = await collect(source.frames());
    // 0, 1, 2 and 5; one is not in any list, one is gone from the server.
    expect(frames).toHaveLength(4 * PER_SEGMENT);
    expect(frames.at(-1)?.time).toBeCloseTo(2.9, 6);
    expect(source.warnings).toEqual([
      `${site}/live: 2 segments were gone from the server before they were read; their frames are missing`,
    ]);
  });

  test("a wait for the next segment ends with an abort", async () => {
    live([0, 4], [2, 6]);
    const source = await openInput(`${site}/live`);
    live([0, 3]);
    const abort = new AbortController();
    const started = Date.now();
    setTimeout(() => abort.abort(new Error("stopped")), 1500);
    await expect(collect(source.frames(abort.signal))).rejects.toThrow("stopped");
    expect(Date.now() - started).toBeLessThan(10_000);
  });
});

describe("a hostile playlist", () => {
  const refused = async (text: string) => {
    answers["/list"] = answerWith(text);
    asked = [];
    return refusal(openInput(`${site}/list`).then((source) => collect(source.frames())));
  };

  test.each([
    ["file:///etc/hostname", "file://"],
    ["http://127.0.0.2:9/a.ts", "http://127.0.0.2:9"],
    ["//127.0.0.2:9/a.ts", "http://127.0.0.2:9"],
    ["http://localhost:9/a.ts", "http://localhost:9"],
    ["https://localhost/a.ts", "https://localhost"],
    ["data:video/mp2t;base64,AAAA", "data://"],
    ["concat:/etc/hostname", "concat://"],
  ])("segments, maps, keys and variants at %s are not opened", async (uri, shown) => {
    const segment = `#EXTINF:1,\n${uri}`;
    const good = "#EXTINF:1,\nts/list0.ts";
    const map = `#EXT-X-MAP:URI="${uri}"\n${good}`;
    const key = `#EXT-X-KEY:METHOD=AES-128,URI="${uri}"\n${good}`;
    for (const text of [
      listOf(segment),
      listOf(map),
      listOf(key),
      `#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n${uri}\n`,
    ]) {
      expect(await refused(text)).toBe(
        `${site}/list: its playlist names ${shown}, which is not opened: only what lies beside the playlist is`,
      );
      expect(asked).toEqual(["/list"]);
    }
  });

  test("a segment that redirects elsewhere is not followed", async () => {
    answers["/ts/list0.ts"] = (response) => void response.writeHead(302, { location: "http://127.0.0.2:9/a.ts" }).end();
    expect(await refused(listOf("#EXTINF:1,", "ts/list0.ts"))).toContain(
      "segment 0: the server redirects to http://127.0.0.2:9, which is not followed",
    );
  });

  test("a segment that is a playlist opens nothing", async () => {
    answers["/ts/list0.ts"] = answerWith(listOf("#EXTINF:1,", "file:///etc/hostname"));
    expect(await refused(listOf("#EXTINF:1,", "ts/list0.ts"))).toMatch(/list is (text, )?not a video/);
    expect(asked).toEqual(["/list", "/ts/list0.ts"]);
  });

  test("a playlist without an end, and one that leads in circles", async () => {
    answers["/list"] = (response) => {
      const line = `#EXTINF:1,\n${"a".repeat(60_000)}\n`;
      const more = () => {
        while (response.write(line));
      };
      response.on("drain", more).write("#EXTM3U\n#EXT-X-TARGETDURATION:1\n");
      more();
    };
    expect(await refusal(openInput(`${site}/list`))).toContain("list is a playlist of more than 16777216 bytes");
    expect(await refused("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlist\n")).toContain(
      "list: a variant in its playlist is not a playlist of segments",
    );
  });

  test("what is encrypted otherwise, or with a key of another size, is refused", async () => {
    const good = "#EXTINF:1,\nencrypted/list0.ts";
    const sample = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://x",KEYFORMAT="com.apple.streamingkeydelivery"';
    expect(await refused(listOf(sample, good))).toContain(
      "it is encrypted in a way that is not supported (SAMPLE-AES, com.apple.streamingkeydelivery)",
    );
    answers["/short"] = answerWith("short");
    expect(await refused(listOf('#EXT-X-KEY:METHOD=AES-128,URI="short"', good))).toContain(
      "its key has 5 bytes, not 16",
    );
    answers["/wrong"] = answerWith("fedcba9876543210");
    expect(await refused(listOf('#EXT-X-KEY:METHOD=AES-128,URI="wrong"', good))).toContain(
      "segment 0 does not fit its key",
    );
  });

  test("the server learns the name and the password, and no message repeats them", async () => {
    answers["/list"] = (response) => {
      const { authorization } = response.req.headers;
      if (authorization !== `Basic ${btoa("me:secret")}`) {
        return void response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
      }
      response.end(listOf("#EXTINF:1,", "http://127.0.0.2:9/a.ts"));
    };
    const message = await refusal(openInput(`${site.replace("//", "//me:secret@")}/list?key=k1`));
    expect(message).toContain("its playlist names http://127.0.0.2:9");
    expect(message).not.toMatch(/secret|k1/);
  });
});

describe("parsePlaylist", () => {
  test("ranges continue one another; keys and maps hold until the next one", () => {
    const playlist = parsePlaylist(
      [
        "\uFEFF#EXTM3U",
        "#EXT-X-TARGETDURATION:2",
        "#EXT-X-MEDIA-SEQUENCE:7",
        '#EXT-X-MAP:URI="m",BYTERANGE="10@5"',
        "#EXT-X-BYTERANGE:100@20",
        "a",
        '#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x0F',
        "#EXT-X-BYTERANGE:50",
        "a",
        "#EXT-X-KEY:METHOD=NONE",
        "b",
      ].join("\r\n"),
    );
    const map = { uri: "m", range: { at: 5, length: 10 } };
    const iv = Buffer.from("0000000000000000000000000000000f", "hex");
    expect(playlist).toEqual({
      kind: "segments",
      target: 2,
      isComplete: false,
      segments: [
        { uri: "a", sequence: 7, range: { at: 20, length: 100 }, map, isGap: false },
        { uri: "a", sequence: 8, range: { at: 120, length: 50 }, map, isGap: false, key: { uri: "k", iv } },
        { uri: "b", sequence: 9, map, isGap: false },
      ],
    });
  });

  test.each([
    ["#EXT-X-MEDIA-SEQUENCE:-1", "has -1 where a number must be"],
    ["#EXT-X-BYTERANGE:0@1", "names a part of no bytes"],
    ["#EXT-X-BYTERANGE:1e3@1", "has 1e3 where a number must be"],
    ['#EXT-X-KEY:METHOD=AES-128,URI="k",IV=7', "has an IV that is not a hexadecimal number"],
    ["#EXT-X-MAP:X=1", "has an EXT-X-MAP without URI"],
    ['#EXT-X-DEFINE:NAME="a",VALUE="b"', "has variables (EXT-X-DEFINE)"],
    ["a\n".repeat(200_001), "names more than 200000 segments"],
  ])("refuses %j", (line, says) => {
    expect(() => parsePlaylist(`#EXTM3U\n#EXT-X-TARGETDURATION:1\n${line}\na\n`)).toThrow(says);
  });
});
