// The browser programs of the pages and their styles, as strings. tools/report-page.js bundles
// them.

/** From src/report/evaluation/page. */
declare module "virtual:report-page" {
  export const script: string;
  export const style: string;
}

/** From src/report/training/page. */
declare module "virtual:training-page" {
  export const script: string;
  export const style: string;
}

/** From src/report/calibration/page. */
declare module "virtual:calibration-page" {
  export const script: string;
  export const style: string;
}

/** From src/report/bench/page. */
declare module "virtual:bench-page" {
  export const script: string;
  export const style: string;
}

/** From src/server/web/page. */
declare module "virtual:watch-page" {
  export const script: string;
  export const style: string;
}
