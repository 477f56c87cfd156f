// LayerNorm over rows of WIDTH: (x - mean) / sqrt(var + EPSILON) * gamma + beta, with the biased
// variance, in two passes for accuracy. LANES invocations share a row; with more than one they add
// up in workgroup memory (SHARED).
//
// With PREPEND the result has one more row per sample, in front: the cls token, which is not
// normalised. With HELD an invocation keeps its row in registers and loads it once: for adapters
// that compile the unrolled loops quickly (lavapipe with 512-bit vectors).
//
// The kernels of LayerNorm:
//   layer_norm.wgsl                                  the forward pass
//   layer_norm_backward.wgsl                         gradient of x
//   layer_norm_weights.wgsl (then column_sums.wgsl)  gradients of gamma and beta
//   row_moments.wgsl                                 statistics alone, for matmuls that include the
//                                                    norm
const WIDTH: u32 = 256u;
const ROWS: u32 = 400u;  // all rows of the input
const SAMPLE_ROWS: u32 = 400u;  // rows of a sample in the input
const EPSILON: f32 = 1e-6;
const LANES: u32 = 16u;
const WORKGROUP: u32 = 64u;
const VECTORS: u32 = 64u;  // WIDTH / 4, for HELD
alias Act = f32;  // what activations are stored as
alias Sum = f32;

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;
@group(0) @binding(1) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> beta: array<vec4<f32>>;
//#if PREPEND
@group(0) @binding(3) var<storage, read> token: array<vec4<f32>>;
//#endif
@group(0) @binding(4) var<storage, read_write> y: array<vec4<Act>>;

//#include "common/row_sum.wgsl"

@compute @workgroup_size(WORKGROUP)
fn normalize(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  // known only at run time: lavapipe compiles unrolled loops for seconds
  let W4 = min(WIDTH / 4u, arrayLength(&gamma));
  let lane = local % LANES;
  let own_row = group.x * (WORKGROUP / LANES) + local / LANES;
  // lanes past the end repeat the last row, so that barriers stay uniform
  let row = min(own_row, ROWS - 1u);
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
  let mean = row_sum(dot(sum, vec4<f32>(1.0)), lane, local) / f32(WIDTH);
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
  let scale = inverseSqrt(row_sum(dot(squares, vec4<f32>(1.0)), lane, local) / f32(WIDTH) + EPSILON);
  if (own_row >= ROWS) { return; }
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
