// The validation of a run: how its model is scored, and how well it tells each kind of
// pseudo-anomaly.
import { h } from "../../web/dom.js";
import * as format from "../../web/format.js";
import { epochName } from "../best.js";
import type { Data } from "./plots.js";
import { disturbanceWords, kindWords, wayWords } from "./words.js";

type Chosen = NonNullable<Data["chosen"]>;
type Kind = Chosen["kinds"][number];

/** Whose model a stage trains. */
export const modelOf = (stage: number | null) => (stage === 2 ? "student" : "teacher");

/** "epoch 3, teacher", or "epoch 0 (the initial weights), teacher". */
const modelAfter = (epoch: number | null, stage: number | null) => `${epochName(epoch)}, ${modelOf(stage)}`;

/** Which epoch says how the model is scored, and how; undefined before the first validation. */
export function chosenWay({ chosen, validations, state }: Data): HTMLElement | undefined {
  if (!chosen) return undefined;
  const { epoch, stage, way } = chosen;
  const both = new Set(validations.map((one) => one.stage)).size > 1;
  const why = both && stage === 1 ? " No student has a higher figure, so the teacher alone scores." : "";
  return h(
    "p",
    { class: "way" },
    h("b", {}, `${state.state === "done" ? "Chosen" : "Best so far"}: ${modelAfter(epoch, stage)}. `),
    `${wayWords(way)}${why}`,
  );
}

/** How well kinds are told: the mean of AUC and share of events found, as for the whole. */
const figureOf = ({ auc, events, found }: Kind) => ((auc ?? 0) + (found ?? 0) / (events ?? 1)) / 2;

/** The figures of the chosen epoch by kind, the worst first; undefined if there are none. */
export function kindTable({ chosen }: Data): HTMLElement | undefined {
  if (!chosen) return undefined;
  const rows = chosen.kinds
    .toSorted((a, b) => figureOf(a) - figureOf(b))
    .map(({ kind, auc, events, found }) =>
      row(
        ...[kind, kindWords(kind)],
        h("td", {}, format.share(auc)),
        h("td", found === 0 ? { class: "missed" } : {}, `${found} of ${events}`),
      ),
    );
  const caption = `Pseudo-anomalies by kind: ${modelAfter(chosen.epoch, chosen.stage)}`;
  return figures(caption, ["kind, the worst first", "AUC, %", "found"], rows);
}

/** False alarms of the chosen epoch under disturbances; undefined if there are none. */
export function disturbanceTable({ chosen }: Data): HTMLElement | undefined {
  if (!chosen || chosen.disturbances.length === 0) return undefined;
  const rows = chosen.disturbances.map(({ disturbance, falseAlarms }) =>
    row(disturbance, disturbanceWords(disturbance), h("td", {}, format.share(falseAlarms))),
  );
  return figures(
    "False alarms in disturbed normal video; undisturbed it is 1\u00a0%",
    ["disturbance", "frames, %"],
    rows,
  );
}

function row(name: string, words: string, ...cells: HTMLElement[]): HTMLElement {
  return h("tr", {}, h("th", { scope: "row" }, h("b", {}, name), words ? h("span", {}, words) : undefined), ...cells);
}

function figures(caption: string, columns: readonly string[], rows: readonly HTMLElement[]): HTMLElement {
  const head = h("tr", {}, ...columns.map((text) => h("th", { scope: "col" }, text)));
  return h("table", {}, h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, ...rows));
}
