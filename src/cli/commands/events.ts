import { existsSync } from "node:fs";
import { join } from "node:path";
import { Command, Option } from "commander";
import { InputError } from "../../errors.js";
import { oneLine } from "../../node/files/messages.js";
import type { CameraEvent, EventKind } from "../../server/records.js";
import { eventKinds } from "../../server/records.js";
import { momentOf } from "../options/moment.js";
import { wholeNumber } from "../options/parse.js";
import { changeLine, eventLine } from "../terminal/event_lines.js";
import { examples } from "../terminal/examples.js";
import { interruptible } from "../terminal/interrupt.js";

interface EventsOptions {
  config?: string;
  data?: string;
  camera?: string;
  kind?: EventKind;
  since?: string;
  until?: string;
  limit?: number;
  follow?: boolean;
  utc?: boolean;
  json?: boolean;
}

/** Events that people are shown if they do not say how many. */
const USUAL = 50;

/** `events`: lists what `watch` has seen. */
export function eventsCommand(): Command {
  return new Command("events")
    .summary("list the events that `watch` has kept")
    .description(
      "Lists the events that `watch` has kept, the newest first: when each began, the camera, the kind, how long it lasted, its highest level with the threshold, zones, and its clip. It may run beside `watch`.",
    )
    .option("--config <file>", "the configuration of `watch`, which names its folder")
    .option("--data <dir>", "the folder of `watch` (default: the configuration's, else ./sdmae-data)")
    .option("--camera <id>", "of this camera only")
    .addOption(new Option("--kind <kind>", "of this kind only").choices(eventKinds))
    .option("--since <time>", "those that began then or later: 2026-11-30, 2026-11-30T14:15, yesterday, 90m, 24h, 7d")
    .option("--until <time>", "those that began earlier")
    .addOption(
      new Option(
        "--limit <n>",
        `at most so many, the newest (default: ${USUAL}; all with --since or --json)`,
      ).argParser(wholeNumber(1)),
    )
    .addOption(
      new Option("--follow", "print changes as they come, until Ctrl-C; with --since, those before, too").conflicts([
        "limit",
        "until",
      ]),
    )
    .option("--utc", "times in UTC, printed and given; otherwise they are local")
    .option("--json", "print one event per line, as JSON; with --follow, one change")
    .addHelpText(
      "after",
      examples(
        "npx sdmae events --since 24h",
        "npx sdmae events --camera front --kind anomaly --json",
        "npx sdmae events --config sdmae.yaml --follow",
      ),
    )
    .action(list);
}

/** Where the events are, and the cameras of the configuration. */
interface Place {
  data: string;
  cameras: readonly string[];
}

/** @throws InputError if the configuration cannot be read */
async function placeOf({ config: file, data }: EventsOptions): Promise<Place> {
  if (file === undefined) return { data: data ?? "./sdmae-data", cameras: [] };
  // What it needs is large; without a configuration it is not needed.
  const { readWatchConfig } = await import("../watching.js");
  const config = await readWatchConfig(file);
  return { data: data ?? config.data, cameras: config.cameras.map(({ id }) => id) };
}

async function list(options: EventsOptions): Promise<void> {
  const { camera, kind, utc = false } = options;
  const timeOf = (name: string, text: string) => momentOf(name, text, utc).toISOString();
  const wanted = {
    ...(camera !== undefined && { camera }),
    ...(kind && { kind }),
    ...(options.since !== undefined && { since: timeOf("--since", options.since) }),
    ...(options.until !== undefined && { until: timeOf("--until", options.until) }),
  };
  if (wanted.since !== undefined && wanted.until !== undefined && wanted.since > wanted.until) {
    throw new InputError("--since is later than --until");
  }
  const { data, cameras } = await placeOf(options);
  const folder = join(data, "events");
  if (!existsSync(folder)) throw new InputError(`${oneLine(data)} is not a folder of \`watch\``);
  const onDamaged = (day: string, at: number) =>
    process.stderr.write(`warning: ${join(folder, `${day}.jsonl`)}: the line at byte ${at} is damaged\n`);
  if (options.follow) {
    const unknown = camera === undefined ? undefined : await unknownCamera(camera, { data, cameras });
    if (unknown !== undefined) process.stderr.write(`warning: ${unknown}; waiting for it\n`);
    return follow(folder, wanted, { ...options, data }, onDamaged);
  }
  const { readEvents } = await import("../../server/event_query.js");
  const isCut = options.limit === undefined && wanted.since === undefined && !options.json;
  const limit = isCut ? USUAL + 1 : options.limit;
  const events = await readEvents(folder, { ...wanted, ...(limit !== undefined && { limit }) }, onDamaged);
  if (events.length === 0 && camera !== undefined) {
    const unknown = await unknownCamera(camera, { data, cameras });
    if (unknown !== undefined) throw new InputError(unknown);
  }
  if (options.json) {
    for (const event of events) console.log(JSON.stringify(event));
  } else if (events.length === 0) process.stderr.write(`${noneText(options)}\n`);
  else {
    await print(isCut ? events.slice(0, USUAL) : events, { data, utc });
    if (isCut && events.length > USUAL) process.stderr.write("there are older ones: --limit or --since shows them\n");
  }
}

/** That nothing is known of a camera, in one line; undefined if it is known. */
async function unknownCamera(camera: string, { data, cameras }: Place): Promise<string | undefined> {
  const { camerasIn } = await import("../../server/event_query.js");
  const known = [...new Set([...cameras, ...(await camerasIn(data))])];
  if (known.includes(camera)) return undefined;
  const others = known.length === 0 ? "it has none yet" : `it has ${known.join(", ")}`;
  return `${oneLine(data)} knows no camera ${oneLine(camera)}: ${others}`;
}

/** Prints events, a line each. */
async function print(events: readonly CameraEvent[], { data, utc }: { data: string; utc: boolean }): Promise<void> {
  const { wasDeleted } = await import("../../server/event_files.js");
  const deleted = new Set<string>();
  for (const event of events) if (await wasDeleted(data, event)) deleted.add(event.id);
  const width = Math.max(...events.map(({ camera }) => camera.length));
  for (const event of events) console.log(eventLine(event, { data, isUtc: utc, deleted, width }));
}

/** Prints changes until Ctrl-C. */
function follow(
  folder: string,
  wanted: { camera?: string; kind?: EventKind; since?: string },
  { data, utc = false, json }: EventsOptions & { data: string },
  onDamaged: (day: string, at: number) => void,
): Promise<void> {
  return interruptible(async (signal) => {
    const { followChanges } = await import("../../server/event_query.js");
    // A pipe that closes, as that of `head`, ends it too.
    const closed = new AbortController();
    const close = () => closed.abort();
    process.stdout.once("error", close);
    try {
      const either = AbortSignal.any([signal, closed.signal]);
      for await (const change of followChanges(folder, wanted, { signal: either, onDamaged })) {
        console.log(json ? JSON.stringify(change) : changeLine(change, { data, isUtc: utc }));
      }
    } catch (error) {
      if (!closed.signal.aborted) throw error;
    } finally {
      process.stdout.off("error", close);
    }
  });
}

/** That there are no events, with what was asked for. */
function noneText({ camera, kind, since, until }: EventsOptions): string {
  const of = [kind, camera === undefined ? undefined : `of ${oneLine(camera)}`].filter(Boolean).join(" ");
  const when = [since === undefined ? "" : " since then", until === undefined ? "" : " before that"].join("");
  return `no events${of ? ` (${of})` : ""}${when}`;
}
