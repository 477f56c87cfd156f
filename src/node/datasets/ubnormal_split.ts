// Which videos of UBnormal are for training, validation and tests.
import { join } from "node:path";
import { InputError } from "../../errors.js";
import type { Root } from "./layout.js";
import { listFolder } from "./listing.js";
import { readLines } from "./text_file.js";

/** Parts of UBnormal's split. */
export type Part = "training" | "validation" | "test";

/**
 * The split that UBnormal's authors published, as `scene:scenarios`: "3:1,5-7,1_fog" is
 * normal_scene_3_scenario_1, _5, _6, _7 and _1_fog; "=1_10" is normal_scene_1_scenario1_10.
 * Source: the lists in scripts/ of https://github.com/lilygeorgescu/UBnormal.
 */
const published: Readonly<Record<"normal" | "abnormal", Readonly<Record<Part, string>>>> = {
  normal: {
    training:
      "1:=1_1,=1_3,=1_4,=1_5,=1_6,=1_7,=1_8,=1_9,=2_1,=2_2,=2_3,=2_4,=2_5,=3_1,=3_2 2:1-7 3:2-3,6 4:2,6 " +
      "5:1-2,4-7,9 6:1-4,6-7 7:1,4-8,1_fog,2_fog 8:1,3-6,8,1_fog,3_fog,4_fog 9:2-5,7,1_fog,2_fog,3_fog 10:1,4-7 " +
      "11:1-8,1_fog,3_fog,6_1 12:1,3-4,6-7 13:1-8,2_fog,3_fog,4_fog 14:3,5-6,8 15:1-5,8-9 16:1,4-8 17:1,3,5-8 " +
      "18:2-3,5-8 19:1-7 20:3,5,7-8 21:1,4,6-8 22:1-2,4,7-8 23:1-3,6,8 24:2-5,8 25:2-3,5-6,8 26:1,3,5-7 " +
      "27:1-3,5-8 28:1,3,5-8 29:2-5,7-8",
    validation:
      "1:=1_2,=3_3 3:4 4:3-4,7 5:3 6:5 7:2 8:2 12:5,8 14:1,7 15:7 16:2-3 19:8 20:1,6 22:3,6 24:7 25:1 26:2 28:4",
    test:
      "1:=1_10 3:1,5,7 4:1,5,8 5:8 7:3,3_fog,4_fog 8:7,2_fog 9:1,6,8,4_fog 10:2-3,8-9 11:2_fog,4_fog 12:2 13:1_fog " +
      "14:2,4 15:6 17:2,4,3_1 18:1,4 20:2,4,9 21:2-3,5 22:5 23:4-5,7 24:1,6 25:4,7 26:4,8 27:4 28:2 29:1,6",
  },
  abnormal: {
    training:
      "1:3 2:3 3:4-5,7 4:2,5,8-10 5:3 6:4-5,7 8:6-7,10,3_fog,4_fog 9:1-2,4,1_fog,3_fog 11:3,5,7,3_fog,4_fog 12:5-7 " +
      "13:6 14:2-4 16:5-8 17:8 18:1-4 19:1-4 20:5-9 21:5-7,9 22:6-9 23:5-7 24:5,7 25:5,7-8 26:6-8 27:5-8 28:8 29:5-8",
    validation:
      "2:2 3:3,8 4:3,7 5:1-2,6 6:1,6 8:8-9 9:5-6 10:2,9 11:4 13:7,5_fog 14:1 15:7 16:1 17:1,10 18:8 21:4,8 22:5 23:8 " +
      "24:6,8 25:2,6 26:5 27:1 28:5-7",
    test:
      "1:1-2,4-9 2:1,4-6 3:1-2,6 4:1,4,6,1_fire,2_fire 5:4-5,7-8,1_smoke,2_smoke 6:2-3,8 " +
      "7:1-10,1_fire,1_fog,2_fog,2_smoke,3_fog,4_fog 8:1-5,1_fog,2_fog 9:3,7-8,2_fog,4_fog 10:1,3-8 " +
      "11:1-2,8-9,1_fog,2_fog 12:1-4,8-9,1_smoke 13:1,3-5,8-9,1_fog,2_fog,3_fog,4_fog 14:5-8 15:1-6,8-9 16:2-4 " +
      "17:2,4-7,9,1_smoke,2_fire 18:5-7 19:5-8 20:1-4 21:1-3 22:1-4 23:1-4 24:1-4 25:1,3-4 26:1-4 " +
      "27:2-4,1_smoke,2_fire 28:1-4 29:1-4,1_smoke,2_smoke",
  },
};

/** The published split, by the videos' names. */
export function publishedSplit(): Map<string, Part> {
  const split = new Map<string, Part>();
  for (const [kind, parts] of Object.entries(published)) {
    for (const [part, scenes] of Object.entries(parts) as [Part, string][]) {
      for (const scene of scenes.split(" ")) {
        const [number, scenarios] = scene.split(":");
        for (const scenario of scenarios.split(",").flatMap(namesOf)) {
          split.set(`${kind}_scene_${number}_scenario${scenario}`, part);
        }
      }
    }
  }
  return split;
}

/** "4-6" is _4, _5 and _6; "=1_10" is 1_10. */
function namesOf(scenario: string): string[] {
  if (scenario.startsWith("=")) return [scenario.slice(1)];
  const [first, last] = scenario.split("-");
  if (last === undefined) return [`_${scenario}`];
  return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => `_${Number(first) + i}`);
}

/**
 * The split of a root: by its lists `{normal,abnormal}_{training,validation,test}_video_names.txt`,
 * in it or in `scripts/`; else the published one.
 * @throws InputError if a list cannot be read or names a video for two parts
 */
export async function readSplit(root: Root): Promise<Map<string, Part>> {
  const split = new Map<string, Part>();
  const places = [{ path: root.path, files: root.files }];
  const scripts = join(root.path, "scripts");
  places.push({ path: scripts, files: (await listFolder(scripts))?.files ?? [] });
  for (const { path, files } of places) {
    for (const file of files) {
      const part = /^(?:normal|abnormal)_(training|validation|test)_video_names\.txt$/.exec(file)?.[1] as Part;
      if (!part) continue;
      for (const { text, where } of await readLines(join(path, file))) {
        if ((split.get(text) ?? part) !== part)
          throw new InputError(`${where}: ${text} is also for ${split.get(text)}`);
        split.set(text, part);
      }
    }
  }
  return split.size > 0 ? split : publishedSplit();
}
