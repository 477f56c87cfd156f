// examples/node/evaluate.js
// Scores the test videos of a data set and measures the scores against the labels.
//   node examples/node/evaluate.js [ROOT] [CHECKPOINT]
// ROOT is the folder of a data set (`npx sdmae dataset ROOT` says what it holds). Without ROOT,
// clips of procedurally drawn streets are measured; without CHECKPOINT, the bundled model scores.
import { fileURLToPath } from "node:url";
import { Detector, evaluate, openDataset, paperEvaluation, sceneCollection, testedBy } from "sdmae";

const bundled = fileURLToPath(new URL("../../models/scene.safetensors", import.meta.url));
const [root, checkpoint = bundled] = process.argv.slice(2);

const dataset = root ? await openDataset(root) : streets();
const detector = await Detector.open(checkpoint, { tokenMaps: true });
// The paper's settings, unless the checkpoint says how the model was tested in training.
const { maskings, ...tested } = testedBy(detector.checkpoint.settings);
const { frameScore, score: rule } = detector.settings;
const settings = { ...paperEvaluation, ...frameScore, rule, ...tested };

const result = await evaluate(dataset, detector, { settings, maskings });
const percent = (auc) => (auc === undefined ? "no labels of both classes" : `${(100 * auc).toFixed(1)} %`);
for (const { name, auc } of result.videos) console.log(`${name}: ${percent(auc)}`);
console.log(`micro-AUC, all frames together: ${percent(result.microAuc)}`);
console.log(`macro-AUC, mean over videos: ${percent(result.macroAuc)}`);
detector.close();

/** Two streets that the bundled model has not seen, with one clip each. */
function streets() {
  const size = { width: 144, height: 96 };
  const clips = { train: 0, test: 1, frames: 40, anomalies: ["cart"] };
  return sceneCollection({ ...size, ...clips, fps: 10, view: "close", trainSeeds: [], testSeeds: [123, 124] });
}
