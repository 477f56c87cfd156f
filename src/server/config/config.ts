// Reads the configuration of `sdmae watch`: YAML in, all settings out, or every problem with its
// line.
import { readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { InputError, InputErrors } from "../../errors.js";
import { oneLine, reasonOf } from "../../node/files/messages.js";
import { isAddress } from "../../node/media/address.js";
import { cameraIds } from "./address.js";
import { withDefaults } from "./defaults.js";
import type { Surroundings } from "./inputs.js";
import { problemLines, problemsOf, shownPath, valueAt } from "./problems.js";
import { configShape } from "./schema.js";
import { type Environment, expandVariables, readSecretFile } from "./secrets.js";
import { type ConfigText, type ConfigValues, type Path, type Problem, readConfigText } from "./text.js";
import type { WatchConfig } from "./types.js";

export type * from "./types.js";

/** Bytes. */
const LARGEST_FILE = 1_000_000;

/** How configurations are read. */
export interface ConfigOptions {
  /** Throws an InputError if a schedule is wrong. */
  checkSchedule?(schedule: string): void;
  /** It names no cameras: they come from elsewhere. */
  isWorker?: boolean;
}

/**
 * Reads a configuration.
 * @param text YAML
 * @param path of its file, for messages; relative paths start from its folder
 * @param environment for `${NAME}`
 * @param readSecret reads `{ file: PATH }`; it gets an absolute path; if it fails, it throws why
 * @throws InputErrors with all problems, `FILE:LINE:COLUMN: path.to.key: message` each. They repeat
 * no secret and no address.
 */
export function parseConfig(
  text: string,
  path: string,
  environment: Environment,
  readSecret: (path: string) => string = readSecretFile,
  { checkSchedule, isWorker = false }: ConfigOptions = {},
): WatchConfig {
  const found = readConfigText(text, environment);
  const read = isWorker ? withoutCameras(found) : found;
  const folder = resolve(dirname(path));
  const refuse = (problems: readonly Problem[]): never => {
    throw new InputErrors(problemLines(problems, read, path));
  };
  if (read.value === undefined) refuse(read.problems);
  const { parsed, secrets, problems } = checked(read, { folder, readSecret, checkSchedule });
  if (!parsed || problems.length > 0) return refuse(problems);
  return withDefaults(parsed, folder, read, secrets);
}

/** A configuration without cameras, as the schema takes it. */
function withoutCameras(read: ConfigText): ConfigText {
  const value = (read.value ?? {}) as object;
  if ("cameras" in value) {
    const message = "a worker's cameras come from the server (sdmae cameras put)";
    return { ...read, problems: [...read.problems, { path: ["cameras"], message, ofKey: true }] };
  }
  return typeof value === "object" ? { ...read, value: { ...value, cameras: { none: { source: "/" } } } } : read;
}

/** Checks values against the schema. */
function checked(read: ConfigValues, around: Pick<Surroundings, "folder" | "readSecret" | "checkSchedule">) {
  const secrets = new Set<string>();
  const shape = configShape({
    ...around,
    variables: read.variables,
    cameras: read.keysAt(["cameras"]),
    hide: (secret) => secrets.add(secret),
  });
  const { data: parsed, error } = shape.safeParse(read.value);
  const problems = [...read.problems, ...repeatedNames(read.value)];
  // A text whose variable is not set is wrong in other ways too.
  const known = new Set(problems.map(({ path }) => shownPath(path)));
  problems.push(...problemsOf(error?.issues ?? [], read).filter(({ path }) => !known.has(shownPath(path))));
  return { parsed, secrets: [...secrets], problems };
}

/** Sinks with the name of one before them. */
function repeatedNames(value: unknown): Problem[] {
  const sinks = valueAt(value, ["sinks"]);
  const names = Array.isArray(sinks) ? sinks.map((sink) => valueAt(sink, ["name"])) : [];
  return names.flatMap((name, i) => {
    const first = names.indexOf(name);
    if (typeof name !== "string" || first === i) return [];
    return [{ path: ["sinks", i, "name"], message: `another sink, sinks[${first}], has this name` }];
  });
}

/**
 * Reads a configuration file, with the variables of this process.
 * @throws InputError if it cannot be read, is larger than 1 MB or not UTF-8; InputErrors as
 * {@link parseConfig}
 */
export async function readConfig(path: string, options: ConfigOptions = {}): Promise<WatchConfig> {
  return parseConfig(await readConfigFile(path), path, process.env, readSecretFile, options);
}

/**
 * Where in a configuration file keys stand, for messages: `FILE:LINE:COLUMN: path.to.key: `.
 * @throws InputError as {@link readConfig}
 */
export async function configPlaces(path: string): Promise<(keys: Path) => string> {
  return placesIn(readConfigText(await readConfigFile(path), process.env), path);
}

/** The same of a text that was read. @param path of its file */
export function placesIn(read: Pick<ConfigText, "placeOf">, path: string): (keys: Path) => string {
  return (keys) => {
    const { line, column } = read.placeOf({ path: keys, message: "" });
    return `${oneLine(path)}:${line}:${column}: ${shownPath(keys)}: `;
  };
}

/** The text of a configuration file. @throws InputError as {@link readConfig} */
export async function readConfigFile(path: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    const info = await stat(path);
    if (info.isFile() && info.size > LARGEST_FILE) throw new Error("it is larger than 1 MB");
    bytes = await readFile(path);
  } catch (error) {
    throw new InputError(`${oneLine(path)} cannot be read: ${reasonOf(error)}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(`${oneLine(path)} cannot be read: it is not UTF-8 text`);
  }
}

/** The defaults of everything, without cameras. */
export const usualConfig = (): WatchConfig => parseConfig("{}", "sdmae.yaml", {}, readSecretFile, { isWorker: true });

/** What {@link configOf} needs beside the sources. */
export interface SourceOptions {
  /** Relative paths start from here; default: the working directory. */
  folder?: string;
  /** For `${NAME}` in addresses; default: that of this process. */
  environment?: Environment;
}

/**
 * A configuration of sources alone, with the defaults of everything else. Ids come from the names
 * of hosts, devices and files.
 * @throws InputErrors with all problems; they repeat no secret and no address
 */
export function configOf(sources: readonly string[], options: SourceOptions = {}): WatchConfig {
  const { folder = process.cwd(), environment = process.env } = options;
  if (sources.length === 0) throw new InputError("there is no source to watch; name at least one");
  const expanded = sources.map((source, i) => {
    if (!isAddress(source)) return { text: source, values: [] };
    return naming(`source ${i + 1}`, () => expandVariables(source, environment));
  });
  const ids = cameraIds(expanded.map(({ text }) => text));
  const read = {
    value: { cameras: Object.fromEntries(ids.map((id, i) => [id, { source: expanded[i].text }])) },
    variables: new Map(expanded.map(({ text, values }) => [text, values])),
    problems: [],
    keysAt: (path: Path) => (path.length === 1 ? ids : []),
    writtenAt: () => undefined,
  };
  const { parsed, secrets, problems } = checked(read, { folder: resolve(folder), readSecret: readSecretFile });
  if (parsed && problems.length === 0) return withDefaults(parsed, resolve(folder), read, secrets);
  throw new InputErrors(problems.map(({ path, message }) => `source ${ids.indexOf(String(path[1])) + 1}: ${message}`));
}

/** Puts a name before the message of an InputError. */
function naming<T>(name: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw error instanceof InputError ? new InputError(`${name}: ${error.message}`) : error;
  }
}

/** A JSON schema (draft 7) of the configuration, for editors. */
export function configSchema(): object {
  const shape = configShape({
    ...{ folder: "/", cameras: [], variables: new Map() },
    readSecret: () => "",
    hide: () => {},
  });
  return { title: "The configuration of sdmae watch", ...z.toJSONSchema(shape, { target: "draft-7", io: "input" }) };
}
