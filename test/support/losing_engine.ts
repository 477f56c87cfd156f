/**
 * The engine's program, see `withBundle`, whose GPU device is destroyed in the middle of a step
 * once a file is there. The file is removed, so that the next process keeps its device.
 */
export const losingEngine = (file: string): string => `
  import { existsSync, rmSync } from "node:fs";
  import { Detector } from "./src/node/detector.js";
  import "./src/server/engine/main.js";
  const open = Detector.open.bind(Detector);
  Detector.open = async (...args) => {
    const detector = await open(...args);
    const { device } = detector.gpu;
    const submit = device.queue.submit.bind(device.queue);
    device.queue.submit = (commands) => {
      submit(commands);
      if (!existsSync(${JSON.stringify(file)})) return;
      rmSync(${JSON.stringify(file)});
      device.destroy();
    };
    return detector;
  };
`;
