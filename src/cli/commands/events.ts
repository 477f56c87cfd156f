import { existsSync } from "node:fs";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { InputError } from "../../errors.js";
import { oneLine } from "../../node/files/messages.js";
import { wholeNumber } from "../options/parse.js";
import { examples } from "../terminal/examples.js";

interface EventsOptions {
  data: string;
  camera?: string;
  since?: Date;
  limit?: number;
  json?: boolean;
}

/** `events`: lists what `watch` has seen. */
export function eventsCommand(): Command {
  return new Command("events")
    .summary("list the events that `watch` has kept")
    .description("Lists the events that `watch` has kept, the newest first. It may run beside `watch`.")
    .option("--data <dir>", "the folder of `watch`", "./sdmae-data")
    .option("--camera <id>", "of this camera only")
    .addOption(
      new Option(
        "--since <time>",
        "those that began then or later: a date, a date and time, or 90m, 24h, 7d",
      ).argParser(sinceOf),
    )
    .addOption(new Option("--limit <n>", "at most so many").argParser(wholeNumber(1)))
    .option("--json", "print one event per line, as JSON")
    .addHelpText("after", examples("npx sdmae events --since 24h", "npx sdmae events --camera front --json"))
    .action(list);
}

/** The moment that a text means. @throws InvalidArgumentError if it means none */
function sinceOf(text: string): Date {
  const [, count, unit] = /^(\d+)(m|h|d)$/.exec(text) ?? [];
  const seconds = { m: 60, h: 3600, d: 86_400 }[unit as "m" | "h" | "d"];
  const date = seconds === undefined ? new Date(text) : new Date(Date.now() - 1000 * seconds * Number(count));
  if (Number.isNaN(date.getTime())) throw new InvalidArgumentError("Give a date, or a time such as 90m, 24h or 7d.");
  return date;
}

async function list({ data, camera, since, limit, json }: EventsOptions): Promise<void> {
  const { readEvents } = await import("../../server/event_query.js");
  const folder = join(data, "events");
  if (!existsSync(folder)) throw new InputError(`${oneLine(data)} is not a folder of \`watch\``);
  const wanted = {
    ...(camera !== undefined && { camera }),
    ...(since && { since: since.toISOString() }),
    ...(limit !== undefined && { limit }),
  };
  const events = await readEvents(folder, wanted, (day, at) =>
    process.stderr.write(`warning: ${join(folder, `${day}.jsonl`)}: the line at byte ${at} is damaged\n`),
  );
  if (json) {
    for (const event of events) console.log(JSON.stringify(event));
    return;
  }
  if (events.length === 0) {
    process.stderr.write(`no events${camera ? ` of ${camera}` : ""}${since ? " since then" : ""}\n`);
    return;
  }
  for (const { start, end, camera: where, kind, peak, zones, silent, feedback, clip } of events) {
    const seconds =
      end === undefined ? "goes on" : `${Math.max(0, (Date.parse(end) - Date.parse(start)) / 1000).toFixed(0)} s`;
    const parts = [
      start,
      where.padEnd(12),
      kind.padEnd(12),
      seconds.padStart(7),
      peak ? peak.level.toPrecision(3) : "     ",
    ];
    const more = [zones.join(", "), silent ? "silent" : "", feedback ?? "", clip ? join(data, clip) : ""].filter(
      Boolean,
    );
    console.log([...parts, ...more].join("  "));
  }
}
