import { intercept, readAndClear } from "./intercept.js";

/**
 * Rewrites a kernel so that it checks every index: into a bound buffer, an array of a workgroup or
 * an invocation, a vector. One that lies outside is clamped to the last element. Each invocation
 * keeps the last place in the text where that happened, and counts it when it ends: with an atomic
 * at every index, drivers would compile much longer. Constant indices are left out: the compiler
 * refuses those that do not fit. A matrix that is loaded or stored has to fit as a whole.
 */

/** The most places that kernels of a device may index something at. */
const capacity = 2 ** 18;

/** What can be indexed: its number of elements as WGSL, and what an element is. */
interface Indexable {
  size: string;
  element?: Indexable;
  /** Bytes of an element, if it is a number or a vector. */
  bytes?: number;
}

/** A type of matrices of matrix units. */
interface MatrixType {
  columns: string;
  rows: string;
  /** Bytes of a number. */
  bytes: number;
}

/** What a name stands for. */
interface Named {
  isConstant: boolean;
  type?: Indexable | undefined;
  matrix?: MatrixType | undefined;
}

/** A device whose kernels count invocations with an index that lies outside. */
export class IndexChecks {
  /** Stands for the device. */
  readonly device: GPUDevice;
  private readonly counts: GPUBuffer;
  /** By number: the kernel, and its text there. */
  private readonly sites: string[] = [];

  constructor(private readonly real: GPUDevice) {
    const { COPY_SRC, COPY_DST, STORAGE } = GPUBufferUsage;
    this.counts = real.createBuffer({ size: 4 * capacity, usage: COPY_SRC | COPY_DST | STORAGE });
    const layout = real.createBindGroupLayout({
      entries: [{ binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: "storage" } }],
    });
    const group = real.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer: this.counts } }] });
    this.device = intercept(real, {
      createShaderModule: (descriptor: GPUShaderModuleDescriptor) => {
        const { wgsl, sites } = checkIndices(descriptor.code, this.sites.length);
        for (const site of sites) this.sites.push(`${descriptor.label ?? "a kernel"}: ${site}`);
        if (this.sites.length > capacity) throw new Error("more indices than can be told apart");
        return real.createShaderModule({ ...descriptor, code: wgsl });
      },
      createPipelineLayout: ({ bindGroupLayouts, ...rest }: GPUPipelineLayoutDescriptor) =>
        real.createPipelineLayout({ ...rest, bindGroupLayouts: [...bindGroupLayouts, layout] }),
      createCommandEncoder: (descriptor?: GPUCommandEncoderDescriptor) => {
        const encoder = real.createCommandEncoder(descriptor);
        return intercept(encoder, {
          beginComputePass: (of?: GPUComputePassDescriptor) => {
            const pass = encoder.beginComputePass(of);
            pass.setBindGroup(1, group);
            return pass;
          },
        });
      },
    });
  }

  /** Waits for all dispatches so far. @throws Error that names each index that lay outside */
  async check(): Promise<void> {
    const count = this.sites.length;
    if (count === 0) return;
    const counts = await readAndClear(this.real, this.counts, 4 * count);
    const faults = this.sites.flatMap((site, i) => (counts[i] ? [`${site}, in ${counts[i]} invocations`] : []));
    if (faults.length > 0) throw new Error(`kernels index what is not there:\n${[...new Set(faults)].join("\n")}`);
  }
}

/** @param first number of the first site: kernels share the buffer of counts, group 1, binding 0 */
export function checkIndices(wgsl: string, first: number): { wgsl: string; sites: string[] } {
  const sites: string[] = [];
  const scopes: Map<string, Named>[] = [new Map()];
  const lookUp = (name: string) => scopes.findLast((scope) => scope.has(name))?.get(name);

  const isConstant = (index: string) =>
    [...index.matchAll(/[A-Za-z_]\w*/g)].every(({ 0: word, index: at }) => {
      const isSuffix = at > 0 && /[\d.]/.test(index[at - 1]);
      return isSuffix || lookUp(word)?.isConstant === true;
    });

  const aliases = new Map([...wgsl.matchAll(/\balias (\w+) = (\w+);/g)].map(([, name, type]) => [name, type]));
  const scalarBytes = (type: string) => ({ f32: 4, u32: 4, i32: 4, f16: 2 })[aliases.get(type) ?? type];
  const matrices = new Map<string, MatrixType>();
  for (const [, name, type, columns, rows] of wgsl.matchAll(
    /\balias (\w+) = subgroup_matrix_\w+<(\w+), ([^,]+), ([^>]+)>;/g,
  ) as Iterable<[string, string, string, string, string]>) {
    matrices.set(name, { columns, rows, bytes: scalarBytes(type) as number });
  }
  const matrixIn = (text: string) =>
    [...text.matchAll(/\w+/g)].map(([word]) => matrices.get(word)).find((matrix) => matrix);

  /**
   * `subgroupMatrixLoad` or `subgroupMatrixStore` with its offset checked; undefined if the buffer
   * or the matrix is not known.
   */
  const rewriteMatrix = (call: string, template: string, list: string): string | undefined => {
    const given = split(list);
    const [pointer, offset] = given as [string, string];
    const stride = given[call.endsWith("Load") ? 2 : 3];
    const name = pointer.replace(/^&/, "");
    const buffer = lookUp(name)?.type;
    const value = /^\w+/.exec(given[2] ?? "")?.[0] ?? "";
    const matrix = call.endsWith("Load") ? matrixIn(template) : lookUp(value)?.matrix;
    if (!buffer?.bytes || !matrix) return undefined;
    const byRows = !template.includes("col_major");
    const [lines, length] = byRows ? [matrix.rows, matrix.columns] : [matrix.columns, matrix.rows];
    const perLine = `(u32(${length}) * ${matrix.bytes}u + ${buffer.bytes - 1}u) / ${buffer.bytes}u`;
    const site = first + sites.push(`${call}(${name}, ${offset}, ${stride})`) - 1;
    const extent = `(u32(${lines}) - 1u) * u32(${stride}) + ${perLine}`;
    const checked = `checkedExtent_(outside_, u32(${rewrite(offset)}), ${extent}, ${buffer.size}, ${site}u)`;
    return `${call}${template}(${[pointer, checked, ...given.slice(2).map(rewrite)].join(", ")})`;
  };

  /** Rewrites text, minding declarations and scopes. */
  const rewrite = (text: string): string => {
    let out = "";
    let at = 0;
    while (at < text.length) {
      const rest = text.slice(at);
      const comment = /^\/\/[^\n]*/.exec(rest);
      if (comment) {
        at += comment[0].length;
        continue;
      }
      const declared = /^(var(?:<[^>]*>)?|let|const)\s+(\w+)\s*(?::\s*)?/.exec(rest);
      if (declared && !/\w/.test(text[at - 1] ?? " ")) {
        const [all, kind, name] = declared as unknown as [string, string, string];
        const after = rest.slice(all.length);
        const type = all.trimEnd().endsWith(":") ? after : after.replace(/^=\s*/, "");
        // A declaration holds from its end on. No kernel of ours uses a name in the declaration
        // that hides it.
        scopes.at(-1)?.set(name, {
          isConstant: kind === "const",
          type: indexable(type, name, scalarBytes),
          matrix: matrixIn(type.slice(0, type.indexOf(";"))),
        });
        out += all;
        at += all.length;
        continue;
      }
      const word = /^[A-Za-z_]\w*/.exec(rest);
      if (word && /[\w.]/.test(text[at - 1] ?? " ")) {
        out += word[0];
        at += word[0].length;
        continue;
      }
      if (word) {
        const [name] = word;
        const matrix = /^(subgroupMatrix(?:Load|Store))(<[^>]*>)\(/.exec(rest);
        if (matrix) {
          const [all, call, template] = matrix as unknown as [string, string, string];
          const close = matching(text, at + all.length - 1, "()");
          out += rewriteMatrix(call, template, text.slice(at + all.length, close)) ?? text.slice(at, close + 1);
          at = close + 1;
          continue;
        }
        out += name;
        at += name.length;
        if (functions.has(name) && text[at] === "(" && !lookUp(name)) {
          const close = matching(text, at, "()");
          const isDeclared = /\bfn\s+$/.test(text.slice(0, at - name.length));
          const given = text.slice(at + 1, close).trim();
          const pointer = isDeclared ? "outside_: ptr<function, u32>" : "outside_";
          out += `(${pointer}${given && `, ${isDeclared ? given : rewrite(given)}`})`;
          at = close + 1;
          continue;
        }
        let own = lookUp(name)?.type;
        let whole = name;
        while (text[at] === "[") {
          const close = matching(text, at);
          const index = text.slice(at + 1, close);
          whole += `[${index}]`;
          if (own && !isConstant(index)) {
            const site = first + sites.push(whole) - 1;
            out += `[checkedIndex_(outside_, u32(${rewrite(index)}), ${own.size}, ${site}u)]`;
          } else out += `[${rewrite(index)}]`;
          own = own?.element;
          at = close + 1;
        }
        continue;
      }
      const char = text[at];
      if (char === "{") scopes.push(new Map());
      if (char === "}") scopes.pop();
      out += char;
      at++;
    }
    return out;
  };

  const { inner, outer } = splitEntryPoints(wgsl);
  const functions = new Set([...inner.matchAll(/\bfn\s+(\w+)/g)].map(([, name]) => name));
  const body = rewrite(inner);
  const directives = /^(?:\s*(?:enable|requires|diagnostic)[^;]*;)*/.exec(body)?.[0] ?? "";
  return {
    wgsl: `${directives}
@group(1) @binding(0) var<storage, read_write> counts_: array<atomic<u32>>;
fn checkedIndex_(outside: ptr<function, u32>, index: u32, size: u32, site: u32) -> u32 {
  *outside = select(*outside, site + 1u, index >= size);
  return min(index, size - 1u);
}
fn checkedExtent_(outside: ptr<function, u32>, offset: u32, extent: u32, size: u32, site: u32) -> u32 {
  let fits = offset + extent <= size;
  *outside = select(site + 1u, *outside, fits);
  return select(0u, offset, fits);
}
${body.slice(directives.length)}
${outer.join("\n")}`,
    sites,
  };
}

/**
 * Makes a function of each entry point, and an entry point that calls it and counts the place that
 * is left in `outside`: 0, or the number of a place and 1.
 */
function splitEntryPoints(wgsl: string): { inner: string; outer: string[] } {
  const outer: string[] = [];
  const inner = wgsl.replace(
    /(@compute\b[^{};]*?)\bfn\s+(\w+)\s*\(([^{]*)\)\s*\{/g,
    (_, attributes: string, name: string, list: string) => {
      const attribute = /@\w+(?:\([^)]*\))?\s*/g;
      const names = split(list.replace(attribute, "")).map((parameter) => parameter.split(":")[0].trim());
      outer.push(`${attributes}fn ${name}(${list}) {
  var outside = 0u;
  ${[`${name}Checked_(&outside`, ...names].join(", ")});
  if (outside > 0u) { atomicAdd(&counts_[outside - 1u], 1u); }
}`);
      return `fn ${name}Checked_(${list.replace(attribute, "")}) {`;
    },
  );
  return { inner, outer };
}

/** What can be indexed of the type, or the vector, that a text begins with. */
function indexable(
  text: string,
  name: string,
  scalarBytes: (type: string) => number | undefined,
): Indexable | undefined {
  const vector = /^vec([234])\b/.exec(text);
  if (vector) return { size: `${vector[1]}u` };
  if (!text.startsWith("array<")) return undefined;
  let depth = 0;
  let comma = -1;
  let end = "array".length;
  for (; end < text.length; end++) {
    const char = text[end];
    if (char === "<" || char === "(") depth++;
    if (char === ">" || char === ")") depth--;
    if (depth === 0) break;
    if (char === "," && depth === 1) comma = end;
  }
  const inner = text.slice("array<".length, comma < 0 ? end : comma).trim();
  const size = comma < 0 ? `arrayLength(&${name})` : `u32(${text.slice(comma + 1, end).trim()})`;
  const element = indexable(inner, name, scalarBytes);
  const [, count = "1", scalar = inner] = /^vec([234])<(\w+)>$/.exec(inner) ?? [];
  const bytes = scalarBytes(scalar);
  return { size, ...(element && { element }), ...(bytes !== undefined && { bytes: Number(count) * bytes }) };
}

/** The arguments of a call. */
function split(list: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at <= list.length; at++) {
    const char = list[at];
    if (char === "(" || char === "[") depth++;
    if (char === ")" || char === "]") depth--;
    if (at < list.length && !(char === "," && depth === 0)) continue;
    parts.push(list.slice(from, at).trim());
    from = at + 1;
  }
  return parts;
}

/** Where the bracket closes that opens at `open`. */
function matching(text: string, open: number, brackets = "[]"): number {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === brackets[0]) depth++;
    if (text[at] === brackets[1] && --depth === 0) return at;
  }
  throw new Error(`a bracket is not closed: ${text.slice(open, open + 40)}`);
}
