import { describe, expect, it } from "vitest";
import { boxIou, type Detection, type RegionVideo, regionMetrics } from "../../src/eval/region_metrics.js";
import { Random } from "../support/numbers.js";

// test/fixture/metrics.test.ts compares RBDC and TBDC with the original's.
const box = (x: number, size = 9) => ({ x1: x, y1: 0, x2: x + size, y2: size });
const region = (track: number, frame: number, x = 0) => ({ track, frame, ...box(x) });
const detection = (frame: number, score: number, x = 0) => ({ frame, score, ...box(x) });
/** An x at which there is no ground truth. */
const elsewhere = 500;

/**
 * The metrics by definition, without state. For the first n detections, for every n: what they find
 * together, and how many find nothing. Then the area under these points, cut or extended at 1.
 */
function bruteForce(videos: readonly RegionVideo[], frameCount: number, alpha: number, beta: number) {
  const regions = videos.flatMap(({ tracks }, video) => tracks.map((truth) => ({ video, truth })));
  const keys = [...new Set(regions.map(({ video, truth }) => `${video} ${truth.track}`))];
  const all = videos.flatMap(({ detections }, video) => detections.map((d) => ({ video, d })));
  // A stable selection sort: each time the first of the highest.
  const sorted: typeof all = [];
  while (sorted.length < all.length) {
    const left = all.filter((entry) => !sorted.includes(entry));
    const best = Math.max(...left.map(({ d }) => d.score));
    sorted.push(left.find(({ d }) => d.score === best)!);
  }
  const finds = (entry: (typeof all)[number], { video, truth }: (typeof regions)[number]) =>
    entry.video === video && entry.d.frame === truth.frame && pixelIou(entry.d, truth) >= beta;
  const points = Array.from({ length: sorted.length + 1 }, (_, count) => {
    const first = sorted.slice(0, count);
    const found = regions.map((r) => first.some((entry) => finds(entry, r)));
    const shares = keys.map((key) => {
      const own = found.filter((_, i) => `${regions[i].video} ${regions[i].truth.track}` === key);
      return own.filter(Boolean).length / own.length;
    });
    return {
      fpr: first.filter((entry) => !regions.some((r) => finds(entry, r))).length / frameCount,
      rbdr: found.filter(Boolean).length / regions.length,
      tbdr: shares.filter((share) => share >= alpha).length / keys.length,
    };
  });
  const last = points.at(-1)!;
  const cut = [...points.filter(({ fpr }) => fpr <= 1), ...(last.fpr < 1 ? [{ ...last, fpr: 1 }] : [])];
  const areaOf = (key: "rbdr" | "tbdr") =>
    cut.reduce((sum, p, i) => sum + (i ? ((p.fpr - cut[i - 1].fpr) * (p[key] + cut[i - 1][key])) / 2 : 0), 0);
  return { rbdc: areaOf("rbdr"), tbdc: areaOf("tbdr"), falsePositives: Math.round(last.fpr * frameCount) };
}

/** Intersection over union by counting pixels. */
function pixelIou(a: Detection, b: { x1: number; y1: number; x2: number; y2: number }): number {
  const pixels = ({ x1, y1, x2, y2 }: typeof b) => {
    const set = new Set<number>();
    for (let y = y1; y <= y2; y++) for (let x = x1; x <= x2; x++) set.add(y * 1000 + x);
    return set;
  };
  const [p, q] = [pixels(a), pixels(b)];
  const both = [...p].filter((pixel) => q.has(pixel)).length;
  return both === 0 ? 0 : both / (p.size + q.size - both);
}

const areaUnder = (x: readonly number[], y: readonly number[]) =>
  x.reduce((sum, v, i) => sum + (i ? ((v - x[i - 1]) * (y[i] + y[i - 1])) / 2 : 0), 0);

describe("RBDC and TBDC", () => {
  it("agree with the definition on random detections, with ties and other α and β", () => {
    const random = new Random(11);
    let beyondOne = 0;
    for (let round = 0; round < 40; round++) {
      const alpha = [0.1, 0.5, 1, 0.01 + 0.99 * random.next()][round % 4];
      const beta = [0.1, 0.3, 0.01 + 0.99 * random.next()][round % 3];
      const videos = Array.from({ length: 1 + random.integer(3) }, (_, v) => {
        const tracks = Array.from({ length: random.integer(8) + (v === 0 ? 1 : 0) }, (_, i) => {
          const [x, y] = [random.integer(10), random.integer(10)];
          return {
            track: random.integer(3),
            frame: i % 5,
            x1: x,
            y1: y,
            x2: x + random.integer(6),
            y2: y + random.integer(6),
          };
        });
        const detections = Array.from({ length: random.integer(20) }, () => {
          const [x, y] = [random.integer(12), random.integer(12)];
          // Some have swapped corners.
          const [w, h] = [random.integer(8) - 1, random.integer(8) - 1];
          return { frame: random.integer(6), x1: x, y1: y, x2: x + w, y2: y + h, score: random.integer(6) / 5 };
        });
        return { name: `${v}`, tracks, detections };
      });
      const frameCount = 5 * videos.length;
      const got = regionMetrics(videos, frameCount, { alpha, beta });
      const want = bruteForce(videos, frameCount, alpha, beta);
      expect(got.rbdc).toBeCloseTo(want.rbdc, 12);
      expect(got.tbdc).toBeCloseTo(want.tbdc, 12);
      expect(got.falsePositives).toBe(want.falsePositives);
      // The areas under the returned curves are the same.
      const { fpr, rbdr, tbdr } = got.curves;
      expect([fpr[0], fpr.at(-1)]).toEqual([0, 1]);
      expect(areaUnder(fpr, rbdr)).toBeCloseTo(want.rbdc, 12);
      expect(areaUnder(fpr, tbdr)).toBeCloseTo(want.tbdc, 12);
      if (want.falsePositives > frameCount) beyondOne++;
    }
    expect(beyondOne).toBeGreaterThan(3);
  });

  it("count a region once, and every region that one detection overlaps", () => {
    const tracks = [region(0, 0), region(1, 0, 2), region(0, 1)];
    // The first detection finds two of three regions. The second finds them again: neither found
    // nor false. Then a false alarm, then the third region.
    const detections = [detection(0, 0.9, 1), detection(0, 0.8, 1), detection(0, 0.7, elsewhere), detection(1, 0.6)];
    const { rbdc, tbdc, curves, falsePositives } = regionMetrics([{ name: "", tracks, detections }], 4, { alpha: 0.6 });
    expect(falsePositives).toBe(1);
    expect(rbdc).toBeCloseTo((2 / 3) * 0.25 + 0.75, 14);
    // At first only half of track 0 was found.
    expect(tbdc).toBeCloseTo(0.5 * 0.25 + 0.75, 14);
    expect(curves).toEqual({ fpr: [0, 0.25, 0.25, 1], rbdr: [2 / 3, 2 / 3, 1, 1], tbdr: [0.5, 0.5, 1, 1] });
  });

  it("keep videos apart, even with the same frame and track numbers", () => {
    const videos = [
      { name: "01", tracks: [region(0, 3)], detections: [] },
      { name: "02", tracks: [region(0, 3)], detections: [detection(3, 1)] },
      { name: "03", tracks: [], detections: [detection(3, 2)] },
    ];
    const { rbdc, tbdc, falsePositives } = regionMetrics(videos, 10);
    expect(falsePositives).toBe(1);
    // Nothing up to 0.1 false positives per frame, then one of two.
    expect(rbdc).toBeCloseTo(0.45, 14);
    expect(tbdc).toBeCloseTo(0.45, 14);
  });

  it("take equal scores in the order given", () => {
    const [hit, miss] = [detection(0, 1), detection(0, 1, elsewhere)];
    const of = (...detections: Detection[]) =>
      regionMetrics([{ name: "", tracks: [region(0, 0)], detections }], 2).rbdc;
    expect(of(hit, miss)).toBe(1);
    expect(of(miss, hit)).toBe(0.5);
  });

  it("find a track at exactly a share α of its regions", () => {
    const tracks = Array.from({ length: 30 }, (_, frame) => region(0, frame));
    const found = (count: number) =>
      regionMetrics([{ name: "", tracks, detections: Array.from({ length: count }, (_, f) => detection(f, 1)) }], 30)
        .tbdc;
    expect([found(2), found(3)]).toEqual([0, 1]);
  });

  it("end at one false positive per frame", () => {
    // Two frames; the region is found only after the second false positive.
    const detections = [detection(0, 3, elsewhere), detection(1, 2, elsewhere), detection(0, 1)];
    const { rbdc, curves, falsePositives } = regionMetrics([{ name: "", tracks: [region(0, 0)], detections }], 2);
    expect([rbdc, falsePositives]).toEqual([0, 2]);
    expect(curves).toEqual({ fpr: [0, 1], rbdr: [0, 0], tbdr: [0, 0] });
  });

  it("are 0 without detections, and absent without ground truth; frames that do not exist hold nothing", () => {
    expect(regionMetrics([{ name: "", tracks: [region(0, 0)], detections: [] }], 5)).toMatchObject({
      rbdc: 0,
      tbdc: 0,
    });
    const none = regionMetrics([{ name: "", tracks: [], detections: [detection(0, 1)] }], 5);
    expect(none).not.toHaveProperty("rbdc");
    expect(none).not.toHaveProperty("tbdc");
    const outside = regionMetrics(
      [{ name: "", tracks: [region(0, 0)], detections: [detection(-1, 1), detection(99, 1)] }],
      5,
    );
    expect(outside).toMatchObject({ rbdc: 0, falsePositives: 2 });
  });

  it("measure 100,000 detections", () => {
    // Every frame has a region. Hits and false alarms take turns down to the last detection.
    const frames = 50_000;
    const tracks = Array.from({ length: frames }, (_, frame) => region(frame % 7, frame));
    const detections = Array.from({ length: 2 * frames }, (_, i) => detection(i >> 1, -i, i % 2 ? elsewhere : 0));
    const { rbdc } = regionMetrics([{ name: "", tracks, detections }], frames);
    // Step k of n is k/n high: (n + 1) / 2n in all.
    expect(rbdc).toBeCloseTo((frames + 1) / (2 * frames), 12);
  });

  it("refuse what cannot be measured", () => {
    const videos = [{ name: "04", tracks: [region(0, 0)], detections: [detection(7, Number.NaN)] }];
    expect(() => regionMetrics(videos, 5)).toThrow("04: a detection in frame 7 has the score NaN");
    expect(() => regionMetrics([], 0)).toThrow("0 frames");
    expect(() => regionMetrics([], 5, { alpha: 0 })).toThrow("alpha is 0; it must be above 0 and at most 1");
    expect(() => regionMetrics([], 5, { beta: 1.5 })).toThrow("beta is 1.5");
  });
});

describe("intersection over union", () => {
  it("counts inclusive pixels", () => {
    expect(boxIou(box(0), box(0))).toBe(1);
    expect(boxIou(box(0), box(5))).toBeCloseTo(50 / 150, 14);
    expect(boxIou(box(0), box(9))).toBeCloseTo(10 / 190, 14);
    expect(boxIou(box(0), box(10))).toBe(0);
    expect(boxIou({ x1: 5, y1: 5, x2: 4, y2: 4 }, box(0))).toBe(0);
  });
});
