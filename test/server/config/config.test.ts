import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { InputError } from "../../../src/errors.js";
import {
  configOf,
  configSchema,
  parseConfig,
  readConfig,
  type WatchConfig,
} from "../../../src/server/config/config.js";
import { changeKinds, eventKinds } from "../../../src/server/records.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();
const environment = { WEB_TOKEN: "web-token", PASSWORD: "p@ss/w#1", HOOK_SECRET: "hook secret", HOST: "cam" };

const parse = (text: string, readSecret?: (path: string) => string): WatchConfig =>
  parseConfig(text, "/etc/sdmae/w.yaml", environment, readSecret);

/** What is wrong with a file, line by line, without its name. */
function problems(text: string, readSecret?: (path: string) => string): string[] {
  try {
    parse(text, readSecret);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    const lines = (error as InputError).message.split("\n");
    for (const line of lines) expect(line).toMatch(/^\/etc\/sdmae\/w\.yaml:/);
    return lines.map((line) => line.slice("/etc/sdmae/w.yaml:".length));
  }
  return [];
}

/** The only camera of a configuration. @param keys of the camera, as in { } */
const camera = (keys: string) => parse(`cameras: { a: { source: a.mp4, ${keys} } }`).cameras[0];
/** What is wrong with a camera's keys, without its place. */
const cameraProblems = (keys: string): string[] =>
  problems(`cameras: { a: { source: a.mp4, ${keys} } }`).map((line) => line.replace(/^\d+:\d+: (cameras\.a\.)?/, ""));
/** The only sink of a configuration. */
const sink = (keys: string) => parse(`cameras: { a: { source: a.mp4 } }\nsinks: [ { ${keys} } ]`).sinks[0];
const sinkProblems = (keys: string): string[] =>
  problems(`cameras: { a: { source: a.mp4 } }\nsinks: [ { ${keys} } ]`).map((line) =>
    line.replace(/^\d+:\d+: (sinks\[0\]\.)?/, ""),
  );

const full = `
checkpoint: models/scene.safetensors
data: ./data
web: { address: 0.0.0.0:80, token: \${WEB_TOKEN}, hosts: [nas.local] }
log: { level: warn }
keep: { days: 7, bytes: 1.5 TB }
reserve: 1 GB
cameras:
  front:
    name: Front door
    source: rtsp://user:\${PASSWORD}@\${HOST}/sub
    record: rtsp://cam/main
    fps: 7.5
    size: 480x270
    hardware_decoding: vaapi
    threshold: { day: 0.4, infrared: 0.5 }
    alarms_per_day: 0.2
    minimum: 500 ms
    hold: 2
    cooldown: 5 min
    area: 0.01
    ignore: [[[0, 0], [0.2, 0], [0.2, 0.1], [0, 0.1]]]
    zones: { door: [[0, 0], [1, 0], [1, 1]] }
    privacy: [[0.7, 0, 0.3, 0.1]]
    schedule: always
    shadow: true
    enabled: false
    clip: { before: 3 s, after: 10 s }
    normal: { minutes: 90 }
    checkpoint: front.safetensors
sinks:
  - { type: webhook, name: pager, url: https://x.org/y, secret: \${HOOK_SECRET}, headers: { X: y }, cameras: [front], kinds: [anomaly], changes: [new, clip] }
  - { type: command, run: [./siren, --loud], timeout: 500 ms }
  - { type: folder, path: alerts }
  - { type: mqtt, url: mqtts://broker:8883, user: me, password: \${PASSWORD}, prefix: a/b, discovery: homeassistant }
`;
const all = { cameras: ["front"], kinds: eventKinds, changes: changeKinds };

describe("parseConfig", () => {
  it("reads every key", () => {
    expect(parse(full)).toEqual({
      checkpoint: "/etc/sdmae/models/scene.safetensors",
      data: "/etc/sdmae/data",
      web: { host: "0.0.0.0", port: 80, token: "web-token", hosts: ["nas.local"] },
      log: { level: "warn" },
      keep: { days: 7, bytes: 1_500_000_000_000 },
      reserve: 1_000_000_000,
      cameras: [
        {
          id: "front",
          name: "Front door",
          source: "rtsp://user:p%40ss%2Fw%231@cam/sub",
          record: "rtsp://cam/main",
          fps: 7.5,
          size: { width: 480, height: 270 },
          hardwareDecoding: "vaapi",
          threshold: { day: 0.4, infrared: 0.5 },
          alarmsPerDay: 0.2,
          minimum: 0.5,
          hold: 2,
          cooldown: 300,
          area: 0.01,
          ignore: [
            [
              [0, 0],
              [0.2, 0],
              [0.2, 0.1],
              [0, 0.1],
            ],
          ],
          zones: [
            {
              name: "door",
              polygon: [
                [0, 0],
                [1, 0],
                [1, 1],
              ],
            },
          ],
          privacy: [{ x: 0.7, y: 0, width: 0.3, height: 0.1 }],
          schedule: "always",
          shadow: true,
          enabled: false,
          clip: { before: 3, after: 10 },
          normal: { minutes: 90 },
          checkpoint: "/etc/sdmae/front.safetensors",
        },
      ],
      sinks: [
        {
          ...{ type: "webhook", name: "pager", url: "https://x.org/y", secret: "hook secret", headers: { X: "y" } },
          ...{ cameras: ["front"], kinds: ["anomaly"], changes: ["new", "clip"] },
        },
        { ...all, type: "command", name: "command", run: ["/etc/sdmae/siren", "--loud"], timeout: 0.5 },
        { ...all, type: "folder", name: "folder", path: "/etc/sdmae/alerts" },
        {
          ...{ ...all, type: "mqtt", name: "mqtt", url: "mqtts://broker:8883", user: "me", password: "p@ss/w#1" },
          ...{ prefix: "a/b", discovery: "homeassistant" },
        },
      ],
      secrets: ["web-token", "p@ss/w#1", "hook secret"],
    });
  });

  it("needs no more than a camera", () => {
    const config = parse("cameras: { front: { source: video.mp4 } }");
    expect(config).toStrictEqual({
      data: "/etc/sdmae/sdmae-data",
      web: { host: "127.0.0.1", port: 8377 },
      log: { level: "info" },
      keep: { days: 30, bytes: 20_000_000_000 },
      reserve: 200_000_000,
      cameras: [
        {
          ...{ id: "front", name: "front", source: "/etc/sdmae/video.mp4", fps: 10, hardwareDecoding: "off" },
          ...{ threshold: {}, alarmsPerDay: 1, minimum: 0.5, hold: 1, cooldown: 30, area: 0 },
          ...{ ignore: [], zones: [], privacy: [], schedule: "always", shadow: false, enabled: true },
          clip: { before: 5, after: 5 },
          normal: { minutes: 60 },
        },
      ],
      sinks: [],
      secrets: [],
    });
  });

  it("reports every problem at its place, in the order of the file", () => {
    const text = `
log: { level: loud }
cameras:
  front:
    treshold: 0.4
    fps: 60
  back:
    source: x.mp4
    hold: 5 sec
sinks:
  - { type: mqtt }
`;
    expect(problems(text)).toEqual([
      '2:15: log.level: "loud" is not info, warn or error',
      "4:3: cameras.front.source: is missing: it must be an address, device:/dev/video0 or a path, or { url: ..., user: ..., password: ... }",
      "5:5: cameras.front.treshold: unknown key; did you mean threshold?",
      "6:10: cameras.front.fps: 60 is not a number from 1 to 30",
      '9:11: cameras.back.hold: "5 sec" is not a time from 0 s to 1 h, such as "500 ms", "2 s" or "5 min", or a number of seconds',
      "11:5: sinks[0].url: is missing: it must be an address that begins with mqtt:// or mqtts://",
    ]);
  });

  it("counts what it does not list", () => {
    const text = `cameras:\n${Array.from({ length: 32 }, (_, i) => `  c${i}: 1\n`).join("")}`;
    const found = problems(text);
    expect(found).toHaveLength(31);
    expect(found[30]).toBe(" and 2 more problems");
  });

  it.each(["", "# nothing\n", "---\n", "null"])("says that %j is empty", (text) => {
    expect(problems(text)).toEqual([expect.stringMatching(/^1:\d: this file is empty: it must be a map such as cam/)]);
  });

  it("says which keys are allowed if none is near", () => {
    expect(problems("cameras: { a: { source: x } }\nkeep: { weeks: 4 }")).toEqual([
      "2:9: keep.weeks: unknown key; allowed are days, bytes",
    ]);
  });

  it("says that a key without a value is empty, at the key", () => {
    expect(problems("cameras:\n  a: { source: x }\nsinks:\n")).toEqual([
      "3:1: sinks: is empty: it must be a list of sinks",
    ]);
    expect(problems("cameras:\n  front:\n    source:\n    fps: 3")).toEqual([
      expect.stringMatching(/^3:5: cameras\.front\.source: is empty: it must be an address/),
    ]);
  });

  it("needs a camera", () => {
    expect(problems("cameras: {}")).toEqual(["1:10: cameras: there is no camera; name at least one"]);
    expect(problems("data: x")).toEqual([expect.stringMatching(/^1:1: cameras: is missing: it must be a map of cam/)]);
  });

  it("keeps cameras and zones in the order of the file, whatever their names", () => {
    const polygon = "[[0, 0], [1, 0], [1, 1]]";
    const config = parse(
      `cameras: { b: { source: x, zones: { z: ${polygon}, "1": ${polygon} } }, "2": { source: y } }`,
    );
    expect(config.cameras.map(({ id }) => id)).toEqual(["b", "2"]);
    expect(config.cameras[0].zones.map(({ name }) => name)).toEqual(["z", "1"]);
  });

  it("reads a file with a byte order mark and line ends of Windows", () => {
    expect(problems("\ufeffcameras:\r\n  a:\r\n    source: x\r\n    fps: 99\r\n")).toEqual([
      "4:10: cameras.a.fps: 99 is not a number from 1 to 30",
    ]);
  });
});

describe("ids of cameras", () => {
  it.each(["Front", "front door", "-rf", "_a", "ü", "a/b", "a".repeat(41), "<<"])("refuses %j", (id) => {
    expect(problems(`cameras: { ${JSON.stringify(id)}: { source: x } }`)).toEqual([
      expect.stringMatching(/^1:12: cameras\..*: a name must be 1 to 40 of a-z, 0-9, _ and -, beginning with/),
    ]);
  });

  it.each(["__proto__", "constructor"])("refuses %s, and no prototype changes", (id) => {
    expect(problems(`cameras: { ${id}: { source: x, fps: 3 }, a: { source: y } }`)).toEqual([
      `1:12: cameras.${id}: this name is not allowed`,
    ]);
    expect({}).not.toHaveProperty("fps");
  });

  it("refuses a key that stands twice", () => {
    expect(problems("cameras:\n  a: { source: x }\n  b: { source: x, fps: 3, fps: 4 }\n  a: { source: y }")).toEqual([
      "3:27: cameras.b.fps: this key stands here a second time",
      "4:3: cameras.a: this key stands here a second time",
    ]);
  });
});

describe("the source of a camera", () => {
  const source = (text: string, readSecret?: (path: string) => string): string =>
    parse(`cameras: { a: { source: ${text} } }`, readSecret).cameras[0].source;
  const sourceProblem = (text: string): string => {
    const found = problems(`cameras: { a: { source: ${text} } }`);
    expect(found).toHaveLength(1);
    return found[0].replace(/^\d+:\d+: cameras\.a\./, "");
  };

  it.each([
    ["rtsp://cam/sub", "rtsp://cam/sub"],
    ["RTSPS://cam/sub", "RTSPS://cam/sub"],
    ["http://u:p%40@cam/x?y=1", "http://u:p%40@cam/x?y=1"],
    ["device:/dev/video0", "device:/dev/video0"],
    ["device:/dev/v4l/by-id/usb-Cam_1.0-video:0", "device:/dev/v4l/by-id/usb-Cam_1.0-video:0"],
    ["videos/a.mp4", "/etc/sdmae/videos/a.mp4"],
    ["/srv/frames/", "/srv/frames"],
    ["{ url: rtsp://cam/x }", "rtsp://cam/x"],
    ["{ url: rtsp://cam/x, user: me }", "rtsp://me@cam/x"],
    ['{ url: rtsp://cam/x, user: "a:b", password: "c@d/e" }', "rtsp://a%3Ab:c%40d%2Fe@cam/x"],
    [`{ url: rtsp://cam/x, user: me, password: \${PASSWORD} }`, "rtsp://me:p%40ss%2Fw%231@cam/x"],
  ])("%s is %s", (text, expected) => {
    expect(source(text)).toBe(expected);
  });

  it("takes its password from a file beside the configuration", () => {
    const read = (path: string) => {
      expect(path).toBe("/etc/sdmae/pw");
      return "from$&file";
    };
    expect(source("{ url: rtsp://cam/x, user: me, password: { file: pw } }", read)).toBe(
      "rtsp://me:from%24%26file@cam/x",
    );
  });

  it.each([
    ["rtsp:cam/x", "source: an address needs :// behind rtsp, rtsps, http or https"],
    ["device:video0", "source: a device is named as device:/dev/video0"],
    ["device:/dev/../etc/passwd", "source: a device is named as device:/dev/video0"],
    ["device:/etc/passwd", "source: a device is named as device:/dev/video0"],
    ["~/a.mp4", `source: ~ is not known here; write \${HOME}`],
    ['"-"', "source: the standard input cannot be named here"],
    [
      "12",
      "source: a number is not an address, device:/dev/video0 or a path, or { url: ..., user: ..., password: ... }",
    ],
    ['"a\\nb"', "source: this text holds a line break or a control character"],
    ["{ url: a.mp4, user: me }", "source: only an address may have a user and a password"],
    ["{ url: rtsp://cam/x, password: geheim }", "source: it has a password, and no user"],
    ["{ url: rtsp://u:geheim@cam/x, user: me }", "source: the URL holds a login already; give it in one place"],
    [
      "{ user: me }",
      "source.url: is missing: it must be an address, device:/dev/video0 or a path, or { url: ..., user: ..., password: ... }",
    ],
    ["{ url: rtsp://cam/x, pasword: geheim }", "source.pasword: unknown key; did you mean password?"],
    ["rtsp://u:$PASSWORD@cam/x", `source: a variable is written with braces: \${NAME}`],
    [
      "{ url: rtsp://cam/x, user: u, password: $PASSWORD }",
      `source.password: a variable is written with braces: \${NAME}`,
    ],
  ])("refuses %s", (text, message) => {
    expect(sourceProblem(text)).toBe(message);
  });

  it.each(["ftp://u:geheim@cam/x", "file:///etc/geheim"])("refuses the scheme of %s", (text) => {
    expect(sourceProblem(text)).toMatch(
      /^source: (ftp|file):\/\/… cannot be read: addresses begin with http, https, rt/,
    );
  });

  it.each([
    "rtsp://u:ge/heim@cam/x",
    "rtsp://u:12/geheim@cam/x",
    "rtsp://u:12?geheim@cam/x",
    '"rtsp://u:12#geheim@cam/x"',
    '"rtsp://u:ge heim@cam/x"',
    "rtsp://u:ge%heim@cam/x",
    "rtsp://",
  ])("says how to give the login of %s apart", (text) => {
    expect(sourceProblem(text)).toMatch(
      /^source: .* if the password holds one of .* give it apart: \{ url: \.\.\., user/,
    );
  });
});

describe("the settings of a camera", () => {
  it.each([
    ["fps: 1", { fps: 1 }],
    ["hardware_decoding: off", { hardwareDecoding: "off" }],
    ["hardware_decoding: false", { hardwareDecoding: "off" }],
    ["hardware_decoding: auto", { hardwareDecoding: "auto" }],
    ["threshold: 0.4", { threshold: { day: 0.4, infrared: 0.4 } }],
    ["threshold: { infrared: 0.5 }", { threshold: { infrared: 0.5 } }],
    ["hold: 0", { hold: 0 }],
    ["cooldown: 1 h", { cooldown: 3600 }],
    ["shadow: on", { shadow: true }],
    ["enabled: off", { enabled: false }],
    ["clip: { before: 0 }", { clip: { before: 0, after: 5 } }],
    ["normal: {}", { normal: { minutes: 60 } }],
    ["normal: { minutes: 1 }", { normal: { minutes: 1 } }],
    ["size: 640x360", { size: { width: 640, height: 360 } }],
    ["record: { url: rtsp://cam/y, user: me }", { record: "rtsp://me@cam/y" }],
  ])("reads %s", (keys, expected) => {
    expect(camera(keys)).toMatchObject(expected);
  });

  it.each([
    ["name: 12", "name: 12 is not text; put it in quotes"],
    ["name: ''", "name: is empty: it must be text"],
    [`name: "${"x".repeat(4097)}"`, "name: this text is longer than 4096 characters"],
    ["fps: 0.5", "fps: 0.5 is not a number from 1 to 30"],
    ["fps: .inf", "fps: Infinity is not a number from 1 to 30"],
    ["fps: .nan", "fps: NaN is not a number from 1 to 30"],
    ["fps: fast", 'fps: "fast" is not a number from 1 to 30'],
    ["size: 0x270", "size: 624 is not a size in pixels from 32x32 to 4096x4096, such as 480x270"],
    ["size: 31x270", 'size: "31x270" is not a size in pixels from 32x32 to 4096x4096, such as 480x270'],
    ["hardware_decoding: true", "hardware_decoding: true is not off, auto, or a name such as vaapi"],
    ["hardware_decoding: -i", 'hardware_decoding: "-i" is not off, auto, or a name such as vaapi'],
    ["threshold: 0", "threshold: 0 is not a number above 0, or { day: 0.4, infrared: 0.5 }"],
    ["threshold: low", 'threshold: "low" is not a number above 0, or { day: 0.4, infrared: 0.5 }'],
    ["threshold: { day: -1 }", "threshold.day: -1 is not a number above 0"],
    ["threshold: { night: 1 }", "threshold.night: unknown key; allowed are day, infrared"],
    ["alarms_per_day: 0", "alarms_per_day: 0 is not a number from 0.001 to 1000"],
    ["area: 30%", 'area: "30%" is not a share of the frame from 0 to 1'],
    ["shadow: yes", 'shadow: "yes" is not true or false'],
    ["schedule: 5", "schedule: 5 is not text; put it in quotes"],
    ["clip: 5 s", "clip: this text is not off or a map such as { before: 5 s, after: 5 s }"],
    ["clip: { length: 5 }", "clip.length: unknown key; allowed are before, after"],
    ["normal: 60", "normal: a number is not off or a map such as { minutes: 60 }"],
    ["normal: { minutes: 0 }", "normal.minutes: 0 is not a number from 1 to 1440"],
    ["checkpoint: 5", "checkpoint: 5 is not a path"],
    ["Fps: 3", "Fps: unknown key; did you mean fps?"],
    ["alarms-per-day: 3", "alarms-per-day: unknown key; did you mean alarms_per_day?"],
  ])("refuses %.40s", (keys, message) => {
    expect(cameraProblems(keys)).toEqual([message]);
  });

  it.each(["-1", "2 h", '"3"', "5 m", "on"])("refuses a hold of %s", (value) => {
    expect(cameraProblems(`hold: ${value}`)).toEqual([
      expect.stringMatching(
        /is not a time from 0 s to 1 h, such as "500 ms", "2 s" or "5 min", or a number of seconds$/,
      ),
    ]);
  });

  it.each(["off", "false"])("makes no clips with clip: %s", (value) => {
    expect(camera(`clip: ${value}`)).not.toHaveProperty("clip");
  });

  it("leaves schedules to the caller", () => {
    const text = "cameras: { a: { source: x, schedule: never } }";
    const seen: string[] = [];
    parseConfig(text, "w.yaml", {}, undefined, { checkSchedule: (schedule) => void seen.push(schedule) });
    expect(seen).toEqual(["never"]);
    const check = () => {
      throw new InputError("days are mon to sun");
    };
    expect(() => parseConfig(text, "w.yaml", {}, undefined, { checkSchedule: check })).toThrow(
      "w.yaml:1:38: cameras.a.schedule: days are mon to sun",
    );
  });
});

describe("areas", () => {
  it.each([
    ["ignore: [[0, 0], [1, 0], [1, 1]]", "ignore: this is one polygon; put it in brackets: [[[x, y], [x, y], [x, y]]]"],
    ["ignore: 4", "ignore: a number is not a list of polygons: [[[x, y], [x, y], [x, y]]]"],
    ["ignore: [[[0, 0], [1, 1]]]", "ignore[0]: a list is not a polygon: at least 3 points [x, y]"],
    ["ignore: [[[0, 0], [1, 0], [1, 200]]]", "ignore[0][2][1]: 200 is not a share of the width or height from 0 to 1"],
    [
      "ignore: [[[0, 0], [1, 0], [-0.1, 1]]]",
      "ignore[0][2][0]: -0.1 is not a share of the width or height from 0 to 1",
    ],
    ["ignore: [[[0, 0], [1, 0], [1, 1, 1]]]", "ignore[0][2]: a list is not a point [x, y]"],
    [
      "ignore: [[[0, 0], [0.5, 0.5], [1, 1]]]",
      "ignore[0]: this polygon has no area: its points lie on a line, or its edges cross in the middle",
    ],
    [
      "zones: { a: [[[0, 0], [1, 0], [1, 1]]] }",
      "zones.a: there is a pair of brackets too many: [[x, y], [x, y], [x, y]]",
    ],
    [
      "zones: { A: [[0, 0], [1, 0], [1, 1]] }",
      "zones.A: a name must be 1 to 40 of a-z, 0-9, _ and -, beginning with a letter or a digit",
    ],
    [
      "zones: []",
      "zones: is empty: it must be a map of polygons by the names of zones, such as door: [[0, 0], [0.5, 0], [0.5, 1]]",
    ],
    ["privacy: [0, 0, 1, 1]", "privacy: this is one rectangle; put it in brackets: [[x, y, width, height]]"],
    ["privacy: [[0, 0, 1]]", "privacy[0]: a list is not a rectangle [x, y, width, height]"],
    ["privacy: [[0.5, 0, 0.6, 1]]", "privacy[0]: this rectangle is empty, or x + width or y + height is above 1"],
    ["privacy: [[0.5, 0, 0, 1]]", "privacy[0]: this rectangle is empty, or x + width or y + height is above 1"],
    ["privacy: [[0, 0, 640, 1]]", "privacy[0][2]: 640 is not a share of the width or height from 0 to 1"],
  ])("refuses %s", (keys, message) => {
    expect(cameraProblems(keys)).toEqual([message]);
  });
});

describe("defaults", () => {
  it("hold for every camera that says nothing else", () => {
    const { cameras } = parse(`
defaults: { fps: 5, clip: { after: 20 s }, threshold: 0.3, shadow: true }
cameras:
  a: { source: x }
  b: { source: x, fps: 3, clip: { before: 1 s }, threshold: { day: 0.9 }, shadow: false }
  c: { source: x, clip: off }
`);
    const expected = [
      { fps: 5, clip: { before: 5, after: 20 }, threshold: { day: 0.3, infrared: 0.3 }, shadow: true },
      { fps: 3, clip: { before: 1, after: 20 }, threshold: { day: 0.9, infrared: 0.3 }, shadow: false },
      { fps: 5 },
    ];
    expect(cameras).toMatchObject(expected);
    expect(cameras[2]).not.toHaveProperty("clip");
  });

  it("keeps no normal video with normal: off, unless a camera does", () => {
    const { cameras } = parse(
      "{ defaults: { normal: off, checkpoint: all.pth }, cameras: { a: { source: x, normal: { minutes: 5 } }, b: { source: x, checkpoint: b.pth } } }",
    );
    expect(cameras.map(({ normal }) => normal)).toEqual([{ minutes: 5 }, undefined]);
    expect(cameras[1]).not.toHaveProperty("normal");
    expect(cameras.map(({ checkpoint }) => checkpoint)).toEqual(["/etc/sdmae/all.pth", "/etc/sdmae/b.pth"]);
  });

  it("may switch clips off, and a camera switches them on again", () => {
    const { cameras } = parse(
      "{ defaults: { clip: off }, cameras: { a: { source: x, clip: { after: 1 s } }, b: { source: x } } }",
    );
    expect(cameras.map(({ clip }) => clip)).toEqual([{ before: 5, after: 1 }, undefined]);
  });

  it.each(["source", "record", "name", "zones", "ignore", "privacy"])("have no %s", (key) => {
    expect(problems(`defaults: { ${key}: x }\ncameras: { a: { source: x } }`)).toEqual([
      `1:13: defaults.${key}: this key belongs to each camera; it has no default`,
    ]);
  });
});

describe("the web page", () => {
  const web = (text: string) => parse(`web: ${text}\ncameras: { a: { source: x } }`).web;
  const webProblems = (text: string) => problems(`web: ${text}\ncameras: { a: { source: x } }`);

  it.each([
    ["off", undefined],
    ["{}", { host: "127.0.0.1", port: 8377 }],
    ["{ address: localhost:1 }", { host: "localhost", port: 1 }],
    ['{ address: "[::1]:80" }', { host: "::1", port: 80 }],
    ["{ address: 127.1.2.3:80 }", { host: "127.1.2.3", port: 80 }],
    ["{ address: 192.168.1.5:80, token: long-enough }", { host: "192.168.1.5", port: 80, token: "long-enough" }],
  ])("reads %s", (text, expected) => {
    expect(web(text)).toStrictEqual(expected);
  });

  it.each(["0.0.0.0:80", '"[::]:80"', "192.168.1.5:80", "example.org:80", '"[::ffff:127.0.0.1]:80"'])(
    "needs a token at %s",
    (address) => {
      expect(webProblems(`{ address: ${address} }`)).toEqual([
        expect.stringMatching(/^1:1: web\.token: is missing: other machines can reach .*; add token: \$\{WEB_TOKEN\}$/),
      ]);
    },
  );

  it.each([
    "8377",
    '"8377"',
    '":8377"',
    "localhost",
    "::1:80",
    '"[x]:80"',
    "1.2.3:80",
    "300.1.1.1:80",
    "localhost:65536",
    "http://localhost:80",
  ])("refuses the address %s", (address) => {
    expect(webProblems(`{ address: ${address} }`)).toEqual([
      expect.stringMatching(/ is not HOST:PORT, such as 127\.0\.0\.1:8377 or \[::1\]:8377$/),
    ]);
  });

  it.each(["short", '"with a blank"', '"ümlaut-token"'])("refuses the token %s and does not show it", (token) => {
    expect(webProblems(`{ token: ${token} }`)).toEqual([
      "1:15: web.token: the token must have at least 8 characters: ASCII without blanks",
    ]);
  });

  it("is off or a map", () => {
    expect(webProblems("0.0.0.0:80")).toEqual([
      "1:6: web: this text is not off or a map such as { address: 127.0.0.1:8377 }",
    ]);
  });
});

describe("what is kept", () => {
  it.each([
    ["keep: { days: 0 }", "keep.days: 0 is not a number above 0"],
    ["keep: { bytes: 20 GiB }", 'keep.bytes: "20 GiB" is not a size such as "20 GB" or "500 MB", or a number of bytes'],
    ["keep: { bytes: -1 }", 'keep.bytes: -1 is not a size such as "20 GB" or "500 MB", or a number of bytes'],
    ["reserve: lots", 'reserve: "lots" is not a size such as "20 GB" or "500 MB", or a number of bytes'],
    ["reserve: 5", 'reserve: this is less than 1 MB; give a size with its unit, such as "20 GB" or "500 MB"'],
    [
      "keep: { bytes: 20 kB }",
      'keep.bytes: this is less than 1 MB; give a size with its unit, such as "20 GB" or "500 MB"',
    ],
    ["data: ~/x", `data: ~ is not known here; write \${HOME}`],
    ["data: https://x/y", "data: this is an address, not a path"],
  ])("refuses %s", (text, message) => {
    const found = problems(`${text}\ncameras: { a: { source: x } }`);
    expect(found.map((line) => line.replace(/^\d+:\d+: /, ""))).toEqual([message]);
  });
});

describe("sinks", () => {
  it("get names from their types", () => {
    const { sinks } = parse(`
cameras: { a: { source: x } }
sinks:
  - { type: folder, path: a }
  - { type: folder, path: b }
  - { type: folder, path: c, name: folder }
  - { type: folder, path: d, name: folder3 }
  - { type: folder, path: e }
`);
    expect(sinks.map(({ name }) => name)).toEqual(["folder2", "folder4", "folder", "folder3", "folder5"]);
  });

  it("have names of their own", () => {
    const text =
      "cameras: { a: { source: x } }\nsinks: [{ type: folder, path: a, name: x }, { type: folder, path: b, name: x }]";
    expect(problems(text)).toEqual(["2:76: sinks[1].name: another sink, sinks[0], has this name"]);
  });

  it("look up programs without a slash in PATH", () => {
    expect(sink('type: command, run: [siren, "", "3"]')).toMatchObject({ run: ["siren", "", "3"], timeout: 10 });
  });

  it("take the login of a webhook as a header", () => {
    // The name and password of RFC 7617.
    expect(sink('type: webhook, url: "https://Aladdin:open%20sesame@x.org/y"')).toMatchObject({
      url: "https://x.org/y",
      headers: { Authorization: "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
    });
  });

  it("take the login of a broker from its address", () => {
    expect(sink("type: mqtt, url: mqtt://me:p%40ss@host")).toMatchObject({
      ...{ url: "mqtt://host", user: "me", password: "p@ss", prefix: "sdmae" },
    });
    expect(sink("type: mqtt, url: mqtt://host, discovery: off")).not.toHaveProperty("discovery");
  });

  it.each([
    ["name: x", "type: is missing: it must be webhook, command, folder or mqtt"],
    ["type: email", 'type: "email" is not webhook, command, folder or mqtt'],
    ["type: folder", "path: is missing: it must be a path"],
    ["type: folder, path: x, url: y", "url: unknown key; allowed are type, name, cameras, kinds, changes, path"],
    [
      "type: folder, path: x, name: A b",
      'name: "A b" is not 1 to 40 of a-z, 0-9, _ and -, beginning with a letter or a digit',
    ],
    ["type: folder, path: x, cameras: [b]", 'cameras[0]: "b" is not the id of a camera (a)'],
    ["type: folder, path: x, cameras: []", "cameras: is empty: it must be a list of cameras, such as [front]"],
    ["type: folder, path: x, cameras: a", "cameras: this text is not a list of cameras, such as [front]"],
    [
      "type: folder, path: x, kinds: [alarm]",
      'kinds[0]: "alarm" is not anomaly, scene_change, camera_moved or offline',
    ],
    ["type: folder, path: x, changes: [news]", expect.stringMatching(/^changes\[0\]: "news" is not new, update, /)],
    ["type: webhook, url: x.org", "url: this is not an address that begins with http:// or https://"],
    ["type: webhook, url: mqtt://x", "url: this is not an address that begins with http:// or https://"],
    [
      "type: webhook, url: http://x, secret: ''",
      `secret: is empty: it must be text in quotes, a variable such as \${PASSWORD}, or { file: PATH }`,
    ],
    [
      "type: webhook, url: http://x, secret: 1234",
      `secret: a number is not text in quotes, a variable such as \${PASSWORD}, or { file: PATH }`,
    ],
    ["type: webhook, url: http://x, headers: { a b: c }", 'headers."a b": this cannot be the name of a header'],
    [
      "type: webhook, url: http://x, headers: { a: 5 }",
      `headers.a: a number is not text in quotes, a variable such as \${TOKEN}, or { file: PATH }`,
    ],
    [
      'type: webhook, url: http://x, headers: { a: "b\\r\\nc: d" }',
      "headers.a: this text holds a line break or a control character",
    ],
    ["type: webhook, url: http://x, headers: { a: 😀 }", "headers.a: a header holds ASCII and Latin-1 only"],
    [
      "type: webhook, url: http://a:b@x, headers: { authorization: c }",
      "url: the URL holds a login, and headers holds Authorization; give one of them",
    ],
    [
      "type: command, run: siren --loud",
      "run: this text is not a list of a program and its arguments, such as [/usr/local/bin/siren, --loud]; no shell reads it",
    ],
    [
      "type: command, run: []",
      "run: is empty: it must be a list of a program and its arguments, such as [/usr/local/bin/siren, --loud]; no shell reads it",
    ],
    ['type: command, run: [""]', "run: the program has no name"],
    ["type: command, run: [beep, 3]", "run[1]: a number is not text; put it in quotes"],
    [
      "type: command, run: [beep], timeout: 0",
      'timeout: 0 is not a time from 0.1 s to 5 min, such as "500 ms", "2 s" or "5 min", or a number of seconds',
    ],
    ["type: mqtt, url: http://x", "url: this is not an address that begins with mqtt:// or mqtts://"],
    ["type: mqtt, url: mqtt://x, password: geheim", "user: is missing: there is a password"],
    ["type: mqtt, url: mqtt://a:geheim@x, user: b", "url: the URL holds a login already; give it in one place"],
    ["type: mqtt, url: mqtt://x, discovery: on", 'discovery: "on" is not off or a topic such as homeassistant'],
  ])("refuse %s", (keys, message) => {
    expect(sinkProblems(keys)).toEqual([message]);
  });

  it.each(["a/", "/a", "a/#", "+", "$SYS"])("refuse the prefix %s", (prefix) => {
    expect(sinkProblems(`type: mqtt, url: mqtt://x, prefix: "${prefix}"`)).toEqual([
      expect.stringMatching(/^prefix: ".*" is not a topic, such as sdmae: at most 100/),
    ]);
  });

  it("are a list of maps", () => {
    const withSinks = (text: string) => problems(`cameras: { a: { source: x } }\nsinks: ${text}`);
    expect(withSinks("[webhook]")).toEqual([
      "2:9: sinks[0]: this text is not a sink: a map with a type (webhook, command, folder or mqtt)",
    ]);
    expect(withSinks("{ type: folder, path: x }")).toEqual(["2:8: sinks: a map is not a list of sinks"]);
  });
});

describe("secrets", () => {
  it("are collected, and other variables are not", () => {
    const { secrets } = parse(
      `
cameras:
  a: { source: rtsp://user:\${PASSWORD}@\${HOST}/x?channel=1&token=in-query, name: \${HOST} }
  b: { source: { url: rtsp://b/, user: user, password: { file: pw } } }
  c: { source: "http://u:c%20c@c/" }
sinks:
  - { type: webhook, url: https://x.org/\${WEB_TOKEN}, headers: { Title: Alarm, X-Api-Key: api-key, Authorization: Bearer abcdef } }
  - { type: command, run: [beep, \${WEB_TOKEN}, plain] }
`,
      () => "of-file",
    );
    expect(secrets).toEqual([
      "p@ss/w#1",
      "in-query",
      "of-file",
      "c c",
      "web-token",
      "api-key",
      "Bearer abcdef",
      "abcdef",
    ]);
  });

  it("say what is wrong with their files", () => {
    const text = "cameras: { a: { source: x } }\nweb: { token: { file: pw } }";
    const failing = (error: Error) => () => {
      throw error;
    };
    const place = "2:23: web.token.file: the file of the secret cannot be used:";
    expect(problems(text, failing(new InputError("it is a folder")))).toEqual([`${place} it is a folder`]);
    expect(problems(text, failing(Object.assign(new Error("geheim"), { code: "ENOENT" })))).toEqual([
      `${place} no such file or folder`,
    ]);
    expect(problems(text, () => "")).toEqual([`${place} it is empty`]);
    expect(problems(text, () => "a\nb")).toEqual([`${place} it holds more than one line of text`]);
    expect(problems("cameras: { a: { source: x } }\nweb: { token: { file: pw, x: 1 } }", () => "long-enough")).toEqual([
      "2:27: web.token.x: unknown key; allowed are file",
    ]);
  });

  it("are named if their variables are not set, with no other complaint", () => {
    expect(problems(`web: { token: \${UNSET} }\ncameras: { a: { source: "rtsp://u:\${NONE}@x/y" } }`)).toEqual([
      "1:15: web.token: the environment variable UNSET is not set",
      "2:25: cameras.a.source: the environment variable NONE is not set",
    ]);
  });

  it.each([
    "cameras: { a: rtsp://u:geheim@x/y }",
    'cameras: { "rtsp://u:geheim@x/y": { source: x } }',
    "cameras: { a: { source: ftp://u:geheim@x/y } }",
    "cameras: { a: { source: [geheim] } }",
    "cameras: { a: { source: { url: rtsp://x, user: geheim, password: 12345, foo: geheim } } }",
    "cameras: { a: { source: x, fps: rtsp://u:geheim@x } }",
    "cameras: { a: { source: x, hold: rtsp://geheim } }",
    'cameras: { a: { source: "geheim } }',
    "cameras: { a: { source: @geheim } }",
    "cameras: { a: { source: !geheim x } }",
    "cameras: { a: { source: *geheim } }",
    "cameras: { a: { source: | geheim\n  x\n} }",
    "cameras:\n  a: { source: x }\n geheim",
    "cameras:\n  a: password:geheim\n",
    'cameras: { a: { source: x, "u:geheim@x/y": z } }',
    "web: { token: [geheim] }",
    "web: { token: geheim }",
    "cameras: [geheim]",
    'cameras: { a: { source: "\\geheim" } }',
    "%geheim\n---\ncameras: {}",
  ])("are not in messages about %j", (text) => {
    const found = problems(text);
    expect(found).not.toEqual([]);
    expect(found.join()).not.toMatch(/geheim|12345|u:/);
  });

  it("of variables are not in messages", () => {
    const found = problems(`
cameras:
  a: { source: x, hold: \${HOOK_SECRET}, fps: \${PASSWORD}, schedule: \${WEB_TOKEN}, clip: \${WEB_TOKEN} }
sinks:
  - \${HOOK_SECRET}
  - { type: \${PASSWORD} }
  - { type: folder, path: x, cameras: [\${PASSWORD}] }
log: { level: \${WEB_TOKEN} }
`);
    expect(found).toHaveLength(7);
    expect(found.join()).not.toMatch(/hook secret|p@ss|web-token/);
    expect(found[1]).toBe(`3:46: cameras.a.fps: "\${PASSWORD}" is not a number from 1 to 30`);
  });
});

describe("readConfig", () => {
  it("reads a file, with the environment of the process", async () => {
    writeFileSync(at("w.yaml"), `data: \${PATH}\ncameras: { a: { source: \${SDMAE_TEST_UNSET} } }`);
    expect(await refusal(readConfig(at("w.yaml")))).toBe(
      `${at("w.yaml")}:2:25: cameras.a.source: the environment variable SDMAE_TEST_UNSET is not set`,
    );
    writeFileSync(at("pw"), "long-enough\n");
    writeFileSync(at("w.yaml"), "web: { token: { file: pw } }\ncameras: { a: { source: x } }");
    expect(await readConfig(at("w.yaml"))).toMatchObject({ data: at("sdmae-data"), web: { token: "long-enough" } });
  });

  it("refuses what it cannot read", async () => {
    expect(await refusal(readConfig(at("none.yaml")))).toBe(
      `${at("none.yaml")} cannot be read: no such file or folder`,
    );
    expect(await refusal(readConfig(at()))).toBe(`${at()} cannot be read: it is a folder`);
    writeFileSync(at("utf16.yaml"), Buffer.from("\ufeffcameras: {}", "utf16le"));
    expect(await refusal(readConfig(at("utf16.yaml")))).toContain("cannot be read: it is not UTF-8 text");
    writeFileSync(at("large.yaml"), "#".repeat(1_000_001));
    expect(await refusal(readConfig(at("large.yaml")))).toContain("cannot be read: it is larger than 1 MB");
  });
});

describe("configOf", () => {
  it("names cameras after their sources", () => {
    const sources = [
      `rtsp://u:\${HOST}@front.local/x`,
      "rtsp://192.168.1.5/x",
      "Mein Film.mp4",
      "b/mein-film.avi",
      "device:/dev/video0",
    ];
    const { cameras, data, secrets } = configOf(sources, { folder: "/b", environment: { HOST: "a b c" } });
    expect(cameras.map(({ id, source }) => [id, source])).toEqual([
      ["front", "rtsp://u:a%20b%20c@front.local/x"],
      ["192-168-1-5", "rtsp://192.168.1.5/x"],
      ["mein-film", "/b/Mein Film.mp4"],
      ["mein-film-2", "/b/b/mein-film.avi"],
      ["video0", "device:/dev/video0"],
    ]);
    expect([data, secrets]).toEqual(["/b/sdmae-data", ["a b c"]]);
  });

  it("has the defaults of a file with the same sources", () => {
    expect(configOf(["/srv/front.mp4"], { folder: "/etc/sdmae" })).toEqual(
      parse("cameras: { front: { source: /srv/front.mp4 } }"),
    );
  });

  it("keeps the order of sources whose names are numbers", () => {
    expect(configOf(["b.mp4", "2.mp4", "1.mp4"]).cameras.map(({ id }) => id)).toEqual(["b", "2", "1"]);
  });

  it("reports every source that is wrong, without showing it", () => {
    expect(() => configOf(["rtsp://u:ge/heim@x", "a.mp4", "ftp://geheim"])).toThrow(
      /^source 1: the address rtsp:\/\/… is not a valid URL; if the password [^\n]*\nsource 3: ftp:\/\/… cannot be read: [^\n]*$/,
    );
    expect(() => configOf([`rtsp://u:\${A}@x`], { environment: {} })).toThrow(
      /^source 1: the environment variable A is not set$/,
    );
    expect(() => configOf([])).toThrow("there is no source to watch; name at least one");
  });
});

describe("configSchema", () => {
  /** The part of a schema at a path. */
  const part = (...path: string[]) =>
    path.reduce<unknown>((value, key) => (value as Record<string, unknown>)[key], configSchema());

  it("describes what a file may hold, not what comes out", () => {
    expect(part("$schema")).toBe("http://json-schema.org/draft-07/schema#");
    expect([part("required"), part("additionalProperties")]).toEqual([["cameras"], false]);
    expect(part("properties", "cameras", "propertyNames", "pattern")).toBe("^[a-z0-9][a-z0-9_-]{0,39}$");
    const camera = ["properties", "cameras", "additionalProperties"];
    expect([part(...camera, "required"), part(...camera, "additionalProperties")]).toEqual([["source"], false]);
    expect(part(...camera, "properties", "fps")).toMatchObject({ type: "number", minimum: 1, maximum: 30 });
    expect(part(...camera, "properties", "hold", "anyOf")).toMatchObject([{ type: "number" }, { type: "string" }]);
  });

  it("can be written as JSON", () => {
    expect(JSON.parse(JSON.stringify(configSchema()))).toEqual(configSchema());
  });
});
