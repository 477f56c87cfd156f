// linear.wgsl (the ladder is there) for the software adapters. There a storage load costs as much
// as dozens of multiply-adds in registers, whatever its pattern, and a broadcast within a subgroup
// next to nothing. So one subgroup, a whole workgroup, makes a large tile in registers: ROWS rows
// by LANES * 8 columns (STRIPS = 2 vec4s per lane). Each lane loads 4 k of its own rows and of its
// own columns' weights; the rows' values are broadcast.
//
// With DIRECT what follows the sums is unrolled as they are. Without, it is a loop over the tile,
// which is copied to indexable memory first: older lavapipes take a minute to compile it unrolled.
// DIRECT goes with subgroups of 16, which only newer ones have.
enable subgroups;
const M: u32 = 201u;  // rows of x in one batch entry
const N: u32 = 256u;  // a multiple of LANES * STRIPS * 4
const K: u32 = 256u;
const PERIOD: u32 = 201u;  // rows of a sample, for PASSTHROUGH
const EPSILON: f32 = 1e-6;  // of LayerNorm, for NORMALIZE and PASSTHROUGH
const LANES: u32 = 4u;  // the subgroup's size
const ROWS: u32 = 16u;
const ROW_GROUPS: u32 = 4u;  // ROWS / LANES, rounded up
const STRIPS: u32 = 2u;
alias Act = f32;  // what activations are stored as

@group(0) @binding(0) var<storage, read> x: array<vec4<Act>>;  // [batch, M, K]
// [batch, N / (LANES*STRIPS*4), K / 4, LANES, 4 k, STRIPS] vec4 of columns
@group(0) @binding(1) var<storage, read> weight: array<vec4<Act>>;
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

//#if GELU
//#include "common/erf.wgsl"
//#endif

//#if PASSTHROUGH
//#include "common/cls_row.wgsl"
//#endif

@compute @workgroup_size(LANES)
fn linear(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  const K4 = K / 4u;
  const N4 = N / 4u;
  let row0 = group.y * ROWS;
  var row_at: array<u32, ROW_GROUPS>;
  //#unroll j ROW_GROUPS
  {
    const j = 0u;
    row_at[j] = (group.z * M + min(row0 + j * LANES + lane, M - 1u)) * K4;
  }
  //#end
  let weight_at = ((group.z * (N4 / (LANES * STRIPS)) + group.x) * K4 * LANES + lane) * 4u * STRIPS;
  //#if NORMALIZE
  var shift: array<f32, ROW_GROUPS>;
  var row_sum: array<vec4<f32>, ROW_GROUPS>;
  var row_squares: array<vec4<f32>, ROW_GROUPS>;
  //#unroll j ROW_GROUPS
  {
    const j = 0u;
    shift[j] = f32(x[row_at[j]].x);
  }
  //#end
  //#endif
  var acc: array<vec4<f32>, ROWS * STRIPS>;
  for (var k4 = 0u; k4 < K4; k4++) {
    var a: array<vec4<f32>, ROW_GROUPS>;
    //#unroll j ROW_GROUPS
    {
      const j = 0u;
      a[j] = vec4<f32>(x[row_at[j] + k4]);
      //#if NORMALIZE
      a[j] -= shift[j];
      row_sum[j] += a[j];
      row_squares[j] = fma(a[j], a[j], row_squares[j]);
      //#endif
    }
    //#end
    let w = weight_at + k4 * LANES * 4u * STRIPS;
    var w0: array<vec4<f32>, 4>;
    var w1: array<vec4<f32>, 4>;
    //#unroll k 4
    {
      const k = 0u;
      w0[k] = vec4<f32>(weight[w + k * STRIPS]);
      w1[k] = vec4<f32>(weight[w + k * STRIPS + STRIPS - 1u]);
    }
    //#end
    // Row by row: a row's sums stay in registers for 4 k; those of the whole tile do not fit.
    //#unroll r ROWS
    {
      const r = 0u;
      //#unroll k 4
      {
        const k = 0u;
        let value = vec4<f32>(subgroupBroadcast(a[r / LANES][k], r % LANES));
        acc[r * STRIPS] = fma(value, w0[k], acc[r * STRIPS]);
        if (STRIPS == 2u) { acc[r * STRIPS + STRIPS - 1u] = fma(value, w1[k], acc[r * STRIPS + STRIPS - 1u]); }
      }
      //#end
    }
    //#end
  }
  //#if NORMALIZE
  var mean: array<f32, ROW_GROUPS>;
  var scale: array<f32, ROW_GROUPS>;
  //#unroll j ROW_GROUPS
  {
    const j = 0u;
    mean[j] = dot(row_sum[j], vec4<f32>(1.0)) / f32(K);
    scale[j] = inverseSqrt(max(dot(row_squares[j], vec4<f32>(1.0)) / f32(K) - mean[j] * mean[j], 0.0) + EPSILON);
  }
  //#end
  //#endif
  //#if DIRECT
  let rows = min(ROWS, M - row0);
  //#unroll s STRIPS
  {
    const s = 0u;
    let column = (group.x * STRIPS + s) * LANES + lane;
    let shift = bias[group.z * N4 + column];
    //#if NORMALIZE
    let weights = columnSums[group.z * N4 + column];
    //#endif
    //#unroll r ROWS
    {
      const r = 0u;
      // Rows beyond the last one are copies of it and are stored over it.
      let at = (group.z * M + row0 + min(r, rows - 1u)) * N4 + column;
      var result = acc[r * STRIPS + s];
      //#if NORMALIZE
      result = (result - subgroupBroadcast(mean[r / LANES], r % LANES) * weights) * subgroupBroadcast(scale[r / LANES], r % LANES);
      //#endif
      result += shift;
      //#if GELU
      result = 0.5 * result * (1.0 + erf(result * 0.70710678));
      //#endif
      //#if RESIDUAL
      result += vec4<f32>(residual[at]);
      //#endif
      y[at] = vec4<Act>(result);
    }
    //#end
  }
  //#end
  //#if PASSTHROUGH
  // Rows of cls tokens are stored again.
  for (var row = (row0 + PERIOD - 1u) / PERIOD * PERIOD; row < row0 + rows; row += PERIOD) {
    for (var s = 0u; s < STRIPS; s++) {
      let column = (group.x * STRIPS + s) * LANES + lane;
      y[row * N4 + column] = vec4<Act>(cls_row(row, column) + vec4<f32>(residual[row * N4 + column]));
    }
  }
  //#endif
  //#endif
  //#if !DIRECT
  //#if NORMALIZE
  let own_column = group.z * N4 + group.x * LANES * STRIPS + lane;
  let columns0 = columnSums[own_column];
  let columns1 = columnSums[own_column + (STRIPS - 1u) * LANES];
  //#unroll r ROWS
  {
    const r = 0u;
    let own_mean = subgroupBroadcast(mean[r / LANES], r % LANES);
    let own_scale = subgroupBroadcast(scale[r / LANES], r % LANES);
    acc[r * STRIPS] = (acc[r * STRIPS] - own_mean * columns0) * own_scale;
    if (STRIPS == 2u) { acc[r * STRIPS + STRIPS - 1u] = (acc[r * STRIPS + STRIPS - 1u] - own_mean * columns1) * own_scale; }
  }
  //#end
  //#endif
  var tile: array<vec4<f32>, ROWS * STRIPS>;
  //#unroll r ROWS
  {
    const r = 0u;
    tile[r * STRIPS] = acc[r * STRIPS];
    if (STRIPS == 2u) { tile[r * STRIPS + STRIPS - 1u] = acc[r * STRIPS + STRIPS - 1u]; }
  }
  //#end
  // known only at run time, so that no compiler unrolls the loop
  let end = min(ROWS, M - row0) * STRIPS;
  for (var i = 0u; i < end; i++) {
    let row = row0 + i / STRIPS;
    let column = group.x * LANES * STRIPS + lane + (i % STRIPS) * LANES;
    let at = (group.z * M + row) * N4 + column;
    var result = tile[i] + bias[group.z * N4 + column];
    //#if GELU
    result = 0.5 * result * (1.0 + erf(result * 0.70710678));
    //#endif
    //#if PASSTHROUGH
    if (row % PERIOD == 0u) { result = cls_row(row, column); }
    //#endif
    //#if RESIDUAL
    result += vec4<f32>(residual[at]);
    //#endif
    y[at] = vec4<Act>(result);
  }
  //#endif
}
