/** The part of png-js 2 that is used here. The package has no types. */
declare module "png-js" {
  class PNG {
    constructor(data: Uint8Array);
    readonly width: number;
    readonly height: number;
    /** The zlib stream of all IDAT chunks. */
    imgData: Uint8Array;
    /**
     * Inflates and unfilters. An error is thrown in a zlib callback, where nothing can catch it.
     */
    decodePixels(done: (pixels: Uint8Array) => void): void;
  }

  // biome-ignore lint/style/noDefaultExport: the package exports it so.
  export { PNG as default };
}
