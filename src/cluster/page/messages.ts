// What pages and machines tell each other. It comes from outside, so it is checked.
import { z } from "zod";
import type { CameraState, FrameMessage } from "../../server/web/api.js";
import { cameraId, workerName } from "../cameras/messages.js";

/** Pages ask all machines here for their cameras, */
export const LOOK = "sdmae.look";
/** and hear of them here. @param page the name of the machine that serves it */
export const seenSubject = (page: string): string => `sdmae.seen.${page}`;
/** A machine answers requests of pages here. */
export const pageSubject = (machine: string): string => `sdmae.page.${machine}`;

/** Bytes of an answer's body; servers take messages of a megabyte. */
export const CHUNK = 512 * 1024;

const number = z.number();
const count = z.number().int().nonnegative();
const text = z.string().max(1000);
const orNull = <Schema extends z.ZodType>(schema: Schema) => schema.nullable();
const share = z.number().min(0).max(1);
const point = z.tuple([share, share]);

/** A page is open. */
export const lookSchema = z.strictObject({
  page: workerName,
  /** Frames per second that it wants to hear of each camera; 0: none. */
  frames: z.number().min(0).max(10),
});
export type Look = z.infer<typeof lookSchema>;

const mode = z.enum(["day", "infrared"]);
const box = z.strictObject({ x: share, y: share, width: share, height: share });
const camera = z.strictObject({
  ...{ id: cameraId, name: text, shadow: z.boolean() },
  zones: z.array(z.strictObject({ name: text, polygon: z.array(point).max(1000) })).max(100),
  ignore: z.array(z.array(point).max(1000)).max(100),
  privacy: z.array(box).max(100),
  status: z.enum(["connecting", "waiting", "online", "offline", "ended", "off"]),
  ...{ problem: orNull(text), slowness: orNull(text), picture: z.boolean() },
  counts: z.strictObject({ frames: count, dropped: count, scored: count, reconnects: count }),
  ...{ fps: number, wantedFps: number, learning: number, threshold: orNull(number), mode },
  ...{ level: orNull(number), lastFrame: orNull(number), latency: orNull(number), paused: z.boolean() },
  model: z.strictObject({ hash: z.string().max(64), learnt: z.boolean() }),
  machine: z.null(),
  learnt: orNull(
    z.strictObject({ threshold: number, seconds: number, normal: number, alarmsPerDay: number, mapHigh: number }),
  ),
});

const frame = z.strictObject({
  ...{ camera: cameraId, time: number, level: orNull(number), threshold: orNull(number), mode },
  map: z.strictObject({
    ...{ rows: count.max(1000), columns: count.max(1000), high: number },
    data: z.array(z.number().min(0).max(255)).max(100_000),
  }),
});

/** What a machine tells a page. */
export const seenSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("state"),
    machine: workerName,
    cameras: z.array(camera).max(1000),
    problems: z.array(text).max(100),
  }),
  z.strictObject({ type: z.literal("frame"), machine: workerName, frame }),
]);
export type Seen =
  | { type: "state"; machine: string; cameras: CameraState[]; problems: string[] }
  | { type: "frame"; machine: string; frame: FrameMessage };

/** A request that a machine answers. */
export const requestSchema = z.strictObject({
  method: z.enum(["GET", "HEAD", "POST", "DELETE"]),
  path: z.string().max(1000),
  headers: z.record(z.string().regex(/^[a-z-]{1,40}$/), z.string().max(1000)),
});

/** What stands before the body of an answer. */
const answerSchema = z.strictObject({
  status: z.number().int().min(200).max(599),
  headers: z.record(z.string().max(100), z.string().max(1000)),
});
export type AnswerHead = z.infer<typeof answerSchema>;

/** An answer as one message: the length of its head, the head as JSON, the body. */
export function packAnswer(head: AnswerHead, body: Uint8Array): Uint8Array {
  const text = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text, body]);
}

/** @throws Error if it is no answer */
export function unpackAnswer(data: Uint8Array): { head: AnswerHead; body: Uint8Array } {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (bytes.length < 4) throw new Error("the answer is damaged");
  const length = bytes.readUInt32BE(0);
  try {
    const head = answerSchema.parse(JSON.parse(bytes.subarray(4, 4 + length).toString()));
    return { head, body: bytes.subarray(4 + length) };
  } catch {
    throw new Error("the answer is damaged");
  }
}

/** A message; undefined if it is not what it should be. */
export function readMessage<Schema extends z.ZodType>(schema: Schema, data: Uint8Array): z.infer<Schema> | undefined {
  try {
    return schema.parse(JSON.parse(new TextDecoder().decode(data)));
  } catch {
    return undefined;
  }
}
