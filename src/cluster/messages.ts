// What machines tell each other of archives. It comes from outside, so it is checked.
import { isAbsolute, normalize } from "node:path/posix";
import { z } from "zod";
import { testSplits } from "../data/dataset.js";
import { frameScorings, tokenChoices } from "../detector/frame_score.js";

/** SHA-256, in hexadecimal. */
const hash = z.string().regex(/^[0-9a-f]{64}$/);
/** Names an archive: what is done with its videos, and where results go. */
const archiveId = z.string().regex(/^[0-9a-f]{16}$/);
/** A path below the shared folder, with "/"; it leads nowhere else. */
const sharedPath = z
  .string()
  .min(1)
  .max(4096)
  .refine((path) => isInside(path), "leads out of the shared folder");
const count = z.number().int().nonnegative();
const text = z.string().max(1000);

/** How videos are scored: options of `score`. */
export const howSchema = z.strictObject({
  preset: z.enum(["avenue", "shanghai"]).optional(),
  size: z.strictObject({ height: count.max(8192), width: count.max(8192) }).optional(),
  maskRatio: z.number().min(0).lt(1).optional(),
  masking: z.enum(["random", "gradient"]).optional(),
  norm: z.enum(["L1", "L2"]).optional(),
  score: z.enum(["sum", "teacher", "student"]).optional(),
  maskedOnly: z.boolean().optional(),
  dtype: z.enum(["f32", "f16"]).optional(),
  frameScore: z.enum(frameScorings).optional(),
  tokens: z.enum(tokenChoices).optional(),
  topK: count.min(1).optional(),
  minMotion: z.number().min(0).max(255).optional(),
  heads: count.min(1).max(1024).optional(),
  seed: count.max(0xffffffff),
  /** For events and reports. */
  threshold: z.number().optional(),
});

/** A model in the store, by its SHA-256. */
export const modelSchema = z.strictObject({ hash, extension: z.enum([".safetensors", ".pth"]), name: text });

/** How records of a data set's videos are made: what `eval` computes of them. */
export const recordsSchema = z.strictObject({
  /** The data set's folder, below the shared folder. */
  root: sharedPath,
  layout: z.string().regex(/^[a-z0-9]{1,20}$/),
  split: z.enum(testSplits),
  /** The checkpoint of the student, which is merged into the model. */
  student: modelSchema.optional(),
  batch: count.min(1).max(1024).optional(),
  /** What each record says of itself. A worker that would make another one leaves it to others. */
  made: z.strictObject({
    model: hash,
    settings: z.string().max(4000),
    adapter: text,
    dataset: z.string().max(5000),
    split: z.enum(testSplits).optional(),
  }),
});

/** An archive: videos that are scored in one way. */
export const archiveSchema = z.strictObject({
  id: archiveId,
  /** ISO 8601, when it was first submitted. */
  created: z.iso.datetime(),
  model: modelSchema,
  how: howSchema,
  /** The folder of results. Absent if videos are uploaded: then results go to the store. */
  out: sharedPath.optional(),
  /** Names the machine and folder to which results of uploaded videos come back. */
  to: hash.optional(),
  /** Whether results are more than scores. */
  events: z.boolean(),
  report: z.boolean(),
  /** Of `eval`: the token maps of each video are kept, in place of scores. */
  records: recordsSchema.optional(),
});
export type Archive = z.infer<typeof archiveSchema>;

/** A video that waits for a worker. The path of an uploaded one names its results. */
export const videoJobSchema = z.strictObject({
  archive: archiveId,
  hash,
  path: sharedPath,
  /** Of `eval`: the video's name in its data set, and the seed of its masks. */
  record: z.strictObject({ video: text.min(1), seed: count.max(0xffffffff) }).optional(),
});
export type VideoJob = z.infer<typeof videoJobSchema>;

/** What became of a video. `failed`: it was put aside. */
export const videoStates = ["queued", "running", "done", "failed"] as const;
export const videoSchema = z.strictObject({
  state: z.enum(videoStates),
  path: sharedPath,
  /** How often a worker began it. */
  attempts: count,
  /** How often it could not be scored. */
  failures: count.optional(),
  /** Of the state, ISO 8601. */
  since: z.iso.datetime(),
  /** Who has it, or had it last. */
  worker: text.optional(),
  /** The message by which that worker got it: its number in the queue. */
  message: count.optional(),
  /** Frames that are scored, and about how many there are. */
  frames: count.optional(),
  total: count.optional(),
  /** How long scoring took. */
  seconds: z.number().nonnegative().optional(),
  /** Of an uploaded video: a part of its results' names in the store, until they are fetched. */
  results: z
    .string()
    .regex(/^[0-9a-f]{8}$/)
    .optional(),
  /** Why it failed last, in one line. */
  error: text.optional(),
});
export type VideoRecord = z.infer<typeof videoSchema>;

/** Whether a path stays in its folder, for any system. */
export function isInside(path: string): boolean {
  const isPlain = !isAbsolute(path) && !/[\\\0]|^[A-Za-z]:/.test(path);
  return (
    isPlain &&
    normalize(path) === path &&
    path !== "." &&
    path !== ".." &&
    !path.startsWith("../") &&
    !path.endsWith("/")
  );
}
