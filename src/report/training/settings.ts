// A run's settings as its page shows them: by the options of `sdmae train` that set them.

/** The options that set the values of a log, and words for those that no option sets. */
const names: Readonly<Record<string, string>> = {
  dataset: "--dataset",
  root: "--root",
  labels: "--labels",
  split: "--split",
  "scene.trainSeeds": "--scene-seeds",
  "scene.testSeeds": "--scene-test-seeds",
  "scene.train": "--scene-videos",
  "scene.test": "--scene-test-videos",
  "scene.anomalies": "--scene-anomalies",
  "scene.frames": "--scene-frames",
  "scene.fps": "--scene-fps",
  "scene.view": "--scene-view",
  "model.patch": "--patch",
  "model.inChannels": "channels of the input",
  "model.outChannels": "channels of the output",
  "model.encoderWidth": "--width",
  "model.encoderDepth": "--depth",
  "model.decoderWidth": "--decoder-width",
  "model.decoderDepth": "--decoder-depth",
  "model.studentDepth": "blocks of the student",
  "model.heads": "--heads",
  "model.mlpRatio": "--mlp-ratio",
  size: "--size",
  maskRatio: "--mask-ratio",
  masking: "--masking",
  loss: "--loss",
  lossFloor: "--loss-floor",
  normalizeTarget: "--norm-pix-loss",
  dropout: "--dropout",
  batch: "--batch",
  microBatch: "--micro-batch",
  epochSamples: "--epoch-samples",
  epochs: "--epochs",
  teacherEpochs: "--teacher-epochs",
  teacher: "--teacher",
  "optimizer.learningRate": "--lr",
  "optimizer.betas": "--betas",
  "optimizer.epsilon": "--eps",
  "optimizer.weightDecay": "--weight-decay",
  schedule: "--schedule",
  warmup: "--warmup",
  anomalies: "--anomalies",
  anomalyShare: "--anomaly-share",
  "pseudo.speedup": "--speedup",
  "pseudo.drawn": "--drawn",
  "pseudo.pieces": "--pieces",
  "pseudo.frozen": "--frozen",
  "pseudo.decoys": "--decoys",
  "pseudo.objects": "--objects",
  "pseudo.speed": "--speed",
  "pseudo.pieceSize": "--piece-size",
  "pseudo.scale": "--scale",
  "pseudo.shift": "--shift",
  "pseudo.walk": "--walk",
  "pseudo.rotation": "--rotation",
  "pseudo.gain": "--gain",
  "pseudo.bias": "--bias",
  maskGrowth: "--mask-growth",
  "augmentation.share": "--augment",
  "augmentation.light": "--augment-light",
  "augmentation.noise": "--augment-noise",
  "augmentation.shake": "--augment-shake",
  precision: "--precision",
  seed: "--seed",
  "validation.select": "--select",
  "validation.share": "--validation-share",
  "test.every": "--test-every",
  "test.norm": "--norm",
  "test.score": "--score",
  "test.maskedOnly": "--masked-only",
  "test.maskings": "--maskings",
  "test.evaluation.scoring": "--frame-score",
  "test.evaluation.tokens": "--tokens",
  "test.evaluation.topK": "--top-k",
  "test.evaluation.minMotion": "--min-motion",
  "test.evaluation.smoothing.kind": "--smoothing",
  "test.evaluation.smoothing.sigma": "--sigma",
  "test.evaluation.smoothing.range": "--range",
  "test.evaluation.smoothing.mu": "--mu",
  "test.evaluation.normalize": "--normalize",
};

/** Of measurements that training does not make, or the same as another one. */
const unused = ["rule", "map", "regionQuantile", "alpha", "beta"].map((name) => `test.evaluation.${name}`);

/** 0 in a log, where it is no number. */
const zeros: Readonly<Record<string, string>> = {
  microBatch: "0 (as many as fit into memory)",
  epochSamples: "0 (all, once)",
};

/** Names and values of a run's settings, in order. What another version logged keeps its name. */
export function settingsOf(settings: Readonly<Record<string, unknown>>): [name: string, value: string][] {
  const { height, width } = (settings.size ?? {}) as { height?: unknown; width?: unknown };
  const hasSize = typeof height === "number" && typeof width === "number";
  const shown = hasSize ? { ...settings, size: `${height}x${width}` } : settings;
  return valuesOf(shown)
    .filter(([name]) => !unused.includes(name))
    .map(([name, value]) => [
      Object.hasOwn(names, name) ? names[name] : name,
      value === "0" && Object.hasOwn(zeros, name) ? zeros[name] : value,
    ]);
}

/** Names and values; a value inside another one is named "outer.inner". */
export function valuesOf(value: unknown, name = ""): [string, string][] {
  if (typeof value !== "object" || value === null) return [[name, String(value)]];
  if (Array.isArray(value) && value.every((item) => typeof item !== "object" || item === null)) {
    return [[name, isRange(value) ? `${value[0]}-${value.at(-1)}` : value.join(", ")]];
  }
  return Object.entries(value).flatMap(([inner, item]) => valuesOf(item, name ? `${name}.${inner}` : inner));
}

/** Whether values are three or more whole numbers, each one more than the one before. */
function isRange(values: readonly unknown[]): boolean {
  const [first] = values;
  return values.length > 2 && Number.isInteger(first) && values.every((value, i) => value === (first as number) + i);
}
