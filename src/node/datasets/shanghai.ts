import type { Layout } from "./layout.js";
import { openOriginal } from "./original.js";

/**
 * ShanghaiTech Campus, laid out as the authors' code expects it; recognised by the folder's name.
 */
export const shanghai: Layout = {
  name: "shanghai",
  recognises: async ({ name }) => /shanghai/i.test(name),
  open: (root, options) => openOriginal("shanghai", root, options),
};
