import { InputError } from "../errors.js";
import type { Gpu } from "../gpu/gpu.js";
import { Graph } from "../graph/graph.js";
import { Program } from "../graph/program.js";
import { sampleWords } from "../ops/common.js";
import { tokenErrorsOp } from "../ops/errors.js";
import { cleanMapOp } from "../ops/token_maps.js";
import { type Comparison, compare, type FixtureCase } from "./fixture_case.js";

/**
 * Cleans the map of a case up, from `in.teacher` and `in.student` [B, L, P·P·4] and `in.gradient` [B, 3, H, W], and compares the mean of each token
 * with `out.patch_scores`; without the clean-up it is the mean difference, `out.patch_scores_no_morphology`.
 */
export async function checkAnomalyMap(gpu: Gpu, fixture: FixtureCase): Promise<Comparison[]> {
  const [height, width, patch] = ["height", "width", "patch"].map((key) => fixture.integer(key)) as [
    number,
    number,
    number,
  ];
  if (height % patch !== 0 || width % patch !== 0) {
    throw new InputError(`${fixture.name}: ${height}x${width} does not divide into patches of ${patch}`);
  }
  const tokens = (height * width) / patch ** 2;
  const batch = fixture.tensor("in.teacher").shape[0];
  const shape = [batch, tokens, patch * patch * 4];
  for (const name of ["in.teacher", "in.student"]) fixture.expectShape(name, shape);
  fixture.expectShape("in.gradient", [batch, 3, height, width]);

  const graph = new Graph(gpu);
  // In production a row of the cls token stands in front.
  const values = patch * patch * 4;
  const rows = [batch, 1 + tokens, values];
  const teacher = graph.input("teacher", rows, "f32");
  const student = graph.input("student", rows, "f32");
  const gradient = graph.input("gradient", [batch, 3, height, width], "f32");
  const cleaned = graph.apply(cleanMapOp, [teacher, student, gradient], { patch, height, width })[0];
  graph.output("cleaned", cleaned);
  // The targets do not matter to the difference of teacher and student.
  const targets = graph.input("targets", [1, height, width], "u32");
  const samples = graph.input("samples", [batch, sampleWords], "u32");
  const attrs = { patch, norm: "L2", normalizeTarget: false } as const;
  graph.output("errors", graph.apply(tokenErrorsOp, [targets, samples, teacher, student], attrs)[0]);
  const program = await Program.compile(gpu, graph);
  try {
    program.write(teacher, withCls(fixture.floats("in.teacher"), batch, values));
    program.write(student, withCls(fixture.floats("in.student"), batch, values));
    program.write(gradient, fixture.floats("in.gradient"));
    const results = await program.run();
    const plain = (results.errors as Float32Array).filter((_, i) => i % 2 === 0);
    return [
      compare("out.patch_scores", results.cleaned as Float32Array, fixture.floats("out.patch_scores")),
      compare("out.patch_scores_no_morphology", plain, fixture.floats("out.patch_scores_no_morphology")),
    ];
  } finally {
    program.close();
  }
}

/** [B, L, N] with a row of zeros in front of each sample's. */
function withCls(values: Float32Array, batch: number, width: number): Float32Array<ArrayBuffer> {
  const own = values.length / batch;
  const out = new Float32Array(values.length + batch * width);
  for (let b = 0; b < batch; b++) out.set(values.subarray(b * own, (b + 1) * own), b * (own + width) + width);
  return out;
}
