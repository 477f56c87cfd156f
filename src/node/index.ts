/** The Node face of sdmae: the core, and what needs Node (Dawn, files, images, video). */
export * from "../core.js";
export { readCheckpoint } from "./checkpoint_file.js";
export { detectLayout, type LayoutName, layoutNames, type OpenDatasetOptions, openDataset } from "./datasets/index.js";
export { Detector, type NodeDetectorOptions } from "./detector.js";
export { type EvaluateOptions, evaluate } from "./evaluate.js";
export { FileArchive } from "./file_archive.js";
export { openFrameFolder } from "./frame-folder.js";
export { type ListedAdapter, listAdapters, type NodeGpuOptions, openNodeGpu } from "./gpu.js";
export { type DecodedImage, readImage } from "./images.js";
export { openInput } from "./open.js";
export { RecordStore } from "./record_store.js";
export { type NodeTrainOptions, train } from "./train.js";
export { type LogEntry, TrainingLog } from "./training_log.js";
export { openVideo } from "./video.js";
