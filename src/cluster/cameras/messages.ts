// What machines tell each other of cameras. It comes from outside, so it is checked.
import { z } from "zod";
import { changeKinds, eventKinds } from "../../server/records.js";
import { modelSchema } from "../messages.js";

const count = z.number().int().nonnegative();
const text = z.string().max(1000);
const time = z.iso.datetime();
const share = z.number().min(0).max(1);

/** A camera's id, as in a configuration. */
export const cameraId = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,39}$/);
/** Names a worker: it becomes part of a subject. */
export const workerName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/);

/** A camera that is to be watched. */
export const cameraSchema = z.strictObject({
  /** Its settings, with the keys of a configuration of `watch`; defaults are filled in. */
  settings: z.record(z.string().max(100), z.unknown()),
  /** Settings that hold unless its own say otherwise. */
  defaults: z.record(z.string().max(100), z.unknown()).optional(),
  model: modelSchema,
  /** Frames per second that are scored: what it costs. */
  fps: z.number().min(1).max(30),
  enabled: z.boolean(),
});
export type CameraRecord = z.infer<typeof cameraSchema>;

/** Who has a camera. The entry's revision is that of the lease. */
export const claimSchema = z.strictObject({
  /** Of the worker; absent: it was given back. */
  session: workerName.optional(),
  worker: workerName,
  since: time,
});
export type Claim = z.infer<typeof claimSchema>;

/** A worker's sign of life. Its key is the session's. */
export const signSchema = z.strictObject({
  worker: workerName,
  /** Seconds without another sign after which its cameras go to other workers. */
  lease: z.number().positive().max(3600),
  /** When the session began. */
  since: time,
  /** Frames per second that it can score; absent until that was measured. */
  capacity: z.number().nonnegative().optional(),
  /** Most cameras that it takes. */
  most: count.optional(),
  /** Whether it takes cameras now. */
  isOpen: z.boolean(),
  /** Cameras that it cannot watch, and why. */
  problems: z.record(cameraId, text).optional(),
  /** Its cameras that give no frames. */
  silent: z.record(cameraId, z.enum(["offline", "ended"])).optional(),
});
export type Sign = z.infer<typeof signSchema>;

/** Who says which worker is to watch which camera. */
export const leaderSchema = z.strictObject({
  session: workerName,
  worker: workerName,
  /** Seconds without another message after which others stand for it. */
  lease: z.number().positive().max(3600),
});
export type LeaderRecord = z.infer<typeof leaderSchema>;

/** Most cameras in a plan. */
export const MOST_PLANNED = 10_000;
/** A camera, and the revision of its claim as the leader knew it. */
const plannedSchema = z.strictObject({ id: cameraId, claim: count });

/** What a worker's session is to watch. */
export const planSchema = z.strictObject({
  /** The revision with which its leader began: a later leader's is higher. */
  term: count,
  /** The last claim that the leader knew of. */
  known: count,
  /** `record`: the revision of the camera's settings; `own`: its claim names the session. */
  cameras: z.array(plannedSchema.extend({ record: count, own: z.boolean() })).max(MOST_PLANNED),
  /** Cameras that are not to be watched any more, whose events it is to end. */
  end: z.array(plannedSchema).max(MOST_PLANNED),
  /** A camera with which to measure what it carries. */
  measure: cameraId.optional(),
});
export type Plan = z.infer<typeof planSchema>;

const box = z.strictObject({ x: share, y: share, width: share, height: share });

/** An event, see `CameraEvent`. */
const eventSchema = z.strictObject({
  id: z.string().regex(/^[\w.:-]{1,100}$/),
  camera: cameraId,
  kind: z.enum(eventKinds),
  start: time,
  end: time.optional(),
  reason: text.optional(),
  peak: z.strictObject({ time, level: z.number(), box: box.optional() }).optional(),
  threshold: z.number().optional(),
  zones: z.array(text).max(100).readonly(),
  silent: z.boolean().optional(),
  text: text.optional(),
  snapshot: text.optional(),
  clip: text.optional(),
  feedback: z.literal("normal").optional(),
});

/** An event that goes on, and the worker that began it. */
const openSchema = z.strictObject({ worker: workerName, event: eventSchema });
export type OpenEvent = z.infer<typeof openSchema>;

/** A message of the stream of events. `taken`: the camera has another worker from here on. */
export const eventMessageSchema = z.strictObject({
  change: z.enum([...changeKinds, "taken"]),
  time,
  /** Absent of `taken`. */
  event: eventSchema.optional(),
  /** Of the camera's lease under which it was written. */
  revision: count,
  worker: workerName,
  /** Events of the camera that go on after this one, as they were last. */
  open: z.array(openSchema).max(20),
});
export type EventMessage = z.infer<typeof eventMessageSchema>;
