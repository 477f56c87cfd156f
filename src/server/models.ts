// Which model each camera uses: its own, the one that was learnt for it, or that of all cameras.
import { type ScoreSettings, scoreSettings } from "../detector/settings.js";
import { readCheckpoint } from "../node/files/checkpoint_file.js";
import { reasonOf } from "../node/files/messages.js";
import { weightsHash } from "../node/files/weights_hash.js";
import { folderOf } from "./camera/known.js";
import { LearntModels } from "./camera/learnt_model.js";
import type { CameraConfig } from "./config/config.js";
import type { EngineSetup } from "./engine/messages.js";

/** A model that an engine can run. */
export interface Model {
  /** Paths of the checkpoint, and of a student if it lies apart. */
  paths: readonly string[];
  /** Hash of the weights. */
  hash: string;
  settings: ScoreSettings;
}

/** Reads a model. @throws InputError if it cannot be used */
export async function readModel(paths: readonly string[], detector: EngineSetup["detector"]): Promise<Model> {
  const checkpoint = await readCheckpoint([...paths], detector.heads);
  return { paths, hash: weightsHash(checkpoint.weights), settings: scoreSettings(checkpoint, detector) };
}

/** Frames are twice as large as the network's input, unless the configuration says otherwise. */
export function sizeOf(
  { size }: Pick<CameraConfig, "size">,
  { settings }: Pick<Model, "settings">,
): { width: number; height: number } {
  return size ?? { width: 2 * settings.size.width, height: 2 * settings.size.height };
}

type Chooser = Pick<CameraConfig, "id" | "checkpoint">;

/** Finds the models of cameras, again and again. */
export class Models {
  /** Those that the configuration names, by their paths. */
  private readonly named = new Map<string, Model>();
  /** The last one of each camera, and the content of the learnt model's file then. */
  private readonly last = new Map<string, { stamp: string | undefined; model: Model }>();

  private constructor(
    private readonly data: string,
    private readonly usual: Model,
    private readonly detector: EngineSetup["detector"],
    private readonly onWarning: (camera: string, line: string) => void,
  ) {}

  /**
   * Reads the models that the configuration names.
   * @param usual paths of the model of all cameras
   * @throws InputError if one of them cannot be used
   */
  static async open(
    { data, cameras }: { data: string; cameras: readonly Chooser[] },
    usual: readonly string[],
    detector: EngineSetup["detector"],
    onWarning: (camera: string, line: string) => void,
  ): Promise<Models> {
    const models = new Models(data, await readModel(usual, detector), detector, onWarning);
    for (const camera of cameras) await models.add(camera);
    return models;
  }

  /** Reads the model that a camera names. @throws InputError if it cannot be used */
  async add({ checkpoint }: Chooser): Promise<void> {
    if (checkpoint === undefined || this.named.has(checkpoint)) return;
    this.named.set(checkpoint, await readModel([checkpoint], this.detector));
  }

  /** Whether a model is neither that of all cameras nor one that the configuration names. */
  isLearnt(model: Model): boolean {
    return model !== this.usual && ![...this.named.values()].includes(model);
  }

  /**
   * The model that a camera should use now. If the learnt one cannot be used, a warning says so
   * once, and the last one stays.
   */
  async of({ id, checkpoint }: Chooser): Promise<Model> {
    if (checkpoint !== undefined) return this.named.get(checkpoint)!;
    const learnt = new LearntModels(folderOf(this.data, { id }));
    const stamp = await learnt.stamp();
    const last = this.last.get(id);
    if (last && last.stamp === stamp) return last.model;
    const model = stamp === undefined ? this.usual : await this.learnt(id, learnt.path, last?.model);
    this.last.set(id, { stamp, model });
    return model;
  }

  private async learnt(id: string, path: string, last: Model = this.usual): Promise<Model> {
    try {
      return await readModel([path], this.detector);
    } catch (error) {
      this.onWarning(id, `the model that was learnt is not used: ${reasonOf(error)}`);
      return last;
    }
  }
}
