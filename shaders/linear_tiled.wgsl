// linear.wgsl for GPUs, in float32 or float16, without matrix units: a workgroup makes TILE_M rows by TILE_N columns; a K_STEP of both operands lies
// in workgroup memory, while the next one is on its way to registers. An invocation makes ROWS rows, LANES_M apart, of
// COLUMNS vec4s of columns, LANES_N apart, so that neighbours read neighbouring words.
const M: u32 = 401u;  // rows of x in one batch entry
const N: u32 = 256u;
const K: u32 = 256u;  // a multiple of K_STEP
const PERIOD: u32 = 401u;  // rows of a sample, for PASSTHROUGH
const EPSILON: f32 = 1e-6;  // of LayerNorm, for NORMALIZE and PASSTHROUGH
const ROWS: u32 = 8u;
const COLUMNS: u32 = 2u;
const LANES_M: u32 = 16u;
const LANES_N: u32 = 16u;
const TILE_M: u32 = 128u;  // LANES_M * ROWS
const TILE_N4: u32 = 32u;  // LANES_N * COLUMNS: vec4s
const K_STEP: u32 = 16u;
const X_LOADS: u32 = 2u;  // vec4s of a step of x that an invocation loads: TILE_M * K_STEP / 4 / invocations, rounded up
const W_LOADS: u32 = 2u;  // K_STEP * TILE_N4 / invocations, rounded up
const WHOLE: bool = false;  // whether neither was rounded: no branch is needed then
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

const X_STRIDE: u32 = K_STEP / 4u + 1u;  // one more than it holds, so that rows do not all begin in the same bank
var<workgroup> xTile: array<vec4<Act>, TILE_M * X_STRIDE>;
const W_STRIDE: u32 = TILE_N4 + 1u;
var<workgroup> wTile: array<vec4<Act>, K_STEP * W_STRIDE>;  // [K_STEP, TILE_N]
//#if NORMALIZE
var<workgroup> rowSums: array<vec2<f32>, TILE_M * K_STEP / 4u>;  // of x and of its squares: each loader's part
//#endif

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
fn linear(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) lane: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  const K4 = K / 4u;
  const N4 = N / 4u;
  const STEP4 = K_STEP / 4u;
  const INVOCATIONS = LANES_M * LANES_N;
  let row0 = group.y * TILE_M;
  let column0 = group.x * TILE_N4;
  var nextX: array<vec4<Act>, X_LOADS>;
  var nextW: array<vec4<Act>, W_LOADS>;
  var sums: array<array<vec4<f32>, COLUMNS>, ROWS>;
  //#if NORMALIZE
  // An invocation's i-th load is of the same row at each step.
  var shift: array<f32, X_LOADS>;
  var rowSum: array<vec4<f32>, X_LOADS>;
  var rowSquares: array<vec4<f32>, X_LOADS>;
  //#unroll i X_LOADS
  {
    const i = 0u;
    shift[i] = f32(x[(group.z * M + min(row0 + (local + i * INVOCATIONS) / STEP4, M - 1u)) * K4].x);
  }
  //#end
  //#endif
  //#unroll i X_LOADS
  {
    const i = 0u;
    let at = local + i * INVOCATIONS;
    nextX[i] = x[(group.z * M + min(row0 + at / STEP4, M - 1u)) * K4 + at % STEP4];
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    let at = local + i * INVOCATIONS;
    nextW[i] = weight[(group.z * N + min(column0 * 4u + at / STEP4, N - 1u)) * K4 + at % STEP4];
  }
  //#end
  for (var next = STEP4; next <= K4; next += STEP4) {
    workgroupBarrier();  // what lies there was used
    //#unroll i X_LOADS
    {
      const i = 0u;
      let at = local + i * INVOCATIONS;
      //#if NORMALIZE
      let shifted = vec4<f32>(nextX[i]) - shift[i];
      rowSum[i] += shifted;
      rowSquares[i] = fma(shifted, shifted, rowSquares[i]);
      nextX[i] = vec4<Act>(shifted);
      //#endif
      if (WHOLE || at < TILE_M * STEP4) { xTile[(at / STEP4) * X_STRIDE + at % STEP4] = nextX[i]; }
    }
    //#end
    //#unroll i W_LOADS
    {
      const i = 0u;
      let at = local + i * INVOCATIONS;
      let n = at / STEP4;
      if (WHOLE || at < K_STEP * TILE_N4) {
        let to = at % STEP4 * 4u * W_STRIDE + n / 4u;
        wTile[to][n % 4u] = nextW[i].x;
        wTile[to + W_STRIDE][n % 4u] = nextW[i].y;
        wTile[to + 2u * W_STRIDE][n % 4u] = nextW[i].z;
        wTile[to + 3u * W_STRIDE][n % 4u] = nextW[i].w;
      }
    }
    //#end
    workgroupBarrier();
    // The last turn loads the last step once more, rather than beyond the end.
    let ahead = min(next, K4 - STEP4);
    //#unroll i X_LOADS
    {
      const i = 0u;
      let at = local + i * INVOCATIONS;
      nextX[i] = x[(group.z * M + min(row0 + at / STEP4, M - 1u)) * K4 + ahead + at % STEP4];
    }
    //#end
    //#unroll i W_LOADS
    {
      const i = 0u;
      let at = local + i * INVOCATIONS;
      nextW[i] = weight[(group.z * N + min(column0 * 4u + at / STEP4, N - 1u)) * K4 + ahead + at % STEP4];
    }
    //#end
    for (var k = 0u; k < STEP4; k++) {
      var w: array<array<vec4<f32>, 4>, COLUMNS>;
      //#unroll c COLUMNS
      {
        const c = 0u;
        let at = k * 4u * W_STRIDE + lane.x + c * LANES_N;
        w[c][0] = vec4<f32>(wTile[at]);
        w[c][1] = vec4<f32>(wTile[at + W_STRIDE]);
        w[c][2] = vec4<f32>(wTile[at + 2u * W_STRIDE]);
        w[c][3] = vec4<f32>(wTile[at + 3u * W_STRIDE]);
      }
      //#end
      //#unroll r ROWS
      {
        const r = 0u;
        let a = vec4<f32>(xTile[(lane.y + r * LANES_M) * X_STRIDE + k]);
        //#unroll c COLUMNS
        {
          const c = 0u;
          sums[r][c] = fma(vec4<f32>(a.x), w[c][0], sums[r][c]);
          sums[r][c] = fma(vec4<f32>(a.y), w[c][1], sums[r][c]);
          sums[r][c] = fma(vec4<f32>(a.z), w[c][2], sums[r][c]);
          sums[r][c] = fma(vec4<f32>(a.w), w[c][3], sums[r][c]);
        }
        //#end
      }
      //#end
    }
  }
  //#if NORMALIZE
  //#unroll i X_LOADS
  {
    const i = 0u;
    let at = local + i * INVOCATIONS;
    let parts = vec2<f32>(dot(rowSum[i], vec4<f32>(1.0)), dot(rowSquares[i], vec4<f32>(1.0)));
    if (WHOLE || at < TILE_M * STEP4) { rowSums[at] = parts; }
  }
  //#end
  workgroupBarrier();
  //#endif
  //#unroll r ROWS
  {
    const r = 0u;
    let row = row0 + lane.y + r * LANES_M;
    //#if NORMALIZE
    var moments = vec2<f32>(0.0);
    for (var i = 0u; i < STEP4; i++) { moments += rowSums[(lane.y + r * LANES_M) * STEP4 + i]; }
    let mean = moments.x / f32(K);
    let scale = inverseSqrt(max(moments.y / f32(K) - mean * mean, 0.0) + EPSILON);
    //#endif
    //#unroll c COLUMNS
    {
      const c = 0u;
      let column = column0 + lane.x + c * LANES_N;
      //#if NORMALIZE
      sums[r][c] = (sums[r][c] - mean * columnSums[group.z * N4 + min(column, N4 - 1u)]) * scale;
      //#endif
      if (row < M && column < N4) { finish(sums[r][c], group.z, row, column); }
    }
    //#end
  }
  //#end
}
