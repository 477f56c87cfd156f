import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { cameraSchema } from "../../../src/cluster/cameras/messages.js";
import { cameraOf, camerasOf } from "../../../src/cluster/cameras/settings.js";
import { InputError, InputErrors } from "../../../src/errors.js";
import { recordOf } from "../../support/cameras.js";
import { scratchPerTest } from "../../support/folders.js";

const at = scratchPerTest();
const share = () => realpathSync(at("share"));
beforeEach(() => {
  for (const folder of ["share", "elsewhere"]) mkdirSync(at(folder));
  for (const file of ["share/a.mp4", "elsewhere/b.mp4"]) writeFileSync(at(file), "a video");
  symlinkSync(at("elsewhere", "b.mp4"), at("share", "link.mp4"));
  symlinkSync(at("elsewhere"), at("share", "folder"));
});
afterEach(() => vi.unstubAllEnvs());

describe("cameras on their way to the server", () => {
  const put = (text: string, shared: string | undefined = share()) => camerasOf(text, at("sdmae.yaml"), shared);
  /** All lines of what is wrong, without the file. */
  function problems(text: string, shared?: string): string[] {
    try {
      put(text, shared);
    } catch (error) {
      expect(error).toBeInstanceOf(InputErrors);
      return (error as InputErrors).lines.map((line) => line.replace(at("sdmae.yaml"), "FILE"));
    }
    throw new Error("nothing is wrong");
  }

  test("variables stay as they are, also in braces, and their values go nowhere", () => {
    // It is no password that is written out if a name happens to be the same.
    vi.stubEnv("CAMERA_PASSWORD", "front door");
    const { cameras, warnings } = put(`
defaults: { threshold: 0.4 }
cameras:
  front: { source: "rtsp://admin:\${CAMERA_PASSWORD}@camera/stream", fps: 5, name: front door }
  back: { source: rtsp://camera/\${CAMERA_PATH}, enabled: off }
  1: &usual
    source: http://camera/a$\${b}
  2: *usual
`);
    expect(cameras).toEqual([
      {
        ...{ id: "front", fps: 5, enabled: true, defaults: { threshold: 0.4 } },
        settings: { source: `rtsp://admin:\${CAMERA_PASSWORD}@camera/stream`, fps: 5, name: "front door" },
      },
      {
        ...{ id: "back", fps: 10, enabled: false, defaults: { threshold: 0.4 } },
        settings: { source: `rtsp://camera/\${CAMERA_PATH}`, enabled: "off" },
      },
      ...["1", "2"].map((id) => ({
        ...{ id, fps: 10, enabled: true, defaults: { threshold: 0.4 } },
        settings: { source: "http://camera/a$${b}" },
      })),
    ]);
    expect(warnings).toEqual([]);
    for (const { settings, defaults, fps, enabled } of cameras) {
      expect(cameraSchema.safeParse(recordOf({ settings, defaults, fps, enabled })).error).toBeUndefined();
    }
  });

  test("variables that are not meant for cameras are refused", () => {
    vi.stubEnv("HOME_PASSWORD", "value-that-is-secret");
    const found = problems(`cameras: { front: { source: "rtsp://a:\${HOME_PASSWORD}@camera/stream" } }`);
    expect(found).toEqual(["FILE:1:19: cameras.front: a variable of a worker begins with CAMERA_, not HOME_PASSWORD"]);
  });

  test("a password that is written out is warned of, and not repeated", () => {
    const { warnings } = put(`cameras: { front: { source: "rtsp://admin:hunter-42@camera/stream" } }`);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^front: its password goes to the server as it is; a variable such as/);
    expect(warnings[0]).not.toContain("hunter");
  });

  test("files are named as all machines know them, and lie in the shared folder", () => {
    mkdirSync(at("share", "night"));
    writeFileSync(at("share", "night", "c.mp4"), "a video");
    const { cameras } = put(`
cameras:
  a: { source: share/a.mp4, record: "${at("share", "night", "c.mp4")}" }
  b: { source: share/night }
`);
    expect(cameras.map(({ settings }) => settings)).toEqual([
      { source: "a.mp4", record: "night/c.mp4" },
      { source: "night" },
    ]);
    const outside = [
      ...["elsewhere/b.mp4", "share/link.mp4", "share/folder/b.mp4", "share/../elsewhere/b.mp4", "share", "none.mp4"],
      "/etc/passwd",
    ];
    for (const source of outside) {
      expect(problems(`cameras: { a: { source: ${source} } }`, share()), source).toEqual([
        "FILE:1:25: cameras.a.source: a file or folder must be below --share, which all machines have",
      ]);
    }
    expect(problems("cameras: { a: { source: share/none.mp4 } }", share())).toEqual([
      `FILE:1:25: cameras.a.source: there is no ${at("share", "none.mp4")}`,
    ]);
    expect(() => camerasOf("cameras: { a: { source: share/a.mp4 } }", at("sdmae.yaml"), undefined)).toThrow("--share");
  });

  test("devices and files with secrets are of one machine", () => {
    expect(problems("cameras: { a: { source: device:/dev/video0 } }")).toEqual([
      "FILE:1:25: cameras.a.source: a device belongs to one machine: use `watch` there",
    ]);
    writeFileSync(at("secret"), "hunter-42");
    const sink = `sinks: [{ type: webhook, url: "http://x/y", secret: { file: ${at("secret")} } }]`;
    const [line, ...more] = problems(`cameras: { a: { source: rtsp://camera/s } }\n${sink}`);
    expect(more).toEqual([]);
    expect(line).toMatch(/files with secrets are of one machine: use a variable/);
  });

  test("all that is wrong is said at once, with its lines", () => {
    const lines = problems("cameras:\n  a:\n    source: rtsp://camera/s\n    fsp: 5\n  b:\n    fps: 400\n");
    expect(lines.map((line) => line.split(": ")[0])).toEqual(["FILE:4:5", "FILE:5:3", "FILE:6:10"]);
    expect(problems("cameras: [")).toHaveLength(1);
    expect(problems("cameras: {}")).toHaveLength(1);
  });

  test("models are named apart", () => {
    const { cameras, checkpoint } = put(`
checkpoint: usual.safetensors
defaults: { checkpoint: day.safetensors, fps: 5 }
cameras:
  a: { source: rtsp://camera/a }
  b: { source: rtsp://camera/b, checkpoint: own.safetensors }
`);
    expect(checkpoint).toBe(at("usual.safetensors"));
    expect(cameras.map((one) => one.checkpoint)).toEqual([at("day.safetensors"), at("own.safetensors")]);
    expect(JSON.stringify(cameras.map(({ settings, defaults }) => [settings, defaults]))).not.toContain("checkpoint");
    expect(cameras[0]).toMatchObject({ defaults: { fps: 5 }, fps: 5 });
  });
});

describe("a camera that came from the server", () => {
  const place = () => ({ share: share(), environment: { CAMERA_PASSWORD: "pass/word-1", HOME: "/root/of-secrets" } });
  const model = "/models/m.safetensors";
  const take = (settings: Record<string, unknown>, defaults?: Record<string, unknown>) =>
    cameraOf("front", { settings, ...(defaults && { defaults }) }, model, place());
  /** Why it is refused, in one line, without secrets. */
  async function refusal(settings: Record<string, unknown>, defaults?: Record<string, unknown>): Promise<string> {
    const error = await take(settings, defaults).then(
      () => new Error("it is taken"),
      (thrown: unknown) => thrown as Error,
    );
    expect(error, error.message).toBeInstanceOf(InputError);
    expect(error.message).not.toMatch(/\n|pass.word-1|of-secrets|hunter/);
    return error.message;
  }

  test("gets this machine's variables, model and folder, and defaults", async () => {
    const source = `rtsp://admin:\${CAMERA_PASSWORD}@camera/stream`;
    const { camera, secrets } = await take({ source, fps: 5 }, { fps: 7, threshold: 0.4, cooldown: "7 s" });
    expect(camera).toMatchObject({
      ...{ id: "front", source: "rtsp://admin:pass%2Fword-1@camera/stream", checkpoint: model, fps: 5 },
      ...{ threshold: { day: 0.4, infrared: 0.4 }, cooldown: 7 },
    });
    expect(secrets).toContain("pass/word-1");
    expect((await take({ source: "a.mp4" })).camera.source).toBe(at("share", "a.mp4"));
    const { camera: recording } = await take({ source: "rtsp://camera/s", record: "a.mp4" });
    expect(recording.record).toBe(at("share", "a.mp4"));
  });

  test("sees no other variables", async () => {
    expect(await refusal({ source: `rtsp://evil/\${HOME}` })).toMatch(/the environment variable HOME is not set/);
    expect(await refusal({ source: `rtsp://evil/\${CAMERA_OTHER}` })).toMatch(/CAMERA_OTHER is not set/);
    expect(await refusal({ source: "rtsp://c/s", name: `\${HOME}` })).toMatch(/HOME is not set/);
  });

  test("plays no files of the machine", async () => {
    const outside = [
      "link.mp4",
      "folder/b.mp4",
      "../elsewhere/b.mp4",
      at("elsewhere", "b.mp4"),
      "/etc/passwd",
      ".",
      "",
    ];
    for (const source of outside) await refusal({ source });
    for (const record of outside) await refusal({ source: "rtsp://camera/s", record });
    expect(await refusal({ source: "link.mp4" })).toBe("its file lies outside of the shared folder");
    expect(await refusal({ source: "none.mp4" })).toBe("its file is not in the shared folder");
    expect(await refusal({ source: "device:/dev/video0" })).toMatch(/^a device of a worker cannot be used by others/);
    for (const source of ["file:///etc/passwd", "concat:/etc/passwd|/etc/group", "pipe:0", "data:,x", "-"]) {
      await refusal({ source });
    }
    const noFolder = { share: undefined, environment: {} };
    await expect(cameraOf("front", { settings: { source: at("share", "a.mp4") } }, model, noFolder)).rejects.toThrow(
      "this worker has no shared folder (--share)",
    );
    const address = await cameraOf("front", { settings: { source: "rtsp://camera/s" } }, model, noFolder);
    expect(address.camera.source).toBe("rtsp://camera/s");
  });

  test("is refused in one line if it is not what it should be", async () => {
    const source = "rtsp://camera/s";
    expect(await refusal({})).toMatch(/source/);
    expect(await refusal({ source, fps: "fast", threshold: -1 })).toMatch(/fps.*; .*threshold/);
    expect(await refusal({ source, checkpoint: "/etc/passwd" })).toBe(
      "its model is the server's, and no file of this machine",
    );
    expect(await refusal({ source }, { checkpoint: "/etc/passwd" })).toMatch(/^its model is the server's/);
    expect(await refusal({ source }, { source: "a.mp4" })).toMatch(/source/);
    expect(await refusal({ source, sinks: [] })).toMatch(/sinks/);
    expect(await refusal({ source, "a\nb": 1 })).toMatch(/front/);
    for (const wrong of [null, 7, [], {}, { file: "/etc/passwd" }, ["a"], "ftp://a:hunter@x/y", "rtsp://a:hunter@"]) {
      await refusal({ source: wrong });
    }
    writeFileSync(at("elsewhere", "secret"), source);
    const inFile = { file: at("elsewhere", "secret") };
    expect(await refusal({ source: inFile })).toMatch(/source/);
    expect(await refusal({ source: { url: source, user: "a", password: inFile } })).toMatch(
      /files with secrets are of/,
    );
    expect(await refusal({ source, schedule: "never on\n sundays" })).toMatch(/schedule/);
    expect(await refusal({ source, name: "x".repeat(2_000_000) })).toMatch(/larger than 1 MB/);
    expect(
      await refusal({ source, zones: Object.fromEntries(Array.from({ length: 30_000 }, (_, i) => [i, i])) }),
    ).toMatch(/more than 20000 values/);
    let deep: unknown = 0;
    for (let i = 0; i < 200; i++) deep = [deep];
    expect(await refusal({ source, zones: deep })).toMatch(/nested too deeply/);
    const smuggled = JSON.parse(`{"source":"${source}","__proto__":{"shadow":true},"constructor":{}}`) as object;
    expect(await refusal({ ...smuggled })).toMatch(/__proto__|constructor/);
    expect(({} as { shadow?: boolean }).shadow).toBeUndefined();
  });

  test("is no record at all with wrong types, unknown keys or keys of prototypes", () => {
    const good = recordOf();
    expect(cameraSchema.safeParse(good).success).toBe(true);
    const wrong: unknown[] = [
      ...[null, [], "", 7, {}, { ...good, more: 1 }, { ...good, settings: [] }, { ...good, settings: "a" }],
      ...[
        { ...good, fps: 0 },
        { ...good, fps: 1e9 },
        { ...good, fps: "5" },
        { ...good, enabled: 1 },
      ],
      ...[
        { ...good, model: { ...good.model, hash: "../../x" } },
        { ...good, model: { ...good.model, path: "/x" } },
      ],
      { ...good, settings: { ["x".repeat(101)]: 1 } },
      { ...good, defaults: null },
    ];
    for (const one of wrong) expect(cameraSchema.safeParse(one).success, JSON.stringify(one)?.slice(0, 80)).toBe(false);
    const text = JSON.stringify(good).replace('"source"', '"__proto__":{"shadow":true},"source"');
    const { data } = cameraSchema.safeParse(JSON.parse(text));
    expect((data?.settings as { shadow?: boolean } | undefined)?.shadow).toBeUndefined();
  });
});
