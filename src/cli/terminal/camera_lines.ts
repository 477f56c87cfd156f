// Lines about the cameras that workers share.
import type { CameraOverview, Overview, WorkerOverview } from "../../cluster/cameras/overview.js";
import { oneLine } from "../../node/files/messages.js";
import { readable } from "./event_lines.js";
import { table } from "./table.js";

/** Cameras as a table, then workers, then what is wrong. */
export function cameraLines({ cameras, workers }: Overview): string[] {
  const free = cameras.filter(({ state }) => state === "not watched");
  return [
    ...table(["camera", "fps", "model", "worker", "since", "state"], cameras.map(cameraRow), true),
    "",
    ...table(["worker", "cameras", "frames/s", "of"], workers.map(workerRow), false),
    ...cameras.flatMap(({ id, problem }) => (problem === undefined ? [] : [`problem: ${id}: ${oneLine(problem)}`])),
    ...(free.length === 0 ? [] : [`not watched: ${free.map(({ id }) => id).join(", ")}: ${whyFree(free, workers)}`]),
  ];
}

const cameraRow = ({ id, fps, model, worker, since, state }: CameraOverview): string[] => [
  ...[id, String(fps), oneLine(model), worker ?? "-", since === undefined ? "-" : readable(since, false)],
  state,
];

const workerRow = ({ name, cameras, fps, capacity, most }: WorkerOverview): string[] => [
  ...[name, most === undefined ? String(cameras) : `${cameras} of ${most}`, fps.toFixed(1)],
  capacity === undefined ? "-" : capacity.toFixed(1),
];

/** Why nobody watches some cameras, as far as can be seen. */
function whyFree(free: readonly CameraOverview[], workers: readonly WorkerOverview[]): string {
  if (workers.length === 0) return "no worker is there";
  if (workers.every(({ cameras, most }) => most !== undefined && cameras >= most))
    return "all workers have as many as they may";
  const rooms = workers.map(({ capacity, fps }) => (capacity === undefined ? undefined : capacity - fps));
  if (rooms.includes(undefined)) return "no worker has room, can watch it, or knows yet what it carries";
  const most = Math.max(...rooms.map((room) => room ?? 0));
  const least = Math.min(...free.map(({ fps }) => fps));
  if (most >= least) return "no worker has begun yet, or none can watch it";
  return `the worker with most room carries ${most.toFixed(1)} frames/s more, and ${least} and more are needed (\`worker --cameras N\` sets another limit)`;
}
