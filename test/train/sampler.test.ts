import { describe, expect, it } from "vitest";
import { pseudoAnomalyDefaults } from "../../src/data/anomalies/pseudo_anomaly.js";
import { type DrawnSample, Sampler } from "../../src/train/sampler.js";
import { Random } from "../support/numbers.js";
import { loadSet, noise } from "../support/training_set.js";
import { walk } from "../support/walkers.js";

describe("sampler", () => {
  it("takes every frame once per epoch, in an order that depends on seed and epoch only", async () => {
    const random = new Random(3);
    const set = await loadSet([noise(random, "v", { height: 8, width: 8 }, [...Array(40).keys()]).video]);
    const options = { seed: 7, size: { height: 8, width: 8 }, share: 0.25, pseudo: pseudoAnomalyDefaults };
    const order = (sampler: Sampler, epoch: number) =>
      Array.from({ length: 40 }, (_, i) => sampler.draw(epoch * 40 + i, epoch, i).frames[1]!);
    const sampler = new Sampler(set, options);
    const [first, second] = [order(sampler, 0), order(sampler, 1)];
    expect([...first].sort((a, b) => a - b)).toEqual([...Array(40).keys()]);
    expect([...second].sort((a, b) => a - b)).toEqual([...Array(40).keys()]);
    expect(second).not.toEqual(first);
    expect(first).not.toEqual([...Array(40).keys()]);
    expect(order(new Sampler(set, options), 1)).toEqual(second);
    expect(order(new Sampler(set, { ...options, seed: 8 }), 1)).not.toEqual(second);
  });

  it("takes all samples again if an epoch has more, in another order", async () => {
    const random = new Random(4);
    const set = await loadSet([noise(random, "v", { height: 8, width: 8 }, [...Array(40).keys()]).video], {});
    const options = { seed: 7, size: { height: 8, width: 8 }, share: 0, pseudo: pseudoAnomalyDefaults };
    const sampler = new Sampler(set, options);
    const order = Array.from({ length: 100 }, (_, i) => sampler.draw(i, 0, i).frames[1]);
    const [first, second] = [order.slice(0, 40), order.slice(40, 80)];
    for (const pass of [first, second]) expect(new Set(pass).size).toBe(40);
    expect(second).not.toEqual(first);
    expect(new Set(order.slice(80)).size).toBe(20);
    // A resumed run draws the same from anywhere.
    expect(new Sampler(set, options).draw(90, 0, 90).frames[1]).toBe(order[90]);
  });

  it("draws abnormal samples at the given rate", async () => {
    const random = new Random(4);
    const own = noise(random, "v", { height: 8, width: 8 }, [...Array(50).keys()]);
    const abnormal = { frames: own.video.open, masks: own.video.open };
    const set = await loadSet([{ ...own.video, abnormal }], { anomalies: "files" });
    const size = { height: 8, width: 8 };
    for (const share of [0, 0.25, 1]) {
      const sampler = new Sampler(set, { seed: 1, size, share, pseudo: pseudoAnomalyDefaults });
      const count = Array.from({ length: 2000 }, (_, i) => sampler.draw(i, Math.floor(i / 50), i % 50)).filter(
        ({ pastes }) => pastes.length > 0,
      ).length;
      // Four standard deviations.
      expect(Math.abs(count - 2000 * share)).toBeLessThanOrEqual(4 * Math.sqrt(2000 * share * (1 - share)));
    }
  });

  it("pastes decoys into normal samples only, in the share asked for", async () => {
    const size = { width: 72, height: 48, tall: 14, count: 26, start: 8 };
    const set = await loadSet([walk("a", 1.2, size), walk("b", 1.5, size)], { anomalies: "pseudo" });
    const count = 2000;
    const draw = (decoys: number, share = 0.4): DrawnSample[] => {
      const pseudo = { ...pseudoAnomalyDefaults, decoys };
      const sampler = new Sampler(set, { seed: 5, size: { width: 48, height: 32 }, share, pseudo });
      return Array.from({ length: count }, (_, i) => sampler.draw(i, Math.floor(i / 52), i % 52));
    };
    const isDecoy = ({ pastes }: DrawnSample) => pastes.length === 1 && isNormal(pastes[0]!);
    const without = draw(0);
    expect(without.some(isDecoy)).toBe(false);
    for (const decoys of [0.3, 1]) {
      const samples = draw(decoys);
      // Abnormal samples are the same, bit by bit.
      for (const [i, sample] of without.entries()) if (sample.pastes.length > 0) expect(samples[i]).toEqual(sample);
      const normal = samples.filter((_, i) => without[i].pastes.length === 0);
      const pasted = normal.filter(({ pastes }) => pastes.length > 0);
      expect(pasted.every(isDecoy)).toBe(true);
      // Four standard deviations.
      const deviation = 4 * Math.sqrt(normal.length * decoys * (1 - decoys));
      expect(Math.abs(pasted.length - normal.length * decoys)).toBeLessThanOrEqual(deviation);
      // Somebody of the other clip: seven frames, the last ones from there.
      for (const { frames } of pasted) {
        expect(frames.length).toBe(7);
        const other = frames[1] < 26 ? 1 : 0;
        for (const frame of frames.slice(3, 6)) expect(Math.floor(frame / 26)).toBe(other);
        expect(frames[6]).toBe(52 + other);
      }
    }
    expect(draw(0.5, 1).some(isDecoy)).toBe(false);
  });

  it("pastes several objects, decoys below what is abnormal", async () => {
    const size = { width: 72, height: 48, tall: 14, count: 26, start: 8 };
    const set = await loadSet([walk("a", 1.2, size), walk("b", 1.5, size)], { anomalies: "pseudo" });
    const pseudo = { ...pseudoAnomalyDefaults, speedup: 0, decoys: 0.5, objects: 3 };
    const sampler = new Sampler(set, { seed: 5, size: { width: 48, height: 32 }, share: 0.5, pseudo });
    const counts = new Map<string, number>();
    for (let i = 0; i < 600; i++) {
      const { frames, pastes } = sampler.draw(i, Math.floor(i / 52), i % 52);
      expect(frames.length).toBe(3 + 4 * pastes.length);
      const kinds = pastes.map((paste) => (isNormal(paste) ? "decoy" : "odd"));
      const key = kinds.join(" ");
      counts.set(key, (counts.get(key) ?? 0) + 1);
      const slots = pastes.flatMap((paste) =>
        "layers" in paste ? [...paste.layers.map(({ slot }) => slot), paste.background] : [],
      );
      // Each has four frames of its own.
      expect(slots.sort((a, b) => a - b)).toEqual(Array.from({ length: 4 * pastes.length }, (_, k) => 3 + k));
    }
    const all = ["", "decoy", "decoy decoy", "decoy decoy decoy", "odd", "decoy odd", "odd odd", "decoy decoy odd"];
    expect([...counts.keys()].sort()).toEqual([...all, "decoy odd odd", "odd odd odd"].sort());
  });
});

const isNormal = (paste: DrawnSample["pastes"][number]) => "normal" in paste && paste.normal === true;
