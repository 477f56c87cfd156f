// linear.wgsl on a GPU's matrix units, in float32: each value is the sum of two in float16, high + low, and three products make one (low times low is below
// float32's last bit). A workgroup takes SIDE_K of the inner width at a time: it splits both operands into workgroup memory, where its SUBGROUPS_M by
// SUBGROUPS_N subgroups load their matrices from, while the next step is on its way to registers. Both are scaled by powers of two, so that low parts are
// no subnormals, which some adapters flush; high parts end at 4,000 for x and 60 for W. Built-ins: see linear_matrix.wgsl.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
const M: u32 = 401u;  // rows of x in one batch entry
const N: u32 = 256u;  // a multiple of TILE_N
const K: u32 = 256u;  // a multiple of SIDE_K
const PERIOD: u32 = 401u;  // rows of a sample, for PASSTHROUGH
const EPSILON: f32 = 1e-6;  // of LayerNorm, for NORMALIZE and PASSTHROUGH
const SIDE_M: u32 = 16u;
const SIDE_N: u32 = 16u;
const SIDE_K: u32 = 16u;
const TILES_M: u32 = 2u;
const TILES_N: u32 = 4u;
const SUBGROUPS_M: u32 = 2u;
const SUBGROUPS_N: u32 = 2u;
const X_SCALE: f32 = 16.0;
const W_SCALE: f32 = 1024.0;
const LANES: u32 = 32u;  // the subgroup's size
const WORKGROUP: u32 = 128u;  // SUBGROUPS_M * SUBGROUPS_N * LANES
const TILE_M: u32 = 64u;  // SUBGROUPS_M * TILES_M * SIDE_M
const TILE_N: u32 = 128u;  // SUBGROUPS_N * TILES_N * SIDE_N
const X_LOADS: u32 = 2u;  // vec4s of a step of x that an invocation loads: TILE_M * SIDE_K / 4 / WORKGROUP, rounded up
const W_LOADS: u32 = 4u;  // SIDE_K * TILE_N / 4 / WORKGROUP, rounded up
alias Left = subgroup_matrix_left<f16, SIDE_K, SIDE_M>;
alias Right = subgroup_matrix_right<f16, SIDE_N, SIDE_K>;
alias Result = subgroup_matrix_result<f32, SIDE_N, SIDE_M>;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;  // [batch, M, K]
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;  // [batch, K, N]
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;  // [batch, N]
//#if RESIDUAL
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>;  // [batch, M, N]
//#endif
//#if PASSTHROUGH
@group(0) @binding(4) var<storage, read> gamma: array<vec4<f32>>;  // [N]: of the residual's LayerNorm, which stands for x W + b in every PERIOD-th row
@group(0) @binding(6) var<storage, read> beta: array<vec4<f32>>;  // [N]
//#endif
//#if NORMALIZE
@group(0) @binding(7) var<storage, read> columnSums: array<vec4<f32>>;  // [batch, N] of the weight
//#endif
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;  // [batch, M, N]

var<workgroup> xHigh: array<f16, TILE_M * SIDE_K>;
var<workgroup> xLow: array<f16, TILE_M * SIDE_K>;
var<workgroup> wHigh: array<f16, SIDE_K * TILE_N>;
var<workgroup> wLow: array<f16, SIDE_K * TILE_N>;
var<workgroup> scratch: array<f32, SUBGROUPS_M * SUBGROUPS_N * SIDE_M * SIDE_N>;
//#if NORMALIZE
var<workgroup> rowSums: array<vec2<f32>, TILE_M * SIDE_K / 4u>;  // of x and of its squares: each loader's part
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
  for (var i = 0u; i < width; i++) { sum += residual[row * width + i]; }
  let mean = dot(sum, vec4<f32>(1.0)) / f32(N);
  var squares = vec4<f32>(0.0);
  for (var i = 0u; i < width; i++) {
    let d = residual[row * width + i] - mean;
    squares += d * d;
  }
  let scale = inverseSqrt(dot(squares, vec4<f32>(1.0)) / f32(N) + EPSILON);
  return (residual[row * width + column] - mean) * scale * gamma[column] + beta[column];
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
  result += residual[at];
  //#endif
  y[at] = result;
}

// A value's leading 11 bits, which float16 holds; by bits, since compilers take a conversion there and back for nothing.
fn highPart(value: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(value) & vec4<u32>(0xffffe000u));
}

@compute @workgroup_size(WORKGROUP)
fn linear(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  const K4 = K / 4u;
  const N4 = N / 4u;
  const STEP4 = SIDE_K / 4u;
  const TILE_N4 = TILE_N / 4u;
  const ROWS = TILES_M * SIDE_M;
  const COLUMNS = TILES_N * SIDE_N;
  let invocation = subgroup * LANES + lane;
  let row0 = group.y * TILE_M;
  let column0 = group.x * TILE_N4;
  let ownRow = (subgroup / SUBGROUPS_N) * ROWS;
  let ownColumn = (subgroup % SUBGROUPS_N) * COLUMNS;
  var nextX: array<vec4<f32>, X_LOADS>;
  var nextW: array<vec4<f32>, W_LOADS>;
  var sums: array<Result, TILES_M * TILES_N>;
  //#if NORMALIZE
  // An invocation's i-th load is of the same row at each step.
  var shift: array<f32, X_LOADS>;
  var rowSum: array<vec4<f32>, X_LOADS>;
  var rowSquares: array<vec4<f32>, X_LOADS>;
  //#unroll i X_LOADS
  {
    const i = 0u;
    shift[i] = x[(group.z * M + min(row0 + (invocation + i * WORKGROUP) / STEP4, M - 1u)) * K4].x;
  }
  //#end
  //#endif
  for (var k0 = 0u; k0 <= K; k0 += SIDE_K) {
    if (k0 > 0u) {
      workgroupBarrier();  // what lies there was used
      //#unroll i X_LOADS
      {
        const i = 0u;
        let at = invocation + i * WORKGROUP;
        let scaled = nextX[i] * X_SCALE;
        let high = highPart(scaled);
        let low = scaled - high;
        if (at < TILE_M * STEP4) {
          for (var c = 0u; c < 4u; c++) {
            xHigh[at * 4u + c] = f16(high[c]);
            xLow[at * 4u + c] = f16(low[c]);
          }
        }
      }
      //#end
      //#unroll i W_LOADS
      {
        const i = 0u;
        let at = invocation + i * WORKGROUP;
        let scaled = nextW[i] * W_SCALE;
        let high = highPart(scaled);
        let low = scaled - high;
        if (at < SIDE_K * TILE_N4) {
          for (var c = 0u; c < 4u; c++) {
            wHigh[at * 4u + c] = f16(high[c]);
            wLow[at * 4u + c] = f16(low[c]);
          }
        }
      }
      //#end
      workgroupBarrier();
    }
    if (k0 < K) {
      //#unroll i X_LOADS
      {
        const i = 0u;
        let at = invocation + i * WORKGROUP;
        nextX[i] = x[(group.z * M + min(row0 + at / STEP4, M - 1u)) * K4 + k0 / 4u + at % STEP4];
        //#if NORMALIZE
        nextX[i] -= shift[i];
        rowSum[i] += nextX[i];
        rowSquares[i] = fma(nextX[i], nextX[i], rowSquares[i]);
        //#endif
      }
      //#end
      //#unroll i W_LOADS
      {
        const i = 0u;
        let at = invocation + i * WORKGROUP;
        nextW[i] = weight[(group.z * K + min(k0 + at / TILE_N4, K - 1u)) * N4 + column0 + at % TILE_N4];
      }
      //#end
    }
    if (k0 == 0u) { continue; }
    var a: array<Left, TILES_M>;
    var b: array<Right, TILES_N>;
    //#unroll j TILES_N
    {
      const j = 0u;
      b[j] = subgroupMatrixLoad<Right, row_major>(&wHigh, ownColumn + j * SIDE_N, TILE_N);
    }
    //#end
    //#unroll i TILES_M
    {
      const i = 0u;
      a[i] = subgroupMatrixLoad<Left, row_major>(&xLow, (ownRow + i * SIDE_M) * SIDE_K, SIDE_K);
      //#unroll j TILES_N
      {
        const j = 0u;
        sums[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(a[i], b[j], sums[i * TILES_N + j]);
      }
      //#end
      a[i] = subgroupMatrixLoad<Left, row_major>(&xHigh, (ownRow + i * SIDE_M) * SIDE_K, SIDE_K);
      //#unroll j TILES_N
      {
        const j = 0u;
        sums[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(a[i], b[j], sums[i * TILES_N + j]);
      }
      //#end
    }
    //#end
    //#unroll j TILES_N
    {
      const j = 0u;
      b[j] = subgroupMatrixLoad<Right, row_major>(&wLow, ownColumn + j * SIDE_N, TILE_N);
      //#unroll i TILES_M
      {
        const i = 0u;
        sums[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(a[i], b[j], sums[i * TILES_N + j]);
      }
      //#end
    }
    //#end
  }
  //#if NORMALIZE
  //#unroll i X_LOADS
  {
    const i = 0u;
    let at = invocation + i * WORKGROUP;
    let parts = vec2<f32>(dot(rowSum[i], vec4<f32>(1.0)), dot(rowSquares[i], vec4<f32>(1.0)));
    if (at < TILE_M * STEP4) { rowSums[at] = parts; }
  }
  //#end
  //#endif
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
        let tileRow = ownRow + i * SIDE_M + v / (SIDE_N / 4u);
        let column = column0 + (ownColumn + j * SIDE_N) / 4u + v % (SIDE_N / 4u);
        var value = vec4<f32>(scratch[at], scratch[at + 1u], scratch[at + 2u], scratch[at + 3u]) * (1.0 / (X_SCALE * W_SCALE));
        //#if NORMALIZE
        var moments = vec2<f32>(0.0);
        for (var part = 0u; part < STEP4; part++) { moments += rowSums[tileRow * STEP4 + part]; }
        let mean = moments.x / f32(K);
        let scale = inverseSqrt(max(moments.y / f32(K) - mean * mean, 0.0) + EPSILON);
        value = (value - mean * columnSums[group.z * N4 + column]) * scale;
        //#endif
        if (row0 + tileRow < M) { finish(value, group.z, row0 + tileRow, column); }
      }
      workgroupBarrier();
    }
    //#end
  }
  //#end
}
