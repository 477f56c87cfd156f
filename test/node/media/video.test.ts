import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Frame } from "../../../src/data/frame.js";
import { type FfmpegLine, FfmpegLog, findFfmpeg } from "../../../src/node/media/ffmpeg.js";
import { openInput } from "../../../src/node/media/open.js";
import { openVideo } from "../../../src/node/media/video.js";
import { collect } from "../../support/dataset.js";
import { scratch } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const WIDTH = 96;
const HEIGHT = 64;

const at = scratch();
let ffmpeg: string;
beforeAll(async () => {
  ffmpeg = await findFfmpeg();
});

/**
 * Frame t is all of one colour: B = 10 t, G = 255 − 10 t, R = 40, with a white pixel at row t,
 * column 2 t.
 */
function synthetic(t: number): Buffer {
  const frame = Buffer.alloc(WIDTH * HEIGHT * 3);
  for (let i = 0; i < frame.length; i += 3) frame.set([10 * t, 255 - 10 * t, 40], i);
  frame.fill(255, (t * WIDTH + 2 * t) * 3, (t * WIDTH + 2 * t) * 3 + 3);
  return frame;
}

/**
 * Encodes synthetic frames, without loss unless the options say otherwise. Returns the file's path.
 */
function video(name: string, count: number, ...options: string[]): string {
  const path = at(name);
  const codec = options.length > 0 ? options : ["-c:v", "ffv1", "-pix_fmt", "bgr0"];
  const raw = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", `${WIDTH}x${HEIGHT}`, "-r", "10", "-i", "pipe:0"];
  const input = Buffer.concat(Array.from({ length: count }, (_, t) => synthetic(t % 25)));
  execFileSync(ffmpeg, ["-v", "error", "-y", ...raw, ...codec, path], { input });
  return path;
}

test("a lossless video gives the same frames that went in, twice", async () => {
  const source = await openInput(video("lossless.mkv", 25));
  expect([source.width, source.height, source.fps, source.estimatedFrameCount]).toEqual([WIDTH, HEIGHT, 10, 25]);
  for (let pass = 0; pass < 2; pass++) {
    const frames = await collect(source.frames());
    expect(frames.map((f) => f.number)).toEqual(Array.from({ length: 25 }, (_, t) => t));
    expect(frames[7].time).toBe(0.7);
    for (const frame of frames) expect(Buffer.compare(frame.data, synthetic(frame.index))).toBe(0);
  }
  expect(source.warnings).toEqual([]);
});

test("every coded frame comes once, whatever the frame times say", async () => {
  // Times 0, 0.1, 0.2, … with a gap of 1 s after every fifth frame: a constant rate would double
  // frames.
  const path = video("variable.mkv", 20, "-vf", "setpts=N/10/TB+floor(N/5)/TB", "-c:v", "ffv1");
  const frames = await collect((await openInput(path)).frames());
  expect(frames.length).toBe(20);
});

test("a video of two frames has two frames", async () => {
  const frames = await collect((await openInput(video("two.avi", 2, "-c:v", "mpeg4"))).frames());
  expect(frames.map((f) => f.index)).toEqual([0, 1]);
});

test("a video that is turned by its metadata comes upright", async () => {
  const plain = video("plain.mp4", 3, "-c:v", "mpeg4");
  const path = at("turned.mp4");
  execFileSync(ffmpeg, ["-v", "error", "-y", "-i", plain, "-c", "copy", "-metadata:s:v:0", "rotate=90", path]);
  const source = await openInput(path);
  const turned = (await collect(source.frames()))[0];
  // A newer ffmpeg does not write the turn from this option.
  if (source.width === HEIGHT) expect([turned.width, turned.height, turned.data.length]).toEqual([64, 96, 64 * 96 * 3]);
  else expect(source.width).toBe(WIDTH);
});

test("NTSC's rate is made exact again", async () => {
  const path = video("ntsc.mkv", 3, "-c:v", "ffv1", "-vf", "setpts=N*1001/30000/TB", "-r", "30000/1001");
  expect((await openInput(path)).fps).toBeCloseTo(30000 / 1001, 9);
});

const times = (frames: Frame[]) => frames.map(({ time }) => Number(time?.toFixed(6)));

// Expected times are those of the setpts formulas, from the first frame.
describe("a frame's time is its time stamp", () => {
  test("with a pause of half a minute, and from a start that is not 0", async () => {
    const path = video("gap.mkv", 6, "-vf", "setpts=N+70+floor(N/3)*300", "-c:v", "ffv1");
    const source = await openInput(path);
    expect(times(await collect(source.frames()))).toEqual([0, 0.1, 0.2, 30.3, 30.4, 30.5]);
    expect(source.warnings).toEqual([]);
  });

  test("at one frame a minute", async () => {
    const path = video("lapse.mp4", 5, "-vf", "setpts=N*60/TB", "-r", "1/60", "-c:v", "mpeg4");
    const source = await openInput(path);
    expect(times(await collect(source.frames()))).toEqual([0, 60, 120, 180, 240]);
    expect(source.fps).toBeCloseTo(1 / 60, 9);
  });

  test("in bursts, which are not damage", async () => {
    // Three frames within 4 ms each third of a second: closer than the rate's frames.
    const burst = "settb=1/90000,setpts=floor(N/3)*30000+mod(N\\,3)*180";
    const path = video("burst.mkv", 9, ...["-vf", burst, "-vsync", "0", "-enc_time_base", "1/1000", "-c:v", "ffv1"]);
    const source = await openInput(path);
    expect(times(await collect(source.frames()))).toEqual([0, 0.002, 0.004, 0.333, 0.335, 0.337, 0.667, 0.669, 0.671]);
    expect(source.warnings).toEqual([]);
  });
});

test("a video with more chapters than anybody reads is found", async () => {
  const list = at("chapters.txt");
  const chapter = (i: number) => `[CHAPTER]\nTIMEBASE=1/1000\nSTART=${i}\nEND=${i + 1}\ntitle=motion ${i}\n`;
  writeFileSync(list, `;FFMETADATA1\n${Array.from({ length: 300 }, (_, i) => chapter(i)).join("")}`);
  const path = at("chapters.mkv");
  const inputs = ["-i", video("plain.mkv", 4), "-i", list];
  execFileSync(ffmpeg, ["-v", "error", "-y", ...inputs, "-map_metadata", "1", "-c", "copy", path]);
  expect((await collect((await openInput(path)).frames())).length).toBe(4);
});

describe("recordings that are not in one piece", () => {
  const PACKET = 188;

  test("a start between two key frames: the first picture that can be decoded is frame 0", async () => {
    const h264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "150", "-bf", "0", "-sc_threshold", "0"];
    const whole = readFileSync(video("whole.ts", 160, ...h264));
    // Leaves the first picture out: packets of the stream 0x100 before its second start of a unit.
    const kept: Buffer[] = [];
    for (let at = 0, units = 0; at < whole.length; at += PACKET) {
      const head = whole.readUInt16BE(at + 1);
      const isVideo = (head & 0x1fff) === 0x100;
      if (isVideo && head & 0x4000) units++;
      if (!isVideo || units > 1) kept.push(whole.subarray(at, at + PACKET));
    }
    const path = at("middle.ts");
    writeFileSync(path, Buffer.concat(kept));
    const source = await openInput(path);
    const frames = await collect(source.frames());
    // Key frames are 0 and 150 of 160; frames 1 to 149 have nothing to build on.
    expect(frames.length).toBe(10);
    expect(frames[9].time).toBeCloseTo(0.9, 9);
    expect(source.warnings).toEqual([
      `${path} begins between two key frames: its first 14.9 s (about 149 frames) cannot be decoded and are missing; frame 0 is the first picture that can be decoded`,
    ]);
  });

  test("pictures of another size, and time stamps that run back", async () => {
    const [first, second] = ["-vf scale=96:64", "-vf scale=128:96"].map((scale, i) =>
      readFileSync(video(`part${i}.ts`, 10, ...scale.split(" "), "-c:v", "mpeg4")),
    );
    const path = at("parts.ts");
    writeFileSync(path, Buffer.concat([first, second]));
    const source = await openInput(path);
    const frames = await collect(source.frames());
    expect(times(frames)).toEqual(Array.from({ length: 20 }, (_, i) => i / 10));
    for (const { data, width, height } of frames) expect([width, height, data.length]).toEqual([96, 64, 96 * 64 * 3]);
    expect(source.warnings?.slice(0, 2)).toEqual([
      `${path}: the pictures change from 96×64 to 128×96 pixels at frame 10; all are scaled to the first one's size`,
      `${path}: the time stamps run back at frame 10, as if another recording was joined on; from there on, times continue without a gap`,
    ]);
  });

  test.each(["mp4", "avi", "mkv", "flv"])("a second %s behind the first is named with its place", async (kind) => {
    const codec = kind === "flv" ? "flv1" : "mpeg4";
    const one = readFileSync(video(`one.${kind}`, 5, "-c:v", codec));
    const path = at(`two.${kind}`);
    writeFileSync(path, Buffer.concat([one, one]));
    const source = await openInput(path);
    expect((await collect(source.frames())).length).toBeGreaterThanOrEqual(5);
    expect(source.warnings?.[0]).toContain(
      `another recording is joined on behind the first, from byte ${one.length} on`,
    );
    expect((await openInput(at(`one.${kind}`))).warnings).toEqual([]);
  });
});

test("a name may look like an option, a pattern or a protocol, and may have spaces", async () => {
  const made = video("name.mkv", 2);
  for (const name of ["-i.mkv", "%03d.mkv", "http:x.mkv", "a b\té.mkv", "concat:1|2.mkv"]) {
    const path = at(name);
    copyFileSync(made, path);
    expect((await collect((await openInput(path)).frames())).length).toBe(2);
  }
});

describe("what is not a video", () => {
  test("a missing file, an empty one, text under a video's name", async () => {
    expect(await refusal(openInput(at("none.avi")))).toContain("none.avi cannot be read: no such file or folder");
    writeFileSync(at("empty.avi"), "");
    expect(await refusal(openInput(at("empty.avi")))).toContain("empty.avi cannot be read: it is empty");
    writeFileSync(at("text.avi"), "This is text.\n".repeat(50));
    expect(await refusal(openInput(at("text.avi")))).toMatch(
      /text\.avi is not a video that ffmpeg can read: .*Invalid data/,
    );
  });

  test("text that some builds of ffmpeg decode as a picture", async () => {
    writeFileSync(at("notes.txt"), "hello\n");
    expect(await refusal(openInput(at("notes.txt")))).toMatch(/notes\.txt is (text, not a video|not a video)/);
  });

  test("sound alone", async () => {
    const path = at("sound.wav");
    execFileSync(ffmpeg, ["-v", "error", "-y", "-f", "lavfi", "-i", "sine=duration=0.2", path]);
    expect(await refusal(openInput(path))).toContain("sound.wav has no video stream");
  });

  test("a playlist opens no network connection", async () => {
    const path = at("list.m3u8");
    writeFileSync(path, "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n");
    expect(await refusal(openInput(path))).toMatch(/list\.m3u8 is not a video that ffmpeg can read: .*whitelist/);
  });

  test("frames of 2×2", async () => {
    const path = at("tiny.avi");
    execFileSync(ffmpeg, ["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=2x2", "-frames:v", "2", path]);
    expect(await refusal(openInput(path))).toContain("tiny.avi is 2×2 pixels; a side needs at least 8");
  });
});

describe("damaged videos", () => {
  test("cut off in the header, or without its index", async () => {
    const whole = readFileSync(video("whole.mp4", 25, "-c:v", "mpeg4"));
    for (const part of [0.02, 0.5]) {
      const path = at("cut.mp4");
      writeFileSync(path, whole.subarray(0, Math.floor(whole.length * part)));
      expect(await refusal(openInput(path))).toContain("cut.mp4 is not a video that ffmpeg can read: ");
    }
  });

  test("cut off in the middle gives the frames before the cut", async () => {
    const whole = readFileSync(video("whole.mkv", 25));
    const path = at("cut.mkv");
    writeFileSync(path, whole.subarray(0, Math.floor(whole.length / 2)));
    const source = await openInput(path);
    const frames = await collect(source.frames());
    expect(frames.length).toBeGreaterThan(5);
    expect(frames.length).toBeLessThan(20);
    for (const frame of frames.slice(0, -1)) expect(Buffer.compare(frame.data, synthetic(frame.index))).toBe(0);
    expect(source.warnings?.join()).toContain("cut.mkv");
  });

  test("wrong bytes in the middle are counted and warned about in one line", async () => {
    const input = ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=10,noise=alls=40"];
    const whole = at("right.avi");
    execFileSync(ffmpeg, ["-v", "error", "-y", ...input, "-frames:v", "20", "-c:v", "mpeg4", "-qscale", "3", whole]);
    const bytes = readFileSync(whole);
    for (let at = bytes.length >> 2; at < bytes.length >> 1; at += 997) bytes[at] ^= 0x5a;
    const path = at("wrong.avi");
    writeFileSync(path, bytes);
    const source = await openInput(path);
    const frames = await collect(source.frames());
    expect(frames.length).toBeGreaterThan(0);
    expect(source.warnings?.[0]).toMatch(/wrong\.avi: ffmpeg reported \d+ errors? while decoding/);
    expect(source.warnings?.join("")).not.toMatch(/[\n\r]/);
  });
});

describe.skipIf(process.platform === "win32")("the child process", () => {
  /** A script that writes down its process id, then becomes ffmpeg, which keeps the id. */
  function noting(): { program: string; pids: () => number[] } {
    const [program, list] = [at("noting-ffmpeg"), at("pids")];
    writeFileSync(program, `#!/bin/sh\necho $$ >> '${list}'\nexec '${ffmpeg}' "$@"\n`);
    chmodSync(program, 0o755);
    writeFileSync(list, "");
    return { program, pids: () => readFileSync(list, "utf8").trim().split("\n").map(Number) };
  }
  const lives = (pid: number): boolean => {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  };

  test("is gone after an early break, an error in the loop and an abort", async () => {
    const { program, pids } = noting();
    // Too much for a pipe: ffmpeg has to wait for the reader.
    const source = await openVideo(video("long.mkv", 400), { ffmpeg: program });

    for await (const frame of source.frames()) {
      if (frame.index < 3) continue;
      expect(lives(pids().at(-1) as number)).toBe(true);
      break;
    }
    const thrown = (async () => {
      for await (const _ of source.frames()) throw new Error("mine");
    })();
    await expect(thrown).rejects.toThrow("mine");

    const controller = new AbortController();
    const reason = new Error("enough");
    const aborted = (async () => {
      for await (const frame of source.frames(controller.signal)) if (frame.index === 2) controller.abort(reason);
    })();
    await expect(aborted).rejects.toBe(reason);
    await expect(collect(source.frames(AbortSignal.abort(reason)))).rejects.toBe(reason);

    expect(pids().length).toBe(4);
    expect(pids().filter(lives)).toEqual([]);
  });

  test("that ends with an error in the middle is an InputError", async () => {
    const path = video("fine.mkv", 5);
    const program = at("failing-ffmpeg");
    writeFileSync(program, `#!/bin/sh\n'${ffmpeg}' "$@"\necho '[error] disk on fire' >&2\nexit 3\n`);
    chmodSync(program, 0o755);
    const source = await openVideo(path, { ffmpeg: program });
    expect(await refusal(collect(source.frames()))).toContain(
      "fine.mkv cannot be decoded beyond frame 5: disk on fire",
    );
  });

  test("that cannot be started", async () => {
    const path = video("fine2.mkv", 2);
    expect(await refusal(openVideo(path, { ffmpeg: at("nothing") }))).toContain("ffmpeg cannot be run");
  });
});

describe("ffmpeg is found", () => {
  const none = async () => undefined;

  test("nowhere: the message says what to install", async () => {
    const message = await refusal(findFfmpeg({ env: { PATH: "" }, npmBinary: none }));
    expect(message).toMatch(
      /needs ffmpeg, and none was found: install it .* npm install @ffmpeg-installer\/ffmpeg\), /,
    );
  });

  test("in SDMAE_FFMPEG first, then on the PATH, then in npm's package", async () => {
    const program = process.platform === "win32" ? "ffmpeg.exe" : "ffmpeg";
    const onPath = at("bin");
    mkdirSync(onPath);
    writeFileSync(join(onPath, program), "");
    chmodSync(join(onPath, program), 0o755);
    const env = { PATH: onPath, SDMAE_FFMPEG: ffmpeg };
    expect(await findFfmpeg({ env, npmBinary: none })).toBe(ffmpeg);
    expect(await findFfmpeg({ env: { PATH: onPath }, npmBinary: none })).toBe(join(onPath, program));
    expect(await findFfmpeg({ env: { PATH: "" }, npmBinary: async () => ffmpeg })).toBe(ffmpeg);
    expect(await refusal(findFfmpeg({ env: { SDMAE_FFMPEG: at("no") }, npmBinary: none }))).toMatch(
      /^SDMAE_FFMPEG is .* not an executable program$/,
    );
  });

  test.skipIf(process.platform === "win32")(
    "in npm's package without its executable bit, which is then set",
    async () => {
      const binary = at("unset");
      writeFileSync(binary, "#!/bin/sh\n");
      chmodSync(binary, 0o644);
      expect(await findFfmpeg({ env: { PATH: "" }, npmBinary: async () => binary })).toBe(binary);
      expect(statSync(binary).mode & 0o111).toBe(0o111);
    },
  );

  test.skipIf(process.platform !== "linux")(
    "in npm's package with a mode that cannot be changed: it is copied into the cache",
    async () => {
      // A file that even root cannot make executable.
      const env = { PATH: "", XDG_CACHE_HOME: at("cache") };
      const copy = await findFfmpeg({ env, npmBinary: async () => "/proc/version" });
      expect(copy.startsWith(at("cache", "sdmae", "ffmpeg-"))).toBe(true);
      expect(statSync(copy).mode & 0o111).toBe(0o111);
    },
  );
});

test("ffmpeg's log is bounded, whatever it prints", () => {
  const lines: FfmpegLine[] = [];
  const log = new FfmpegLog((line) => lines.push(line));
  log.push(`[h264 @ 0x1] [error] first\n[warn`);
  log.push("ing] no error\nplain\n");
  for (let i = 0; i < 1e4; i++) log.push(`[error] again ${i}\n`);
  log.push("x".repeat(1e6));
  log.end();
  expect(log.errorCount).toBe(10001);
  expect(log.errors.slice(0, 2)).toEqual(["first", "again 0"]);
  expect(log.errors.length).toBe(50);
  expect(lines.slice(0, 3)).toEqual([
    { sender: "[h264 @ 0x1] ", level: "error", text: "first" },
    { sender: "", level: "warning", text: "no error" },
    { sender: "", level: undefined, text: "plain" },
  ]);
  expect(lines.at(-1)?.text.length).toBe(4000);
});
