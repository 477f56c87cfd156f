/** A WGSL file imported as text (tools/wgsl.js). */
declare module "*.wgsl" {
  const source: string;
  export default source;
}
