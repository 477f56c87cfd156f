import type { Layout } from "./layout.js";
import { openOriginal } from "./original.js";

/** Any folder of `train/` and `test/` videos or folders of frames, with labels of the user's own. */
export const folder: Layout = {
  name: "folder",
  recognises: async ({ folders }) => folders.includes("train") || folders.includes("test"),
  open: (root, options) => openOriginal("folder", root, options),
};
