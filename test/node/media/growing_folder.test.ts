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
  const folder = new GrowingFolder(at("in"), {
    ...{ warn: (line: string) => warnings.push(line), interval: 0.05, settled: { video: quick, image: quick } },
    ...options,
  });
  return { folder, warnings };
}

/** Files that come within some time, by their names. */
async function within(folder: GrowingFolder, seconds: number): Promise<NewFile[]> {
  const files: NewFile[] = [];
  const stop = AbortSignal.timeout(1000 * seconds);
  try {
    for (;;) files.push(await folder.next(stop));
  } catch (error) {
    if (!stop.aborted) throw error;
    return files;
  }
}

const write = (name: string, second: number, text = "x") => {
  writeFileSync(at("in", name), text);
  utimesSync(at("in", name), second, second);
};

test("files that were there are old; new ones come once, in the order in which they were written", async () => {
  mkdirSync(at("in"));
  for (let i = 0; i < 50; i++) write(`old-${i}.mp4`, 1000);
  const { folder, warnings } = watched();
  expect(await within(folder, 0.3)).toEqual([]);
  write("b.mp4", 1_700_000_000);
  write("cam 10.mkv", 1_700_000_020);
  write("cam 9.mkv", 1_700_000_020);
  // Later by its name, earlier by its time. Others are no videos, or not yet.
  write("z.TS", 1_600_000_000);
  for (const name of ["preview.jpg", ".hidden.mp4", "d.mp4.part", "notes.txt"]) write(name, 1_700_000_000);
  mkdirSync(at("in", "folder.mp4"));
  const files = await within(folder, 2);
  expect(files.map(({ name }) => name)).toEqual(["z.TS", "b.mp4", "cam 9.mkv", "cam 10.mkv"]);
  expect(files[1]).toMatchObject({ path: at("in", "b.mp4"), kind: "video", modified: 1_700_000_000_000, size: 1 });
  renameSync(at("in", "d.mp4.part"), at("in", "d.mp4"));
  expect((await within(folder, 1.5)).map(({ name }) => name)).toEqual(["d.mp4"]);
  expect(warnings).toEqual([]);
});

test("a file is complete once it has not changed for a while", async () => {
  mkdirSync(at("in"));
  const { folder } = watched({ settled: { video: { followed: 0.5, last: 3600 }, image: quick } });
  await within(folder, 0.1);
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
  const { folder } = watched();
  await within(folder, 0.1);
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
  expect((await within(folder, 2)).map(({ name }) => name)).toEqual(["c.mp4"]);
});

test("links and names that are not UTF-8 are left out with a warning each; too many files with one", async () => {
  mkdirSync(at("in"));
  const { folder, warnings } = watched({ mostWaiting: 3 });
  await within(folder, 0.1);
  write("real.mp4", 1_700_000_000);
  symlinkSync(at("in", "real.mp4"), at("in", "link.mp4"));
  symlinkSync("/nowhere", at("in", "broken.mp4"));
  writeFileSync(Buffer.concat([Buffer.from(at("in", "caf")), Buffer.from([0xe9]), Buffer.from(".mp4")]), "x");
  expect((await within(folder, 2)).map(({ name }) => name)).toEqual(["real.mp4"]);
  expect(warnings.sort()).toEqual([
    `${at("in")}/broken.mp4 is a link, which is left out`,
    `${at("in")}/caf\uFFFD.mp4: this name is not UTF-8, so the file cannot be opened: rename it, for example with convmv`,
    `${at("in")}/link.mp4 is a link, which is left out`,
  ]);
  for (let i = 0; i < 10; i++) write(`many ${i}.mp4`, 1_700_000_001);
  // The last one is complete after the others.
  const left = [6, 7, 8, 9].map((i) => `many ${i}.mp4`);
  expect((await within(folder, 2)).map(({ name }) => name)).toEqual(left);
  expect(warnings.slice(3)).toEqual(["6 new files left out: they come faster than they can be scored"]);
});

test("a folder that is away is an error; when it is back, its old files are not new", async () => {
  mkdirSync(at("in"));
  write("old.mp4", 1_700_000_000);
  const { folder } = watched();
  await within(folder, 0.1);
  renameSync(at("in"), at("away"));
  expect(await refusal(folder.next(never))).toBe(`${at("in")} cannot be read: no such file or folder`);
  // A mount point without its mount is empty.
  mkdirSync(at("in"));
  expect(await within(folder, 0.3)).toEqual([]);
  rmSync(at("in"), { recursive: true });
  renameSync(at("away"), at("in"));
  write("new.mp4", 1_700_000_001);
  expect((await within(folder, 2)).map(({ name }) => name)).toEqual(["new.mp4"]);
  expect(readdirSync(at("in"))).toHaveLength(2);
});
