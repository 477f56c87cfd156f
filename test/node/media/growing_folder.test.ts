import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { GrowingFolder, type GrowingFolderOptions, type NewFile } from "../../../src/node/media/growing_folder.js";
import { scratchPerTest } from "../../support/folders.js";
import { refusal } from "../../support/refusal.js";

const at = scratchPerTest();
const never = new AbortController().signal;
const quick = { followed: 0.2, last: 0.6 };

function watched(options: Partial<GrowingFolderOptions> = {}) {
  const warnings: string[] = [];
  let looks = 0;
  const folder = new GrowingFolder(at("in"), {
    ...{ warn: (line: string) => warnings.push(line), interval: 0.05, settled: { video: quick, image: quick } },
    onLook: () => looks++,
    ...options,
  });
  /** Looks at the folder, in which nothing is new. */
  const look = async () => {
    const stop = new AbortController();
    const before = looks;
    const nothing = folder.next(stop.signal).catch(() => {});
    while (looks === before) await sleep(5);
    stop.abort();
    await nothing;
  };
  return { folder, warnings, look };
}

/** The names of the next files. Then none comes for a while. */
async function taken(folder: GrowingFolder, count: number): Promise<string[]> {
  const names: string[] = [];
  while (names.length < count) names.push((await folder.next(never)).name);
  await nothing(folder);
  return names;
}

async function nothing(folder: GrowingFolder): Promise<void> {
  const quiet = AbortSignal.timeout(400);
  const file = await folder.next(quiet).catch(() => undefined);
  expect(file).toBeUndefined();
}

const write = (name: string, second: number, text = "x") => {
  writeFileSync(at("in", name), text);
  utimesSync(at("in", name), second, second);
};

test("files that were there are old; new ones come once, in the order in which they were written", async () => {
  mkdirSync(at("in"));
  for (let i = 0; i < 50; i++) write(`old-${i}.mp4`, 1000);
  const { folder, warnings, look } = watched();
  await look();
  await nothing(folder);
  write("b.mp4", 1_700_000_000);
  write("cam 10.mkv", 1_700_000_020);
  write("cam 9.mkv", 1_700_000_020);
  // Later by its name, earlier by its time. Others are no videos, or not yet.
  write("z.TS", 1_600_000_000);
  for (const name of ["preview.jpg", ".hidden.mp4", "d.mp4.part", "notes.txt"]) write(name, 1_700_000_000);
  mkdirSync(at("in", "folder.mp4"));
  expect((await folder.next(never)).name).toBe("z.TS");
  const file = await folder.next(never);
  expect(file).toMatchObject({ path: at("in", "b.mp4"), kind: "video", modified: 1_700_000_000_000, size: 1 });
  expect(await taken(folder, 2)).toEqual(["cam 9.mkv", "cam 10.mkv"]);
  renameSync(at("in", "d.mp4.part"), at("in", "d.mp4"));
  expect(await taken(folder, 1)).toEqual(["d.mp4"]);
  expect(warnings).toEqual([]);
});

test("a file is complete once it has not changed for a while", async () => {
  mkdirSync(at("in"));
  const { folder, look } = watched({ settled: { video: { followed: 0.5, last: 3600 }, image: quick } });
  await look();
  writeFileSync(at("in", "1.mp4"), "x");
  writeFileSync(at("in", "2.mp4"), "");
  const files: NewFile[] = [];
  const waiting = folder.next(never).then((file) => files.push(file));
  for (let i = 0; i < 10; i++) {
    await sleep(100);
    appendFileSync(at("in", "1.mp4"), "x");
    expect(files).toEqual([]);
  }
  // The next one has begun, so it will not change again.
  appendFileSync(at("in", "2.mp4"), "x");
  await waiting;
  expect(files).toMatchObject([{ name: "1.mp4", size: 11 }]);
});

test("images count where there is no video; a time that is still to come is now", async () => {
  mkdirSync(at("in"));
  const { folder, look } = watched();
  await look();
  expect(folder.kind).toBeUndefined();
  write("a.JPG", 4_000_000_000);
  write("b.png", 1_700_000_000);
  const [first, second] = [await folder.next(never), await folder.next(never)];
  expect([first.name, second.name]).toEqual(["b.png", "a.JPG"]);
  expect(second.modified).toBeLessThanOrEqual(Date.now());
  expect(second.born).toBeLessThanOrEqual(second.modified);
  expect(folder.kind).toBe("image");
  write("c.jpg", 1_700_000_001);
  write("c.mp4", 1_700_000_001);
  expect(await taken(folder, 1)).toEqual(["c.mp4"]);
});

test("links and names that are not UTF-8 are left out with a warning each", async () => {
  mkdirSync(at("in"));
  const { folder, warnings, look } = watched();
  await look();
  write("real.mp4", 1_700_000_000);
  symlinkSync(at("in", "real.mp4"), at("in", "link.mp4"));
  symlinkSync("/nowhere", at("in", "broken.mp4"));
  writeFileSync(Buffer.concat([Buffer.from(at("in", "caf")), Buffer.from([0xe9]), Buffer.from(".mp4")]), "x");
  expect(await taken(folder, 1)).toEqual(["real.mp4"]);
  expect(warnings.sort()).toEqual([
    `${at("in")}/broken.mp4 is a link, which is left out`,
    `${at("in")}/caf\uFFFD.mp4: this name is not UTF-8, so the file cannot be opened: rename it, for example with convmv`,
    `${at("in")}/link.mp4 is a link, which is left out`,
  ]);
});

test("of too many files that wait, the oldest are left out, with a warning for all", async () => {
  mkdirSync(at("in"));
  const { folder, warnings, look } = watched({
    ...{ mostWaiting: 3, settled: { video: { followed: 0.2, last: 3600 }, image: quick } },
  });
  await look();
  // The last one is not complete.
  for (let i = 0; i < 11; i++) write(`${i}.mp4`, 1_700_000_001);
  expect(await taken(folder, 3)).toEqual(["7.mp4", "8.mp4", "9.mp4"]);
  expect(warnings).toEqual(["7 new files left out: they come faster than they can be scored"]);
});

test("a folder that is away is an error; when it is back, its old files are not new", async () => {
  mkdirSync(at("in"));
  write("old.mp4", 1_700_000_000);
  const { folder, look } = watched();
  await look();
  renameSync(at("in"), at("away"));
  expect(await refusal(folder.next(never))).toBe(`${at("in")} cannot be read: no such file or folder`);
  // A mount point without its mount is empty.
  mkdirSync(at("in"));
  await nothing(folder);
  rmSync(at("in"), { recursive: true });
  renameSync(at("away"), at("in"));
  write("new.mp4", 1_700_000_001);
  expect(await taken(folder, 1)).toEqual(["new.mp4"]);
  expect(readdirSync(at("in"))).toHaveLength(2);
});
