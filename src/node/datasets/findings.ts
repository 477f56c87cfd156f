// What is noticed while a data set is opened: notes for the user, and faults of single videos.
import type { Dataset, DatasetVideo } from "../../data/dataset.js";
import { InputError } from "../../errors.js";
import { oneLine } from "../files/messages.js";
import { namesInShort } from "../files/names.js";
import { type LayoutName, lookedFor, type OpenDatasetOptions, type Root } from "./layout.js";

/** Collected by all readers of one data set. */
export interface Findings {
  /** Remarks for the user, a line each. */
  notes: string[];
  /** The number of faults so far. */
  faults: number;
  /** Videos that are in no split, on purpose. */
  leftOut: number;
  /** Receives what is wrong with a single video; throws it if the caller takes no faults. */
  onFault: (fault: InputError) => void;
}

export function startFindings(root: Root, { onFault }: OpenDatasetOptions): Findings {
  const findings: Findings = {
    notes: root.broken.length > 0 ? [`links that lead nowhere: ${namesInShort(root.broken)}`] : [],
    faults: 0,
    leftOut: 0,
    onFault: (fault) => {
      findings.faults++;
      if (!onFault) throw fault;
      onFault(fault);
    },
  };
  return findings;
}

/**
 * @param trainFolder where frames with synthetic anomalies are looked for; default: train/
 * @throws InputError if the data set has no video and no fault explains it
 */
export function finishDataset(
  layout: LayoutName,
  root: Root,
  splits: Record<"train" | "test", DatasetVideo[]> & { validation?: DatasetVideo[] },
  { notes, faults, leftOut }: Findings,
  trainFolder?: string,
): Dataset {
  const { train, test, validation = [] } = splits;
  if (train.length + test.length + validation.length + leftOut + faults === 0) {
    throw new InputError(
      `${oneLine(root.path)} holds no video of the layout "${layout}"; looked for ${lookedFor[layout]}`,
    );
  }
  return { layout, root: root.path, ...(trainFolder !== undefined && { trainFolder }), ...splits, notes };
}
