// y = x W + b, with what follows it in the same pass: exact GELU, a residual, the cls rule of the MLP. With NORMALIZE a LayerNorm of x's rows comes first; its
// scale and shift are in W and b: (x - mean) scale W = scale (x W - mean columnSums). Rows are shifted by their first value, which LayerNorm does not
// see: their mean is small then, and neither the variance nor the product loses digits to it.
// Registers only: an invocation makes ROWS rows of 8 columns; lanes of a workgroup run along the columns.
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
@group(0) @binding(4) var<storage, read> gamma: array<vec4<f32>>;  // [N]: of the residual's LayerNorm, which stands for x W + b in every PERIOD-th row
@group(0) @binding(6) var<storage, read> beta: array<vec4<f32>>;  // [N]
//#endif
//#if NORMALIZE
@group(0) @binding(7) var<storage, read> columnSums: array<vec4<f32>>;  // [batch, N] of the weight
//#endif
@group(0) @binding(5) var<storage, read_write> y: array<vec4<Act>>;  // [batch, M, N]

//#if GELU
// erf to 1.5e-7 (Abramowitz & Stegun 7.1.26): WGSL has none.
fn erf(v: vec4<f32>) -> vec4<f32> {
  let a = abs(v);
  let t = 1.0 / (1.0 + 0.3275911 * a);
  let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return sign(v) * (1.0 - poly * exp(-a * a));
}
//#endif

//#if PASSTHROUGH
// A cls token's row in place of x W + b: the residual's, normalised. There is one in PERIOD rows, so that reading a row for each vec4 costs next to nothing.
fn passed(row: u32, column: u32) -> vec4<f32> {
  let width = arrayLength(&gamma);
  var sum = vec4<f32>(0.0);
  for (var i = 0u; i < width; i++) { sum += vec4<f32>(residual[row * width + i]); }
  let mean = dot(sum, vec4<f32>(1.0)) / f32(N);
  var squares = vec4<f32>(0.0);
  for (var i = 0u; i < width; i++) {
    let d = vec4<f32>(residual[row * width + i]) - mean;
    squares += d * d;
  }
  let scale = inverseSqrt(dot(squares, vec4<f32>(1.0)) / f32(N) + EPSILON);
  return (vec4<f32>(residual[row * width + column]) - mean) * scale * gamma[column] + beta[column];
}
//#endif

fn finish(value: vec4<f32>, batch: u32, row: u32, column: u32) {
  const N4 = N / 4u;
  let at = (batch * M + row) * N4 + column;
  var result = value + bias[batch * N4 + column];
  //#if GELU
  result = 0.5 * result * (1.0 + erf(result * 0.70710678));
  //#endif
  //#if PASSTHROUGH
  if (row % PERIOD == 0u) { result = passed(row, column); }
  //#endif
  //#if RESIDUAL
  result += vec4<f32>(residual[at]);
  //#endif
  y[at] = vec4<Act>(result);
}

@compute @workgroup_size(LANES_N, LANES_M)
fn linear(@builtin(global_invocation_id) id: vec3<u32>) {
  const K4 = K / 4u;
  const N4 = N / 4u;
  let column = id.x * 2u;
  let row0 = id.y * ROWS;
  if (column >= N4 || row0 >= M) { return; }
  let second = min(column + 1u, N4 - 1u);
  var sums: array<array<vec4<f32>, 2>, ROWS>;
  var at: array<u32, ROWS>;
  for (var r = 0u; r < ROWS; r++) { at[r] = (id.z * M + min(row0 + r, M - 1u)) * K4; }
  //#if NORMALIZE
  var shift: array<f32, ROWS>;
  var rowSum: array<vec4<f32>, ROWS>;
  var rowSquares: array<vec4<f32>, ROWS>;
  for (var r = 0u; r < ROWS; r++) { shift[r] = f32(x[at[r]].x); }
  //#endif
  // The bound is no constant: compilers unroll a short loop, whose loads then take all registers.
  let steps = min(K4, arrayLength(&weight));
  for (var k = 0u; k < steps; k++) {
    var w0: mat4x4<f32>;  // columns: of one output each
    var w1: mat4x4<f32>;
    for (var i = 0u; i < 4u; i++) {
      w0[i] = vec4<f32>(weight[(id.z * N + column * 4u + i) * K4 + k]);
      w1[i] = vec4<f32>(weight[(id.z * N + second * 4u + i) * K4 + k]);
    }
    for (var r = 0u; r < ROWS; r++) {
      var a = vec4<f32>(x[at[r] + k]);
      //#if NORMALIZE
      a -= shift[r];
      rowSum[r] += a;
      rowSquares[r] += a * a;
      //#endif
      sums[r][0] += a * w0;
      sums[r][1] += a * w1;
    }
  }
  for (var r = 0u; r < ROWS; r++) {
    if (row0 + r >= M) { break; }
    //#if NORMALIZE
    let mean = dot(rowSum[r], vec4<f32>(1.0)) / f32(K);
    let scale = inverseSqrt(max(dot(rowSquares[r], vec4<f32>(1.0)) / f32(K) - mean * mean, 0.0) + EPSILON);
    sums[r][0] = (sums[r][0] - mean * columnSums[id.z * N4 + column]) * scale;
    sums[r][1] = (sums[r][1] - mean * columnSums[id.z * N4 + second]) * scale;
    //#endif
    finish(sums[r][0], id.z, row0 + r, column);
    if (column + 1u < N4) { finish(sums[r][1], id.z, row0 + r, column + 1u); }
  }
}
