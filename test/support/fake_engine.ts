/** The program of an engine that computes nothing: two seconds of every five are abnormal. */
export const fakeEngine = `
  const settings = { score: "teacher", size: { height: 32, width: 48 },
    frameScore: { scoring: "top-anomaly", tokens: "all", topK: 1, minMotion: 0 } };
  const map = (value) => new Float32Array(24).fill(value);
  process.on("message", (m) => {
    if (m.type === "setup") process.send({ type: "ready", adapter: "none", settings, model: "none" });
    if (m.type === "stop") process.exit(0);
    if (m.type !== "frame") return;
    process.send({ type: "taken", camera: m.camera });
    const value = m.number % 50 < 20 ? 0.9 : 0.1;
    const tokens = { rows: 4, columns: 6, student: map(0), target: map(0), anomaly: map(value), motion: map(0),
      movingAnomaly: map(0), largestMotion: map(0), visible: new Uint8Array(24) };
    process.send({ type: "score", camera: m.camera, number: m.number, score: value, tokens });
  });
  process.on("disconnect", () => process.exit(0));
`;
