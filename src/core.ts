/** The core of sdmae: runs in browsers and in Node, touches no Node API. */
export * from "./errors.js";
export { type AdapterDescription, Gpu, openNavigatorGpu, type Target } from "./gpu/gpu.js";
