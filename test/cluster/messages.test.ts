import { describe, expect, test } from "vitest";
import { archiveSchema, howSchema, isInside, videoJobSchema, videoSchema } from "../../src/cluster/messages.js";

const hash = "0123456789abcdef".repeat(4);
const job = { archive: "0123456789abcdef", hash, path: "2026/a.mp4" };
const archive = {
  ...{ id: "0123456789abcdef", created: "2026-11-30T14:15:02.123Z", out: "scores", events: false, report: true },
  ...{ model: { hash, extension: ".pth", name: "scene.pth" }, how: { seed: 0, preset: "avenue" } },
};
const record = { state: "queued", path: "2026/a.mp4", attempts: 0, since: "2026-11-30T14:15:02.123Z" };

const outside = [
  ...["", ".", "..", "../a.mp4", "a/../../b.mp4", "a/../b.mp4", "a/..", "./a.mp4", "a/./b.mp4", "a//b.mp4"],
  ...["/", "/etc/passwd", "//server/a.mp4", "a/", "a.mp4/", "..\\a.mp4", "a\\b.mp4", "\\\\server\\a.mp4"],
  ...["C:", "C:/a.mp4", "c:a.mp4", "a\0.mp4", "\0"],
];
const inside = ["a.mp4", "2026/11/30 14.15/a b.mp4", "..a.mp4", "a../b.mp4", "...", ".hidden/a.mp4", "ä/視.mp4"];

describe("a path below the shared folder", () => {
  test.each(outside)("%j is refused, of videos and of results", (path) => {
    expect(isInside(path)).toBe(false);
    expect(videoJobSchema.safeParse({ ...job, path }).success).toBe(false);
    expect(videoSchema.safeParse({ ...record, path }).success).toBe(false);
    expect(archiveSchema.safeParse({ ...archive, out: path }).success).toBe(false);
  });

  test.each(inside)("%j is taken as it is", (path) => {
    expect(videoJobSchema.parse({ ...job, path })).toEqual({ ...job, path });
    expect(archiveSchema.parse({ ...archive, out: path })).toEqual({ ...archive, out: path });
  });

  test("one of more than 4096 characters is refused", () => {
    expect(videoJobSchema.safeParse({ ...job, path: "a".repeat(4096) }).success).toBe(true);
    expect(videoJobSchema.safeParse({ ...job, path: "a".repeat(4097) }).success).toBe(false);
  });
});

describe("records of a data set", () => {
  const made = { model: hash, settings: "{}", adapter: "SwiftShader", dataset: "folder /mnt/sets/own" };
  const records = { root: "sets/own", layout: "folder", split: "test", made };
  const refused = (change: object) => archiveSchema.safeParse({ ...archive, records: { ...records, ...change } });

  test("are taken as they are", () => {
    expect(archiveSchema.parse({ ...archive, records })).toEqual({ ...archive, records });
    const known = { ...job, record: { video: "Scene1/../a", seed: 3 } };
    expect(videoJobSchema.parse(known)).toEqual(known);
  });

  test.each([
    ...[{ root: "../sets" }, { root: "/sets" }, { layout: "../x" }, { layout: "" }, { split: "train" }, { batch: 0 }],
    ...[{ made: { ...made, model: "x" } }, { made: { ...made, path: "/etc" } }, { student: "/etc/passwd" }, { x: 1 }],
  ])("with %j are refused", (change) => {
    expect(refused(change).success).toBe(false);
  });

  test.each([{ video: "", seed: 0 }, { video: "01", seed: -1 }, { video: "01", seed: 2 ** 32 }, { video: "01" }])(
    "the job %j is refused",
    (record) => {
      expect(videoJobSchema.safeParse({ ...job, record }).success).toBe(false);
    },
  );
});

describe("hashes and names", () => {
  const wrong = ["", hash.slice(1), `${hash}0`, hash.toUpperCase(), `${hash.slice(1)}g`, `${hash}\n`, `../${hash}`, 7];
  test.each(wrong)("the hash %j is refused", (value) => {
    expect(videoJobSchema.safeParse({ ...job, hash: value }).success).toBe(false);
    const model = { ...archive.model, hash: value };
    expect(archiveSchema.safeParse({ ...archive, model }).success).toBe(false);
  });

  test.each(["", "*", ">", "a.b", "0123456789abcdef0", "0123456789ABCDEF", null])("the archive %j is refused", (id) => {
    expect(videoJobSchema.safeParse({ ...job, archive: id }).success).toBe(false);
    expect(archiveSchema.safeParse({ ...archive, id }).success).toBe(false);
  });

  test.each([".PTH", ".exe", "/../x.pth", ""])("a model's extension %j is refused", (extension) => {
    const model = { ...archive.model, extension };
    expect(archiveSchema.safeParse({ ...archive, model }).success).toBe(false);
  });
});

describe("what nobody knows", () => {
  test("further fields are refused everywhere", () => {
    expect(archiveSchema.parse(archive)).toEqual(archive);
    expect(videoSchema.parse(record)).toEqual(record);
    const more = { checkpoint: "/etc/passwd" };
    expect(videoJobSchema.safeParse({ ...job, ...more }).success).toBe(false);
    expect(videoSchema.safeParse({ ...record, ...more }).success).toBe(false);
    expect(archiveSchema.safeParse({ ...archive, ...more }).success).toBe(false);
    expect(archiveSchema.safeParse({ ...archive, how: { seed: 0, ...more } }).success).toBe(false);
    expect(archiveSchema.safeParse({ ...archive, model: { ...archive.model, ...more } }).success).toBe(false);
  });

  test.each([
    ...[{ seed: -1 }, { seed: 2 ** 32 }, { seed: 0.5 }, { seed: "0" }, {}, { seed: 0, maskRatio: 1 }],
    ...[
      { seed: 0, size: { height: 9000, width: 8 } },
      { seed: 0, topK: 0 },
      { seed: 0, heads: 1e9 },
    ],
    ...[
      { seed: 0, dtype: "f64" },
      { seed: 0, preset: "__proto__" },
      { seed: 0, threshold: "1" },
    ],
  ])("the way of scoring %j is refused", (how) => {
    expect(howSchema.safeParse(how).success).toBe(false);
  });

  test.each([
    ...[{ state: "lost" }, { attempts: -1 }, { attempts: 1.5 }, { since: "yesterday" }, { frames: Number.NaN }],
    ...[{ seconds: -1 }, { error: "x".repeat(1001) }, { worker: 7 }],
  ])("a record with %j is refused", (change) => {
    expect(videoSchema.safeParse({ ...record, ...change }).success).toBe(false);
  });
});
