// What was learnt of a camera, kept in its folder for the next start.
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { InputError } from "../../errors.js";
import { cannotWrite, makeFolder, writeFileAtomic } from "../../node/files/atomic.js";
import { reasonOf } from "../../node/files/messages.js";
import type { CameraMode } from "../../watch/scene_change.js";
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
  ...{ made: z.string(), model: z.string(), settings: z.string() },
  modes: z.object({ day: mode.optional(), infrared: mode.optional() }),
  // Absent in files of earlier versions.
  references: z.object({ day: picture.optional(), infrared: picture.optional() }).default({}),
});

const pathOf = (folder: string) => join(folder, "calibration.json");

/**
 * Reads what was learnt.
 * @param folder the camera's
 * @returns nothing if there is no file; no modes if they hold for other scores
 * @throws InputError if it is damaged
 */
export async function readKnown(folder: string, { model, settings }: ScoredBy): Promise<Kept> {
  const path = pathOf(folder);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { modes: {}, references: {} };
    throw new InputError(`${path}: cannot be read (${reasonOf(error)})`);
  }
  const { data: found, error } = file.safeParse(parsed(text));
  if (error) throw new InputError(`${path} is no calibration of a camera; it is learnt again`);
  const { modes, references } = found;
  const isSame = found.model === model && found.settings === settings;
  return { modes: isSame ? (modes as Known) : {}, references };
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
  await makeFolder(folder);
  const pictures = Object.entries(references).map(([mode, { data, width, height }]) => {
    return [mode, { width, height, luma: Buffer.from(data).toString("base64") }];
  });
  const content = {
    ...{ format: "sdmae-camera-calibration-1", made: new Date().toISOString(), ...by, modes },
    references: Object.fromEntries(pictures),
  };
  await writeFileAtomic(pathOf(folder), `${JSON.stringify(content, null, 1)}\n`);
}

/** Removes what was kept. @throws InputError if that is not possible */
export async function removeKnown(folder: string): Promise<void> {
  await rm(pathOf(folder), { force: true }).catch((error: unknown) => {
    throw cannotWrite(pathOf(folder), error);
  });
}
