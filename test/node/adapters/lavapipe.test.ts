import { expect, it } from "vitest";
import { type Host, threads, wideVectors } from "../../../src/node/adapters/lavapipe.js";

const flags = "fpu sse2 avx2 avx512f avx512dq avx512cd avx512bw avx512vl avx512_vnni";
/** A Xeon with Debian's Mesa 26.1. */
const host: Host = {
  platform: "linux",
  arch: "x64",
  environment: {},
  processors: 2,
  processor: () => `processor\t: 0\nflags\t\t: ${flags}\nbugs\t\t:\n`,
  manifest: () => manifestOf("1.4.354"),
};
const wide = { LP_NATIVE_VECTOR_WIDTH: "512" };

function manifestOf(version: string): string {
  return `{"ICD": {"api_version": "${version}", "library_path": "libvulkan_lvp.so"}, "file_format_version": "1.0.1"}`;
}

it("lavapipe gets 512-bit vectors if the processor has AVX-512", () => {
  expect(wideVectors(host)).toEqual(wide);
  const without = (flag: string) => ({ ...host, processor: () => `flags : ${flags.replace(` ${flag}`, "")}` });
  for (const flag of ["avx512f", "avx512dq", "avx512bw", "avx512vl"]) {
    expect(wideVectors(without(flag)), flag).toEqual({});
  }
  expect(wideVectors(without("avx512_vnni"))).toEqual(wide);
});

it("what the user has set stays, even if it is empty", () => {
  for (const width of ["128", "256", "512", ""]) {
    expect(wideVectors({ ...host, environment: { LP_NATIVE_VECTOR_WIDTH: width } })).toEqual({});
  }
});

it("kernels for matrix units, which need narrow vectors, keep them", () => {
  const asked = (kind: string) => wideVectors({ ...host, environment: { SDMAE_KERNELS: kind } });
  expect(asked("matrix")).toEqual({});
  expect(asked("split")).toEqual({});
  expect(asked("subgroup")).toEqual(wide);
});

it("a Mesa that loads lane by lane keeps its own width", () => {
  for (const [version, expected] of [
    ["1.3.289", {}],
    ["1.4.305", {}], // 25.0.7
    ["1.4.309", wide],
    ["1.5.0", wide],
    ["2.0.1", wide],
    ["1.4", {}],
    ["", {}],
  ] as const) {
    expect(wideVectors({ ...host, manifest: () => manifestOf(version) }), version).toEqual(expected);
  }
});

it("on other systems, or if nothing can be read, nothing is set", () => {
  const fails = (): never => {
    throw new Error("ENOENT");
  };
  for (const other of [
    { platform: "darwin" },
    { arch: "arm64" },
    { processor: fails },
    { processor: () => "" },
    { manifest: fails },
    { manifest: () => undefined },
    { manifest: () => "{" },
    { manifest: () => "null" },
    { manifest: () => '{"ICD": {}}' },
  ]) {
    expect(wideVectors({ ...host, ...other })).toEqual({});
  }
});

it("few processors get two threads each, unless the user has set their number", () => {
  expect(threads(host)).toEqual({ LP_NUM_THREADS: "4" });
  expect(threads({ ...host, processors: 4 })).toEqual({ LP_NUM_THREADS: "8" });
  expect(threads({ ...host, processors: 5 })).toEqual({});
  expect(threads({ ...host, environment: { LP_NUM_THREADS: "1" } })).toEqual({});
  expect(threads({ ...host, platform: "win32" })).toEqual({});
});
