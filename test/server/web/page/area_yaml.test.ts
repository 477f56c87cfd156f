import { expect, test } from "vitest";
import { parse } from "yaml";
import { parseConfig } from "../../../../src/server/config/config.js";
import type { Area } from "../../../../src/server/web/page/area_sketch.js";
import { areaYaml } from "../../../../src/server/web/page/area_yaml.js";

const areas: Area[] = [
  {
    kind: "zone",
    name: "door",
    corners: [
      [0, 0],
      [0.5, 0],
      [0.5, 0.125],
    ],
  },
  {
    kind: "privacy",
    name: "",
    corners: [
      [0.3, 0.9],
      [0.1, 0.2],
    ],
  },
  {
    kind: "zone",
    name: "on",
    corners: [
      [0, 0],
      [1, 0],
      [1, 1],
    ],
  },
  {
    kind: "ignore",
    name: "",
    corners: [
      [0.1, 0.1],
      [0.2, 0.1],
      [0.2, 0.2],
      [0.1, 0.2],
    ],
  },
  {
    kind: "zone",
    name: "2e3",
    corners: [
      [0, 0],
      [1, 0],
      [1, 1],
    ],
  },
];

test("areas are written as the configuration reads them", () => {
  const text = areaYaml("front", areas);
  expect(text).toBe(`cameras:
  front:
    zones:
      door: [[0, 0], [0.5, 0], [0.5, 0.125]]
      "on": [[0, 0], [1, 0], [1, 1]]
      "2e3": [[0, 0], [1, 0], [1, 1]]
    ignore:
      - [[0.1, 0.1], [0.2, 0.1], [0.2, 0.2], [0.1, 0.2]]
    privacy:
      - [0.1, 0.2, 0.2, 0.7]
`);
  const config = parseConfig(`${text}    source: rtsp://camera/stream\n`, "/sdmae.yaml", {});
  const [{ zones, ignore, privacy }] = config.cameras;
  expect(zones.map(({ name }) => name)).toEqual(["door", "on", "2e3"]);
  expect([zones[0].polygon, ignore]).toEqual([areas[0].corners, [areas[3].corners]]);
  expect(privacy).toEqual([{ x: 0.1, y: 0.2, width: 0.2, height: 0.7 }]);
});

test("a camera without areas has no keys", () => {
  expect(parse(areaYaml("front", []))).toBeNull();
  expect(Object.keys(parse(areaYaml("7", areas.slice(1, 2))).cameras["7"])).toEqual(["privacy"]);
});
