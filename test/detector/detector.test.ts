import { afterAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.js";
import { parseSafetensors } from "../../src/checkpoint/safetensors.js";
import type { StoredTensor } from "../../src/checkpoint/tensor.js";
import { type FrameSource, fromIterable } from "../../src/data/frame.js";
import type { DetectorOptions } from "../../src/detector/detector.js";
import type { FrameScore, StreamScore } from "../../src/detector/scores.js";
import type { TokenMaps } from "../../src/detector/token_maps.js";
import { InputError } from "../../src/errors.js";
import type { Gpu } from "../../src/gpu/gpu.js";
import { Detector } from "../../src/node/detector.js";
import { fixture, fixtureFile } from "../support/fixtures.js";
import { asGpu, testAdapter, useGpu } from "../support/gpu.js";
import { randomCheckpoint, tinyConfig } from "../support/model.js";
import { Random } from "../support/numbers.js";
import { refusal } from "../support/refusal.js";

const gpu = useGpu(testAdapter, { guarded: false });
const tiny = openCheckpoint(["tiny-checkpoint-best.pth", "tiny-checkpoint-best-student.pth"].map(fixtureFile));
const open: Detector[] = [];
afterAll(() => {
  for (const detector of open) detector.close();
});

async function detect(
  frames: readonly Uint8Array[],
  size: { height: number; width: number },
  options: DetectorOptions,
  checkpoint = tiny,
): Promise<FrameScore[]> {
  const detector = await Detector.open(checkpoint, { gpu: gpu(), size, ...options });
  open.push(detector);
  const results: FrameScore[] = [];
  for await (const result of detector.stream(fromIterable(frames, size))) results.push(result);
  return results;
}

/** A video of smooth moving waves. */
function waves(count: number, { height, width }: { height: number; width: number }): Uint8Array[] {
  return Array.from({ length: count }, (_, t) =>
    Uint8Array.from({ length: height * width * 3 }, (_, i) => 128 + 100 * Math.sin(i * 0.013 + t * (1 + (i % 3)))),
  );
}

describe("the detector", () => {
  it("gives the original's scores: frames, motion gradient, gradient masking, network, both errors", async () => {
    const { tensors } = parseSafetensors(fixture("tiny-infer-gradmask-ratio25-L1.safetensors"), "fixture");
    const size = { height: 64, width: 128 };
    const pixels = size.height * size.width;
    const interleaved = (name: string, first: number) => {
      const data = tensors.get(name)?.data as ArrayLike<number>;
      return Uint8Array.from({ length: 3 * pixels }, (_, i) => data[first + (i % 3) * pixels + Math.floor(i / 3)]);
    };
    for (let b = 0; b < 3; b++) {
      // Frames 0, 3 and 6 are the sample. Frame 4 is black, so that the motion gradient,
      // |frame 2 − frame 4|, is the fixture's.
      const [previous, current, next] = [0, 1, 2].map((t) => interleaved("in.frames_u8", (b * 3 + t) * 3 * pixels));
      const gradient = interleaved("in.gradient", b * 3 * pixels);
      const black = new Uint8Array(3 * pixels);
      const video = [previous, black, gradient, current, black, black, next];
      const results = await detect(video, size, {
        masking: "gradient",
        maskRatio: 0.25,
        norm: "L1",
        score: "sum",
        batch: 2,
      });
      const want = (name: string) => (tensors.get(name) as StoredTensor).data[b] as number;
      const scored = results[3];
      // A few tokens in each sample move equally, and the original's sort is not stable: they may
      // be ranked either way.
      expect(Math.abs(scored.studentError / want("out.score_student_teacher") - 1)).toBeLessThan(1e-3);
      expect(Math.abs(scored.targetError / want("out.score_teacher") - 1)).toBeLessThan(1e-3);
      expect(scored.score).toBeCloseTo(scored.studentError + scored.targetError, 6);
      const mean = scored.map.data.reduce((a, v) => a + v, 0) / scored.map.data.length;
      expect(mean / scored.score).toBeCloseTo(1, 5);
      expect([scored.map.rows, scored.map.columns]).toEqual([4, 8]);
    }
  });

  it("scores frames as the model was tested in training", async () => {
    const size = { height: 32, width: 64 };
    const video = waves(9, size);
    const tested = { rule: "sum", scoring: "top-anomaly", tokens: "visible", topK: 2, minMotion: 0 };
    const trained = { ...tiny, settings: { ...tiny.settings, tested } };
    const [plain, all] = [await detect(video, size, {}), await detect(video, size, { tokenMaps: true })];
    const own = await detect(video, size, {}, trained);
    for (const [i, { score, map, tokens, studentError }] of own.entries()) {
      const { anomaly, visible, ...maps } = all[i].tokens as TokenMaps;
      const kept = [...anomaly].filter((_, token) => visible[token] === 1).sort((a, b) => b - a);
      expect(score).toBe((kept[0] + kept[1]) / 2);
      expect(map).toEqual({ rows: maps.rows, columns: maps.columns, data: anomaly });
      expect([tokens, studentError]).toEqual([undefined, plain[i]?.studentError]);
    }
    // Options and a preset come first.
    const maximum = await detect(video, size, { frameScore: { scoring: "maximum" } }, trained);
    const mean = await detect(video, size, { preset: "avenue" }, trained);
    for (const [i, { tokens, score }] of all.entries()) {
      const { student, target, visible } = tokens as TokenMaps;
      const errors = [...student].map((error, token) => (visible[token] ? error + target[token] : 0));
      expect(maximum[i]?.score).toBeCloseTo(Math.max(...errors), 6);
      expect([score, mean[i]?.score]).toEqual([plain[i]?.score, plain[i]?.score]);
    }
  });

  it("gives the same scores for the same seed at any batch size, others for another seed", async () => {
    const size = { height: 32, width: 64 };
    const video = waves(9, size);
    const one = await detect(video, size, { seed: 5, batch: 1 });
    expect(one.map((r) => r.frame)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    for (const batch of [2, 4, 16]) {
      const results = await detect(video, size, { seed: 5, batch });
      results.forEach((r, i) => {
        expect(r.score / one[i].score).toBeCloseTo(1, 5);
      });
    }
    expect(await detect(video, size, { seed: 5, batch: 1 })).toEqual(one);
    const other = await detect(video, size, { seed: 6, batch: 1 });
    expect(other.map((r) => r.score)).not.toEqual(one.map((r) => r.score));
  });

  it("resizes frames of another size, and predicts an anomaly map", async () => {
    const source = { height: 45, width: 71 };
    const detector = await Detector.open(tiny, { gpu: gpu(), size: { height: 64, width: 96 }, anomalyMap: true });
    open.push(detector);
    let count = 0;
    for await (const { anomalyMap } of detector.stream(fromIterable(waves(4, source), source))) {
      expect([anomalyMap?.rows, anomalyMap?.columns, anomalyMap?.data.length]).toEqual([64, 96, 64 * 96]);
      expect(anomalyMap?.data.every((v) => v >= 0 && v <= 1)).toBe(true);
      count++;
    }
    expect(count).toBe(4);
  });

  it("creates no GPU objects once it is running, and can be left early", async () => {
    const size = { height: 32, width: 64 };
    const detector = await Detector.open(tiny, { gpu: gpu(), size });
    open.push(detector);
    let after = 0;
    let released = false;
    async function* endless() {
      try {
        for (;;) yield waves(1, size)[0];
      } finally {
        released = true;
      }
    }
    let seen = 0;
    for await (const _ of detector.stream(fromIterable(endless(), size))) {
      seen++;
      if (seen === 3) after = gpu().createdObjects;
      if (seen === 20) break;
    }
    expect(gpu().createdObjects).toBe(after);
    expect(released).toBe(true);
    // A second stream may follow.
    const again: FrameScore[] = [];
    for await (const result of detector.stream(fromIterable(waves(2, size), size))) again.push(result);
    expect(again).toHaveLength(2);
  });

  describe.each([
    ["on a software adapter", (device: Gpu) => device],
    ["uploading through mapped buffers, as on a GPU", asGpu],
  ] as const)("with several sources, %s", (_, taken) => {
    const size = { height: 32, width: 64 };
    const lengths = [9, 4, 1, 12];
    const videos = lengths.map((count, i) => waves(count, size).map((frame) => frame.map((v) => v ^ (37 * i))));
    const sources = () => videos.map((frames, i) => fromIterable(frames, { ...size, name: `camera ${i}` }));
    const options = { size, seed: 5, dtype: "f32", tune: false } as const;

    it("gives each source the scores that it gets alone, in order, in full and in prompt batches", async () => {
      const alone: FrameScore[][] = [];
      for (const video of videos) alone.push(await detect(video, size, { seed: 5, batch: 1 }));
      for (const [batch, prompt] of [
        [1, false],
        [3, false],
        [4, true],
      ] as const) {
        const detector = await Detector.open(tiny, { gpu: taken(gpu()), batch, ...options });
        open.push(detector);
        const together = videos.map((): StreamScore[] => []);
        for await (const score of detector.streams(sources(), { prompt })) together[score.source]?.push(score);
        expect(together.map((scores) => scores.map(({ index }) => index))).toEqual(
          lengths.map((n) => [...Array(n).keys()]),
        );
        together.forEach((scores, i) => {
          for (const { score, index } of scores) expect(score / (alone[i]?.[index]?.score ?? 0)).toBeCloseTo(1, 4);
        });
      }
    });

    it("scores the newest frames only if asked to, as they are scored alone, and lets no source wait", async () => {
      const long = waves(40, size);
      const alone = await detect(long, size, { seed: 5, batch: 1 });
      const detector = await Detector.open(tiny, { gpu: taken(gpu()), batch: 2, ...options });
      open.push(detector);
      let [read, seen] = [0, 0];
      const fast = fromIterable(
        (async function* () {
          for (const frame of long) {
            read++;
            yield frame;
          }
        })(),
        size,
      );
      const scored: StreamScore[] = [];
      for await (const score of detector.streams([fast, fromIterable(waves(3, size), size)], { latest: true })) {
        if (score.source === 0) scored.push(score);
        if (seen++ === 0) expect(read).toBeGreaterThan(2 * detector.batch + 7);
      }
      const indices = scored.map(({ index }) => index);
      expect(indices).toEqual([...indices].sort((a, b) => a - b));
      expect(indices.length).toBeLessThan(40);
      expect(indices.at(-1)).toBe(39);
      for (const { score, index } of scored) expect(score / alone[index].score).toBeCloseTo(1, 4);
    });

    it("ends a stream whose frames wait for room, and begins another one", async () => {
      const [frame] = waves(1, size);
      const live = fromIterable(
        (async function* () {
          for (;;) {
            await new Promise((resolve) => setImmediate(resolve));
            yield frame;
          }
        })(),
        size,
      );
      const detector = await Detector.open(tiny, { gpu: taken(gpu()), batch: 2, ...options });
      open.push(detector);
      for await (const _ of detector.streams([live], { latest: true })) {
        // No step follows meanwhile, and so many frames come that all room for uploads is taken.
        await new Promise((resolve) => setTimeout(resolve, 300));
        break;
      }
      const indices: number[] = [];
      for await (const { index } of detector.stream(fromIterable(waves(4, size), size))) indices.push(index);
      expect(indices).toEqual([0, 1, 2, 3]);
    });

    it("creates no GPU objects once it is running, and closes all sources when it is left", async () => {
      const released = [false, false];
      const endless = (i: number) =>
        fromIterable(
          (async function* () {
            try {
              for (;;) yield waves(1, size)[0];
            } finally {
              released[i] = true;
            }
          })(),
          size,
        );
      const device = taken(gpu());
      const detector = await Detector.open(tiny, { gpu: device, batch: 2, ...options });
      open.push(detector);
      let [seen, after] = [0, 0];
      for await (const _ of detector.streams([endless(0), endless(1)])) {
        seen++;
        if (seen === 4) after = device.createdObjects;
        if (seen === 30) break;
      }
      expect(device.createdObjects).toBe(after);
      expect(released).toEqual([true, true]);
    });

    it("ends all sources with the error of the one that fails, and refuses different sizes", async () => {
      const detector = await Detector.open(tiny, { gpu: taken(gpu()), batch: 2, ...options });
      open.push(detector);
      const failing = () =>
        fromIterable(
          (async function* () {
            for (const frame of waves(5, size)) yield frame;
            throw new InputError("the camera is gone");
          })(),
          size,
        );
      let scores: StreamScore[] = [];
      const all = async (list: Parameters<Detector["streams"]>[0]) => {
        scores = [];
        for await (const score of detector.streams(list)) scores.push(score);
      };
      const whole = await detect(waves(5, size), size, { seed: 5, batch: 1 });
      const expectWhole = (source: number) => {
        const own = scores.filter((score) => score.source === source);
        expect(own.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
        own.forEach(({ score }, i) => {
          expect(score / (whole[i]?.score ?? 0)).toBeCloseTo(1, 4);
        });
      };
      // The frames before the error are scored, also those in flight.
      await expect(all([failing()])).rejects.toThrow("the camera is gone");
      expectWhole(0);
      await expect(all([fromIterable(waves(50, size), size), failing()])).rejects.toThrow("the camera is gone");
      expectWhole(1);
      expect(scores.length).toBeLessThan(40);
      const other = { height: 16, width: 64 };
      await expect(all([sources()[0], fromIterable(waves(3, other), { ...other, name: "b" })])).rejects.toThrow(
        new InputError("b is 64×16 pixels, camera 0 is 64×32: streams that are scored together must have one size"),
      );
      await all([]);
      await all(sources());
    });
  });

  it("says how many tensors of a checkpoint were left out", async () => {
    const lines: string[] = [];
    const options = { gpu: gpu(), size: { height: 64, width: 96 }, onNotice: (line: string) => lines.push(line) };
    for (const leftOut of [undefined, 2]) {
      const checkpoint = { ...tiny, leftOut, source: "lightning.pth" };
      (await Detector.open(checkpoint, options)).close();
    }
    expect(lines).toEqual(["lightning.pth: left out: 2 tensors outside of the network"]);
  });

  it("names the setting that is wrong", async () => {
    const tries: [DetectorOptions, string][] = [
      [{ size: { height: 100, width: 96 } }, "size 100x96 does not divide into patches of 16 pixels; 96x96 does"],
      [{ size: { height: 64, width: 96 }, maskRatio: 0.9 }, "mask ratio 0.9 leaves no grid"],
      [{ seed: -1 }, "seed -1 is not a whole number"],
      [{ batch: 0 }, "batch 0 is not a whole number"],
      [
        { size: { height: 64, width: 96 }, maskRatio: 0, maskedOnly: true },
        "over removed tokens only, but mask ratio 0 removes none",
      ],
    ];
    for (const [options, message] of tries) {
      expect(await refusal(Detector.open(tiny, { gpu: gpu(), ...options }))).toContain(message);
    }
  });
});

describe("the first use of a GPU", () => {
  const size = { height: 64, width: 64 };
  const checkpoint = randomCheckpoint({ ...tinyConfig, encoderWidth: 16, decoderWidth: 16 }, 1);
  const random = new Random(3);
  const frames = Array.from({ length: 4 }, () => random.bytes(size.height * size.width * 3));

  async function scores(on: Gpu, options: DetectorOptions, signal?: AbortSignal): Promise<number[]> {
    const detector = await Detector.open(checkpoint, {
      gpu: on,
      size,
      maskRatio: 0,
      batch: 2,
      dtype: "f32",
      ...options,
    });
    try {
      const found: number[] = [];
      for await (const { score } of detector.stream(
        fromIterable(() => frames, size),
        signal,
      ))
        found.push(score);
      return found;
    } finally {
      detector.close();
    }
  }

  it("checks and tunes kernels once, and not with tune: false", { timeout: 600_000 }, async () => {
    const own = asGpu(gpu());
    own.tuning = new Map();
    const kept: string[] = [];
    own.keepTuning = async (choices) => kept.push(...choices.keys());
    const lines: string[] = [];
    const onNotice = (line: string) => lines.push(line);

    const untuned = await scores(own, { tune: false, onNotice });
    expect(lines).toEqual([]);
    expect(own.tuning.size).toBe(0);

    const controller = new AbortController();
    controller.abort(new Error("enough"));
    await expect(scores(own, { onNotice }, controller.signal)).rejects.toThrow("enough");
    expect(own.tuning.size).toBe(0);
    lines.length = 0;

    const before = own.allocatedBytes;
    const tuned = await scores(own, { onNotice });
    expect(own.allocatedBytes).toBe(before);
    expect(lines).toEqual([`checking kernels on ${own.adapter.description}: at most 5 s, once per model and size`]);
    expect([...own.tuning.keys()]).toEqual(kept);
    expect(kept.some((key) => key.startsWith("linear f32 "))).toBe(true);
    for (const [i, score] of tuned.entries()) expect(Math.abs(score / untuned[i] - 1)).toBeLessThan(1e-5);

    lines.length = 0;
    expect(await scores(own, { onNotice })).toEqual(tuned);
    expect(lines).toEqual([]);

    // On a software adapter nothing is checked.
    await scores(gpu(), { onNotice });
    expect(lines).toEqual([]);
  });
});

it("refuses a promise of a source, which a forgotten await leaves", async () => {
  const detector = await Detector.open(tiny, { gpu: gpu() });
  open.push(detector);
  const promised = Promise.resolve() as unknown as FrameSource;
  await expect(detector.stream(promised).next()).rejects.toThrow("a promise: await it first");
});
