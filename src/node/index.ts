/**
 * What `import "sdmae"` gives in Node: the core, and what needs Node (Dawn, files, images, video,
 * data sets).
 */
export * from "../core.js";
export { type ListedAdapter, listAdapters, type NodeGpuOptions, openNodeGpu } from "./adapters/gpu.js";
export { detectLayout, type LayoutName, layoutNames, type OpenDatasetOptions, openDataset } from "./datasets/index.js";
export { Detector, type NodeDetectorOptions } from "./detector.js";
export { type EvaluateOptions, evaluate } from "./evaluate.js";
export { readCheckpoint } from "./files/checkpoint_file.js";
export { FileArchive } from "./files/file_archive.js";
export { RecordStore } from "./files/record_store.js";
export { type LogEntry, TrainingLog } from "./files/training_log.js";
export { openFrameFolder } from "./media/frame_folder.js";
export { type DecodedImage, readImage } from "./media/images.js";
export { openInput } from "./media/open.js";
export { openVideo } from "./media/video.js";
export { type NodeTrainOptions, train } from "./train.js";
