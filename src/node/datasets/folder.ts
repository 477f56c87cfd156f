import { type Layout, splitName } from "./layout.js";
import { openOriginal } from "./original.js";

/**
 * Any folder with `train/` and `test/` (or `training/` and `testing/`), which hold videos or
 * folders of frames.
 */
export const folder: Layout = {
  name: "folder",
  recognises: async (root) => (splitName(root, "train") ?? splitName(root, "test")) !== undefined,
  open: (root, options) => openOriginal("folder", root, options),
};
