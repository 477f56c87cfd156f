// LayerNorm over rows of WIDTH: (x - mean) / sqrt(var + EPSILON) * gamma + beta, biased variance, two passes for accuracy.
// LANES invocations share a row; with more than one they add up in workgroup memory (SHARED). With PREPEND the result has
// one row more a sample, in front: the cls token, which is not normalised. With HELD an invocation keeps its row in registers and
// loads it once: for adapters that compile the unrolled loops quickly.
const WIDTH: u32 = 256u;
const ROWS: u32 = 400u;  // all rows of the input
const SAMPLE_ROWS: u32 = 400u;  // rows of a sample in the input
const EPSILON: f32 = 1e-6;
const LANES: u32 = 16u;
const WORKGROUP: u32 = 64u;
const VECTORS: u32 = 64u;  // WIDTH / 4, for HELD
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;
@group(0) @binding(1) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> beta: array<vec4<f32>>;
//#if PREPEND
@group(0) @binding(3) var<storage, read> token: array<vec4<f32>>;
//#endif
@group(0) @binding(4) var<storage, read_write> y: array<vec4<Act>>;

//#if SHARED
var<workgroup> partial: array<f32, WORKGROUP>;

fn rowSum(value: f32, lane: u32, local: u32) -> f32 {
  partial[local] = value;
  workgroupBarrier();
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    if (lane < stride) { partial[local] += partial[local + stride]; }
    workgroupBarrier();
  }
  let sum = partial[local - lane];
  workgroupBarrier();
  return sum;
}
//#endif
//#if !SHARED
fn rowSum(value: f32, lane: u32, local: u32) -> f32 { return value; }
//#endif

@compute @workgroup_size(WORKGROUP)
fn normalize(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let W4 = min(WIDTH / 4u, arrayLength(&gamma));  // known at run time only: unrolled loops take lavapipe seconds to compile
  let lane = local % LANES;
  let ownRow = group.x * (WORKGROUP / LANES) + local / LANES;
  let row = min(ownRow, ROWS - 1u);  // lanes past the end work along with the last row, so that barriers stay uniform
  let first = row * W4;
  var sum = vec4<f32>(0.0);
  //#if HELD
  var held: array<vec4<f32>, VECTORS>;
  //#unroll v VECTORS
  {
    const v = 0u;
    held[v] = vec4<f32>(x[first + v]);
    sum += held[v];
  }
  //#end
  //#endif
  //#if !HELD
  for (var i = lane; i < W4; i += LANES) { sum += vec4<f32>(x[first + i]); }
  //#endif
  let mean = rowSum(dot(sum, vec4<f32>(1.0)), lane, local) / f32(WIDTH);
  var squares = vec4<f32>(0.0);
  //#if HELD
  //#unroll v VECTORS
  {
    const v = 0u;
    let d = held[v] - mean;
    squares += d * d;
  }
  //#end
  //#endif
  //#if !HELD
  for (var i = lane; i < W4; i += LANES) {
    let d = vec4<f32>(x[first + i]) - mean;
    squares += d * d;
  }
  //#endif
  let scale = inverseSqrt(rowSum(dot(squares, vec4<f32>(1.0)), lane, local) / f32(WIDTH) + EPSILON);
  if (ownRow >= ROWS) { return; }
  //#if PREPEND
  let sample = row / SAMPLE_ROWS;
  let out = (row + sample + 1u) * W4;
  if (row % SAMPLE_ROWS == 0u) {
    for (var i = lane; i < W4; i += LANES) { y[out - W4 + i] = vec4<Act>(token[i]); }
  }
  //#endif
  //#if !PREPEND
  let out = first;
  //#endif
  //#if HELD
  //#unroll v VECTORS
  {
    const v = 0u;
    y[out + v] = vec4<Act>((held[v] - mean) * scale * gamma[v] + beta[v]);
  }
  //#end
  //#endif
  //#if !HELD
  for (var i = lane; i < W4; i += LANES) {
    y[out + i] = vec4<Act>((vec4<f32>(x[first + i]) - mean) * scale * gamma[i] + beta[i]);
  }
  //#endif
}
