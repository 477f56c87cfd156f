// The state of the run: status, figures, and the table of tests.
import { h } from "../../web/dom.js";
import * as format from "../../web/format.js";
import { bestOf, chosenTests } from "../best.js";
import { LAST, SECONDS } from "../data.js";
import type { Data, Test } from "./plots.js";
import { modelOf } from "./validation.js";

/** After so many seconds without new data something is wrong. */
const LATE = 120;
/** The most tests in the table, besides the best ones. */
const LISTED = 200;

const names = { running: "Running", done: "Done", stopped: "Stopped", failed: "Failed" } as const;

/** The line that says what the run does. */
export function status({ state: { state, text } }: Data): HTMLElement {
  return h("p", { class: "status", "data-state": state }, h("b", {}, names[state]), h("span", {}, text));
}

/** How old the data are. */
export function news({ updated, state }: Data): HTMLElement {
  const at = new Date(updated);
  const seconds = Math.max(0, (Date.now() - at.getTime()) / 1000);
  if (state.state === "running" && seconds > LATE) {
    return h("p", { class: "news late" }, `No news for ${format.duration(seconds)}: the run may have been killed.`);
  }
  const shown = at.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  return h("p", { class: "news" }, "Last update: ", h("time", { datetime: updated }, shown));
}

/** The part of the run's time that has passed, 0…1; undefined if it is not known. */
export function partDone({ state, steps }: Data): number | undefined {
  const passed = steps.at(-1)?.[SECONDS];
  if (state.state === "done") return 1;
  return passed == null || state.secondsLeft == null ? undefined : passed / (passed + state.secondsLeft);
}

/** The figures of the run. */
export function tiles(data: Data): HTMLElement {
  const { state, steps, epochs, validations, tests } = data;
  const running = state.state === "running";
  const last = steps.at(-1);
  const list: (HTMLElement | undefined)[] = [
    state.epoch == null
      ? undefined
      : tile("Epoch", String(state.epoch), state.epochs == null ? "" : `of ${state.epochs}`),
    running && state.secondsLeft != null
      ? tile("Time left", format.duration(state.secondsLeft), "estimated")
      : undefined,
    last?.[SECONDS] == null
      ? undefined
      : tile("Time passed", format.duration(last[SECONDS]), last[LAST] == null ? "" : `${last[LAST]} steps`),
    running && state.samplesPerSecond != null ? tile("Samples/s", round(state.samplesPerSecond)) : undefined,
    lossTile(epochs),
    ...bestOf(validations).map(validationTile),
    ...bestOf(tests).map(bestTile),
  ];
  return h("ul", { class: "tiles" }, ...list.filter((item) => item !== undefined));
}

function lossTile(epochs: Data["epochs"]): HTMLElement | undefined {
  const [before, last] = [epochs.at(-2), epochs.at(-1)];
  if (!last) return undefined;
  const shown = (loss: number | null) =>
    loss === null ? "\u2013" : Math.abs(loss) < 1e6 ? String(Number(loss.toPrecision(3))) : format.score(loss);
  const compared = before?.stage === last.stage ? `; ${shown(before.loss)} in epoch ${before.epoch}` : "";
  return tile("Mean loss", shown(last.loss), `in epoch ${last.epoch}${compared}`);
}

function validationTile({ epoch, stage, figure, auc, found }: Data["validations"][number]): HTMLElement {
  const parts = `AUC\u00a0${format.share(auc)}\u00a0%, found\u00a0${format.share(found)}\u00a0%`;
  return tile(`Best ${modelOf(stage)}, validation`, format.share(figure), `in epoch\u00a0${epoch}; ${parts}`, "%");
}

function bestTile({ epoch, stage, microAuc, macroAuc }: Test): HTMLElement {
  const [name, value] = microAuc == null ? ["macro", macroAuc] : ["micro", microAuc];
  const title = `Best ${modelOf(stage)}: ${name}-AUC`;
  const other = microAuc == null || macroAuc == null ? "" : `; macro-AUC ${format.share(macroAuc)}\u00a0%`;
  return tile(title, format.share(value), `in epoch ${epoch}${other}`, "%");
}

function tile(name: string, value: string, note = "", unit = ""): HTMLElement {
  return h(
    "li",
    {},
    h("h3", {}, name),
    h("p", { class: "value" }, value, unit ? h("small", {}, unit) : undefined),
    note ? h("p", { class: "note" }, note) : undefined,
  );
}

function round(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** What the figures of the tests are worth. */
export function testWords({ select, state }: Data): HTMLElement {
  const choose = state.state === "running" ? "choose" : "chose";
  const words =
    select === "validation"
      ? "Measured, not used to choose: labels of test videos choose neither the epoch nor the way of scoring."
      : `Labels of test videos ${choose} the epoch, as in papers: on other videos the figures may be lower.`;
  return h("p", { class: "about" }, words);
}

/**
 * The latest tests and those of chosen epochs, latest first, with the losses of their epochs;
 * undefined if there are none.
 */
export function table({ select, tests, validations, epochs }: Data): HTMLElement | undefined {
  if (tests.length === 0) return undefined;
  const losses = new Map(epochs.map(({ epoch, loss }) => [epoch, loss]));
  const several = new Set(tests.map(({ stage }) => stage)).size > 1;
  const best = new Set(chosenTests(select, tests, validations));
  const cell = (tag: "th" | "td", text: string) => h(tag, tag === "th" ? { scope: "col" } : {}, text);
  const row = (tag: "th" | "td", [epoch, stage, ...rest]: string[]) =>
    h("tr", {}, ...[epoch, ...(several ? [stage] : []), ...rest].map((text) => cell(tag, text ?? "")));
  const listed = tests.filter((test, i) => i >= tests.length - LISTED || best.has(test));
  const body = listed.toReversed().map((test) => {
    const { epoch, stage, microAuc, macroAuc, seconds } = test;
    const values = [
      format.share(microAuc),
      format.share(macroAuc),
      format.score(losses.get(epoch)),
      format.duration(seconds),
    ];
    const line = row("td", [String(epoch), String(stage), ...values]);
    if (best.has(test)) {
      line.className = "best";
      const by = select === "validation" ? "chosen by validation" : "best";
      line.title = several ? `${by}, stage ${stage}` : by;
    }
    return line;
  });
  const head = row("th", ["epoch", "stage", "micro, %", "macro, %", "loss", "time"]);
  return h("table", {}, h("thead", {}, head), h("tbody", {}, ...body));
}
