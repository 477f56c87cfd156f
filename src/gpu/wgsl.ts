/**
 * The one template step between a kernel's WGSL and a shader module. With its includes in place
 * (tools/wgsl.js, when the code is bundled), a file in shaders/ is valid WGSL as it stands.
 * Specialising it may only
 * - give a module-level `const NAME: type = value;` another value (tile sizes, widths, switches);
 * - give a module-level `alias NAME = type;` another type: `alias Act = f32;`, the type that
 *   activations are stored as, is f16 in mixed precision;
 * - leave out the lines between `//#if FLAG` and `//#endif` (`//#if !FLAG` for the opposite);
 * - repeat the block between `//#unroll NAME COUNT` and `//#end`, in which `const NAME = 0u;`
 *   becomes 1u, 2u, … COUNT is a number or one of the file's constants. Some built-ins want
 *   constant arguments (the lane of a subgroupBroadcast), and software adapters keep a private
 *   array in registers only if its indices are constants.
 * Blocks of both kinds may nest.
 */
export interface Specialization {
  /** New values of module-level constants, written in the constant's own type. */
  constants?: Readonly<Record<string, number | boolean>>;
  /** Other types of module-level aliases. */
  types?: Readonly<Record<string, string>>;
  /** Flags of the file's `//#if` lines; one that is not given is false. */
  flags?: Readonly<Record<string, boolean>>;
}

/**
 * The WGSL text of `source`, specialised.
 * @throws Error if the file has no such constant or alias, or its blocks do not close
 */
export function specialize(source: string, { constants = {}, types = {}, flags = {} }: Specialization): string {
  let text = selectLines(source, flags);
  for (const [name, value] of Object.entries(constants)) {
    let found = false;
    text = text.replace(new RegExp(`^const ${name}: (\\w+) = [^;]+;`, "m"), (_, type: string) => {
      found = true;
      return `const ${name}: ${type} = ${literal(value, type)};`;
    });
    if (!found) throw new Error(`the WGSL file has no module-level constant ${name} to specialise`);
  }
  for (const [name, type] of Object.entries(types)) {
    const pattern = new RegExp(`^alias ${name} = \\w+;`, "m");
    if (!pattern.test(text)) throw new Error(`the WGSL file has no module-level alias ${name} to specialise`);
    text = text.replace(pattern, `alias ${name} = ${type};`);
  }
  if (Object.values(types).includes("f16")) text = `enable f16;\n${text}`;
  return unroll(text.split("\n"), text).join("\n");
}

/** Repeats the `//#unroll` blocks in `lines`, the outermost first; `text` has the counts. */
function unroll(lines: readonly string[], text: string): string[] {
  const out: string[] = [];
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    const directive = /^\s*\/\/#unroll (\w+) (\w+)/.exec(line);
    if (!directive) {
      if (/^\s*\/\/#end\b/.test(line)) throw new Error("the WGSL file has an //#end without an //#unroll");
      out.push(line);
      continue;
    }
    const [, name, count] = directive as unknown as [string, string, string];
    const first = i + 1;
    for (let depth = 1; depth > 0; ) {
      if (++i >= lines.length) throw new Error(`the WGSL file has no //#end for //#unroll ${name}`);
      if (/^\s*\/\/#unroll /.test(lines[i])) depth++;
      else if (/^\s*\/\/#end\b/.test(lines[i])) depth--;
    }
    const value = /^\d+$/.test(count) ? count : new RegExp(`^const ${count}: u32 = (\\d+)u;`, "m").exec(text)?.[1];
    if (value === undefined) throw new Error(`//#unroll ${name}: the WGSL file has no constant ${count}`);
    const body = unroll(lines.slice(first, i), text);
    const counter = new RegExp(`^(\\s*const ${name} = )0u;`);
    for (let step = 0; step < Number(value); step++) out.push(...body.map((l) => l.replace(counter, `$1${step}u;`)));
  }
  return out;
}

function literal(value: number | boolean, type: string): string {
  if (typeof value === "boolean") return String(value);
  if (type === "u32") return `${value}u`;
  if (type === "i32") return `${value}i`;
  if (type === "f32") return Number.isInteger(value) ? `${value}.0` : `${value}`;
  throw new Error(`a WGSL constant of type ${type} cannot be specialised with the number ${value}`);
}

function selectLines(source: string, flags: Readonly<Record<string, boolean>>): string {
  const kept: string[] = [];
  const open: boolean[] = [];
  for (const line of source.split("\n")) {
    const directive = /^\s*\/\/#(if|endif)\b\s*(!?)(\w*)/.exec(line);
    if (directive?.[1] === "if") {
      open.push((flags[directive[3] ?? ""] ?? false) !== (directive[2] === "!"));
    } else if (directive) {
      if (open.pop() === undefined) throw new Error("the WGSL file has an //#endif without an //#if");
    } else if (open.every(Boolean)) {
      kept.push(line);
    }
  }
  if (open.length > 0) throw new Error("the WGSL file has an //#if without an //#endif");
  return kept.join("\n");
}

/** One `@group(0)` buffer binding as the WGSL text declares it. */
export interface DeclaredBinding {
  name: string;
  binding: number;
  type: "read-only-storage" | "storage" | "uniform";
}

/** The buffer bindings that a WGSL text declares, so that buffers are matched to them by name. */
export function declaredBindings(wgsl: string): DeclaredBinding[] {
  const pattern = /@group\(0\)\s*@binding\((\d+)\)\s*var<(storage, read_write|storage, read|storage|uniform)>\s+(\w+)/g;
  return [...wgsl.matchAll(pattern)].map(([, binding, space, name]) => ({
    name: name,
    binding: Number(binding),
    type: space === "uniform" ? "uniform" : space === "storage, read_write" ? "storage" : "read-only-storage",
  }));
}
