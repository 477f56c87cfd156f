/** The program and the style of the report's page (page/main.ts, page/style.css), bundled by tools/report-page.js. */
declare module "virtual:report-page" {
  export const script: string;
  export const style: string;
}

/** The same of a training run's page (training/main.ts, training/style.css). */
declare module "virtual:training-page" {
  export const script: string;
  export const style: string;
}
