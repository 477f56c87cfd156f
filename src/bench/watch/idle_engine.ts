// An engine that computes nothing: it answers each frame at once, so that what is measured is all
// the rest.

/** Frames of the period in which something is abnormal, and for how many of them. */
const PERIOD = 450;
const ABNORMAL = 25;

/**
 * The program of the engine's process. The first camera is abnormal for 25 of every 450 frames. The
 * others learn: their scores are random, with ever higher peaks, so that some exceed what was
 * learnt.
 */
export const idleEngine = `
const settings = { score: "teacher", size: { height: 32, width: 48 },
  frameScore: { scoring: "top-anomaly", tokens: "all", topK: 1, minMotion: 0 } };
const map = (value) => new Float32Array(24).fill(value);
let frames = [];
process.on("message", (message) => {
  if (message.type === "setup") {
    frames = Array(message.places).fill(0);
    process.send({ type: "ready", adapter: "none", settings, model: "none" });
  }
  if (message.type === "stop") process.exit(0);
  if (message.type !== "frame") return;
  const { camera, number } = message;
  const frame = frames[camera]++;
  const isAbnormal = frame % ${PERIOD} >= ${PERIOD - ABNORMAL};
  const peak = camera === 0 ? 0.9 : 0.4 + 0.5 * Math.min(1, frame / 400000);
  const value = isAbnormal ? peak : 0.1 + 0.2 * Math.random();
  const tokens = { rows: 4, columns: 6, student: map(0), target: map(0), anomaly: map(value), motion: map(0),
    movingAnomaly: map(0), largestMotion: map(0), visible: new Uint8Array(24) };
  process.send({ type: "taken", camera });
  process.send({ type: "score", camera, number, score: value, tokens });
});
process.on("disconnect", () => process.exit(0));
`;
