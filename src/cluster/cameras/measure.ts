// How many frames per second this machine can score: an engine of its own is fed as fast as it
// takes frames.
import { Engine, type EngineOptions } from "../../server/engine/engine.js";
import type { EngineSetup } from "../../server/engine/messages.js";

/** Seconds that are measured, after the first scores. */
const SECONDS = 4;
const FIRST = 8;
/** Milliseconds between attempts to send frames. */
const SEND = 2;
/** Cameras that are scored together. */
const PLACES = 4;
/** The share that cameras may use: the rest is for moments when more is to be done. */
const USABLE = 0.8;

/**
 * Measures what an engine scores.
 * @returns frames per second that cameras may use
 * @throws Error if the engine cannot run; the signal's reason
 */
export function measureCapacity(
  setup: Pick<EngineSetup, "checkpoint" | "width" | "height" | "detector">,
  signal: AbortSignal,
  options?: EngineOptions,
): Promise<number> {
  const data = new Uint8Array(setup.width * setup.height * 3);
  for (let i = 0; i < data.length; i++) data[i] = (i * 7919) >> 3;
  let timer: NodeJS.Timeout | undefined;
  let engine: Engine | undefined;
  const measured = new Promise<number>((resolve, reject) => {
    const numbers = new Array<number>(PLACES).fill(0);
    let [scores, began] = [0, 0];
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    engine = new Engine(
      { ...setup, places: PLACES },
      {
        onReady: () => {
          timer = setInterval(() => {
            for (let camera = 0; camera < PLACES; camera++) {
              while (engine!.send({ camera, number: numbers[camera], data })) numbers[camera]++;
            }
          }, SEND);
        },
        onScore: () => {
          if (++scores === FIRST) began = performance.now();
          const seconds = (performance.now() - began) / 1000;
          if (scores > FIRST && seconds > SECONDS) resolve((USABLE * (scores - FIRST)) / seconds);
        },
        onNotice: () => {},
        onLost: (why) => reject(new Error(why)),
      },
      options,
    );
  });
  return measured.finally(async () => {
    clearInterval(timer);
    await engine?.close();
  });
}
