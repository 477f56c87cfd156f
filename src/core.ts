/** The core of sdmae: runs in browsers and in Node, touches no Node API. */
export { type Checkpoint, type CheckpointFile, openCheckpoint, saveCheckpoint } from "./checkpoint/checkpoint.js";
export { exportPth } from "./checkpoint/pth_write.js";
export { parseSafetensors, type Safetensors, serializeSafetensors } from "./checkpoint/safetensors.js";
export {
  openTrainingCheckpoint,
  saveTrainingCheckpoint,
  type TrainingCheckpoint,
} from "./checkpoint/training_checkpoint.js";
export { buildForegroundLibrary, type ForegroundLibrary, type LibraryOptions } from "./data/anomalies/library.js";
export {
  drawPseudoAnomaly,
  type PseudoAnomaly,
  type PseudoAnomalyOptions,
  pseudoAnomalyDefaults,
} from "./data/anomalies/pseudo_anomaly.js";
export {
  type Dataset,
  type DatasetVideo,
  measuredOn,
  type PixelMask,
  type TestSplit,
  type TrackBox,
} from "./data/dataset.js";
export {
  type Frame,
  type FrameSource,
  fromIterable,
  type PixelFormat,
  type RawFrame,
  type RawSourceOptions,
} from "./data/frame.js";
export { motionGradient, withNeighbours } from "./data/motion_gradient.js";
export { type SceneAnomaly, sceneAnomalies } from "./data/scene/actors.js";
export {
  type SceneCollectionOptions,
  type SceneDatasetOptions,
  sceneCollection,
  sceneDataset,
} from "./data/scene/dataset.js";
export {
  createScene,
  type Scene,
  type SceneFrame,
  type SceneOptions,
  type SceneTruth,
  SceneVideo,
  type SceneVideoOptions,
} from "./data/scene/scene.js";
export type { DetectorSource } from "./detector/checkpoint_source.js";
export { Detector, type DetectorOptions, type StreamsOptions } from "./detector/detector.js";
export {
  type FrameScoring,
  frameScorings,
  type TokenChoice,
  type TokenScoring,
} from "./detector/frame_score.js";
export { buildScoreGraph, type ScoreGraph, type ScoreGraphOptions } from "./detector/score_graph.js";
export type { FrameScore, StreamScore } from "./detector/scores.js";
export { type ScoreOptions, type ScoreSettings, scoreSettings } from "./detector/settings.js";
export type { ScoreMap, TokenMaps } from "./detector/token_maps.js";
export * from "./errors.js";
export { Evaluation, type EvaluationResult, type EvaluationSettings, paperEvaluation } from "./eval/evaluation.js";
export { type EventMetrics, eventMetrics } from "./eval/events.js";
export { macroAuc, microAuc, type ScoredVideo, type VideoAuc, videoAucs } from "./eval/frame_auc.js";
export { PixelAuc } from "./eval/pixel_auc.js";
export { recordVideo, type VideoRecord } from "./eval/record.js";
export { type Detection, type RegionMetrics, type RegionVideo, regionMetrics } from "./eval/region_metrics.js";
export { findRegions, type Region } from "./eval/regions.js";
export { equalErrorRate, type RocCurve, rocAuc, rocCurve } from "./eval/roc.js";
export { minMaxNormalize, type Smoothing, smooth } from "./eval/smoothing.js";
export { type TestedBy, testedBy } from "./eval/tested_by.js";
export { TrackBuilder } from "./eval/tracks.js";
export { type AdapterDescription, Gpu, openNavigatorGpu, type Target } from "./gpu/gpu.js";
export { type Cost, Graph, type Node, type Op, type Tensor } from "./graph/graph.js";
export { type NodeProfile, Program } from "./graph/program.js";
export { paperConfig, type SdMaeConfig, tensorShapes } from "./model/config.js";
export { type MaskingMethod, type TokenGrid, tokenGrid } from "./model/masking.js";
export { Network, type Weights } from "./model/network.js";
export { combineErrors, type Preset, type PresetName, presets, type ScoreRule } from "./model/presets.js";
export { type AdamWSettings, paperAdamW } from "./train/adamw.js";
export { paperTraining, type TestConfig, type TrainingConfig, type ValidationConfig } from "./train/config.js";
export { type FrameArchive, MemoryArchive } from "./train/frame_archive.js";
export { type TrainingPresetName, trainingPresets } from "./train/presets.js";
export {
  type BestModel,
  DivergedError,
  type EpochReport,
  type StepReport,
  type TestReport,
  type ValidationReport,
} from "./train/progress.js";
export type { CheckpointKind, ResumeFrom } from "./train/run_checkpoint.js";
export type { KindFigures, ScoringWay, ValidationResult } from "./train/selection.js";
export { type TrainOptions, type TrainResult, train } from "./train/trainer.js";
export { type AlarmRule, type TimedScore, usualAlarmRule } from "./watch/alarm_rule.js";
export { NormalCollector, type NormalLevels, type RateThreshold, thresholdFor } from "./watch/calibration.js";
export { CameraMoved, hasEdges, ReferencePicture, similarity } from "./watch/camera_moved.js";
export { EventFinder, type Thresholds, type WatchEvent, type WatchEventChange } from "./watch/events.js";
export { type LumaPicture, lumaPicture } from "./watch/luma.js";
export { type CameraMode, DayOrInfrared, SceneChange } from "./watch/scene_change.js";
export { type LocalTime, localTime, parseSchedule, type Schedule } from "./watch/schedule.js";
export { checkPolygon, type Polygon, type RelativeBox, regionOf, tokensIn } from "./watch/zones.js";
