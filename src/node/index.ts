/** The Node face of sdmae: the core, and what needs Node (Dawn, files, images, video). */
export * from "../core.js";
export { type ListedAdapter, listAdapters, type NodeGpuOptions, openNodeGpu } from "./gpu.js";
