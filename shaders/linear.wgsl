// y = x W + b, and what follows it in the same pass: exact GELU, a residual, the cls rule of the
// MLP. Registers only: an invocation makes ROWS rows of 8 columns; a workgroup's lanes run along
// the columns.
//
// With NORMALIZE a LayerNorm of x's rows comes first; its scale and shift are in W and b:
//   (x - mean) scale W = scale (x W - mean columnSums).
// Rows are shifted by their first value, which LayerNorm does not see. Their mean is then small,
// and neither the variance nor the product loses digits to it.
//
// The ladder of this family. Instructions of the main loop: RTX 3090, 320x640, batch 16
// (bench/kernels.js). An HMMA is 2048 multiply-adds of a warp.
//   linear.wgsl           plain: 4 rows by 8 columns per invocation. Runs anywhere; the default if
//                         no other variant fits.
//   linear_subgroup.wgsl  a subgroup shares its rows by broadcasts. The default on software
//                         adapters: at 320x640, batch 1, two cores 34 GFLOP/s with lavapipe, 5.3
//                         with SwiftShader.
//   linear_tiled.wgsl     tiles in workgroup memory: 1.2 per multiply-add in float32. The default
//                         on GPUs.
//   linear_matrix.wgsl    matrix units, float16: 2.0 to 3.0 per HMMA; 120 registers.
//   linear_split.wgsl     float32 on the same units: 3.4 per HMMA, of which three make one product;
//                         120 to 128 registers.
// Matrix units are used only if the tuner has checked them on the adapter.
const M: u32 = 401u;  // rows of x in one batch entry
const N: u32 = 256u;
const K: u32 = 256u;
const PERIOD: u32 = 401u;  // rows of a sample, for PASSTHROUGH
const EPSILON: f32 = 1e-6;  // of LayerNorm, for NORMALIZE and PASSTHROUGH
const ROWS: u32 = 4u;
const LANES_N: u32 = 8u;
const LANES_M: u32 = 8u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [batch, M, K]
@group(0) @binding(1) var<storage, read> weight: array<vec4<Act>>;  // [batch, N, K]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [batch, N]
//#if RESIDUAL
@group(0) @binding(3) var<storage, read> residual: array<vec4<Act>>;  // [batch, M, N]
//#endif
//#if PASSTHROUGH
// [N] of the LayerNorm that every PERIOD-th row gets in place of x W + b
@group(0) @binding(4) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> beta: array<vec4<f32>>;  // [N]
//#endif
//#if NORMALIZE
@group(0) @binding(7) var<storage, read> columnSums: array<vec4<f32>>;  // [batch, N] of the weight
//#endif
@group(0) @binding(5) var<storage, read_write> y: array<vec4<Act>>;  // [batch, M, N]

//#include "common/linear_store.wgsl"

@compute @workgroup_size(LANES_N, LANES_M)
fn linear(@builtin(global_invocation_id) id: vec3<u32>) {
  const K4 = K / 4u;
  const N4 = N / 4u;
  let column = id.x * 2u;
  let row0 = id.y * ROWS;
  if (column >= N4 || row0 >= M) { return; }
  let second = min(column + 1u, N4 - 1u);
  var acc: array<array<vec4<f32>, 2>, ROWS>;
  var at: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) { at[r] = (id.z * M + min(row0 + r, M - 1u)) * K4; }
  //#if NORMALIZE
  var shift: array<f32, ROWS>;
  var row_sum: array<vec4<f32>, ROWS>;
  var row_squares: array<vec4<f32>, ROWS>;
  for (var r = 0u; r < ROWS; r++) { shift[r] = f32(x[at[r]].x); }
  //#endif
  // The bound is not a constant: compilers would unroll a short loop, whose loads take all
  // registers.
  let steps = min(K4, arrayLength(&weight));
  for (var k = 0u; k < steps; k++) {
    var w0: mat4x4<f32>;  // a column per output
    var w1: mat4x4<f32>;
    for (var i = 0u; i < 4u; i++) {
      w0[i] = vec4<f32>(weight[(id.z * N + column * 4u + i) * K4 + k]);
      w1[i] = vec4<f32>(weight[(id.z * N + second * 4u + i) * K4 + k]);
    }
    for (var r = 0u; r < ROWS; r++) {
      var a = vec4<f32>(x[at[r] + k]);
      //#if NORMALIZE
      a -= shift[r];
      row_sum[r] += a;
      row_squares[r] += a * a;
      //#endif
      acc[r][0] += a * w0;
      acc[r][1] += a * w1;
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    if (row0 + r >= M) { break; }
    //#if NORMALIZE
    let mean = dot(row_sum[r], vec4<f32>(1.0)) / f32(K);
    let scale = inverseSqrt(max(dot(row_squares[r], vec4<f32>(1.0)) / f32(K) - mean * mean, 0.0) + EPSILON);
    acc[r][0] = (acc[r][0] - mean * columnSums[id.z * N4 + column]) * scale;
    acc[r][1] = (acc[r][1] - mean * columnSums[id.z * N4 + second]) * scale;
    //#endif
    store(acc[r][0], id.z, row0 + r, column);
    if (column + 1u < N4) { store(acc[r][1], id.z, row0 + r, column + 1u); }
  }
}
