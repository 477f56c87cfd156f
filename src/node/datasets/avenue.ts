import type { Layout } from "./layout.js";
import { openOriginal } from "./original.js";

/** CUHK Avenue, laid out as the authors' code expects it; recognised by the folder's name. */
export const avenue: Layout = {
  name: "avenue",
  recognises: async ({ name }) => /avenue/i.test(name),
  open: (root, options) => openOriginal("avenue", root, options),
};
