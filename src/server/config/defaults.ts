// Fills in what a configuration leaves out.
import { resolve } from "node:path";
import { changeKinds, eventKinds } from "../records.js";
import { usualListen } from "./address.js";
import type { ParsedCamera, ParsedConfig, ParsedSink } from "./schema.js";
import type { ConfigValues } from "./text.js";
import type { CameraConfig, SinkConfig, WatchConfig } from "./types.js";

type Defaults = NonNullable<ParsedConfig["defaults"]>;

/**
 * A configuration with all defaults.
 * @param parsed what the schema gave
 * @param folder absolute, for the folder of data
 * @param read the order of keys
 * @param secrets what must not be shown
 */
export function withDefaults(
  parsed: ParsedConfig,
  folder: string,
  read: Pick<ConfigValues, "keysAt">,
  secrets: readonly string[],
): WatchConfig {
  const ids = read.keysAt(["cameras"]);
  const { web = usualListen, defaults = {} } = parsed;
  return defined({
    checkpoint: parsed.checkpoint,
    data: parsed.data ?? resolve(folder, "sdmae-data"),
    web: web === "off" ? undefined : web,
    log: { level: parsed.log?.level ?? "info" },
    keep: { days: parsed.keep?.days ?? 30, bytes: parsed.keep?.bytes ?? 20e9 },
    reserve: parsed.reserve ?? 200e6,
    cameras: ids.map((id) => camera(id, parsed.cameras[id], defaults, read.keysAt(["cameras", id, "zones"]))),
    sinks: sinks(parsed.sinks ?? [], ids),
    secrets,
  });
}

/** Without keys whose value is undefined. */
function defined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as T;
}

/** A camera of which only its id is known, with all defaults and no source. */
export const usualCamera = (id: string): CameraConfig => camera(id, { source: "" }, {}, []);

function camera(id: string, own: ParsedCamera, defaults: Defaults, zoneNames: readonly string[]): CameraConfig {
  const set = { ...defaults, ...own };
  return defined({
    id,
    name: own.name ?? id,
    source: own.source,
    record: own.record,
    checkpoint: set.checkpoint,
    fps: set.fps ?? 10,
    size: set.size,
    hardwareDecoding: set.hardware_decoding ?? "off",
    threshold: { ...defaults.threshold, ...own.threshold },
    alarmsPerDay: set.alarms_per_day ?? 1,
    minimum: set.minimum ?? 0.5,
    hold: set.hold ?? 1,
    cooldown: set.cooldown ?? 30,
    area: set.area ?? 0,
    ignore: own.ignore ?? [],
    zones: zoneNames.map((name) => ({ name, polygon: own.zones?.[name] ?? [] })),
    privacy: own.privacy ?? [],
    schedule: set.schedule ?? "always",
    shadow: set.shadow ?? false,
    enabled: set.enabled ?? true,
    clip: clip(own.clip, defaults.clip),
    normal: normal(own.normal ?? defaults.normal),
  });
}

/** What a camera leaves out of its clips comes from the defaults, unless they have no clips. */
function clip(own: ParsedCamera["clip"], defaults: ParsedCamera["clip"]): CameraConfig["clip"] {
  if ((own ?? defaults) === "off") return undefined;
  const given = [defaults, own].map((one) => (one === "off" ? {} : (one ?? {})));
  return { before: 5, after: 5, ...defined(given[0]), ...defined(given[1]) };
}

function normal(given: ParsedCamera["normal"]): CameraConfig["normal"] {
  return given === "off" ? undefined : { minutes: given?.minutes ?? 60 };
}

function sinks(parsed: readonly ParsedSink[], ids: readonly string[]): SinkConfig[] {
  const taken = new Set(parsed.map(({ name }) => name));
  return parsed.map((sink) => {
    const name = sink.name ?? freeName(sink.type, taken);
    taken.add(name);
    const all = {
      name,
      cameras: sink.cameras ?? ids,
      kinds: sink.kinds ?? eventKinds,
      changes: sink.changes ?? changeKinds,
    };
    return sinkOf(sink, all);
  });
}

type Common = Pick<SinkConfig, "name" | "cameras" | "kinds" | "changes">;

function sinkOf(sink: ParsedSink, common: Common): SinkConfig {
  switch (sink.type) {
    case "webhook":
    case "folder":
      return defined({ ...sink, ...common });
    case "command":
      return { ...sink, ...common, timeout: sink.timeout ?? 10 };
    case "mqtt": {
      const { prefix = "sdmae", discovery } = sink;
      return defined({ ...sink, ...common, prefix, discovery: discovery === "off" ? undefined : discovery });
    }
  }
}

function freeName(type: string, taken: ReadonlySet<string | undefined>): string {
  let name = type;
  for (let n = 2; taken.has(name); n++) name = `${type}${n}`;
  return name;
}
