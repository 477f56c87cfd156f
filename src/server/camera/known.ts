// What was learnt of a camera, kept in its folder for the next start.
import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { InputError } from "../../errors.js";
import { cannotWrite, makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
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
  // The hash becomes a part of a file's name.
  ...{ made: z.string(), model: z.string().regex(/^\w+$/), settings: z.string() },
  modes: z.object({ day: mode.optional(), infrared: mode.optional() }),
});

const pathOf = (folder: string) => join(folder, "calibration.json");
/** What is known of the scores of a model that is not in use. */
const asideOf = (folder: string, model: string) => join(folder, "model", `calibration-${model.slice(0, 16)}.json`);

/**
 * Reads what was learnt.
 * @param folder the camera's
 * @returns nothing if there is no file, or it holds for other scores
 * @throws InputError if it is damaged
 */
export async function readKnown(folder: string, { model, settings }: ScoredBy): Promise<Known> {
  const found = await readFileOf(pathOf(folder));
  return found?.model === model && found.settings === settings ? (found.modes as Known) : {};
}

/**
 * Lays aside what is known of another model's scores, and takes out what {@link layAside} kept of
 * this one's.
 * @param folder the camera's
 * @throws InputError if a file cannot be renamed
 */
export async function changeKnown(folder: string, { model, settings }: ScoredBy): Promise<void> {
  const present = await readFileOf(pathOf(folder)).catch(() => undefined);
  if (present?.model === model) return;
  const aside = await readFileOf(asideOf(folder, model)).catch(() => undefined);
  try {
    if (present) {
      await makeFolder(join(folder, "model"));
      await rename(pathOf(folder), asideOf(folder, present.model));
    }
    if (aside?.settings === settings) await rename(asideOf(folder, model), pathOf(folder));
  } catch (error) {
    throw cannotWrite(folder, error);
  }
}

/** Keeps what is known of a model's scores until it is used. @throws InputError as writeKnown */
export async function layAside(folder: string, by: ScoredBy, modes: Known): Promise<void> {
  await makeFolder(join(folder, "model"));
  await writeFileOf(asideOf(folder, by.model), by, modes);
}

/** @returns undefined if there is no file. @throws InputError if it is damaged */
async function readFileOf(path: string): Promise<z.output<typeof file> | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
  }
  const { data: found, error } = file.safeParse(parsed(text));
  if (error) throw new InputError(`${path} is no calibration of a camera; it is learnt again`);
  return found;
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
  await writeFileOf(pathOf(folder), by, modes);
}

async function writeFileOf(path: string, by: ScoredBy, modes: Known): Promise<void> {
  const made = new Date().toISOString();
  const content = { format: "sdmae-camera-calibration-1", made, ...by, modes };
  await writeFileAtomic(path, `${JSON.stringify(content, null, 1)}\n`);
}
