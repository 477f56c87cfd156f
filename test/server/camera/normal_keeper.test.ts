import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { expect, test } from "vitest";
import { type KeeperOptions, NormalKeeper, removeKept } from "../../../src/server/camera/normal_keeper.js";
import { scratchPerTest } from "../../support/folders.js";

const at = scratchPerTest();
const start = Date.UTC(2026, 10, 30, 14, 29, 41);

/** A camera whose recording is a list of calls. */
class Recording {
  /** Seconds since the start, on all clocks. */
  t = 0;
  connection = 1;
  /** When the recording was last held. */
  held = Number.NaN;
  isNormal = true;
  readonly calls: string[] = [];
  readonly pieces: { name: string; from: number; to: number }[] = [];
  keeper!: NormalKeeper;

  async open(minutes: number): Promise<this> {
    const options: KeeperOptions = {
      recorder: {
        hold: (_, connection, time) => {
          this.held = time;
          this.calls.push(`hold ${connection} ${time}`);
        },
        release: () => this.calls.push("release"),
        clip: async (_, { connection, from, to }, path) => {
          this.calls.push(`clip ${connection} ${from} ${to}`);
          this.pieces.push({ name: basename(path), from, to });
          writeFileSync(path, "");
          return true;
        },
      },
      ...{ folder: at("normal"), minutes, margin: 10 },
      warn: (line) => this.calls.push(line),
      clock: { steady: () => this.t, wall: () => start + 1000 * this.t },
    };
    this.keeper = await NormalKeeper.open(options);
    return this;
  }

  /** Shows a frame a second. */
  async show(seconds: number): Promise<void> {
    for (const end = this.t + seconds; this.t < end; this.t++) {
      this.keeper.frame({ connection: this.connection, time: this.t }, this.isNormal);
      // A piece is whole; nothing else goes on that this would end.
      if (this.t - this.held === 80) await this.keeper.close();
    }
  }
}

test("a piece is a minute of normal video, away from what was before and after it", async () => {
  const camera = await new Recording().open(1440);
  camera.isNormal = false;
  await camera.show(30);
  expect(camera.calls).toEqual([]);
  camera.isNormal = true;
  await camera.show(81);
  expect(camera.calls).toEqual(["hold 1 30", "clip 1 40 100"]);
  expect(readdirSync(at("normal"))).toEqual(["kept-20261130T143131.mkv"]);
});

test("what an event, a gap or another connection cuts short is kept if it is long enough", async () => {
  const camera = await new Recording().open(1440);
  await camera.show(30);
  camera.isNormal = false;
  await camera.show(1);
  camera.isNormal = true;
  await camera.show(50);
  camera.connection = 2;
  await camera.show(61);
  camera.t += 5;
  await camera.show(3);
  await camera.keeper.close();
  expect(camera.calls.slice(0, 4)).toEqual(["hold 1 0", "release", "hold 1 31", "clip 1 41 70"]);
  for (const { from, to } of camera.pieces) expect(to - from).toBeGreaterThanOrEqual(19);
});

test("the first pieces come soon, the others are spread over a day, and the oldest go", async () => {
  mkdirSync(at("normal"));
  // What people marked as normal stays.
  writeFileSync(at("normal", "20251130T142941008-front-c6a1fa.mp4"), "");
  const camera = await new Recording().open(12);
  await camera.show(7 * 3600);
  await camera.keeper.close();
  const begins = camera.pieces.map(({ from }) => from - 10);
  const steps = begins.slice(1).map((begin, i) => begin - begins[i]);
  // Three minutes, then two hours; and the time that a piece takes.
  expect(steps.slice(0, 9).every((step) => step >= 180 && step < 270)).toBe(true);
  expect(steps.slice(9).every((step) => step >= 7200 && step < 7320)).toBe(true);
  expect(camera.pieces).toHaveLength(13);
  const names = camera.pieces.map(({ name }) => name);
  expect(readdirSync(at("normal")).sort()).toEqual(["20251130T142941008-front-c6a1fa.mp4", ...names.slice(-12)].sort());
  // The next process goes on from there.
  const next = new Recording();
  next.t = camera.t + 600;
  await next.open(12);
  await next.show(60);
  expect(next.calls).toEqual([]);
}, 60_000);

test("nothing is held while nothing is recorded, and an interruption ends it", async () => {
  const camera = await new Recording().open(60);
  camera.keeper.frame(undefined, true);
  expect(camera.calls).toEqual([]);
  await camera.show(10);
  camera.keeper.interrupt();
  camera.keeper.interrupt();
  expect(camera.calls).toEqual(["hold 1 0", "release"]);
});

test("pieces are deleted by their age, and what people marked stays", async () => {
  mkdirSync(at("normal"));
  const names = ["20201130T142941008-front-c6a1fa.mp4", "kept-20261130T142941.mkv", "kept-20261201T142941.mkv"];
  for (const name of names) writeFileSync(at("normal", name), "");
  await removeKept(at("normal"), start + 1);
  expect(readdirSync(at("normal")).sort()).toEqual([names[0], names[2]]);
  await removeKept(at("none"), start);
});
