import type { Plugin as EsbuildPlugin } from "esbuild";
import type { Plugin as VitePlugin } from "vite";

export const shaders: string;
export function resolveShader(name: string, folder?: string): { text: string; files: string[] };
export const shadersForEsbuild: EsbuildPlugin;
export const shadersForVite: VitePlugin;
