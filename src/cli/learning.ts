// Trains a model on a camera's own normal video, and gives it to the camera if it is rated higher.
import { copyFile, link, readdir, readFile, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.js";
import { hasTrainedStudent } from "../checkpoint/extras.js";
import { counted } from "../counted.js";
import type { Dataset } from "../data/dataset.js";
import { comparable, scoreSettings } from "../detector/settings.js";
import { InputError } from "../errors.js";
import { Detector } from "../node/detector.js";
import { cannotWrite, makeFolder, writeFileAtomic } from "../node/files/atomic.js";
import { readCheckpoint } from "../node/files/checkpoint_file.js";
import { freeBytes } from "../node/files/free_bytes.js";
import { oneLine, reasonOf } from "../node/files/messages.js";
import { weightsHash } from "../node/files/weights_hash.js";
import { folderOf, layAside } from "../server/camera/known.js";
import { LearntModels } from "../server/camera/learnt_model.js";
import { scoreNormal } from "../server/camera/normal_scores.js";
import {
  clipFrames,
  isKept,
  type NormalClip,
  normalClips,
  normalFolder,
  type ScoredFrames,
} from "../server/camera/normal_video.js";
import type { CameraConfig } from "../server/config/config.js";
import { usualCamera } from "../server/config/defaults.js";
import { idPattern } from "../server/config/values.js";
import { camerasIn } from "../server/event_query.js";
import { takeLock } from "../server/log_lock.js";
import { sizeOf } from "../server/models.js";
import type { TrainingConfig } from "../train/config.js";
import { smallTraining, trainingPresets } from "../train/presets.js";
import type { BestModel } from "../train/progress.js";
import { checkpointOf } from "./config_paths.js";
import { type DeviceOptions, deviceOf } from "./options/device.js";
import { latestName, type Measured, measuredBefore, modelName, ratingWords } from "./outputs/train_run.js";
import { Progress } from "./terminal/progress.js";
import { exists, openRun, type Plan, runTraining } from "./training.js";
import { readWatchConfig } from "./watching.js";

/** The options of `learn`. */
export interface LearnCommandOptions extends DeviceOptions {
  config?: string;
  data?: string;
  checkpoint?: string;
  back?: boolean;
  restart?: boolean;
  epochs?: number;
  epochSamples?: number;
  lr?: number;
  saveEvery: number;
  memory?: number;
  frameMemory?: number;
  quiet?: boolean;
}

/** A camera that learns. */
interface Pupil {
  camera: CameraConfig;
  /** Its folder in the data folder. */
  folder: string;
  /** Its normal video. */
  normal: string;
  /** The model of all cameras. */
  usual: string;
  /** Bytes of the disk that stay free. */
  reserve: number;
  models: LearntModels;
}

/** Minutes of normal video that are needed at least. */
const LEAST = 5;
/** Minutes that a model learns from at most: decoded frames need room on the disk. */
const MOST = 20;
/** From so many minutes on, a third is left out of training, for the threshold. */
const ENOUGH = 30;

/** Learns, or goes back to the previous model. @throws InputError if something cannot be used */
export async function learn(id: string, options: LearnCommandOptions, signal: AbortSignal): Promise<void> {
  const pupil = await pupilOf(id, options);
  const out = join(pupil.folder, "learning");
  const made = await makeFolder(out);
  const unlock = await takeLock(out).catch((error: unknown) => {
    throw error instanceof InputError ? new InputError(`${id} cannot learn now: ${error.message}`) : error;
  });
  try {
    if (options.back) console.log(await goBack(pupil));
    else await new Learning(pupil, out, options, signal).run();
  } finally {
    await unlock();
    // A run that failed at once leaves no folder.
    if (made) await rmdir(out).catch(() => undefined);
  }
}

/** @throws InputError if there is no such camera, or it would not use what it learns */
async function pupilOf(id: string, { config: file, data, checkpoint }: LearnCommandOptions): Promise<Pupil> {
  if (file !== undefined) {
    const config = await readWatchConfig(file);
    const camera = config.cameras.find((one) => one.id === id);
    if (!camera) {
      const ids = config.cameras.map((one) => one.id).join(", ");
      throw new InputError(`${oneLine(file)} has no camera ${oneLine(id)}: name one of ${ids}`);
    }
    if (camera.checkpoint !== undefined) {
      throw new InputError(
        `${oneLine(file)} names a checkpoint for ${id}, so it would not use what it learns: remove that line, and name the file with --checkpoint`,
      );
    }
    return pupil(camera, data ?? config.data, checkpointOf(config, checkpoint), config.reserve);
  }
  const folder = data ?? "sdmae-data";
  const known = (await readdir(join(folder, "cameras")).catch(() => [])).filter((name) => idPattern.test(name)).sort();
  if (!known.includes(id)) {
    if ((await camerasIn(folder)).includes(id)) {
      throw new InputError(
        `${oneLine(folder)} has events of ${id}, but nothing of it was learnt or kept yet: let \`watch\` run for longer`,
      );
    }
    const others =
      known.length === 0 ? "it has none; name a configuration with --config" : `it has ${known.join(", ")}`;
    throw new InputError(`${oneLine(folder)} has no camera ${oneLine(id)}: ${others}`);
  }
  const config = { checkpoint: undefined };
  return pupil(usualCamera(id), folder, checkpointOf(config, checkpoint), 200e6);
}

function pupil(camera: CameraConfig, data: string, usual: string, reserve: number): Pupil {
  const folder = folderOf(data, camera);
  const normal = normalFolder(data, camera.id);
  return { camera, folder, normal, usual, reserve, models: new LearntModels(folder) };
}

async function goBack({ camera, models, usual }: Pupil): Promise<string> {
  const found = await models.exchange();
  const which = found === "learnt" ? `the model ${models.path}` : `${usual} again, as before it learnt`;
  return `${camera.id} uses ${which}; \`learn ${camera.id} --back\` undoes this`;
}

/** Which videos are learnt from, and which are only scored, for the threshold. */
interface Shares {
  training: NormalClip[];
  rest: NormalClip[];
}

const minutesOf = (clips: readonly NormalClip[]): number => clips.reduce((sum, { seconds }) => sum + seconds, 0) / 60;

/** What people marked is always learnt from. Of the rest, what is evenly spread. */
export function shares(clips: readonly NormalClip[]): Shares {
  const kept = clips.filter(({ name }) => isKept(name));
  const marked = clips.filter(({ name }) => !isKept(name));
  const minutes = minutesOf(kept);
  if (minutes < ENOUGH) return { training: [...clips], rest: [] };
  const share = Math.min(2 / 3, MOST / minutes);
  const isTaken = (i: number) => Math.floor((i + 1) * share) > Math.floor(i * share);
  return { training: [...kept.filter((_, i) => isTaken(i)), ...marked], rest: kept.filter((_, i) => !isTaken(i)) };
}

/** One time that a camera learns. */
class Learning {
  private readonly say: (line: string) => void;
  private readonly quiet: boolean;
  /** Links of the videos: `watch` deletes old ones meanwhile. */
  private readonly videos: { training: string; rest: string };
  private readonly begun: string;

  constructor(
    private readonly pupil: Pupil,
    private readonly out: string,
    private readonly options: LearnCommandOptions,
    private readonly signal: AbortSignal,
  ) {
    this.quiet = options.quiet ?? false;
    this.say = (line) => {
      if (!this.quiet) process.stderr.write(`${line}\n`);
    };
    this.videos = { training: join(out, "training"), rest: join(out, "rest") };
    this.begun = join(out, "begun.json");
  }

  async run(): Promise<void> {
    const { pupil, options, say } = this;
    const { camera, models, usual } = pupil;
    const present = await readCheckpoint([(await models.stamp()) ? models.path : usual]);
    say(`the present model: ${present.source}`);
    const resumes = !options.restart && (await exists(join(this.out, latestName)));
    if (resumes) await this.checkBegun(present);
    else await this.begin(present);
    const clips: Shares = {
      training: await normalClips(this.videos.training, say),
      rest: await normalClips(this.videos.rest, say),
    };
    const how = this.framesOf(present);
    const { best, measured } = await this.train(present, clips.training, how, resumes);
    const before = measured.ratings.get(0);
    const after = best && measured.ratings.get(best.epoch);
    if (!before || !best || !after) {
      await this.clear();
      throw new InputError(`${camera.id} keeps its model: nothing could rate a new one (see above)`);
    }
    console.log(`the present model: ${ratingWords(before)}`);
    if (best.epoch === 0) {
      console.log(`${camera.id} keeps its model: what it learnt was not rated higher`);
    } else {
      console.log(`epoch ${best.epoch}: ${ratingWords(after)}`);
      await this.take(present, clips, how, { before: before.figure, after: after.figure });
    }
    await this.clear();
  }

  /** How the camera's frames are scored. */
  private framesOf(present: Checkpoint): ScoredFrames {
    const { camera } = this.pupil;
    return { fps: camera.fps, size: sizeOf(camera, { settings: scoreSettings(present) }), privacy: camera.privacy };
  }

  /** Finds the videos, and keeps which they are. @throws InputError if there are too few */
  private async begin(present: Checkpoint): Promise<void> {
    const { pupil, say } = this;
    const { camera, normal } = pupil;
    const clips = await normalClips(normal, say);
    const minutes = minutesOf(clips);
    if (minutes < LEAST) {
      throw new InputError(
        `${camera.id} has ${minutes.toFixed(1)} min of normal video in ${counted(clips.length, "file")}, and ${LEAST} min are needed: ` +
          `\`watch\` keeps a piece every few minutes in ${normal}`,
      );
    }
    const chosen = shares(clips);
    await this.checkRoom(chosen.training, this.framesOf(present));
    await this.clear();
    for (const part of ["training", "rest"] as const) {
      await makeFolder(this.videos[part]);
      for (const { name, path } of chosen[part]) await linkOrCopy(path, join(this.videos[part], name));
    }
    await writeFileAtomic(this.begun, `${JSON.stringify({ model: weightsHash(present.weights) })}\n`);
    const left =
      chosen.rest.length > 0 ? `; ${minutesOf(chosen.rest).toFixed(0)} min are left out, for the threshold` : "";
    say(
      `learns from ${minutesOf(chosen.training).toFixed(0)} min of normal video, ${counted(chosen.training.length, "file")}${left}`,
    );
  }

  private async checkRoom(clips: readonly NormalClip[], { fps, size }: ScoredFrames): Promise<void> {
    const needed = 60 * minutesOf(clips) * fps * size.width * size.height * 3;
    const free = (await freeBytes(this.out)) - this.pupil.reserve;
    if (free >= needed) return;
    const gigabytes = (bytes: number) => `${(Math.max(0, bytes) / 1e9).toFixed(1)} GB`;
    throw new InputError(
      `${this.out}: decoded frames need ${gigabytes(needed)} for a while, and ${gigabytes(free)} are free`,
    );
  }

  /** @throws InputError if the run that is continued began with another model */
  private async checkBegun(present: Checkpoint): Promise<void> {
    const { begun, say, pupil } = this;
    const { model } = await readFile(begun, "utf8")
      .then((text) => JSON.parse(text) as { model?: unknown })
      .catch((error: unknown) => {
        throw new InputError(`${begun} cannot be read (${reasonOf(error)}); --restart begins anew`);
      });
    if (model !== weightsHash(present.weights)) {
      throw new InputError(`${pupil.camera.id} has another model than when ${this.out} began; --restart begins anew`);
    }
    say(`continues what was interrupted (--restart begins anew)`);
  }

  /** Trains, unless that is done. */
  private async train(
    present: Checkpoint,
    clips: readonly NormalClip[],
    how: ScoredFrames,
    resumes: boolean,
  ): Promise<{ best: BestModel | undefined; measured: Measured }> {
    const { options, say, quiet, pupil } = this;
    const out = this.out;
    const resume = resumes ? await openRun(out, () => "--restart begins anew") : undefined;
    const config = this.configOf(present, resume?.config);
    if (resume?.progress.finished) {
      return { best: resume.progress.best ?? undefined, measured: await measuredBefore(out) };
    }
    const dataset: Dataset = {
      ...{ layout: "folder", root: this.videos.training, test: [], notes: [] },
      train: clips.map((clip) => {
        const { name, path } = clip;
        return { name, path, isAlwaysLearnt: !isKept(name), open: async () => clipFrames(clip, how) };
      }),
    };
    const source = { dataset: "folder", root: this.videos.training } as const;
    const plan: Plan = { source, dataset, config, resume, init: resume ? undefined : present.weights };
    const { result, measured } = await runTraining(
      plan,
      {
        ...{ out, name: out, device: deviceOf(options), quiet, say, saveEvery: options.saveEvery },
        ...{ memory: options.memory, frameMemory: options.frameMemory },
        mustRate: true,
        again: `\`learn ${pupil.camera.id}\` continues it`,
        words: ({ best }) => (best && best.epoch > 0 ? `epoch ${best.epoch} is better` : "no epoch is better"),
      },
      this.signal,
    );
    return { best: result.best, measured };
  }

  /**
   * The settings of `train --small`, with the present model's network.
   * @param begun those of the run that is continued
   * @throws InputError if other ones are wanted
   */
  private configOf(present: Checkpoint, begun: TrainingConfig | undefined): TrainingConfig {
    const { epochs, epochSamples, lr } = this.options;
    if (begun) {
      const same = (given: number | undefined, value: number) => given === undefined || given === value;
      const { learningRate } = begun.optimizer;
      if (same(epochs, begun.epochs) && same(epochSamples, begun.epochSamples) && same(lr, learningRate)) return begun;
      throw new InputError("what was interrupted has other --epochs, --epoch-samples or --lr; --restart begins anew");
    }
    const { config: model, extras } = present;
    const { size, maskRatio, masking, norm } = scoreSettings(present);
    if (hasTrainedStudent(model, extras)) {
      this.say("the model has a student, which does not learn: both models are rated by their teachers alone");
    }
    const small = smallTraining(trainingPresets.folder, size);
    return {
      ...small,
      ...{ model, size, maskRatio, masking },
      ...(epochs !== undefined && { epochs, teacherEpochs: epochs }),
      ...(epochSamples !== undefined && { epochSamples }),
      ...(lr !== undefined && { optimizer: { ...small.optimizer, learningRate: lr } }),
      test: { ...small.test, norm },
    };
  }

  /** Finds the new model's threshold, then gives the model to the camera. */
  private async take(
    present: Checkpoint,
    clips: Shares,
    how: ScoredFrames,
    ratings: { before: number; after: number },
  ): Promise<void> {
    const { camera, models } = this.pupil;
    const path = join(this.out, modelName);
    const checkpoint = await readCheckpoint([path]);
    const model = weightsHash(checkpoint.weights);
    const threshold = await this.threshold(checkpoint, clips, how);
    await models.take(await readFile(path), {
      ...{ model, learnt: new Date().toISOString(), rating: ratings.after },
      ...{ clips: clips.training.length, minutes: Number(minutesOf(clips.training).toFixed(1)) },
      before: { model: weightsHash(present.weights), rating: ratings.before },
    });
    console.log(
      `${camera.id} has a new model: ${models.path}; \`learn ${camera.id} --back\` returns to the one before`,
    );
    console.log(threshold);
    console.log("`watch` takes it over within ten seconds, if it runs");
  }

  /** Keeps what is known of the new model's scores. @returns a line about the threshold */
  private async threshold(checkpoint: Checkpoint, clips: Shares, how: ScoredFrames): Promise<string> {
    const { pupil, options, say, quiet } = this;
    const { camera, folder } = pupil;
    const signal = this.signal;
    if (camera.threshold.day !== undefined && camera.threshold.infrared !== undefined) {
      return "the configuration's threshold was made for the model before: look at the page's curve, or remove it";
    }
    const all = clips.rest.length > 0 ? clips.rest : clips.training;
    const detector = await Detector.open(checkpoint, {
      ...deviceOf(options),
      tokenMaps: true,
      tune: false,
      onNotice: say,
    });
    const frames = Math.round(60 * minutesOf(all) * how.fps);
    const progress = new Progress("frames scored for the threshold", frames, quiet, true);
    try {
      const onFrame = () => progress.advance();
      const known = await scoreNormal(detector, all, camera, how, { signal, onFrame });
      const by = { model: weightsHash(checkpoint.weights), settings: comparable(detector.settings) };
      await layAside(folder, by, known);
      const found = Object.entries(known).flatMap(([mode, { state }]) => (state ? [{ mode, state }] : []));
      if (found.length === 0) {
        const minutes = Math.max(0, ...Object.values(known).map(({ seen }) => seen.seconds)) / 60;
        return `no threshold: ${minutes.toFixed(1)} min of normal video are too little; \`watch\` goes on from there until it has ten`;
      }
      return found
        .map(({ mode, state }) => {
          // What a model has learnt looks more normal to it than the rest.
          const learnt = clips.rest.length > 0 ? "" : " that it learnt from, so it may be low";
          const from = `from ${Math.round(state.seconds / 60)} min of normal video${learnt}`;
          return `threshold ${state.threshold.toPrecision(3)} ${from}${mode === "day" ? "" : " (infrared)"}`;
        })
        .join("\n");
    } finally {
      progress.stop();
      detector.close();
    }
  }

  /** Removes what only this run needs. Its page and log stay until the next one. */
  private async clear(): Promise<void> {
    const { videos, begun } = this;
    const out = this.out;
    const names = await readdir(out).catch(() => []);
    const old = names.filter((name) => name.endsWith(".safetensors")).map((name) => join(out, name));
    // The checkpoints first: without them nothing is continued.
    for (const path of [...old, begun, videos.training, videos.rest]) await rm(path, { recursive: true, force: true });
  }
}

/** Gives a file another name, or copies it where that is not possible. @throws InputError */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to).catch(() => copyFile(from, to));
  } catch (error) {
    throw cannotWrite(to, error);
  }
}
