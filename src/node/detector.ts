// The core's detector with what Node adds: checkpoints by path, and a device by Dawn.
import { type DetectorSource, fetchCheckpoint } from "../detector/checkpoint_source.js";
import { Detector as CoreDetector, type DetectorOptions } from "../detector/detector.js";
import { type NodeGpuOptions, openNodeGpu } from "./adapters/gpu.js";
import { readCheckpoint } from "./files/checkpoint_file.js";

/** Options of a detector in Node. */
export type NodeDetectorOptions = DetectorOptions & Pick<NodeGpuOptions, "adapter" | "robust">;

/** Scores videos with an SD-MAE checkpoint, on a device that Dawn opens. */
export class Detector extends CoreDetector {
  /**
   * Opens a checkpoint.
   * @param source the path of a .safetensors or .pth file, or the paths of the teacher's and the
   * student's; or what the core takes, with URLs as URL objects
   * @throws InputError if a file is not a checkpoint of this network, NoAdapterError if there is no
   * adapter, GpuError if the adapter gives no device
   */
  static override async open(source: DetectorSource, options: NodeDetectorOptions = {}): Promise<Detector> {
    const paths = [source].flat().filter((part) => typeof part === "string");
    const found =
      paths.length > 0 ? await readCheckpoint(paths, options.heads) : await fetchCheckpoint(source, options);
    return CoreDetector.create(found, options, () => openNodeGpu(options));
  }
}
