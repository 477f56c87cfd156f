// A process of workers that watch nothing, see bench/cluster.js.
import { setTimeout as sleep } from "node:timers/promises";
import { reasonOf } from "../../node/files/messages.js";
import { IdleWorker } from "./idle_worker.js";
import type { FromWorkers, ToWorkers, WorkersJob } from "./messages.js";

/** Workers that connect at a time. */
const TOGETHER = 4;

/** Runs a process of workers, which is told by messages what to do. */
export function runClusterProcess(): void {
  const workers = new Map<string, IdleWorker>();
  const answers = async (message: ToWorkers): Promise<void> => {
    if (message.type === "start") await start(message, workers);
    else if (message.type === "begin") for (const worker of workers.values()) worker.begin();
    else if (message.type === "crash") await crash(message.worker, workers);
    else if (message.type === "lead") {
      const worker = [...workers].find(([, { isLeading }]) => isLeading)?.[0];
      tell({ type: "leads", ...(worker !== undefined && { worker }) });
    } else if (message.type === "events") await sendEvents(message, [...workers.values()]);
    else hold();
  };
  process.on("message", (message: ToWorkers) => {
    answers(message).catch((error: unknown) => tell({ type: "failed", message: reasonOf(error) }));
  });
  process.on("disconnect", () => process.exit(0));
  // Ctrl-C reaches the whole group; the benchmark decides when this ends.
  process.on("SIGINT", () => {});
}

function tell(message: FromWorkers): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

async function start({ names, ...job }: WorkersJob, workers: Map<string, IdleWorker>): Promise<void> {
  const waiting = [...names];
  const connect = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const worker = name;
      workers.set(
        name,
        await IdleWorker.open(name, job, (cameras) => tell({ type: "watches", worker, at: Date.now(), cameras })),
      );
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, connect));
  tell({ type: "started" });
}

async function crash(name: string, workers: Map<string, IdleWorker>): Promise<void> {
  const worker = workers.get(name);
  workers.delete(name);
  tell({ type: "crashed", at: Date.now() });
  await worker?.crash();
}

/** Events of cameras in turn at some rate, or one of each camera at once. */
async function sendEvents(
  { perSecond, seconds = 0 }: Extract<ToWorkers, { type: "events" }>,
  workers: readonly IdleWorker[],
): Promise<void> {
  const cameras = workers.flatMap((worker) => worker.cameras.map((camera) => ({ worker, camera })));
  const sent: Promise<number>[] = [];
  if (perSecond === undefined) sent.push(...cameras.map(({ worker, camera }) => worker.event(camera)));
  else {
    for (let i = 0; i < Math.round(perSecond * seconds); i++) {
      // Steps through all cameras, as the prime is in none of their numbers.
      const { worker, camera } = cameras[(i * 7919) % cameras.length];
      sent.push(worker.event(camera));
      await sleep(1000 / perSecond);
    }
  }
  const messages = (await Promise.all(sent)).reduce((sum, one) => sum + one, 0);
  tell({ type: "sent", messages, failed: 2 * sent.length - messages });
}

function hold(): void {
  // What the first collection frees may hold more.
  for (let i = 0; i < 2; i++) globalThis.gc?.();
  const { user, system } = process.cpuUsage();
  tell({ type: "held", rss: process.memoryUsage.rss(), cpu: (user + system) / 1e6 });
}
