import type { Plugin as EsbuildPlugin } from "esbuild";
import type { Plugin as VitePlugin } from "vite";

export const reportPageForEsbuild: EsbuildPlugin;
export const reportPageForVite: VitePlugin;
