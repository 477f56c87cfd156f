// Lines about the cameras that workers share.
import type { CameraOverview, Overview, WorkerOverview } from "../../cluster/cameras/overview.js";
import { oneLine } from "../../node/files/messages.js";
import { table } from "./table.js";

/** Cameras as a table, then workers, then what is wrong. */
export function cameraLines({ cameras, workers }: Overview): string[] {
  const free = cameras.filter(({ enabled, worker }) => enabled && worker === undefined);
  return [
    ...table(["camera", "fps", "model", "worker", "since"], cameras.map(cameraRow), false),
    "",
    ...table(["worker", "cameras", "frames/s", "of"], workers.map(workerRow), false),
    ...cameras.flatMap(({ id, problem }) => (problem === undefined ? [] : [`problem: ${id}: ${oneLine(problem)}`])),
    ...(free.length === 0 ? [] : [`not watched: ${free.map(({ id }) => id).join(", ")}: ${whyFree(workers)}`]),
  ];
}

const cameraRow = ({ id, fps, model, worker, since, enabled }: CameraOverview): string[] => [
  ...[id, String(fps), model],
  enabled ? (worker ?? "-") : "off",
  since?.slice(0, 19) ?? "-",
];

const workerRow = ({ name, cameras, fps, capacity, most }: WorkerOverview): string[] => [
  ...[name, most === undefined ? String(cameras) : `${cameras} of ${most}`, fps.toFixed(1)],
  capacity === undefined ? "-" : capacity.toFixed(1),
];

const whyFree = (workers: readonly WorkerOverview[]): string =>
  workers.length === 0 ? "no worker is there" : "no worker has taken them yet, or none has room";
