/** A WGSL file imported as text (esbuild's `text` loader; a small plugin under vitest). */
declare module "*.wgsl" {
  const source: string;
  export default source;
}
