// linear_matrix.wgsl in float32: each value is the sum of two in float16, high + low, and three products
// make one (low times low is below float32's last bit). Both operands are split on their way into
// workgroup memory. They are scaled by powers of two, so that low parts are no subnormals, which some
// adapters flush; high parts end at 4,000 for x and 60 for W.
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
@group(0) @binding(4) var<storage, read> gamma: array<vec4<f32>>;  // [N]: of the residual's LayerNorm, which stands for x W + b in every PERIOD-th row
@group(0) @binding(6) var<storage, read> beta: array<vec4<f32>>;  // [N]
//#endif
//#if NORMALIZE
@group(0) @binding(8) var<storage, read> moments: array<vec2<f32>>;  // [batch, M]: mean and scale of x's rows (row_moments.wgsl)
//#endif
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;  // [batch, M, N]

const STEP8: u32 = STEP / 8u;
const STRIDE8: u32 = STEP8 + 1u;  // 16 bytes more than a row has, so that 8 rows lie in different banks
const SUMS4: u32 = SUMS / 4u + 1u;  // a row of a subgroup's sums, padded likewise
const X_LOW: u32 = TILE_M * STRIDE8;
const W_HIGH: u32 = 2u * TILE_M * STRIDE8;
const W_LOW: u32 = W_HIGH + TILE_N * STRIDE8;
// Float16, eight in a vec4: x's high parts, its low parts, the weight's; afterwards every subgroup's
// sums, as float32.
var<workgroup> tile: array<vec4<u32>, max(2u * (TILE_M + TILE_N) * STRIDE8, SUBGROUPS_M * SUBGROUPS_N * SIDE_M * SUMS4)>;

//#if GELU
// x Φ(x) = max(x, 0) - |x| erfc(|x| / √2) / 2, with erfc to 1.5e-7 (Abramowitz & Stegun 7.1.26).
fn gelu(x: vec4<f32>) -> vec4<f32> {
  let a = abs(x);
  let t = 1.0 / (1.0 + 0.23164188 * a);
  let poly = t * (0.127414796 + t * (-0.142248368 + t * (0.7107068705 + t * (-0.7265760135 + t * 0.5307027145))));
  return max(x, vec4<f32>(0.0)) - a * (poly * exp2(x * x * -0.72134752));
}
//#endif

//#if PASSTHROUGH
// Mean and scale of a row of the residual. A cls token's row, one in PERIOD, needs them: reading
// the whole row for each vec4 costs next to nothing.
fn momentsOfResidual(row: u32) -> vec2<f32> {
  let N4 = min(N / 4u, arrayLength(&gamma));  // known at run time only: unrolled loops take registers from all rows
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

// A value's leading 11 bits, which float16 holds; by bits, since compilers take a conversion there
// and back for nothing.
fn highPart(value: vec4<f32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(value) & vec4<u32>(0xffffe000u));
}

// Conversions round to the nearest; pack2x16float may round towards zero.
fn packed(a: vec4<f32>, b: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(bitcast<vec2<u32>>(vec4<f16>(a)), bitcast<vec2<u32>>(vec4<f16>(b)));
}

// Keeps eight values as high parts at highAt and low parts at lowAt.
fn split(highAt: u32, lowAt: u32, a: vec4<f32>, b: vec4<f32>) {
  let highA = highPart(a);
  let highB = highPart(b);
  tile[highAt] = packed(highA, highB);
  tile[lowAt] = packed(a - highA, b - highB);
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
  let ownRow = (subgroup / SUBGROUPS_N) * TILES_M * SIDE_M;
  let ownColumn = (subgroup % SUBGROUPS_N) * SUMS;
  let xAt = (group.z * M + row0 + local / STEP8) * K4 + local % STEP8 * 2u;
  let wAt = (group.z * N + column0 + local / STEP8) * K4 + local % STEP8 * 2u;
  let to = (local / STEP8) * STRIDE8 + local % STEP8;
  var nextX: array<array<vec4<f32>, 2>, X_LOADS>;
  var nextW: array<array<vec4<f32>, 2>, W_LOADS>;
  var sums: array<Result, TILES_M * TILES_N>;
  // What comes off x, times X_SCALE: the row's mean. An invocation's loads are of the same rows at each step.
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
    nextX[i][0] = x[xAt + i * ROWS_BY * K4];
    nextX[i][1] = x[xAt + i * ROWS_BY * K4 + 1u];
  }
  //#end
  //#unroll i W_LOADS
  {
    const i = 0u;
    nextW[i][0] = weight[wAt + i * ROWS_BY * K4];
    nextW[i][1] = weight[wAt + i * ROWS_BY * K4 + 1u];
  }
  //#end
  for (var k = STEP4; k <= K4; k += STEP4) {
    workgroupBarrier();  // what lies there was used
    //#unroll i X_LOADS
    {
      const i = 0u;
      let at = to + i * ROWS_BY * STRIDE8;
      let off = vec4<f32>(shift[i]);
      split(at, X_LOW + at, nextX[i][0] * X_SCALE - off, nextX[i][1] * X_SCALE - off);
    }
    //#end
    //#unroll i W_LOADS
    {
      const i = 0u;
      let at = W_HIGH + to + i * ROWS_BY * STRIDE8;
      split(at, at + W_LOW - W_HIGH, nextW[i][0] * W_SCALE, nextW[i][1] * W_SCALE);
    }
    //#end
    workgroupBarrier();
    // The last turn loads the last step once more, rather than beyond the end.
    let ahead = min(k, K4 - STEP4);
    //#unroll i X_LOADS
    {
      const i = 0u;
      nextX[i][0] = x[xAt + ahead + i * ROWS_BY * K4];
      nextX[i][1] = x[xAt + ahead + i * ROWS_BY * K4 + 1u];
    }
    //#end
    //#unroll i W_LOADS
    {
      const i = 0u;
      nextW[i][0] = weight[wAt + ahead + i * ROWS_BY * K4];
      nextW[i][1] = weight[wAt + ahead + i * ROWS_BY * K4 + 1u];
    }
    //#end
    for (var inner = 0u; inner < STEP8; inner += SIDE_K / 8u) {
      var high: array<Right, TILES_N>;
      var low: array<Right, TILES_N>;
      //#unroll j TILES_N
      {
        const j = 0u;
        let at = (ownColumn + j * SIDE_N) * STRIDE8 + inner;
        high[j] = subgroupMatrixLoad<Right, col_major>(&tile, W_HIGH + at, STRIDE8);
        low[j] = subgroupMatrixLoad<Right, col_major>(&tile, W_LOW + at, STRIDE8);
      }
      //#end
      //#unroll i TILES_M
      {
        const i = 0u;
        let at = (ownRow + i * SIDE_M) * STRIDE8 + inner;
        let xLow = subgroupMatrixLoad<Left, row_major>(&tile, X_LOW + at, STRIDE8);
        let xHigh = subgroupMatrixLoad<Left, row_major>(&tile, at, STRIDE8);
        //#unroll j TILES_N
        {
          const j = 0u;
          sums[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(xLow, high[j], sums[i * TILES_N + j]);
          sums[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(xHigh, low[j], sums[i * TILES_N + j]);
          sums[i * TILES_N + j] = subgroupMatrixMultiplyAccumulate(xHigh, high[j], sums[i * TILES_N + j]);
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
    workgroupBarrier();  // what lies there was used
    //#unroll t TILES_M
    {
      const t = 0u;
      if (i == t) {
        //#unroll j TILES_N
        {
          const j = 0u;
          subgroupMatrixStore<row_major>(&tile, own + j * SIDE_N / 4u, sums[t * TILES_N + j], SUMS4);
        }
        //#end
      }
    }
    //#end
    workgroupBarrier();
    for (var v = lane; v < SIDE_M * CHUNKS; v += LANES) {
      let row = group.z * M + row0 + ownRow + i * SIDE_M + v / CHUNKS;
      let column = (column0 + ownColumn) / 4u + v % CHUNKS;
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
        let passed = momentsOfResidual(row);
        value = (added - passed.x) * passed.y * gamma[column] + beta[column];
      }
      //#endif
      value += added;
      //#endif
      y[row * N4 + column] = value;
    }
  }
}
