// examples/node/cameras.js
// Scores several cameras in one detector: their frames share the batches.
//   node examples/node/cameras.js [VIDEO...]
// The videos must have one frame size. Without videos, three procedurally drawn streets are the
// cameras.
import { fileURLToPath } from "node:url";
import { Detector, openInput, sceneDataset } from "sdmae";

const bundled = fileURLToPath(new URL("../../models/scene.safetensors", import.meta.url));
const videos = process.argv.slice(2);

const cameras = await Promise.all(videos.length > 0 ? videos.map((video) => openInput(video)) : streets());
const detector = await Detector.open(bundled, { batch: cameras.length });
const threshold = 0.3; // depends on the model and the scene
const alarms = cameras.map(() => 0);
// `prompt` scores a frame as soon as the GPU is free, instead of waiting for a full batch. A live
// camera is a source too: fromIterable(frames, { width, height, format }).
for await (const { source, time = 0, score } of detector.streams(cameras, { prompt: true })) {
  if (score < threshold) continue;
  alarms[source]++;
  console.log(`camera ${source + 1}, ${time.toFixed(1)} s: score ${score.toFixed(3)}`);
}
for (const [i, count] of alarms.entries()) console.log(`camera ${i + 1}: ${count} frames above ${threshold}`);
detector.close();

/** Three streets, each with another anomaly. */
function streets() {
  const anomalies = ["runner", "bicycle", "cart"];
  const clip = { width: 144, height: 96, fps: 10, view: "close", train: 0, test: 1, frames: 40 };
  return anomalies.map((anomaly) => sceneDataset({ ...clip, seed: 123, anomalies: [anomaly] }).test[0].open());
}
