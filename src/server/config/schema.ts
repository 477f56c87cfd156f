// The shape of a configuration: its keys, and what each of them may hold. Defaults are filled in
// later (defaults.ts).
import { z } from "zod";
import { InputError } from "../../errors.js";
import { isLoopback, parseListen, usualListen } from "./address.js";
import { path, type Surroundings, secret, source } from "./inputs.js";
import { sink } from "./sinks.js";
import { logLevels } from "./types.js";
import {
  bytes,
  choice,
  duration,
  flag,
  list,
  map,
  named,
  number,
  orOff,
  pictureSize,
  polygon,
  polygons,
  positive,
  read,
  rectangles,
  text,
} from "./values.js";

/** The shape of a configuration. */
export function configShape(around: Surroundings) {
  return map(
    {
      checkpoint: path(around).optional().describe("The model; default: the bundled one"),
      data: path(around).optional().describe("The folder of events and clips; default: ./sdmae-data"),
      web: web(around).optional().describe("The web page; off: none. Default: 127.0.0.1:8377"),
      log: map({ level: choice(logLevels).optional() }, "a map such as { level: info }").optional(),
      keep: keep().optional().describe("How long and how much is kept of clips"),
      reserve: bytes().optional().describe("Disk space that clips never use; default: 200 MB"),
      cameras: cameras(around),
      defaults: map(settings(around), "a map of settings for all cameras").optional(),
      sinks: z
        .array(sink(around), { error: "a list of sinks" })
        .max(100, { error: "a list of at most 100 sinks" })
        .optional(),
    },
    "a map such as cameras: { front: { source: rtsp://camera/stream } }",
  );
}

/** What {@link configShape} gives. */
export type ParsedConfig = z.output<ReturnType<typeof configShape>>;
/** What it gives for a camera. */
export type ParsedCamera = ParsedConfig["cameras"][string];
/** What it gives for a sink. */
export type ParsedSink = NonNullable<ParsedConfig["sinks"]>[number];

function web(around: Surroundings) {
  const what = "HOST:PORT, such as 127.0.0.1:8377 or [::1]:8377";
  const token = read(secret(around), "", (value) => {
    if (/^[\x21-\x7e]{8,}$/.test(value)) return value;
    throw new InputError("the token must have at least 8 characters: ASCII without blanks");
  });
  const name = "a host's name without a port, such as nas.local";
  const hosts = list(
    z.string({ error: name }).regex(/^[a-z\d]([a-z\d.-]*[a-z\d])?$/i, { error: name }),
    "a list of names such as [nas.local]",
  );
  const shape = map(
    { address: read(text(what), what, parseListen).optional(), token: token.optional(), hosts: hosts.optional() },
    "a map such as { address: 127.0.0.1:8377 }",
  ).transform(({ address = usualListen, token, hosts }, context) => {
    if (token === undefined && !isLoopback(address.host)) {
      const message = `is missing: other machines can reach ${address.host}; add token: \${WEB_TOKEN}`;
      context.addIssue({ code: "custom", message, path: ["token"] });
    }
    return { ...address, ...(token !== undefined && { token }), ...(hosts && { hosts }) };
  });
  return orOff(shape, "a map such as { address: 127.0.0.1:8377 }");
}

function keep() {
  return map({ days: positive().optional(), bytes: bytes().optional() }, "a map such as { days: 30, bytes: 20 GB }");
}

/** The settings of a camera that can have defaults for all cameras. */
function settings(around: Surroundings) {
  const { checkSchedule } = around;
  const threshold = "a number above 0, or { day: 0.4, infrared: 0.5 }";
  const both = map({ day: positive().optional(), infrared: positive().optional() }, threshold);
  return {
    checkpoint: path(around).optional().describe("The model; default: the one learnt, else that of all cameras"),
    fps: number(1, 30).optional().describe("Frames per second that are scored; default: 10"),
    size: pictureSize().optional().describe("Size of the frames that are scored, such as 480x270"),
    hardware_decoding: hardwareDecoding().optional().describe("off (default), auto, or a name such as vaapi"),
    threshold: z
      .union([positive(threshold), both], { error: threshold })
      .transform((value) => (typeof value === "number" ? { day: value, infrared: value } : value))
      .optional()
      .describe("Scores from here on are abnormal; default: from calibration"),
    alarms_per_day: number(0.001, 1000).optional().describe("False alarms that calibration aims at; default: 1"),
    minimum: duration("0 s", "1 h").optional().describe("How long it must be abnormal; default: 0.5 s"),
    hold: duration("0 s", "1 h").optional().describe("How long it must be normal again; default: 1 s"),
    cooldown: duration("0 s", "24 h").optional().describe("No new alert for so long; default: 30 s"),
    area: number(0, 1, "a share of the frame from 0 to 1").optional().describe("Least share of the frame; default: 0"),
    schedule: read(text(), "text", (value) => {
      checkSchedule?.(value);
      return value;
    })
      .optional()
      .describe("When alerts are sent; default: always"),
    shadow: flag().optional().describe("Record only, alert nobody; default: false"),
    enabled: flag().optional().describe("Default: true"),
    clip: clip().optional().describe("Seconds of a clip before and after an event; default: 5 s each"),
    normal: normal().optional().describe("Minutes of normal video that are kept for learning; default: 60"),
  };
}

function hardwareDecoding() {
  const what = "off, auto, or a name such as vaapi";
  return z
    .union([z.literal(false), z.string().regex(/^[a-z][a-z0-9_]{1,19}$/, { error: what })], { error: what })
    .transform((value) => value || "off");
}

function clip() {
  const side = () => duration("0 s", "5 min").optional();
  const what = "a map such as { before: 5 s, after: 5 s }";
  return orOff(map({ before: side(), after: side() }, what), what);
}

function normal() {
  const what = "a map such as { minutes: 60 }";
  return orOff(map({ minutes: number(1, 1440).optional() }, what), what);
}

function cameras(around: Surroundings) {
  const what = "a map of cameras by their ids, such as front: { source: rtsp://camera/stream }";
  const camera = map(
    {
      source: source(around),
      record: source(around).optional().describe("Another stream of the camera, for clips"),
      name: text().optional().describe("For people; default: the id"),
      zones: zones().optional().describe("Names and polygons of parts of the view"),
      ignore: polygons().optional().describe("Polygons that do not count"),
      privacy: rectangles().optional().describe("Rectangles that are blacked out before anything is stored"),
      ...settings(around),
    },
    "a map of a camera's settings, such as { source: rtsp://camera/stream }",
  );
  return named(camera, what).refine((all) => Object.keys(all).length > 0, {
    error: "there is no camera; name at least one",
  });
}

function zones() {
  return named(polygon(), "a map of polygons by the names of zones, such as door: [[0, 0], [0.5, 0], [0.5, 1]]");
}
