import { describe, expect, it } from "vitest";
import { connectedComponents } from "../../src/data/connected_components.js";
import { Random } from "../support/numbers.js";

describe("connected components", () => {
  it("join neighbours, and nothing else", () => {
    const random = new Random(10);
    for (let round = 0; round < 30; round++) {
      const [rows, columns] = [1 + random.integer(12), 1 + random.integer(12)];
      const inside = Uint8Array.from({ length: rows * columns }, () => (random.next() < 0.4 ? 1 : 0));
      // The reference: each label becomes the smallest of its neighbours' until nothing changes.
      const label = Array.from(inside, (v, i) => (v ? i : -1));
      for (let changed = true; changed; ) {
        changed = false;
        for (let i = 0; i < label.length; i++) {
          for (let j = 0; j < label.length; j++) {
            const [dx, dy] = [(i % columns) - (j % columns), Math.floor(i / columns) - Math.floor(j / columns)];
            if (label[i] < 0 || label[j] < 0 || Math.abs(dx) > 1 || Math.abs(dy) > 1 || label[j] >= label[i]) continue;
            label[i] = label[j]!;
            changed = true;
          }
        }
      }
      const components = connectedComponents(inside, columns);
      expect(components.map(({ cells }) => cells[0])).toEqual([...new Set(label)].filter((l) => l >= 0));
      for (const { cells } of components) {
        const want = label.flatMap((l, i) => (l === cells[0] ? [i] : []));
        expect(Array.from(cells).sort((a, b) => a - b)).toEqual(want);
      }
    }
  });
});
