// linear_matrix.wgsl in float32: each value is the sum of two in float16, high + low, and three
// products make one (low times low is below float32's last bit). Both operands are split on their
// way into workgroup memory. Powers of two scale them, to keep low parts out of the subnormals,
// which some adapters flush; high parts end at 4,000 for x and 60 for W. The ladder is in
// linear.wgsl.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
//#if SIZED
enable subgroup_size_control;
//#endif
const M: u32 = 401u;  // rows of x in one batch entry: TILE_M at least
const N: u32 = 256u;  // TILE_N at least, a multiple of 8
const K: u32 = 256u;  // a multiple of STEP
const PERIOD: u32 = 401u;  // rows of a sample, for PASSTHROUGH
const EPSILON: f32 = 1e-6;  // of PASSTHROUGH's LayerNorm
const SIDE_M: u32 = 16u;
const SIDE_N: u32 = 16u;
const SIDE_K: u32 = 16u;
const TILES_M: u32 = 4u;
const TILES_N: u32 = 2u;
const SUBGROUPS_M: u32 = 2u;
const SUBGROUPS_N: u32 = 4u;
const STEP: u32 = 16u;  // of the inner width at a time: a multiple of SIDE_K and 8
const X_SCALE: f32 = 16.0;
const W_SCALE: f32 = 1024.0;
const LANES: u32 = 32u;  // the subgroup's size
const WORKGROUP: u32 = 256u;  // SUBGROUPS_M * SUBGROUPS_N * LANES
const TILE_M: u32 = 128u;  // SUBGROUPS_M * TILES_M * SIDE_M
const TILE_N: u32 = 128u;  // SUBGROUPS_N * TILES_N * SIDE_N
const X_LOADS: u32 = 1u;  // of 8 values: TILE_M * STEP / 8 / WORKGROUP: a whole number
const W_LOADS: u32 = 1u;  // of 8 values: TILE_N * STEP / 8 / WORKGROUP: a whole number
const SUMS: u32 = 32u;  // TILES_N * SIDE_N: columns of a subgroup
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;  // [batch, M, K]
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;  // [batch, N, K]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [batch, N]
//#if RESIDUAL
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>;  // [batch, M, N]
//#endif
//#if PASSTHROUGH
// [N] of the LayerNorm that every PERIOD-th row gets in place of x W + b
@group(0) @binding(4) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> beta: array<vec4<f32>>;  // [N]
//#endif
//#if NORMALIZE
// [batch, M]: mean and scale of x's rows (row_moments.wgsl)
@group(0) @binding(8) var<storage, read> moments: array<vec2<f32>>;
//#endif
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;  // [batch, M, N]

const STEP8: u32 = STEP / 8u;
// 16 bytes more than a row has, so that 8 rows lie in different banks
const STRIDE8: u32 = STEP8 + 1u;
const SUMS4: u32 = SUMS / 4u + 1u;  // a row of a subgroup's sums, padded likewise
const X_LOW: u32 = TILE_M * STRIDE8;
const W_HIGH: u32 = 2u * TILE_M * STRIDE8;
const W_LOW: u32 = W_HIGH + TILE_N * STRIDE8;
// Float16, eight in a vec4: x's high parts, its low parts, the weight's; afterwards every
// subgroup's sums, as float32.
var<workgroup> tile: array<vec4<u32>, max(2u * (TILE_M + TILE_N) * STRIDE8, SUBGROUPS_M * SUBGROUPS_N * SIDE_M * SUMS4)>;

//#if GELU
//#include "common/gelu.wgsl"
//#endif

//#if PASSTHROUGH
// Mean and scale of a row of the residual, for cls tokens. One row in PERIOD is such a row, so
// reading it once per vec4 costs next to nothing.
fn residual_moments(row: u32) -> vec2<f32> {
  // known only at run time: unrolled loops take registers from all rows
  let N4 = min(N / 4u, arrayLength(&gamma));
  var sum = vec4<f32>(0.0);
  for (var i = 0u; i < N4; i++) { sum += residual[row * N4 + i]; }
  let mean = dot(sum, vec4<f32>(1.0)) / f32(N);
  var squares = vec4<f32>(0.0);
  for (var i = 0u; i < N4; i++) {
    let d = residual[row * N4 + i] - mean;
    squares += d * d;
  }
  return vec2<f32>(mean, inverseSqrt(dot(squares, vec4<f32>(1.0)) / f32(N) + EPSILON));
}
//#endif

//#include "common/high_part.wgsl"

//#include "common/halves.wgsl"

// Keeps eight values as high parts at high_at and low parts at low_at.
fn split(high_at: u32, low_at: u32, a: vec4<f32>, b: vec4<f32>) {
  let high_a = high_part(a);
  let high_b = high_part(b);
  tile[high_at] = pack_halves(high_a, high_b);
  tile[low_at] = pack_halves(a - high_a, b - high_b);
}

@compute @workgroup_size(WORKGROUP)
//#if SIZED
@subgroup_size(LANES)
//#endif
fn linear(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  const K4 = K / 4u;
  const STEP4 = STEP / 4u;
  const ROWS_BY = WORKGROUP / STEP8;  // rows between two loads of an invocation
  let row0 = min(group.y * TILE_M, M - TILE_M);
  let column0 = min(group.x * TILE_N, N - TILE_N);
  let own_row = (subgroup / SUBGROUPS_N) * TILES_M * SIDE_M;
  let own_column = (subgroup % SUBGROUPS_N) * SUMS;
  let x_at = (group.z * M + row0 + local / STEP8) * K4 + local % STEP8 * 2u;
  let w_at = (group.z * N + column0 + local / STEP8) * K4 + local % STEP8 * 2u;
  let to = (local / STEP8) * STRIDE8 + local % STEP8;
  var next_x: array<array<vec4<f32>, 2>, X_LOADS>;
  var next_w: array<array<vec4<f32>, 2>, W_LOADS>;
  var acc: array<Result, TILES_M * TILES_N>;
  // What is subtracted from x, times X_SCALE: the row's mean. An invocation loads the same rows in
  // every step.
  var shift: array<f32, X_LOADS>;
  //#if NORMALIZE
  //#unroll i X_LOADS
  {
    const i = 0u;
    shift[i] = X_SCALE * moments[group.z * M + row0 + local / STEP8 + i * ROWS_BY].x;
  }
  //#end
  //#endif
  //#unroll i X_LOADS
  {
    const i = 0u;
    next_x[i][0] = x[x_at + i * ROWS_BY * K4];
    next_x[i][1] = x[x_at + i * ROWS_BY * K4 + 1u];
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    next_w[i][0] = weight[w_at + i * ROWS_BY * K4];
    next_w[i][1] = weight[w_at + i * ROWS_BY * K4 + 1u];
  }
  //#end
  for (var k = STEP4; k <= K4; k += STEP4) {
    workgroupBarrier();  // the contents were used
    //#unroll i X_LOADS
    {
      const i = 0u;
      let at = to + i * ROWS_BY * STRIDE8;
      let off = vec4<f32>(shift[i]);
      split(at, X_LOW + at, next_x[i][0] * X_SCALE - off, next_x[i][1] * X_SCALE - off);
    }
    //#end
    //#unroll i W_LOADS
    {
      const i = 0u;
      let at = W_HIGH + to + i * ROWS_BY * STRIDE8;
      split(at, at + W_LOW - W_HIGH, next_w[i][0] * W_SCALE, next_w[i][1] * W_SCALE);
    }
    //#end
    workgroupBarrier();
    // The last iteration loads the last step again, not beyond the end.
    let ahead = min(k, K4 - STEP4);
    //#unroll i X_LOADS
    {
      const i = 0u;
      next_x[i][0] = x[x_at + ahead + i * ROWS_BY * K4];
      next_x[i][1] = x[x_at + ahead + i * ROWS_BY * K4 + 1u];
    }
    //#end
    //#unroll i W_LOADS
    {
      const i = 0u;
      next_w[i][0] = weight[w_at + ahead + i * ROWS_BY * K4];
      next_w[i][1] = weight[w_at + ahead + i * ROWS_BY * K4 + 1u];
    }
    //#end
    for (var inner = 0u; inner < STEP8; inner += SIDE_K / 8u) {
      var high: array<Right, TILES_N>;
      var low: array<Right, TILES_N>;
      //#unroll j TILES_N
      {
        const j = 0u;
        let at = (own_column + j * SIDE_N) * STRIDE8 + inner;
        high[j] = subgroupMatrixLoad<Right, col_major>(&tile, W_HIGH + at, STRIDE8);
        low[j] = subgroupMatrixLoad<Right, col_major>(&tile, W_LOW + at, STRIDE8);
      }
      //#end
      //#unroll i TILES_M
      {
        const i = 0u;
        let at = (own_row + i * SIDE_M) * STRIDE8 + inner;
        let x_low = subgroupMatrixLoad<Left, row_major>(&tile, X_LOW + at, STRIDE8);
        let x_high = subgroupMatrixLoad<Left, row_major>(&tile, at, STRIDE8);
        //#unroll j TILES_N
        {
          const j = 0u;
          acc[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(x_low, high[j], acc[i * TILES_N + j]);
          acc[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(x_high, low[j], acc[i * TILES_N + j]);
          acc[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(x_high, high[j], acc[i * TILES_N + j]);
        }
        //#end
      }
      //#end
    }
  }
  const N4 = N / 4u;
  const CHUNKS = SUMS / 4u;
  let own = subgroup * SIDE_M * SUMS4;
  for (var i = 0u; i < TILES_M; i++) {
    workgroupBarrier();  // the contents were used
    //#unroll t TILES_M
    {
      const t = 0u;
      if (i == t) {
        //#unroll j TILES_N
        {
          const j = 0u;
          subgroupMatrixStore<row_major>(&tile, own + j * SIDE_N / 4u, acc[t * TILES_N + j], SUMS4);
        }
        //#end
      }
    }
    //#end
    workgroupBarrier();
    for (var v = lane; v < SIDE_M * CHUNKS; v += LANES) {
      let row = group.z * M + row0 + own_row + i * SIDE_M + v / CHUNKS;
      let column = (column0 + own_column) / 4u + v % CHUNKS;
      var value = bitcast<vec4<f32>>(tile[own + (v / CHUNKS) * SUMS4 + v % CHUNKS]) * (1.0 / (X_SCALE * W_SCALE));
      //#if NORMALIZE
      value *= moments[row].y;
      //#endif
      value += bias[group.z * N4 + column];
      //#if GELU
      value = gelu(value);
      //#endif
      //#if RESIDUAL
      let added = residual[row * N4 + column];
      //#if PASSTHROUGH
      if (row % PERIOD == 0u) {
        let moment = residual_moments(row);
        value = (added - moment.x) * moment.y * gamma[column] + beta[column];
      }
      //#endif
      value += added;
      //#endif
      y[row * N4 + column] = value;
    }
  }
}
