// Whether the files, folders and programs are there that a configuration names.
import { constants } from "node:fs";
import { access, mkdtemp, realpath, rmdir, stat } from "node:fs/promises";
import { delimiter, dirname, join, resolve } from "node:path";
import { InputError, InputErrors } from "../errors.js";
import { readCheckpoint } from "../node/files/checkpoint_file.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { packageFile } from "../node/files/package_files.js";
import { isAddress, refuseScheme } from "../node/media/address.js";
import { configPlaces, type WatchConfig } from "../server/config/config.js";
import { shownPath } from "../server/config/problems.js";
import { scrubber } from "../server/config/secrets.js";
import type { Path } from "../server/config/text.js";
import { enabledCameras } from "../server/supervisor.js";

/** The model's file: as the command line says, else the configuration, else the bundled one. */
export const checkpointOf = (config: Pick<WatchConfig, "checkpoint">, given: string | undefined): string =>
  given ?? config.checkpoint ?? packageFile("models", "scene.safetensors");

/** Something that is checked, and what its message begins with. */
type Check = readonly [where: string, check: () => Promise<unknown>];

/** @throws InputErrors with a line for each check that an InputError ended */
async function checkAll(checks: readonly Check[]): Promise<void> {
  const lines: string[] = [];
  for (const [where, check] of checks) {
    try {
      await check();
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      lines.push(`${where}${error.message}`);
    }
  }
  if (lines.length > 0) throw new InputErrors(lines);
}

/**
 * Reads what a configuration names.
 * @param file the configuration's, for messages; absent: there is none
 * @param checkpoint of the command line
 * @throws InputErrors with all that cannot be used, with the keys that name it
 */
export async function checkPaths(
  config: WatchConfig,
  { config: file, checkpoint }: { config?: string; checkpoint?: string },
): Promise<void> {
  const scrub = scrubber(config.secrets);
  const at = file === undefined ? (keys: Path): string => `${shownPath(keys)}: ` : await configPlaces(file);
  const checks: Check[] = [
    [
      checkpoint === undefined && config.checkpoint !== undefined ? at(["checkpoint"]) : "",
      () => readCheckpoint([checkpointOf(config, checkpoint)]),
    ],
  ];
  checks.push([at(["cameras"]), async () => enabledCameras(config)]);
  for (const { id, source, record, checkpoint: own, enabled } of config.cameras) {
    if (!enabled) continue;
    const key = (name: string): string => at(["cameras", id, name]);
    if (own !== undefined) checks.push([key("checkpoint"), () => readCheckpoint([own])]);
    checks.push([key("source"), () => checkPath(source)]);
    if (record !== undefined) checks.push([key("record"), () => checkPath(record)]);
  }
  checks.push([at(["data"]), () => checkFolder(config.data)]);
  for (const [i, sink] of config.sinks.entries()) {
    if (sink.type === "folder") checks.push([at(["sinks", i, "path"]), () => checkFolder(sink.path)]);
    if (sink.type === "command") checks.push([at(["sinks", i, "run"]), () => checkProgram(sink.run[0])]);
  }
  await checkAll(checks).catch((error: unknown) => {
    throw error instanceof InputErrors ? new InputErrors(error.lines.map(scrub)) : error;
  });
}

/**
 * Checks the sources of a command line.
 * @throws InputErrors with all that cannot be used; InputError if a file or folder is named twice
 */
export async function checkSources(sources: readonly string[]): Promise<void> {
  await checkAll(sources.map((source): Check => ["", () => checkPath(source)]));
  await refuseRepeated(sources);
}

/** @throws InputError if a file or folder is named twice, in whatever way */
export async function refuseRepeated(paths: readonly string[]): Promise<void> {
  const seen = new Set<string>();
  for (const path of paths) {
    if (isAddress(path) || path === "-" || path.startsWith("device:")) continue;
    const real = await realpath(path).catch(() => resolve(path));
    if (seen.has(real)) throw new InputError(`${oneLine(path)} is named twice`);
    seen.add(real);
  }
}

/** A path that is named must be there; a camera may come back. @throws InputError if it is not */
export async function checkPath(source: string): Promise<void> {
  if (isAddress(source) || source.startsWith("device:")) return;
  refuseScheme(source);
  const info = await stat(source).catch((error: unknown) => {
    throw new InputError(`${oneLine(source)} cannot be read: ${reasonOf(error)}`);
  });
  if (info.isFile() || info.isDirectory()) return;
  throw new InputError(
    `${oneLine(source)} is no video file, folder or address; a camera is named as device:/dev/video0`,
  );
}

/** A folder that can be written, or made. @throws InputError if it cannot */
async function checkFolder(path: string): Promise<void> {
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    const info = await stat(folder).catch(() => undefined);
    if (!info && dirname(folder) !== folder) continue;
    const reason = info?.isDirectory() ? await reasonAgainstWriting(folder) : "it is not a folder";
    if (reason === undefined) return;
    throw new InputError(`${oneLine(path)} cannot be written: ${oneLine(folder)}: ${reason}`);
  }
}

/** Why a folder cannot be written; undefined if it can. Some disks say so only when tried. */
async function reasonAgainstWriting(folder: string): Promise<string | undefined> {
  try {
    await access(folder, constants.W_OK | constants.X_OK);
    await rmdir(await mkdtemp(join(folder, ".sdmae-check-")));
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}

/** A program with a slash is a path, others are in PATH. @throws InputError if it is not there */
async function checkProgram(program: string): Promise<void> {
  if (program.includes("/")) {
    const reason = await reasonAgainst(program);
    if (reason !== undefined) throw new InputError(`${oneLine(program)} cannot be run: ${reason}`);
    return;
  }
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    if (folder !== "" && (await reasonAgainst(join(folder, program))) === undefined) return;
  }
  throw new InputError(`${oneLine(program)} cannot be run: no folder of PATH holds this program`);
}

/** Why a file cannot be run; undefined if it can. */
async function reasonAgainst(path: string): Promise<string | undefined> {
  try {
    if (!(await stat(path)).isFile()) return "it is not a file";
    await access(path, constants.X_OK);
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}
