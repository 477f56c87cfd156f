// linear.wgsl (the ladder is there) for GPUs, in float32 or float16, without matrix units. A
// workgroup makes TILE_M rows by TILE_N columns. A K_STEP of both operands lies in workgroup memory
// while the next one is on its way to registers. An invocation makes ROWS rows, LANES_M apart, of
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
// vec4s per invocation and step: TILE_M * K_STEP / 4 / invocations, rounded up
const X_LOADS: u32 = 2u;
const W_LOADS: u32 = 2u;  // K_STEP * TILE_N4 / invocations, rounded up
const WHOLE: bool = false;  // whether neither was rounded: then no branch is needed
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

// one more than a row has, so that rows begin in different banks
const X_STRIDE: u32 = K_STEP / 4u + 1u;
var<workgroup> x_tile: array<vec4<Act>, TILE_M * X_STRIDE>;
const W_STRIDE: u32 = TILE_N4 + 1u;
var<workgroup> w_tile: array<vec4<Act>, K_STEP * W_STRIDE>;  // [K_STEP, TILE_N]
//#if NORMALIZE
// each loader's part of the sums of x and of its squares
var<workgroup> row_sums: array<vec2<f32>, TILE_M * K_STEP / 4u>;
//#endif

//#include "common/linear_store.wgsl"

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
  var next_x: array<vec4<Act>, X_LOADS>;
  var next_w: array<vec4<Act>, W_LOADS>;
  var acc: array<array<vec4<f32>, COLUMNS>, ROWS>;
  //#if NORMALIZE
  // An invocation's i-th load is of the same row in every step.
  var shift: array<f32, X_LOADS>;
  var row_sum: array<vec4<f32>, X_LOADS>;
  var row_squares: array<vec4<f32>, X_LOADS>;
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
    next_x[i] = x[(group.z * M + min(row0 + at / STEP4, M - 1u)) * K4 + at % STEP4];
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    let at = local + i * INVOCATIONS;
    next_w[i] = weight[(group.z * N + min(column0 * 4u + at / STEP4, N - 1u)) * K4 + at % STEP4];
  }
  //#end
  for (var next = STEP4; next <= K4; next += STEP4) {
    workgroupBarrier();  // the contents were used
    //#unroll i X_LOADS
    {
      const i = 0u;
      let at = local + i * INVOCATIONS;
      //#if NORMALIZE
      let shifted = vec4<f32>(next_x[i]) - shift[i];
      row_sum[i] += shifted;
      row_squares[i] = fma(shifted, shifted, row_squares[i]);
      next_x[i] = vec4<Act>(shifted);
      //#endif
      if (WHOLE || at < TILE_M * STEP4) { x_tile[(at / STEP4) * X_STRIDE + at % STEP4] = next_x[i]; }
    }
    //#end
    //#unroll i W_LOADS
    {
      const i = 0u;
      let at = local + i * INVOCATIONS;
      let n = at / STEP4;
      if (WHOLE || at < K_STEP * TILE_N4) {
        let to = at % STEP4 * 4u * W_STRIDE + n / 4u;
        w_tile[to][n % 4u] = next_w[i].x;
        w_tile[to + W_STRIDE][n % 4u] = next_w[i].y;
        w_tile[to + 2u * W_STRIDE][n % 4u] = next_w[i].z;
        w_tile[to + 3u * W_STRIDE][n % 4u] = next_w[i].w;
      }
    }
    //#end
    workgroupBarrier();
    // The last iteration loads the last step again, not beyond the end.
    let ahead = min(next, K4 - STEP4);
    //#unroll i X_LOADS
    {
      const i = 0u;
      let at = local + i * INVOCATIONS;
      next_x[i] = x[(group.z * M + min(row0 + at / STEP4, M - 1u)) * K4 + ahead + at % STEP4];
    }
    //#end
    //#unroll i W_LOADS
    {
      const i = 0u;
      let at = local + i * INVOCATIONS;
      next_w[i] = weight[(group.z * N + min(column0 * 4u + at / STEP4, N - 1u)) * K4 + ahead + at % STEP4];
    }
    //#end
    for (var k = 0u; k < STEP4; k++) {
      var w: array<array<vec4<f32>, 4>, COLUMNS>;
      //#unroll c COLUMNS
      {
        const c = 0u;
        let at = k * 4u * W_STRIDE + lane.x + c * LANES_N;
        w[c][0] = vec4<f32>(w_tile[at]);
        w[c][1] = vec4<f32>(w_tile[at + W_STRIDE]);
        w[c][2] = vec4<f32>(w_tile[at + 2u * W_STRIDE]);
        w[c][3] = vec4<f32>(w_tile[at + 3u * W_STRIDE]);
      }
      //#end
      //#unroll r ROWS
      {
        const r = 0u;
        let a = vec4<f32>(x_tile[(lane.y + r * LANES_M) * X_STRIDE + k]);
        //#unroll c COLUMNS
        {
          const c = 0u;
          acc[r][c] = fma(vec4<f32>(a.x), w[c][0], acc[r][c]);
          acc[r][c] = fma(vec4<f32>(a.y), w[c][1], acc[r][c]);
          acc[r][c] = fma(vec4<f32>(a.z), w[c][2], acc[r][c]);
          acc[r][c] = fma(vec4<f32>(a.w), w[c][3], acc[r][c]);
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
    let parts = vec2<f32>(dot(row_sum[i], vec4<f32>(1.0)), dot(row_squares[i], vec4<f32>(1.0)));
    if (WHOLE || at < TILE_M * STEP4) { row_sums[at] = parts; }
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
    for (var i = 0u; i < STEP4; i++) { moments += row_sums[(lane.y + r * LANES_M) * STEP4 + i]; }
    let mean = moments.x / f32(K);
    let scale = inverseSqrt(max(moments.y / f32(K) - mean * mean, 0.0) + EPSILON);
    //#endif
    //#unroll c COLUMNS
    {
      const c = 0u;
      let column = column0 + lane.x + c * LANES_N;
      //#if NORMALIZE
      acc[r][c] = (acc[r][c] - mean * columnSums[group.z * N4 + min(column, N4 - 1u)]) * scale;
      //#endif
      if (row < M && column < N4) { store(acc[r][c], group.z, row, column); }
    }
    //#end
  }
  //#end
}
