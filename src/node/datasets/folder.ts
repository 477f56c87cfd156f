import type { DatasetVideo } from "../../data/dataset.js";
import { namesInShort } from "../files/names.js";
import { findClips } from "./clip.js";
import { finishDataset, startFindings } from "./findings.js";
import { type Layout, type Root, splitName } from "./layout.js";
import { naturalOrder } from "./listing.js";
import { openOriginal } from "./original.js";

const hasSplits = (root: Root) => (splitName(root, "train") ?? splitName(root, "test")) !== undefined;

/**
 * Any folder with `train/` and `test/` (or `training/` and `testing/`), which hold videos or
 * folders of frames. In a folder with neither, all videos are normal, for training.
 */
export const folder: Layout = {
  name: "folder",
  recognises: async (root) => hasSplits(root),
  open: async (root, options) => {
    if (hasSplits(root)) return openOriginal("folder", root, options);
    const findings = startFindings(root, options);
    const { clips, others } = await findClips(root.path, new Set(), findings.onFault);
    const train = clips
      .map(({ name, path, frameCount, open }): DatasetVideo => {
        return { name, path, ...(frameCount !== undefined && { frameCount }), open };
      })
      .sort((a, b) => naturalOrder(a.name, b.name));
    findings.notes.push("there is neither train/ nor test/: all videos are normal, for training");
    if (others.length > 0) findings.notes.push(`ignored: ${namesInShort(others)}`);
    return finishDataset("folder", root, { train, test: [] }, findings);
  },
};
