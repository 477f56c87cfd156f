// What was learnt of a camera, kept in its folder for the next start.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { InputError } from "../../errors.js";
import { makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { reasonOf } from "../../node/files/messages.js";
import type { CameraMode } from "../../watch/scene_change.js";
import type { NormalState, SeenNormal } from "./learner.js";

/** What was learnt in a mode. */
export interface KnownMode {
  /** Absent until there is a threshold. */
  state?: NormalState;
  seen: SeenNormal;
}

/** What was learnt in each mode. */
export type Known = Partial<Record<CameraMode, KnownMode>>;

/** For which scores it holds: those of a model, with its settings. */
export interface ScoredBy {
  /** Hash of the weights. */
  model: string;
  /** Settings as JSON. */
  settings: string;
}

const number = z.number();
const state = z.object({
  ...{ threshold: number, normal: number, alarmsPerDay: number, extrapolation: number },
  ...{ seconds: number, mapHigh: number, minutes: z.array(number) },
});
const mode = z.object({
  state: state.optional(),
  seen: z.object({ seconds: number, blocks: z.array(number), median: number, mapHigh: number }),
});
const file = z.object({
  format: z.literal("sdmae-camera-calibration-1"),
  ...{ made: z.string(), model: z.string(), settings: z.string() },
  modes: z.object({ day: mode.optional(), infrared: mode.optional() }),
});

const pathOf = (folder: string) => join(folder, "calibration.json");

/**
 * Reads what was learnt.
 * @param folder the camera's
 * @returns nothing if there is no file, or it holds for other scores
 * @throws InputError if it is damaged
 */
export async function readKnown(folder: string, { model, settings }: ScoredBy): Promise<Known> {
  const path = pathOf(folder);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
  }
  const { data: found, error } = file.safeParse(parsed(text));
  if (error) throw new InputError(`${path} is no calibration of a camera; it is learnt again`);
  if (found.model !== model || found.settings !== settings) return {};
  return found.modes as Known;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Keeps what was learnt. @throws InputError if the file cannot be written */
export async function writeKnown(folder: string, by: ScoredBy, modes: Known): Promise<void> {
  await makeFolder(folder);
  const made = new Date().toISOString();
  const content = { format: "sdmae-camera-calibration-1", made, ...by, modes };
  await writeFileAtomic(pathOf(folder), `${JSON.stringify(content, null, 1)}\n`);
}
