// linear.wgsl (the ladder is there) on a GPU's matrix units, in float16 with float32 sums.
//
// A workgroup makes TILE_M rows by TILE_N columns. STEP of the inner width at a time, it copies
// both operands into workgroup memory by 16-byte loads while the next step is on its way to
// registers. Each of its SUBGROUPS_M by SUBGROUPS_N subgroups multiplies TILES_M by TILES_N
// matrices of sums. Weights lie as [N, K], so that both operands are read along K and no matrix is
// transposed.
//
// Sums have no elements to access: they go through workgroup memory, a row of matrices at a time.
// The last tiles of rows and columns begin early enough to be whole. What two tiles compute twice
// is the same.
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
const SUBGROUPS_N: u32 = 2u;
const STEP: u32 = 32u;  // of the inner width at a time: a multiple of SIDE_K and 8
const LANES: u32 = 32u;  // the subgroup's size
const WORKGROUP: u32 = 128u;  // SUBGROUPS_M * SUBGROUPS_N * LANES
const TILE_M: u32 = 128u;  // SUBGROUPS_M * TILES_M * SIDE_M
const TILE_N: u32 = 64u;  // SUBGROUPS_N * TILES_N * SIDE_N
const X_LOADS: u32 = 4u;  // TILE_M * STEP / 8 / WORKGROUP: a whole number
const W_LOADS: u32 = 2u;  // TILE_N * STEP / 8 / WORKGROUP: a whole number
const SUMS: u32 = 32u;  // TILES_N * SIDE_N: columns of a subgroup
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;

// Eight float16 values in a vec4.
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;  // [batch, M, K]
@group(0) @binding(1) var<storage, read> weight: array<vec4<u32>>;  // [batch, N, K]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [batch, N]
//#if RESIDUAL
@group(0) @binding(3) var<storage, read> residual: array<vec4<u32>>;  // [batch, M, N]
//#endif
//#if PASSTHROUGH
// [N] of the LayerNorm that every PERIOD-th row gets in place of x W + b
@group(0) @binding(4) var<storage, read> gamma: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> beta: array<vec4<f32>>;  // [N]
//#endif
//#if NORMALIZE
// [batch, M]: mean and scale of x's rows (row_moments.wgsl)
@group(0) @binding(8) var<storage, read> moments: array<vec2<f32>>;
@group(0) @binding(7) var<storage, read> columnSums: array<vec4<f32>>;  // [batch, N] of the weight
//#endif
@group(0) @binding(5) var<storage, read_write> y: array<vec4<u32>>;  // [batch, M, N]

const STEP8: u32 = STEP / 8u;
// 16 bytes more than a row has, so that 8 rows lie in different banks
const STRIDE8: u32 = STEP8 + 1u;
const SUMS4: u32 = SUMS / 4u + 1u;  // a row of a subgroup's sums, padded likewise
const W_AT: u32 = TILE_M * STRIDE8;
// x's tile, then the weight's; afterwards every subgroup's sums, as float32.
var<workgroup> tile: array<vec4<u32>, max((TILE_M + TILE_N) * STRIDE8, SUBGROUPS_M * SUBGROUPS_N * SIDE_M * SUMS4)>;

//#if GELU
//#include "common/gelu.wgsl"
//#endif

fn unpack_low(v: vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y)); }
fn unpack_high(v: vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(v.z), unpack2x16float(v.w)); }

//#include "common/halves.wgsl"

//#if PASSTHROUGH
// Mean and scale of a row of the residual, for cls tokens. One row in PERIOD is such a row, so
// reading it once per vec4 costs next to nothing.
fn residual_moments(row: u32) -> vec2<f32> {
  // known only at run time: unrolled loops take registers from all rows
  let N8 = min(N / 8u, arrayLength(&gamma));
  var sum = vec4<f32>(0.0);
  for (var i = 0u; i < N8; i++) {
    let v = residual[row * N8 + i];
    sum += unpack_low(v) + unpack_high(v);
  }
  let mean = dot(sum, vec4<f32>(1.0)) / f32(N);
  var squares = vec4<f32>(0.0);
  for (var i = 0u; i < N8; i++) {
    let v = residual[row * N8 + i];
    let low = unpack_low(v) - mean;
    let high = unpack_high(v) - mean;
    squares += low * low + high * high;
  }
  return vec2<f32>(mean, inverseSqrt(dot(squares, vec4<f32>(1.0)) / f32(N) + EPSILON));
}
//#endif

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
  const K8 = K / 8u;
  const ROWS_BY = WORKGROUP / STEP8;  // rows between two loads of an invocation
  let row0 = min(group.y * TILE_M, M - TILE_M);
  let column0 = min(group.x * TILE_N, N - TILE_N);
  let own_row = (subgroup / SUBGROUPS_N) * TILES_M * SIDE_M;
  let own_column = (subgroup % SUBGROUPS_N) * SUMS;
  let x_at = (group.z * M + row0 + local / STEP8) * K8 + local % STEP8;
  let w_at = (group.z * N + column0 + local / STEP8) * K8 + local % STEP8;
  let to = (local / STEP8) * STRIDE8 + local % STEP8;
  var next_x: array<vec4<u32>, X_LOADS>;
  var next_w: array<vec4<u32>, W_LOADS>;
  var acc: array<Result, TILES_M * TILES_N>;
  //#unroll i X_LOADS
  {
    const i = 0u;
    next_x[i] = x[x_at + i * ROWS_BY * K8];
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    next_w[i] = weight[w_at + i * ROWS_BY * K8];
  }
  //#end
  for (var k = STEP8; k <= K8; k += STEP8) {
    workgroupBarrier();  // the contents were used
    //#unroll i X_LOADS
    {
      const i = 0u;
      tile[to + i * ROWS_BY * STRIDE8] = next_x[i];
    }
    //#end
    //#unroll i W_LOADS
    {
      const i = 0u;
      tile[W_AT + to + i * ROWS_BY * STRIDE8] = next_w[i];
    }
    //#end
    workgroupBarrier();
    // The last iteration loads the last step again, not beyond the end.
    let ahead = min(k, K8 - STEP8);
    //#unroll i X_LOADS
    {
      const i = 0u;
      next_x[i] = x[x_at + ahead + i * ROWS_BY * K8];
    }
    //#end
    //#unroll i W_LOADS
    {
      const i = 0u;
      next_w[i] = weight[w_at + ahead + i * ROWS_BY * K8];
    }
    //#end
    for (var inner = 0u; inner < STEP8; inner += SIDE_K / 8u) {
      var b: array<Right, TILES_N>;
      //#unroll j TILES_N
      {
        const j = 0u;
        b[j] = subgroupMatrixLoad<Right, col_major>(&tile, W_AT + (own_column + j * SIDE_N) * STRIDE8 + inner, STRIDE8);
      }
      //#end
      //#unroll i TILES_M
      {
        const i = 0u;
        let a = subgroupMatrixLoad<Left, row_major>(&tile, (own_row + i * SIDE_M) * STRIDE8 + inner, STRIDE8);
        //#unroll j TILES_N
        {
          const j = 0u;
          acc[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(a, b[j], acc[i * TILES_N + j]);
        }
        //#end
      }
      //#end
    }
  }
  const N8 = N / 8u;
  const CHUNKS = SUMS / 8u;
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
      let at = own + (v / CHUNKS) * SUMS4 + (v % CHUNKS) * 2u;
      let row = group.z * M + row0 + own_row + i * SIDE_M + v / CHUNKS;
      let column8 = (column0 + own_column) / 8u + v % CHUNKS;
      let column4 = group.z * (N / 4u) + column8 * 2u;
      var low = bitcast<vec4<f32>>(tile[at]);
      var high = bitcast<vec4<f32>>(tile[at + 1u]);
      //#if NORMALIZE
      let moment = moments[row];
      low = (low - moment.x * columnSums[column4]) * moment.y;
      high = (high - moment.x * columnSums[column4 + 1u]) * moment.y;
      //#endif
      low += bias[column4];
      high += bias[column4 + 1u];
      //#if GELU
      low = gelu(low);
      high = gelu(high);
      //#endif
      //#if RESIDUAL
      let added = residual[row * N8 + column8];
      //#if PASSTHROUGH
      if (row % PERIOD == 0u) {
        let moment = residual_moments(row);
        low = (unpack_low(added) - moment.x) * moment.y * gamma[column8 * 2u] + beta[column8 * 2u];
        high = (unpack_high(added) - moment.x) * moment.y * gamma[column8 * 2u + 1u] + beta[column8 * 2u + 1u];
      }
      //#endif
      low += unpack_low(added);
      high += unpack_high(added);
      //#endif
      y[row * N8 + column8] = pack_halves(low, high);
    }
  }
}
