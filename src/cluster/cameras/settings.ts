// Settings of cameras on their way to the cluster, and from there to a worker. What arrives is
// checked as any configuration is, and may name less: only this machine's shared folder, and only
// variables that are meant for cameras.
import { existsSync, realpathSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { InputError, InputErrors } from "../../errors.js";
import { oneLine } from "../../node/files/messages.js";
import { isAddress } from "../../node/media/address.js";
import { type CameraConfig, parseConfig, placesIn, type WatchConfig } from "../../server/config/config.js";
import type { Environment } from "../../server/config/secrets.js";
import { type ConfigValues, type Path, readConfigText } from "../../server/config/text.js";
import { parseSchedule } from "../../watch/schedule.js";
import { isInside } from "../messages.js";
import type { CameraRecord } from "./messages.js";

/** How the names of variables begin that a camera's settings may hold. */
const VARIABLES = "CAMERA_";

/** A variable, and not the plain text that two dollar signs begin. */
const VARIABLE = /(?<!\$)\$\{([A-Za-z_]\w*)\}/g;

const checkSchedule = (text: string) => void parseSchedule(text);
const refuseFile = () => {
  throw new InputError(`files with secrets are of one machine: use a variable such as \${CAMERA_PASSWORD}`);
};

/** A camera, as {@link camerasOf} takes it out of a file. */
export interface PutCamera extends Pick<CameraRecord, "settings" | "defaults" | "fps" | "enabled"> {
  id: string;
  /** The path of its own model. */
  checkpoint?: string;
}

/**
 * The cameras of a configuration of `watch`, as other machines can use them. Variables are kept:
 * each worker fills in its own.
 * @param text YAML
 * @param path of its file, for messages
 * @param share the folder that all machines share; files that are played lie in it
 * @throws InputErrors with all problems, also with what other machines cannot use
 */
export function camerasOf(
  text: string,
  path: string,
  share: string | undefined,
): { cameras: PutCamera[]; checkpoint?: string; warnings: string[] } {
  const names = new Set([...text.matchAll(VARIABLE)].map(([, name]) => name));
  // Workers have the values; here it matters only where they stand.
  const environment = Object.fromEntries([...names].map((name) => [name, process.env[name] ?? `value-of-${name}`]));
  const config = parseConfig(text, path, environment, refuseFile, { checkSchedule });
  const read = readConfigText(text, environment);
  const raw = asWritten(read, read.value) as { cameras: Record<string, Settings>; defaults?: Settings };
  const { checkpoint: _, ...defaults } = raw.defaults ?? {};
  const placeOf = placesIn(read, path);
  const lines: string[] = [];
  const warnings: string[] = [];
  const others = read.keysAt([]).filter((key) => !["cameras", "defaults", "checkpoint"].includes(key));
  if (others.length > 0) {
    warnings.push(`${others.join(", ")}: left out, since these are settings of a worker (sdmae worker --config)`);
  }
  const cameras = config.cameras.map((camera): PutCamera => {
    const { id, fps, enabled, checkpoint } = camera;
    const { checkpoint: __, ...settings } = raw.cameras[id];
    const written = JSON.stringify([settings, defaults]);
    const refuse = (line: string, ...keys: string[]) => lines.push(`${placeOf(["cameras", id, ...keys])}${line}`);
    for (const [, name] of written.matchAll(VARIABLE)) {
      if (!name.startsWith(VARIABLES)) refuse(`a variable of a worker begins with ${VARIABLES}, not ${name}`);
    }
    for (const key of ["source", "record"] as const) {
      const source = camera[key];
      if (source === undefined || isAddress(source)) continue;
      if (source.startsWith("device:")) refuse("a device belongs to one machine: use `watch` there", key);
      else settings[key] = belowShare(share, source, (line) => refuse(line, key));
    }
    const values = new Set(Object.values(environment));
    if (config.secrets.some((secret) => !values.has(secret) && written.includes(secret))) {
      warnings.push(`${id}: its password goes to the server as it is; a variable such as \${CAMERA_PASSWORD} does not`);
    }
    return {
      ...{ id, settings, fps, enabled },
      ...(Object.keys(defaults).length > 0 && { defaults }),
      ...(checkpoint !== undefined && { checkpoint }),
    };
  });
  if (lines.length > 0) throw new InputErrors([...new Set(lines)]);
  return { cameras, warnings, ...(config.checkpoint !== undefined && { checkpoint: config.checkpoint }) };
}

type Settings = Record<string, unknown>;

/** A value with its variables as they are written. */
function asWritten(read: ConfigValues, value: unknown, path: Path = []): unknown {
  if (typeof value === "string") return read.writtenAt(path) ?? value;
  if (Array.isArray(value)) return value.map((one, i) => asWritten(read, one, [...path, i]));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, asWritten(read, one, [...path, key])]));
}

/** A path below the shared folder, with "/". */
function belowShare(share: string | undefined, path: string, refuse: (line: string) => void): string {
  const real = existsSync(path) ? realpathSync(path) : path;
  const below = share === undefined ? "" : relative(share, real).split(sep).join("/");
  if (below === "" || !isInside(below)) refuse("a file or folder must be below --share, which all machines have");
  else if (!existsSync(path)) refuse(`there is no ${oneLine(path)}`);
  return below;
}

/** Where a worker's cameras may lie, and what their variables are. */
export interface WorkerPlace {
  /** The shared folder's real path; absent: it has none. */
  share: string | undefined;
  /** Variables with other names are not seen. */
  environment: Environment;
}

/**
 * A camera that came from the cluster.
 * @param checkpoint path of its model on this machine
 * @returns its settings, and what must not be shown
 * @throws InputError, in one line, if this machine cannot use it
 */
export async function cameraOf(
  id: string,
  { settings, defaults }: Pick<CameraRecord, "settings" | "defaults">,
  checkpoint: string,
  { share, environment }: WorkerPlace,
): Promise<{ camera: CameraConfig; secrets: readonly string[] }> {
  if ("checkpoint" in settings || (defaults && "checkpoint" in defaults)) {
    throw new InputError("its model is the server's, and no file of this machine");
  }
  const seen = Object.fromEntries(Object.entries(environment).filter(([name]) => name.startsWith(VARIABLES)));
  const text = JSON.stringify({ cameras: { [id]: settings }, defaults });
  let config: WatchConfig;
  try {
    config = parseConfig(text, join(share ?? "/", "cluster"), seen, refuseFile, { checkSchedule });
  } catch (error) {
    if (!(error instanceof InputErrors)) throw error;
    // Lines and columns are those of a text that nobody has.
    const lines = error.lines.map((line) => line.replace(/^.*?:\d+:\d+: /, ""));
    throw new InputError(lines.join("; "));
  }
  const [camera] = config.cameras;
  for (const source of [camera.source, camera.record]) {
    if (source !== undefined) await checkSource(source, share);
  }
  return { camera: { ...camera, checkpoint }, secrets: config.secrets };
}

/** @throws InputError if a source leads to something of this machine that is not shared */
async function checkSource(source: string, share: string | undefined): Promise<void> {
  if (isAddress(source)) return;
  if (source.startsWith("device:")) throw new InputError("a device of a worker cannot be used by others");
  if (share === undefined) throw new InputError("it is a file, and this worker has no shared folder (--share)");
  const real = await realpath(source).catch(() => {
    throw new InputError("its file is not in the shared folder");
  });
  if (!real.startsWith(share + sep)) throw new InputError("its file lies outside of the shared folder");
}
