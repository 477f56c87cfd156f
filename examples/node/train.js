// examples/node/train.js
// Trains a small model on procedurally drawn streets and saves it.
//   node examples/node/train.js [FILE] [EPOCHS]
// FILE is where the model goes, by default street.safetensors in the folder for temporary files.
// A few epochs show how it works; the bundled model took 32 epochs on 120 streets.
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { saveCheckpoint, sceneCollection, train, trainingPresets } from "sdmae";

const [file = join(tmpdir(), "street.safetensors"), epochs = "4"] = process.argv.slice(2);

const size = { width: 144, height: 96 };
const clips = { train: 1, test: 1, frames: 40, anomalies: ["bicycle"] };
const seeds = { trainSeeds: [1, 2], testSeeds: [1001] };
const streets = sceneCollection({ ...size, ...clips, ...seeds, fps: 10, view: "close" });

// The last epoch trains the student, the others the teacher.
const { scene } = trainingPresets;
const config = {
  ...scene,
  ...{ size, epochSamples: 0, epochs: Number(epochs), teacherEpochs: Number(epochs) - 1 },
  test: { ...scene.test, every: 2 },
};
const { checkpoint, tests } = await train(config, streets, {
  onStep: ({ step, steps, loss }) => console.log(`step ${step} of ${steps}: loss ${loss.toFixed(4)}`),
});
for (const { epoch, result } of tests) {
  console.log(`epoch ${epoch}: micro-AUC ${(100 * result.microAuc).toFixed(1)} %`);
}
writeFileSync(file, saveCheckpoint(checkpoint));
console.log(`saved ${file}`);
