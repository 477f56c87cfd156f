// examples/node/score.js
// Scores a video frame by frame and says where in each frame the score is highest.
//   node examples/node/score.js [VIDEO] [CHECKPOINT]
// VIDEO is a video file or a folder of numbered frames. Without VIDEO, a procedurally drawn street
// is scored; without CHECKPOINT, the bundled model scores.
import { fileURLToPath } from "node:url";
import { Detector, openInput, sceneDataset } from "sdmae";

const bundled = fileURLToPath(new URL("../../models/scene.safetensors", import.meta.url));
const [video, checkpoint = bundled] = process.argv.slice(2);

const detector = await Detector.open(checkpoint);
const source = video ? await openInput(video) : await street();
console.log("frame  seconds   score  where");
for await (const { frame, time, score, map } of detector.stream(source)) {
  // The map has one value per patch of the frame.
  const highest = map.data.indexOf(Math.max(...map.data));
  const [row, column] = [Math.floor(highest / map.columns), highest % map.columns];
  const where = `row ${row + 1} of ${map.rows}, column ${column + 1} of ${map.columns}`;
  const seconds = time === undefined ? "-" : time.toFixed(1); // a folder of frames has no clock
  console.log(`${frame}`.padStart(5), seconds.padStart(8), score.toFixed(3).padStart(7), ` ${where}`);
}
detector.close();

/** A clip of a pedestrian street in which somebody rides a bicycle. */
function street() {
  const size = { width: 288, height: 192 };
  const clips = { train: 0, test: 1, frames: 40, anomalies: ["bicycle"] };
  return sceneDataset({ ...size, ...clips, seed: 123, fps: 10, view: "close" }).test[0].open();
}
