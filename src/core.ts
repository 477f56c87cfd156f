/** The core of sdmae: runs in browsers and in Node, touches no Node API. */
export { type Checkpoint, type CheckpointFile, openCheckpoint, saveCheckpoint } from "./checkpoint/checkpoint.js";
export { parseSafetensors, type Safetensors, serializeSafetensors } from "./checkpoint/safetensors.js";
export {
  type Frame,
  type FrameSource,
  fromIterable,
  type PixelFormat,
  type RawFrame,
  type RawSourceOptions,
} from "./data/frame.js";
export {
  Detector,
  type DetectorOptions,
  type DetectorSource,
  type FrameScore,
  type ScoreMap,
  type TokenMaps,
} from "./detector/detector.js";
export { buildScoreGraph, type ScoreGraph, type ScoreGraphOptions } from "./detector/score_graph.js";
export { type ScoreOptions, type ScoreSettings, scoreSettings } from "./detector/settings.js";
export * from "./errors.js";
export { type AdapterDescription, Gpu, openNavigatorGpu, type Target } from "./gpu/gpu.js";
export { type Cost, Graph, type Node, type Op, type Tensor } from "./graph/graph.js";
export { type NodeProfile, Program } from "./graph/program.js";
export { paperConfig, type SdMaeConfig, tensorShapes } from "./model/config.js";
export { type MaskingMethod, type TokenGrid, tokenGrid } from "./model/masking.js";
export { Network, type Weights } from "./model/network.js";
export { combineErrors, type Preset, type PresetName, presets, type ScoreRule } from "./model/presets.js";
