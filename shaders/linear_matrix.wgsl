// linear.wgsl on a GPU's matrix units, in float16 with float32 sums. A subgroup makes TILES_M by TILES_N matrices of SIDE_M by SIDE_N sums, from matrices that
// it loads from the buffers themselves: a workgroup's SUBGROUPS_M by SUBGROUPS_N subgroups share rows and columns through the cache.
// The type and the built-ins are Dawn's chromium_experimental_subgroup_matrix. A matrix has no elements to access, so that what follows the
// sums goes through workgroup memory, one matrix at a time. Where the last rows are not a whole tile, it begins earlier, and what the
// tile before it made is not stored again.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
const M: u32 = 401u;  // rows of x in one batch entry: TILES_M * SIDE_M at least
const N: u32 = 256u;  // a multiple of SUBGROUPS_N * TILES_N * SIDE_N
const K: u32 = 256u;  // a multiple of SIDE_K
const PERIOD: u32 = 401u;  // rows of a sample, for PASSTHROUGH
const EPSILON: f32 = 1e-6;  // of LayerNorm, for NORMALIZE and PASSTHROUGH
const SIDE_M: u32 = 16u;
const SIDE_N: u32 = 16u;
const SIDE_K: u32 = 16u;
const TILES_M: u32 = 4u;
const TILES_N: u32 = 4u;
const SUBGROUPS_M: u32 = 2u;
const SUBGROUPS_N: u32 = 2u;
const LANES: u32 = 32u;  // the subgroup's size
const WORKGROUP: u32 = 128u;  // SUBGROUPS_M * SUBGROUPS_N * LANES
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;

@group(0) @binding(0) var<storage, read> x: array<f16>;  // [batch, M, K]
@group(0) @binding(1) var<storage, read> weight: array<f16>;  // [batch, K, N]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [batch, N]
//#if RESIDUAL
@group(0) @binding(3) var<storage, read> residual: array<vec4<f16>>;  // [batch, M, N]
//#endif
//#if PASSTHROUGH
@group(0) @binding(4) var<storage, read> gamma: array<vec4<f32>>;  // [N]: of the residual's LayerNorm, which stands for x W + b in every PERIOD-th row
@group(0) @binding(6) var<storage, read> beta: array<vec4<f32>>;  // [N]
//#endif
//#if NORMALIZE
@group(0) @binding(8) var<storage, read> rows: array<vec4<f16>>;  // x again, as vec4s
@group(0) @binding(7) var<storage, read> columnSums: array<vec4<f32>>;  // [batch, N] of the weight
//#endif
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f16>>;  // [batch, M, N]

//#if NORMALIZE
var<workgroup> moments: array<vec2<f32>, SUBGROUPS_M * TILES_M * SIDE_M>;  // mean and scale of the workgroup's rows
//#endif
var<workgroup> scratch: array<f32, SUBGROUPS_M * SUBGROUPS_N * SIDE_M * SIDE_N>;

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
  y[at] = vec4<f16>(result);
}

@compute @workgroup_size(WORKGROUP)
fn linear(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  const ROWS = TILES_M * SIDE_M;
  const COLUMNS = TILES_N * SIDE_N;
  let firstRow = (group.y * SUBGROUPS_M + subgroup / SUBGROUPS_N) * ROWS;
  let row0 = min(firstRow, M - ROWS);
  let column0 = (group.x * SUBGROUPS_N + subgroup % SUBGROUPS_N) * COLUMNS;
  let xAt = (group.z * M + row0) * K;
  let weightAt = group.z * K * N + column0;
  //#if NORMALIZE
  // SHARERS neighbours take a row, of which each reads every SHARERS-th vec4.
  const SHARERS = 8u;
  const K4 = K / 4u;
  for (var row = 0u; row < SUBGROUPS_M * ROWS; row += WORKGROUP / SHARERS) {
    let own = row + (subgroup * LANES + lane) / SHARERS;
    let first = (group.z * M + min((group.y * SUBGROUPS_M + min(own / ROWS, SUBGROUPS_M - 1u)) * ROWS, M - ROWS) + own % ROWS) * K4;
    let shift = f32(rows[first].x);
    var parts = vec2<f32>(0.0);
    for (var i = lane % SHARERS; i < K4; i += SHARERS) {
      let d = vec4<f32>(rows[first + i]) - shift;
      parts += vec2<f32>(dot(d, vec4<f32>(1.0)), dot(d, d));
    }
    for (var step = 1u; step < SHARERS; step *= 2u) { parts += subgroupShuffleXor(parts, step); }
    let mean = parts.x / f32(K);
    let scale = inverseSqrt(max(parts.y / f32(K) - mean * mean, 0.0) + EPSILON);
    if (lane % SHARERS == 0u && own < SUBGROUPS_M * ROWS) { moments[own] = vec2<f32>(mean + shift, scale); }
  }
  //#endif
  var sums: array<Result, TILES_M * TILES_N>;
  for (var k = 0u; k < K; k += SIDE_K) {
    var a: array<Left, TILES_M>;
    var b: array<Right, TILES_N>;
    //#unroll i TILES_M
    {
      const i = 0u;
      a[i] = subgroupMatrixLoad<Left, row_major>(&x, xAt + i * SIDE_M * K + k, K);
    }
    //#end
    //#unroll j TILES_N
    {
      const j = 0u;
      b[j] = subgroupMatrixLoad<Right, row_major>(&weight, weightAt + k * N + j * SIDE_N, N);
    }
    //#end
    //#unroll i TILES_M
    {
      const i = 0u;
      //#unroll j TILES_N
      {
        const j = 0u;
        sums[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(a[i], b[j], sums[i * TILES_N + j]);
      }
      //#end
    }
    //#end
  }
  let own = subgroup * SIDE_M * SIDE_N;
  //#unroll i TILES_M
  {
    const i = 0u;
    //#unroll j TILES_N
    {
      const j = 0u;
      subgroupMatrixStore<row_major>(&scratch, own, sums[i * TILES_N + j], SIDE_N);
      workgroupBarrier();
      for (var v = lane; v < SIDE_M * SIDE_N / 4u; v += LANES) {
        let at = own + v * 4u;
        let row = row0 + i * SIDE_M + v / (SIDE_N / 4u);
        var value = vec4<f32>(scratch[at], scratch[at + 1u], scratch[at + 2u], scratch[at + 3u]);
        let column = (column0 + j * SIDE_N) / 4u + v % (SIDE_N / 4u);
        //#if NORMALIZE
        let moment = moments[(subgroup / SUBGROUPS_N) * ROWS + row - row0];
        value = (value - moment.x * columnSums[group.z * (N / 4u) + column]) * moment.y;
        //#endif
        if (row >= firstRow) { finish(value, group.z, row, column); }
      }
      workgroupBarrier();
    }
    //#end
  }
  //#end
}
