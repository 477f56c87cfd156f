// What was learnt of a camera, kept in its folder for the next start.
import { readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { comparable, type ScoreSettings } from "../../detector/settings.js";
import { InputError } from "../../errors.js";
import { cannotWrite, makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { reasonOf } from "../../node/files/messages.js";
import type { CameraMode } from "../../watch/scene_change.js";
import type { CameraConfig } from "../config/config.js";
import type { NormalState, SeenNormal } from "./learner.js";
import { type References, viewSize } from "./view.js";

/** What was learnt in a mode. */
export interface KnownMode {
  /** Absent until there is a threshold. */
  state?: NormalState;
  seen: SeenNormal;
}

/** What was learnt in each mode. */
export type Known = Partial<Record<CameraMode, KnownMode>>;

/** All that is kept of a camera. */
export interface Kept {
  modes: Known;
  /** The usual view. It does not depend on the model. */
  references: References;
}

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
const pixels = viewSize.width * viewSize.height;
const picture = z
  .object({ width: z.literal(viewSize.width), height: z.literal(viewSize.height), luma: z.base64() })
  .transform(({ luma, ...size }) => ({ ...size, data: new Uint8Array(Buffer.from(luma, "base64")) }))
  .refine(({ data }) => data.length === pixels);
const file = z.object({
  format: z.literal("sdmae-camera-calibration-1"),
  // The hash becomes a part of a file's name.
  ...{ made: z.string(), model: z.string().regex(/^\w+$/), settings: z.string() },
  modes: z.object({ day: mode.optional(), infrared: mode.optional() }),
  // Absent in files of earlier versions.
  references: z.object({ day: picture.optional(), infrared: picture.optional() }).default({}),
});

/** What levels hold for that were learnt with a model and its settings. @param model its hash */
export function scoredBy({ model, settings }: { model: string; settings: ScoreSettings }): ScoredBy {
  return { model, settings: comparable(settings) };
}

/** The folder of what is kept of a camera. */
export const folderOf = (data: string, { id }: Pick<CameraConfig, "id">): string => join(data, "cameras", id);

const pathOf = (folder: string) => join(folder, "calibration.json");
/** Says for other machines when what was learnt was forgotten; until something is learnt again. */
const markOf = (folder: string) => join(folder, "forgotten.json");
/** What is known of the scores of a model that is not in use. */
const asideOf = (folder: string, model: string) => join(folder, "model", `calibration-${model.slice(0, 16)}.json`);

/**
 * Reads what was learnt.
 * @param folder the camera's
 * @returns nothing if there is no file; no modes if they hold for other scores
 * @throws InputError if it is damaged
 */
export async function readKnown(folder: string, { model, settings }: ScoredBy): Promise<Kept> {
  const found = await readFileOf(pathOf(folder));
  const isSame = found?.model === model && found.settings === settings;
  return { modes: isSame ? (found.modes as Known) : {}, references: found?.references ?? {} };
}

/**
 * Lays aside what is known of another model's scores, and takes out what {@link layAside} kept of
 * this one's. The usual view stays.
 * @param folder the camera's
 * @throws InputError if a file cannot be written
 */
export async function changeKnown(folder: string, by: ScoredBy): Promise<void> {
  const present = await readFileOf(pathOf(folder)).catch(() => undefined);
  if (present?.model === by.model) return;
  const aside = await readFileOf(asideOf(folder, by.model)).catch(() => undefined);
  const isUsable = aside?.settings === by.settings;
  const modes = isUsable ? (aside.modes as Known) : {};
  const references = { ...aside?.references, ...present?.references };
  try {
    if (present) {
      await makeFolder(join(folder, "model"));
      await rename(pathOf(folder), asideOf(folder, present.model));
    }
    if (isUsable || Object.keys(references).length > 0) await writeKnown(folder, by, { modes, references });
    if (isUsable) await rm(asideOf(folder, by.model), { force: true });
  } catch (error) {
    throw error instanceof InputError ? error : cannotWrite(folder, error);
  }
}

/** Keeps what is known of a model's scores until it is used. @throws InputError as writeKnown */
export async function layAside(folder: string, by: ScoredBy, modes: Known): Promise<void> {
  await makeFolder(join(folder, "model"));
  await writeFileOf(asideOf(folder, by.model), by, { modes, references: {} });
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
export async function writeKnown(folder: string, by: ScoredBy, { modes, references }: Kept): Promise<void> {
  await writeMade(folder, by, { modes, references });
}

async function writeMade(folder: string, by: ScoredBy, kept: Kept, made?: string): Promise<void> {
  await makeFolder(folder);
  await writeFileOf(pathOf(folder), by, kept, made);
  if (hasModes(kept)) await remove(markOf(folder));
}

const hasModes = ({ modes }: { modes: object }): boolean => Object.keys(modes).length > 0;

async function writeFileOf(
  path: string,
  { model, settings }: ScoredBy,
  { modes, references }: Kept,
  made = new Date().toISOString(),
): Promise<void> {
  const pictures = Object.entries(references).map(([mode, { data, width, height }]) => {
    return [mode, { width, height, luma: Buffer.from(data).toString("base64") }];
  });
  const content = {
    ...{ format: "sdmae-camera-calibration-1", made, model, settings, modes },
    references: Object.fromEntries(pictures),
  };
  await writeFileAtomic(path, `${JSON.stringify(content, null, 1)}\n`);
}

/** What counts for other machines: what was learnt, or that it was forgotten; no usual view. */
async function sharedOf(folder: string): Promise<z.output<typeof file> | undefined> {
  const found = await readFileOf(pathOf(folder)).catch(() => undefined);
  if (found && hasModes(found)) return found;
  return readFileOf(markOf(folder)).catch(() => undefined);
}

/**
 * What was learnt, or that it was forgotten, for another machine: thresholds, no picture. Undefined
 * if there is nothing.
 */
export async function knownText(folder: string): Promise<string | undefined> {
  const found = await sharedOf(folder);
  return found && JSON.stringify({ ...found, references: {} });
}

/**
 * Takes over what another machine has learnt, or that it was forgotten there, if that is newer.
 * @throws InputError if it is damaged, or the file cannot be written
 */
export async function takeKnown(folder: string, text: string): Promise<void> {
  const { data: found, error } = file.safeParse(parsed(text));
  if (error) throw new InputError("what was learnt elsewhere is damaged; it is learnt again");
  const present = await sharedOf(folder);
  if (present && present.made >= found.made) return;
  // Pictures stay on their machine.
  const references = (await readFileOf(pathOf(folder)).catch(() => undefined))?.references ?? {};
  await writeMade(folder, found, { modes: found.modes as Known, references }, found.made);
  if (!hasModes(found)) await writeFileOf(markOf(folder), found, { modes: {}, references: {} }, found.made);
}

/**
 * Removes what was kept, and marks that for other machines.
 * @throws InputError if that is not possible
 */
export async function removeKnown(folder: string): Promise<void> {
  const present = await readFileOf(pathOf(folder)).catch(() => undefined);
  if (present) await writeFileOf(markOf(folder), present, { modes: {}, references: {} });
  await remove(pathOf(folder));
}

async function remove(path: string): Promise<void> {
  await rm(path, { force: true }).catch((error: unknown) => {
    throw cannotWrite(path, error);
  });
}
