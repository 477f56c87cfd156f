import {
  Detector as CoreDetector,
  type DetectorOptions,
  type DetectorSource,
  fetchCheckpoint,
} from "../detector/detector.js";
import { type NodeGpuOptions, openNodeGpu } from "./adapters/gpu.js";
import { readCheckpoint } from "./files/checkpoint_file.js";

/** Options of a detector in Node. */
export type NodeDetectorOptions = DetectorOptions & Pick<NodeGpuOptions, "adapter" | "robust">;

/** Scores videos with an SD-MAE checkpoint, on a device that Dawn opens. */
export class Detector extends CoreDetector {
  /**
   * Opens a checkpoint.
   * @param source path of a .safetensors or .pth file, paths of the teacher's and the student's; or what the core takes, URLs as URL objects
   * @throws InputError for a file that is no checkpoint of this network, NoAdapterError where there is no adapter
   */
  static override async open(source: DetectorSource, options: NodeDetectorOptions = {}): Promise<Detector> {
    const paths = [source].flat().filter((part) => typeof part === "string");
    const found =
      paths.length > 0 ? await readCheckpoint(paths, options.heads) : await fetchCheckpoint(source, options);
    return CoreDetector.create(found, options, () => openNodeGpu(options));
  }
}
