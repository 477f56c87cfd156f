// The pixel-level AUC: are abnormal pixels found?
import type { PixelMask } from "../data/dataset.js";
import type { ScoreMap } from "../detector/token_maps.js";
import { InputError } from "../errors.js";
import { cellOf, checkMap } from "./regions.js";
import { rocAuc } from "./roc.js";

/** Share of an abnormal frame's abnormal pixels that must be found. */
const FOUND_SHARE = 0.4;

/**
 * The pixel-level criterion of UCSD (Li, Mahadevan, Vasconcelos, "Anomaly detection and
 * localization in crowded scenes", PAMI 2014). At a threshold, an abnormal frame is detected if at
 * least 40 % of its abnormal pixels reach it, and a normal frame is a false alarm if any pixel
 * reaches it. So each frame reduces to one number, the highest threshold at which it counts, and no
 * map is kept. {@link labels} and {@link scores} give the ROC curve and the equal-error rate.
 */
export class PixelAuc {
  /** 1 for a frame with an abnormal pixel, else 0. */
  readonly labels: number[] = [];
  /** The highest threshold at which the frame counts as detected, or as a false alarm. */
  readonly scores: number[] = [];

  /**
   * Adds a frame. The map is stretched over the mask: a pixel has the value of the cell that its
   * centre falls into.
   * @param name the frame, for messages
   * @throws InputError if the data of map or mask do not match its size, or the map has a NaN
   */
  add(map: ScoreMap, mask: PixelMask, name = `frame ${this.scores.length}`): void {
    checkMap(map, name);
    if (mask.data.length !== mask.width * mask.height) {
      throw new InputError(`${name}: a mask of ${mask.width}×${mask.height} pixels has ${mask.data.length} values`);
    }
    const columns = Uint32Array.from({ length: mask.width }, (_, x) => cellOf(x, map.columns, mask.width));
    /** Abnormal pixels in each cell. */
    const inCell = new Uint32Array(map.data.length);
    let abnormal = 0;
    for (let y = 0; y < mask.height; y++) {
      const row = cellOf(y, map.rows, mask.height) * map.columns;
      for (let x = 0; x < mask.width; x++) {
        if (mask.data[y * mask.width + x] === 0) continue;
        inCell[row + columns[x]]++;
        abnormal++;
      }
    }
    this.labels.push(abnormal > 0 ? 1 : 0);
    this.scores.push(abnormal > 0 ? coveringThreshold(map.data, inCell, abnormal) : greatest(map.data));
  }

  /** The pixel-level AUC, 0…1; undefined unless there are abnormal and normal frames. */
  auc(): number | undefined {
    return rocAuc(this.labels, this.scores);
  }
}

/** The highest threshold that enough abnormal pixels reach. */
function coveringThreshold(values: Float32Array, inCell: Uint32Array, abnormal: number): number {
  const cells = Array.from(inCell.keys()).filter((cell) => inCell[cell]);
  cells.sort((a, b) => values[b] - values[a]);
  let covered = 0;
  for (const cell of cells) {
    covered += inCell[cell];
    // As a quotient, two of five pixels are exactly 0.4.
    if (covered / abnormal >= FOUND_SHARE) return values[cell];
  }
  throw new Error("all cells together cover all abnormal pixels");
}

function greatest(values: Float32Array): number {
  return values.reduce((a, b) => Math.max(a, b), -Infinity);
}
