/** The part of png-js 2 that is used here; the package brings no types of its own. */
declare module "png-js" {
  class PNG {
    constructor(data: Uint8Array);
    readonly width: number;
    readonly height: number;
    /** The zlib stream of all IDAT chunks. */
    imgData: Uint8Array;
    /** Inflates and unfilters; an error is thrown out of a zlib callback, where nobody can catch it. */
    decodePixels(done: (pixels: Uint8Array) => void): void;
  }

  // biome-ignore lint/style/noDefaultExport: it is how the package exports it.
  export { PNG as default };
}
