import { vec3 } from "gl-matrix";
import { describe, expect, it } from "vitest";
import type { Frame } from "../../src/data/frame.js";
import { type Actor, type SceneAnomaly, sceneAnomalies } from "../../src/data/scene/actors.js";
import { Camera } from "../../src/data/scene/camera.js";
import { sceneDataset } from "../../src/data/scene/dataset.js";
import { Draw } from "../../src/data/scene/draw.js";
import { drawPerson, figure, gaitPose, strideLength } from "../../src/data/scene/figure.js";
import { throwBall } from "../../src/data/scene/motion.js";
import { createCanvas, fillPolygon, fillStroke } from "../../src/data/scene/raster.js";
import { createScene, LEAST_PIXELS, type SceneVideo } from "../../src/data/scene/scene.js";
import { capsule, type Part, paintParts } from "../../src/data/scene/solids.js";
import { Stage } from "../../src/data/scene/stage.js";
import { InputError } from "../../src/errors.js";

const [width, height, fps] = [120, 80, 25];
const scene = createScene({ seed: 3, width, height, fps });
const normal = scene.video({ index: 0, frames: 100, anomalies: "none" });
const abnormal = new Map(
  sceneAnomalies.map((kind, i) => [kind, scene.video({ index: 10 + i, frames: 200, anomalies: [kind] })]),
);
const videoOf = (kind: SceneAnomaly) => abnormal.get(kind) as SceneVideo;
const gravity = 9.81;
const dt = 0.01;

/** The abnormal actor in the video of a kind. */
function culprit(kind: SceneAnomaly) {
  const actor = videoOf(kind).actors.find(({ anomaly }) => anomaly) as Actor;
  return { actor, anomaly: actor.anomaly as NonNullable<Actor["anomaly"]> };
}

/** Metres per second, from the difference of two places. */
function velocity(actor: Actor, time: number): { x: number; z: number; speed: number } {
  const [a, b] = [actor.at(time - dt / 2), actor.at(time + dt / 2)];
  const [x, z] = [(b.x - a.x) / dt, (b.z - a.z) / dt];
  return { x, z, speed: Math.hypot(x, z) };
}

/** The lane of a place. */
function laneAt({ x, z }: { x: number; z: number }, towards?: { x: number; z: number }) {
  return scene.lanes.find((lane) => {
    const beside = Math.abs((x - lane.x) * -lane.dz + (z - lane.z) * lane.dx);
    const along = towards ? towards.x * lane.dx + towards.z * lane.dz : 1;
    return beside <= lane.halfWidth + 0.01 && along > 0.99 * (towards ? Math.hypot(towards.x, towards.z) : 1);
  });
}

const heights = (parts: readonly Part[]) => {
  const ends = parts.flatMap((part) =>
    "corners" in part
      ? part.corners.map((corner) => [corner[1], corner[1]])
      : [
          [part.a[1] - part.aRadius, part.a[1] + part.aRadius],
          [part.b[1] - part.bRadius, part.b[1] + part.bRadius],
        ],
  );
  return { low: Math.min(...ends.map((end) => end[0])), high: Math.max(...ends.map((end) => end[1])) };
};

describe("the camera", () => {
  it("maps like a pinhole camera", () => {
    const fieldOfView = 0.8;
    const camera = new Camera({ eye: [1, 4, 2], target: [1, 1, -6], fieldOfView, width, height });
    const focal = height / 2 / Math.tan(fieldOfView / 2);
    expect(camera.focal).toBeCloseTo(focal, 6);
    // By hand: turned down around the x axis by the angle whose tangent is 3/8.
    const [sine, cosine] = [3 / Math.hypot(3, 8), 8 / Math.hypot(3, 8)];
    for (const [x, y, z] of [
      [0, 0, -5],
      [3, 1.8, -12],
      [-2, 0.3, -3],
    ]) {
      const [right, up, away] = [x - 1, y - 4, 2 - z];
      const depth = away * cosine - up * sine;
      const seen = camera.project([x, y, z]);
      expect(seen.depth).toBeCloseTo(depth, 4);
      expect(seen.x).toBeCloseTo(width / 2 + (focal * right) / depth, 3);
      expect(seen.y).toBeCloseTo(height / 2 - (focal * (up * cosine + away * sine)) / depth, 3);
      const back = vec3.scaleAndAdd(vec3.create(), [1, 4, 2], camera.ray(seen.x, seen.y), depth);
      for (const [i, wanted] of [x, y, z].entries()) expect(back[i]).toBeCloseTo(wanted, 3);
    }
  });

  it("sees a person of height h at depth d as h · focal / d pixels", () => {
    const camera = new Camera({ eye: [0, 1, 0], target: [0, 1, -1], fieldOfView: 0.7, width, height });
    const person = { ...drawPerson(new Draw(5)), height: 1.8, bag: "none" as const };
    const standing = figure(person, gaitPose(person, 0, 0));
    const { low, high } = heights(standing);
    expect(low).toBeCloseTo(0, 2);
    expect(high).toBeCloseTo(1.8, 3);
    for (const depth of [5, 9, 16]) {
      const canvas = createCanvas(width, height);
      const moved = standing.map((part) =>
        "corners" in part
          ? part
          : {
              ...part,
              a: [part.a[0], part.a[1], part.a[2] - depth] as const,
              b: [part.b[0], part.b[1], part.b[2] - depth] as const,
            },
      );
      paintParts(canvas, camera, moved, [0, 1, 0], 1, 1);
      const rows = Array.from({ length: height }, (_, y) => y).filter((y) =>
        canvas.owner.subarray(y * width, (y + 1) * width).includes(1),
      );
      const wanted = (1.8 * camera.focal) / depth;
      expect(Math.abs(rows.length - wanted)).toBeLessThan(1.5 + 0.03 * wanted);
      expect(Math.abs((rows.at(-1) as number) + 1 - (height / 2 + camera.focal / depth))).toBeLessThan(
        1.5 + 0.03 * wanted,
      );
    }
  });
});

describe("the rasteriser", () => {
  const drawn = (draw: (canvas: ReturnType<typeof createCanvas>) => void) => {
    const canvas = createCanvas(width, height, true);
    draw(canvas);
    return (canvas.alpha as Float32Array).reduce((sum, value) => sum + value, 0);
  };

  it("covers the area of strokes and polygons", () => {
    const stroke = { ax: 20.3, ay: 30.7, aRadius: 6, bx: 60.1, by: 44.2, bRadius: 6 };
    const length = Math.hypot(39.8, 13.5);
    const area = drawn((canvas) => fillStroke(canvas, stroke, [1, 1, 1], 1, 0, 0, 1));
    expect(area / (Math.PI * 36 + 12 * length)).toBeCloseTo(1, 2);
    const thin = drawn((canvas) =>
      fillStroke(canvas, { ...stroke, aRadius: 0.2, bRadius: 0.2 }, [1, 1, 1], 1, 0, 0, 1),
    );
    expect(thin / (0.4 * length)).toBeCloseTo(1, 1);
    const corners = [
      [10.5, 12],
      [50, 8.25],
      [42, 61.5],
    ] as const;
    const shoelace = Math.abs((50 - 10.5) * (61.5 - 12) - (42 - 10.5) * (8.25 - 12)) / 2;
    for (const points of [corners, [...corners].reverse()]) {
      const polygon = drawn((canvas) => fillPolygon(canvas, points, [1, 1, 1], 1, 1));
      expect(polygon / shoelace).toBeCloseTo(1, 2);
    }
  });

  it("gives the nearest thing in each pixel", () => {
    const stage = new Stage(1, width, height, "wide", false);
    // Where nothing stands in the street.
    const ball = (depthShare: number, owner: number) => {
      const { eye } = stage.camera;
      const at = vec3.scaleAndAdd(vec3.create(), eye, stage.camera.ray(92, 44), 14 * depthShare);
      return { parts: [capsule(at, at, depthShare, [9, 9, 9])], x: at[0], z: at[2], depth: 14 * depthShare, owner };
    };
    const count = (standing: ReturnType<typeof ball>[], owner: number) =>
      stage.owners(standing).reduce((sum, value) => sum + (value === owner ? 1 : 0), 0);
    const disc = Math.PI * (stage.camera.focal / 14) ** 2;
    expect(Math.abs(count([ball(1, 1)], 1) - disc)).toBeLessThan(0.1 * disc);
    expect(count([ball(1, 1), ball(0.5, 0)], 1)).toBe(0);
    expect(count([ball(1, 0), ball(0.5, 1)], 1)).toBe(count([ball(1, 1)], 1));
    // Half as large in the image: it hides a quarter.
    const small = {
      ...ball(0.5, 0),
      parts: ball(0.5, 0).parts.map((part) => ({ ...part, aRadius: 0.25, bRadius: 0.25 })),
    };
    expect(Math.abs(count([ball(1, 1), small], 1) - 0.75 * disc)).toBeLessThan(0.1 * disc);
  });
});

describe("movement", () => {
  it("of a thrown ball is a parabola until it lands, and never goes below the ground", () => {
    const path = throwBall([1, 2, -9], [5, 5.5, 1], 0.15);
    const landing = (5.5 + Math.sqrt(5.5 ** 2 + 2 * gravity * 1.85)) / gravity;
    for (let t = 0; t < landing; t += 0.05) {
      const { x, y, z } = path(t);
      expect([x, y, z]).toEqual([
        expect.closeTo(1 + 5 * t, 9),
        expect.closeTo(2 + 5.5 * t - (gravity / 2) * t * t, 9),
        expect.closeTo(-9 + t, 9),
      ]);
    }
    for (let t = 0, last = 1; t < 30; t += 0.02) {
      const { x, y } = path(t);
      expect(y).toBeGreaterThan(0.15 - 1e-9);
      expect(x).toBeGreaterThanOrEqual(last - 1e-9);
      last = x;
    }
    expect(path(40)).toEqual(path(30));
  });

  it("of the thrown object in a video obeys gravity after the hand lets go", () => {
    const { actor, anomaly } = culprit("thrown-object");
    const centre = (time: number) => (actor.parts(time)[0] as { a: vec3 }).a[1];
    const thrower = videoOf("thrown-object").actors[0];
    expect(thrower.anomaly).toBeUndefined();
    const released = actor.at(anomaly.begin);
    expect(Math.hypot(released.x - thrower.at(anomaly.begin).x, released.z - thrower.at(anomaly.begin).z)).toBeLessThan(
      0.6,
    );
    for (let t = 0.1; t < 0.9; t += 0.1) {
      const at = anomaly.begin + t;
      expect((centre(at + 0.1) - 2 * centre(at) + centre(at - 0.1)) / 0.01).toBeCloseTo(-gravity, 3);
    }
  });

  it("on foot keeps a foot on the ground that does not slide", () => {
    for (const [seed, speed, running] of [
      [1, 1.1, false],
      [2, 1.6, false],
      [3, 4.5, true],
    ] as const) {
      const person = drawPerson(new Draw(seed));
      const stride = strideLength(person, speed, running);
      const pose = (way: number) => gaitPose(person, way / stride, stride, running);
      let planted = 0;
      for (let way = 0; way < 2 * stride; way += 0.02) {
        const [now, next] = [pose(way), pose(way + 0.02)];
        const { low } = heights(figure(person, now));
        expect(low).toBeGreaterThan(-0.01);
        if (!running) expect(low).toBeLessThan(0.02);
        for (const foot of [0, 1]) {
          const [a, b] = [now.toes[foot], next.toes[foot]];
          if (Math.max(a[1], b[1]) > 0.0221 * person.height) continue;
          planted++;
          expect(a[2] + way).toBeCloseTo(b[2] + way + 0.02, 6);
        }
      }
      expect(planted).toBeGreaterThan(0.4 * ((2 * stride) / 0.02));
    }
  });

  it("of normal people follows their lane, with feet on the ground and without collisions", () => {
    const { actors } = normal;
    expect(actors.length).toBeGreaterThan(8);
    const directions = new Set<string>();
    for (const actor of actors) {
      expect(actor.anomaly).toBeUndefined();
      for (let time = Math.max(actor.begin, 0) + dt; time < Math.min(actor.end, 4); time += 0.3) {
        const going = velocity(actor, time);
        expect(going.speed).toBeGreaterThan(1.1 - 1e-6);
        expect(going.speed).toBeLessThan(1.6 + 1e-6);
        const lane = laneAt(actor.at(time), going);
        expect(lane).toBeDefined();
        directions.add(lane?.name as string);
        const { low, high } = heights(actor.parts(time));
        expect(low).toBeGreaterThan(-0.01);
        expect(low).toBeLessThan(0.02);
        expect(high).toBeGreaterThan(1.45);
        expect(high).toBeLessThan(1.95);
        for (const other of actors) {
          if (other === actor || time < other.begin || time > other.end) continue;
          const [a, b] = [actor.at(time), other.at(time)];
          expect(Math.hypot(a.x - b.x, a.z - b.z)).toBeGreaterThan(0.5);
        }
      }
    }
    expect([...directions].sort()).toEqual(["away", "far", "near", "towards"]);
  });

  it("of abnormal actors is what the name says", () => {
    const speeds = { runner: [3.5, 6], bicycle: [4, 6], cart: [3, 4.5] } as const;
    for (const [kind, [least, most]] of Object.entries(speeds)) {
      const { actor, anomaly } = culprit(kind as SceneAnomaly);
      const { speed } = velocity(actor, (anomaly.begin + anomaly.end) / 2);
      expect(speed).toBeGreaterThan(least - 1e-6);
      expect(speed).toBeLessThan(most + 1e-6);
    }
    const wrong = culprit("wrong-way");
    const lane = laneAt(wrong.actor.at(wrong.actor.begin), velocity(wrong.actor, wrong.actor.begin + dt));
    const along = (time: number) => {
      const { x, z } = velocity(wrong.actor, time);
      return x * (lane?.dx ?? 0) + z * (lane?.dz ?? 0);
    };
    for (let t = 0.1; t < 2; t += 0.1) {
      expect(along(wrong.anomaly.begin - t)).toBeGreaterThan(0);
      expect(along(wrong.anomaly.begin + t)).toBeLessThan(0);
    }
    expect(along(wrong.anomaly.begin + 1)).toBeLessThan(-1.1 + 1e-6);
    const { actor, anomaly } = culprit("loitering");
    const start = actor.at(anomaly.begin);
    for (let time = anomaly.begin; time < anomaly.end; time += 0.1) {
      const { x, z } = actor.at(time);
      expect(Math.hypot(x - start.x, z - start.z)).toBeLessThan(0.9);
    }
    // There are no jumps between the pieces of a movement.
    for (const one of [wrong.actor, actor]) {
      for (let time = one.begin; time < one.end; time += dt) expect(velocity(one, time).speed).toBeLessThan(1.65);
    }
  });
});

describe("a video", () => {
  it("is the same for the same seed, whatever was drawn before, and differs for another seed", () => {
    const again = createScene({ seed: 3, width, height, fps });
    const video = again.video({ index: 0, frames: 100, anomalies: "none" });
    const [late, early] = [video.render(70), video.render(20)];
    expect(normal.render(20)).toEqual(early);
    expect(normal.render(70)).toEqual(late);
    const differs = (a: Uint8Array, b: Uint8Array) =>
      a.filter((value, i) => Math.abs(value - b[i]) > 12).length / a.length;
    const otherPeople = again.video({ index: 1, frames: 100, anomalies: "none" }).render(20);
    const otherPlace = createScene({ seed: 4, width, height, fps }).video({ index: 0, frames: 100, anomalies: "none" });
    expect(differs(otherPeople.image, early.image)).toBeGreaterThan(0.005);
    expect(differs(otherPlace.render(20).image, early.image)).toBeGreaterThan(0.05);
    const moved = createScene({ seed: 3, width, height, fps, varyCamera: true });
    expect(moved.camera.eye).not.toEqual(scene.camera.eye);
    expect(again.camera.eye).toEqual(createScene({ seed: 4, width, height }).camera.eye);
  });

  it("shows the same place as the scene's other videos, in its own light, with noise", () => {
    const empty = [0, 1].map((index) => scene.video({ index, frames: 10, anomalies: "none", density: 0 }));
    const [a, b, next] = [empty[0].render(0).image, empty[1].render(0).image, empty[0].render(1).image];
    const mean = (image: Uint8Array) => image.reduce((sum, value) => sum + value, 0) / image.length;
    const gain = mean(a) / mean(b);
    expect(a.filter((value, i) => Math.abs(value - gain * b[i]) > 16).length / a.length).toBeLessThan(0.02);
    expect(Math.abs(gain - 1)).toBeGreaterThan(0.005);
    // Without people only noise and flicker change from frame to frame.
    const change = Math.sqrt(a.reduce((sum, value, i) => sum + (value - next[i]) ** 2, 0) / a.length);
    expect(change).toBeGreaterThan(1.5);
    expect(change).toBeLessThan(4.5);
  });

  it("has nothing abnormal unless requested", () => {
    for (let frame = 0; frame < normal.frameCount; frame++) {
      const { mask, boxes, label } = normal.truth(frame);
      expect([label, boxes.length, mask.includes(1), mask.length]).toEqual([0, 0, false, width * height]);
    }
  });

  it.each([...sceneAnomalies])("with %s has labels, masks and tracks that agree", (kind) => {
    const video = videoOf(kind);
    const { anomaly } = culprit(kind);
    const labels: number[] = [];
    for (let frame = 0; frame < video.frameCount; frame++) {
      const { mask, boxes, label } = video.truth(frame);
      labels.push(label);
      const pixels = [...mask.entries()].filter(([, value]) => value !== 0).map(([pixel]) => pixel);
      const [xs, ys] = [pixels.map((pixel) => pixel % width), pixels.map((pixel) => Math.floor(pixel / width))];
      const bounds = { x1: Math.min(...xs), y1: Math.min(...ys), x2: Math.max(...xs), y2: Math.max(...ys) };
      expect(boxes).toEqual(pixels.length === 0 ? [] : [{ track: 0, frame, ...bounds }]);
      expect(label).toBe(pixels.length === 0 ? 0 : 1);
      if (label === 1) {
        expect(pixels.length).toBeGreaterThanOrEqual(LEAST_PIXELS);
        expect(frame / fps).toBeGreaterThanOrEqual(anomaly.begin);
        expect(frame / fps).toBeLessThan(anomaly.end);
      }
    }
    // Normal at first, then abnormal for a while.
    expect(labels.slice(0, 30)).not.toContain(1);
    expect(labels.filter((label) => label === 1).length).toBeGreaterThan(kind === "thrown-object" ? 4 : 20);
    const middle = labels.indexOf(1) + 3;
    const { image, ...truth } = video.render(middle);
    expect(truth).toEqual(video.truth(middle));
    expect(image.length).toBe(width * height * 3);
  });

  it("separates two events", () => {
    const video = scene.video({ index: 40, frames: 200, anomalies: ["bicycle", "cart"] });
    const tracks = Array.from({ length: 200 }, (_, frame) => video.truth(frame).boxes).flat();
    expect(new Set(tracks.map(({ track }) => track))).toEqual(new Set([0, 1]));
    const first = (track: number) => tracks.find((box) => box.track === track)?.frame as number;
    expect(first(0)).toBeLessThan(first(1));
  });

  it("refuses invalid options and frames", () => {
    const refused = (make: () => unknown) => {
      expect(make).toThrow(InputError);
    };
    refused(() => createScene({ width: 4 }));
    refused(() => createScene({ fps: 0 }));
    refused(() => createScene({ seed: 0.5 }));
    refused(() => scene.video({ index: 0, frames: 0, anomalies: "none" }));
    refused(() => scene.video({ index: -0.5, frames: 1, anomalies: "none" }));
    refused(() => scene.video({ index: 0, frames: 1, anomalies: "none", density: -1 }));
    refused(() => scene.video({ index: 0, frames: 1, anomalies: ["dragon" as SceneAnomaly] }));
    refused(() => normal.render(100));
    refused(() => normal.truth(-1));
  });
});

describe("sceneDataset", () => {
  const options = { seed: 3, width, height, train: 2, test: 3, frames: 30 };

  it("gives normal videos to train on, and test videos with ground truth", async () => {
    const { layout, train, test } = sceneDataset(options);
    expect(layout).toBe("scene");
    expect([train, test].map((videos) => videos.map(({ name }) => name))).toEqual([
      ["01", "02"],
      ["01", "02", "03"],
    ]);
    for (const video of train)
      expect([video.labels, video.mask, video.tracks]).toEqual([undefined, undefined, undefined]);
    const [video] = test;
    const frames: Frame[] = [];
    for await (const frame of (await video.open()).frames()) frames.push(frame);
    expect(frames.map(({ number }) => number)).toEqual(Array.from({ length: 30 }, (_, i) => i));
    expect([frames[0].width, frames[0].height, frames[0].data.length]).toEqual([width, height, width * height * 3]);
    const labels = (await video.labels?.()) as Uint8Array;
    const tracks = (await video.tracks?.()) ?? [];
    expect(labels.length).toBe(30);
    expect(labels).toContain(1);
    for (const [frame, label] of labels.entries()) {
      const mask = await video.mask?.(frame);
      expect([mask?.width, mask?.height, mask?.data.includes(1)]).toEqual([width, height, label === 1]);
      expect(tracks.some((box) => box.frame === frame)).toBe(label === 1);
    }
  });

  it("has test videos that do not depend on the number of others", async () => {
    const last = sceneDataset({ ...options, train: 1, test: 6 }).test[3];
    const other = sceneDataset({ ...options, train: 0, test: 7 }).test[3];
    expect(await last.tracks?.()).toEqual(await other.tracks?.());
  });

  it("refuses invalid counts, and tests without anomalies", () => {
    expect(() => sceneDataset({ train: -1 })).toThrow(InputError);
    expect(() => sceneDataset({ test: 1.5 })).toThrow(InputError);
    expect(() => sceneDataset({ test: 1, anomalies: [] })).toThrow(InputError);
  });
});
