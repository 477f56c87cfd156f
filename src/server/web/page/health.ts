// Whether everything works: engine, cameras, alerts, disk.
import { h, named, section } from "../../../report/web/dom.js";
import * as format from "../../../report/web/format.js";
import type { CameraState, MachineState, WatchState } from "../api.js";
import { bytes, keptText, problemLines, waitText } from "./texts.js";

/** The section. */
export class Health {
  private readonly facts = h("dl", { class: "facts" });
  private readonly table = h("div", {
    class: "scroll",
    tabindex: 0,
    role: "region",
    "aria-label": "Frames of cameras",
  });
  readonly element = section("health", "Health", this.facts, this.table);
  /** What somebody should look after; it stands above everything. */
  readonly problems = h("ul", { class: "problems", role: "status", "aria-label": "Problems" });

  /** Shows a new state. */
  show(state: WatchState): void {
    put(
      this.problems,
      problemLines(state).map((line) => h("li", {}, named(line))),
    );
    put(
      this.facts,
      facts(state).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, named(value)))),
    );
    put(this.table, [cameraTable(state.cameras), ...(state.shared ? [machineTable(state.shared.machines)] : [])]);
  }
}

/** Replaces what is not the same: somebody may have selected or scrolled something. */
function put(where: HTMLElement, content: readonly HTMLElement[]): void {
  if (where.innerHTML === content.map(({ outerHTML }) => outerHTML).join("")) return;
  where.replaceChildren(...content);
}

function facts({ engines, ready, queues, storage, problem, versions, time, started }: WatchState): [string, string][] {
  const running = engines.map(({ adapter, dtype, size }) => `${adapter}, ${dtype}, ${size.height}\u00d7${size.width}`);
  const free = storage.free === null ? "" : `; ${bytes(storage.free)} free on the disk`;
  return [
    ["engine", ready ? running.join("; ") : "does not score: it starts, or starts again"],
    ["clips", `${bytes(storage.clips)}, kept for ${keptText(storage)}${free}`],
    ["alerts", queues.length === 0 ? "go nowhere: there are no sinks" : queues.map(queueText).join("; ")],
    ...(problem === null ? [] : ([["events", problem]] as [string, string][])),
    ["running", `for ${format.duration(Math.max(0, time - started) / 1000)}`],
    ["versions", `sdmae ${versions.sdmae}, Node ${versions.node.replace("v", "")}, webgpu ${versions.webgpu}`],
  ];
}

function queueText({ sink, length, problem }: WatchState["queues"][number]): string {
  return `${sink}: ${waitText(length)}${problem === null ? "" : ` (${problem})`}`;
}

function machineTable(machines: readonly MachineState[]): HTMLElement {
  const head = ["Machine", "Cameras", "Frames/s", "Carries"];
  const cells = ({ cameras, fps, capacity }: MachineState) => [
    ...[String(cameras), fps.toFixed(1)],
    capacity === null ? "\u2013" : capacity.toFixed(1),
  ];
  return rowsTable(
    head,
    machines.map((machine) => [machine.own ? `${machine.name} (this one)` : machine.name, ...cells(machine)]),
  );
}

function cameraTable(cameras: readonly CameraState[]): HTMLElement {
  const head = ["Camera", "Frames", "Dropped", "Delay", "Lost", "Model"];
  const cells = ({ counts, latency, model }: CameraState) => [
    String(counts.frames),
    counts.frames === 0 ? "0" : `${counts.dropped} (${((100 * counts.dropped) / counts.frames).toFixed(1)}\u00a0%)`,
    latency === null ? "\u2013" : `${latency.toFixed(2)} s`,
    String(counts.reconnects),
    model.learnt ? `${model.hash} (learnt)` : model.hash,
  ];
  return rowsTable(
    head,
    cameras.map((camera) => [camera.name, ...cells(camera)]),
  );
}

function rowsTable(head: readonly string[], rows: readonly (readonly string[])[]): HTMLElement {
  return h(
    "table",
    {},
    h("thead", {}, h("tr", {}, ...head.map((name) => h("th", { scope: "col" }, name)))),
    h(
      "tbody",
      {},
      ...rows.map(([name, ...cells]) =>
        h("tr", {}, h("th", { scope: "row" }, named(name)), ...cells.map((cell) => h("td", {}, cell))),
      ),
    ),
  );
}
