import { join } from "node:path";
import { type Layout, splitName } from "./layout.js";
import { listFolder } from "./listing.js";
import { openOriginal } from "./original.js";

/**
 * ShanghaiTech Campus (Liu et al., CVPR 2018), as distributed or laid out as the authors' code of
 * SD-MAE expects it; recognised by the folder's name or by `testing/test_frame_mask`. As
 * distributed: `training/videos/01_001.avi`, `testing/frames/01_0014/000.jpg`, labels
 * `testing/test_frame_mask/01_0014.npy`, masks `testing/test_pixel_mask/01_0014.npy`.
 */
export const shanghai: Layout = {
  name: "shanghai",
  recognises: async (root) => {
    if (/shanghai/i.test(root.name)) return true;
    const test = splitName(root, "test");
    const listing = test === undefined ? undefined : await listFolder(join(root.path, test));
    return listing?.folders.some((name) => /^test_(frame|pixel)_mask$/.test(name)) ?? false;
  },
  open: (root, options) => openOriginal("shanghai", root, options),
};
