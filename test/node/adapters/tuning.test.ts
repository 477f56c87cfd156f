import { readFileSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { openNodeGpu } from "../../../src/node/adapters/gpu.js";
import { keepTuning, knownTuning, tuningPath } from "../../../src/node/adapters/tuning.js";
import { scratch, useCache } from "../../support/folders.js";
import { testAdapter } from "../../support/gpu.js";

const at = scratch();
useCache(at());

it("what a device found quickly is known when it is opened again, until it is measured thoroughly", async () => {
  const gpu = await openNodeGpu({ adapter: testAdapter });
  const { adapter } = gpu;
  gpu.close();
  expect(await knownTuning(adapter)).toEqual(gpu.tuning);
  await gpu.keepTuning?.(
    new Map([
      ["a", "quick 1"],
      ["b", "quick 1"],
    ]),
  ); // prettier-ignore
  await gpu.keepTuning?.(new Map([["b", "quick 2"]]));
  const again = await openNodeGpu({ adapter: testAdapter });
  again.close();
  expect([again.tuning.get("a"), again.tuning.get("b")]).toEqual(["quick 1", "quick 2"]);
  const thorough = await knownTuning(adapter, "thorough");
  expect([thorough.get("a"), thorough.get("b")]).toEqual([undefined, undefined]);

  expect(await keepTuning(adapter, new Map([["b", "best"]]))).toBe(tuningPath(adapter));
  await gpu.keepTuning?.(new Map([["c", "quick 3"]]));
  const known = await knownTuning(adapter);
  expect(["a", "b", "c"].map((key) => known.get(key))).toEqual(["quick 1", "best", "quick 3"]);
  expect((await knownTuning(adapter, "thorough")).get("b")).toBe("best");
  // Another driver has another file.
  expect((await knownTuning({ ...adapter, description: "driver 2" })).size).toBe(0);
  // A damaged file is ignored and replaced.
  const whole = readFileSync(tuningPath(adapter), "utf8");
  writeFileSync(tuningPath(adapter), whole.slice(0, -20));
  expect((await knownTuning(adapter)).get("a")).toBeUndefined();
  await gpu.keepTuning?.(new Map([["d", "quick 4"]]));
  expect((await knownTuning(adapter)).get("d")).toBe("quick 4");
});
