import type uPlot from "uplot";
import { h } from "../../web/dom.js";
import * as format from "../../web/format.js";
import { bestOf } from "../best.js";
import { cursor, epochAxes, epochCurve, epochScales } from "./axes.js";
import { LivePlot } from "./live_plot.js";
import { drawRings, drawStages, stageColor } from "./marks.js";
import type { Data } from "./plots.js";

type Validation = Data["validations"][number];

/** The curves of a stage, and how they are drawn. */
const curves = [
  { of: "figure", width: 2.5, dash: [] },
  { of: "auc", width: 1.5, dash: [6, 4] },
  { of: "found", width: 1.5, dash: [2, 3] },
] as const;

/** The figures of the validations over epochs, in percent, in the colours of the stages. */
export class ValidationPlot {
  readonly host = h("div", { class: "plot", role: "img", "aria-label": "Figures of the validation over epochs" });
  private validations: readonly Validation[] = [];
  private stages: (number | null)[] = [];

  private readonly plot = new LivePlot(
    this.host,
    () => this.options(),
    (width) => (width < 500 ? 240 : 320),
    (i) => lines(this.validations[i]),
  );

  /** Shows new data. Call it when the page has {@link host}, since plots measure their places. */
  show({ validations }: Data): void {
    this.validations = validations;
    this.stages = [...new Set(validations.map(({ stage }) => stage))];
    const rows = this.stages.flatMap((of) =>
      curves.map(({ of: name }) =>
        validations.map((one) => (one.stage === of && one[name] !== null ? 100 * one[name] : null)),
      ),
    );
    this.plot.show([validations.map(({ epoch }) => epoch as number), ...rows], this.stages.join());
  }

  private options(): Omit<uPlot.Options, "width" | "height"> {
    return {
      padding: [14, 14, 0, 0],
      cursor: cursor(),
      scales: epochScales(),
      axes: epochAxes("%"),
      series: [
        {},
        ...this.stages.flatMap((_, i) => curves.map(({ width, dash }) => epochCurve(() => stageColor(i), width, dash))),
      ],
      hooks: {
        draw: [
          (u) => {
            const { validations } = this;
            const of = (name: "epoch" | "stage") => validations.map((one) => one[name] as number);
            drawStages(u, of("epoch"), of("stage"));
            drawRings(
              u,
              bestOf(validations).map(({ epoch, figure }) => [epoch as number, 100 * (figure as number)] as const),
            );
          },
        ],
      },
    };
  }
}

/** The tooltip of a validation. */
function lines({ epoch, stage, figure, auc, found, worst, best }: Validation): string[] {
  return [
    `epoch ${epoch}, stage ${stage}`,
    `figure ${format.share(figure)} %`,
    `AUC ${format.share(auc)} %`,
    `events found ${format.share(found)} %`,
    `worst: ${worst}`,
    ...(best ? ["best so far"] : []),
  ];
}
