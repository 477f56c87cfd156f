import type { Layout } from "./layout.js";
import { openOriginal } from "./original.js";

/** Any folder with `train/` and `test/`, which hold videos or folders of frames. */
export const folder: Layout = {
  name: "folder",
  recognises: async ({ folders }) => folders.includes("train") || folders.includes("test"),
  open: (root, options) => openOriginal("folder", root, options),
};
